"""Combinations in a preset that cannot work or are doubtful, named before anything is trained."""

import inspect
from collections.abc import Collection, Iterator

from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.errors import InputError
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import Preset
from vqwn_kit.runs.transfer import matching_parts
from vqwn_kit.workbench.cost import estimated_memory, machine_memory, stages_of

PHONES_PER_SECOND = 15  # of fast read speech
MOST_CODES_PER_PHONE = 20


def find_problems(preset: Preset, model, sources: Collection[str] = ()) -> list[str]:
    """Return what in a preset cannot work or is doubtful, a sentence each.

    What cannot be built is an InputError of `build_model`, and not among them.

    Args:
        preset: the preset.
        model: its model, as `build_model` returns it; the weights do not matter.
        sources: names of the parts that are loaded from other runs, see `train`.
    """
    stages = list(stages_of(preset).values())
    return [
        *_of_crops(stages, model),
        *_of_times(model),
        *_of_codebook(stages[0], model),
        *_of_losses(model),
        *_of_sources(preset, model, set(sources)),
        *_of_stages(stages, model),
        *_of_memory(preset, model),
    ]


def _of_crops(stages: list[Preset], model) -> Iterator[str]:
    seen = model.encoder.receptive_field
    for stage, preset in enumerate(stages):
        length = preset.training.segment_length
        if length < seen / 2:
            name = "first_stage." if len(stages) > 1 and not stage else ""
            enough = -(-seen // model.hop_length) * model.hop_length
            yield (
                f"training.{name}segment_length is {length} samples, and a frame of z_e depends on "
                f"{seen}: most of the input of every frame is padding; give {enough}"
            )


def _of_times(model) -> Iterator[str]:
    hop, decoder = model.hop_length, model.decoder
    if decoder.is_autoregressive and not decoder.network.interpolate:
        if decoder.receptive_field < hop:
            yield (
                f"the decoder's receptive field is {decoder.receptive_field} samples, and a code "
                f"lasts {hop}: far from the beginning of a code the decoder cannot know how much "
                "of it has passed; give more dilations, or interpolate the conditioning"
            )
    rate = SAMPLE_RATE / hop
    if rate > MOST_CODES_PER_PHONE * PHONES_PER_SECOND:
        yield (
            f"{rate:g} codes per second are {rate / PHONES_PER_SECOND:.0f} per phone of fast "
            f"speech ({PHONES_PER_SECOND} phones per second): single codes will describe the "
            "waveform rather than phones"
        )


def _of_codebook(preset: Preset, model) -> Iterator[str]:
    config, bottleneck = preset.training, model.bottleneck
    codebooks, name = bottleneck.get_codebooks(), type(bottleneck).__name__
    size = bottleneck.num_embeddings
    frames = config.batch_size * config.segment_length // model.hop_length
    every, first = config.reset_dead_every, frames * config.warm_start_batches
    if codebooks and bottleneck.starts_from_data and first < size:
        yield (
            f"training.warm_start_batches is {config.warm_start_batches}, which is {first} frames "
            f"for {size} codes: training reads more batches, and k-means starts each code at a "
            "single frame; give more batches"
        )
    if every and not codebooks:
        yield (
            f"training.reset_dead_every is {every}, without effect: {name} has no codes that move; "
            "give null (None)"
        )
    elif every and every * frames < size:
        yield (
            f"training.reset_dead_every is {every}: between two resets there are {every * frames} "
            f"frames for {size} codes, so at least {size - every * frames} count as dead and are "
            "moved each time; give more steps, or fewer codes"
        )
    if config.codebook_rate != 1 and not any(part.codebook.trainable for part in codebooks):
        yield (
            f"training.codebook_rate is {config.codebook_rate:g}, without effect: {name} has no "
            "codebook that learns by gradients; give 1"
        )


def _of_losses(model) -> Iterator[str]:
    from vqwn_kit.models.vector_quantizers import VectorQuantizer, VectorQuantizerEMA

    default = inspect.signature(VectorQuantizer).parameters["commitment_cost"].default
    for part in model.bottleneck.get_codebooks()[:1]:  # all have the same settings
        if not isinstance(part, VectorQuantizer):
            continue
        committed = "vq/commitment" in part.loss_names
        if committed and not (part.commitment_cost or part.batch_norm or part.unit_norm):
            yield (
                "commitment_cost is 0: nothing keeps z_e near the codes, and it can grow without a "
                "limit; give 0.25, or batch_norm or unit_norm"
            )
        if not committed and (part.commitment_warm_up or part.commitment_cost != default):
            cause = "the loss is joint" if part.joint else f"the gradient is {part.gradient!r}"
            yield (
                f"commitment_cost is {part.commitment_cost:g} and commitment_warm_up "
                f"{part.commitment_warm_up}, without effect: {cause}; leave them out"
            )
        if isinstance(part, VectorQuantizerEMA) and (part.kl_frame or part.kl_mean):
            yield (
                f"kl_frame is {part.kl_frame:g} and kl_mean {part.kl_mean:g} with a codebook by "
                "moving averages: they move the encoder alone, not the codes; use bottleneck=vq"
            )


def _of_sources(preset: Preset, model, sources: set[str]) -> Iterator[str]:
    config, decoder = preset.training, model.decoder
    if config.first_stage_steps and config.freeze and not sources:
        yield (
            f"training.freeze is {list(config.freeze)} with first_stage_steps, which training "
            "refuses: the second stage freezes encoder and bottleneck itself; give one of them"
        )
    elif missing := [part for part in config.freeze if part not in sources]:
        yield (
            f"training.freeze is {list(config.freeze)}: {' and '.join(missing)} would keep random "
            "weights, unless training is given parts={...} of another run (--parts)"
        )
    if not decoder.is_autoregressive or config.first_stage_steps:
        return
    coded = {"encoder", "bottleneck"} <= sources & set(config.freeze)
    if decoder.codec.lpc_order and not (coded and sources & {"conditioner", "decoder"}):
        yield (
            f"lpc_order is {decoder.codec.lpc_order} without a first stage, which training refuses "
            "unless it is given parts={...} of one and freeze: give first_stage_steps"
        )


def _of_stages(stages: list[Preset], model) -> Iterator[str]:
    if len(stages) < 2:
        return
    if not model.bottleneck.num_embeddings:
        yield (
            "a first stage without a codebook (bottleneck ae): its encoder is trained for mel "
            "bands alone and then frozen, and there are no codes to decode, to convert or for a "
            "prior; give a codebook, or first_stage_steps=0"
        )
    decoder = model.decoder
    if decoder.conditioner.local_layers or decoder.get_mel_decoder() is not None:
        first = build_model(stages[0], model.speaker_names)
        try:
            matching_parts(model, "conditioner", first, "the first stage")
        except InputError as error:
            yield f"training refuses the two stages: {error}"


def _of_memory(preset: Preset, model) -> Iterator[str]:
    needed, there = sum(estimated_memory(preset, model)), machine_memory()
    if there is not None and needed > there:
        yield (
            f"a training step needs about {needed / 1e9:.1f} GB of memory by estimate, and this "
            f"machine has {there / 1e9:.1f}: give a smaller batch_size or segment_length"
        )
