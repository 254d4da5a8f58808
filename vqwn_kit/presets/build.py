"""A preset and the names of the speakers -> a model with random weights."""

from vqwn_kit.errors import InputError
from vqwn_kit.presets.parts import build_part
from vqwn_kit.presets.preset import Preset


def build_model(preset: Preset, speaker_names: list[str]):
    """Return the built `VQVAE` of a preset, with random weights.

    `keras.utils.set_random_seed` before it makes them repeatable.

    Args:
        preset: see `load_preset`.
        speaker_names: names of the S speakers.

    Raises:
        InputError: an unknown class or keyword, or parts that do not fit together.
    """
    from vqwn_kit.models.vqvae import VQVAE
    from vqwn_kit.sampling.generate import generate

    policy = {"dtype": preset.training.precision}
    encoder = build_part("encoder", preset.encoder, {}, policy)
    bottleneck = build_part("bottleneck", preset.bottleneck, {}, policy)
    if encoder.embedding_dim != bottleneck.embedding_dim:
        raise InputError(
            f"the parts of preset {preset.name!r} differ in D: the encoder has an embedding_dim of "
            f"{encoder.embedding_dim}, the bottleneck of {bottleneck.embedding_dim}; give both the "
            "same"
        )
    given = {"num_speakers": max(1, len(speaker_names))} | encoder.provides | bottleneck.provides
    decoder = build_part("decoder", preset.decoder, given, policy)
    length, hop = preset.training.segment_length, encoder.hop_length
    if length % hop:
        raise InputError(
            f"training.segment_length is {length}; expected a multiple of the encoder's hop of "
            f"{hop} samples, such as {max(1, round(length / hop)) * hop}"
        )
    try:
        model = VQVAE(encoder, bottleneck, decoder, speaker_names, name="vqvae")
        model.build()
    except (TypeError, ValueError) as error:
        raise InputError(f"preset {preset.name!r} cannot be built: {error}") from error
    model.synthesise = generate
    return model
