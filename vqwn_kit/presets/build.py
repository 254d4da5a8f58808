"""A preset and the names of the speakers -> a model with random weights."""

import math
import os
from collections.abc import Iterator

from vqwn_kit.errors import InputError
from vqwn_kit.presets.parts import build_part
from vqwn_kit.presets.preset import Preset

LARGE = 4096  # a size from which on memory is counted before it is taken


def codebook_sizes(preset: Preset) -> tuple[int, int]:
    """Return the codebooks per frame (Q) and the codes of each (K) of a preset; 0, 0 for none.

    Raises:
        InputError: an unknown class or keyword of the bottleneck.
    """
    bottleneck = build_part("bottleneck", preset.bottleneck, {}, {})
    return bottleneck.num_codebooks, bottleneck.num_embeddings


def build_model(preset: Preset, speaker_names: list[str]):
    """Return the built `VQVAE` of a preset, with random weights.

    `keras.utils.set_random_seed` before it makes them repeatable.

    Args:
        preset: see `load_preset`.
        speaker_names: names of the S speakers.

    Raises:
        InputError: an unknown class or keyword, parts that do not fit together, or more weights
            than this machine has memory for.
    """
    from vqwn_kit.models.tensorflow import keras
    from vqwn_kit.sampling.generate import generate

    if max(_whole_numbers([preset.encoder, preset.bottleneck, preset.decoder])) >= LARGE:
        with keras.StatelessScope(initialize_variables=False):  # shapes alone, without memory
            _refuse_too_large(preset, _assemble(preset, speaker_names))
    model = _assemble(preset, speaker_names)
    model.synthesise = generate
    return model


def _assemble(preset: Preset, speaker_names: list[str]):
    from vqwn_kit.models.vqvae import VQVAE

    policy = {"dtype": preset.training.precision}
    encoder = build_part("encoder", preset.encoder, {}, policy)
    bottleneck = build_part("bottleneck", preset.bottleneck, {}, policy)
    if encoder.embedding_dim != bottleneck.embedding_dim:
        raise InputError(
            f"the parts of preset {preset.name!r} differ in D: the encoder has an embedding_dim of "
            f"{encoder.embedding_dim}, the bottleneck of {bottleneck.embedding_dim}; give both the "
            "same (D=)"
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
    except (ArithmeticError, TypeError, ValueError) as error:
        raise InputError(f"preset {preset.name!r} cannot be built: {error}") from error
    return model


def _whole_numbers(content) -> Iterator[int]:
    """Yield the whole numbers in a preset, among them 0."""
    yield 0
    for value in content.values() if isinstance(content, dict) else content:
        if isinstance(value, dict | list | tuple):
            yield from _whole_numbers(value)
        elif isinstance(value, int):
            yield value


def _refuse_too_large(preset: Preset, model) -> None:
    needed = 4 * sum(math.prod(weight.shape) for weight in model.weights)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise InputError(
            f"the weights of preset {preset.name!r} take {needed / 2**30:,.0f} GiB; this machine "
            f"has {memory / 2**30:,.0f} GiB of memory: give smaller sizes"
        )
