"""Does the decoder depend on codes and speaker? Rules for rows of a score card.

An autoregressive decoder can predict the next sample from the past alone and leave the codes
unused, [Chorowski 2019](https://arxiv.org/abs/1901.08810); codes that carry the speaker leave the
decoder no reason to use the speaker embedding, and conversions then keep the source's voice.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vqwn_kit.evaluation.code_metrics import IGNORED_BELOW, WEAK_BELOW
from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.findings import (
    Finding,
    Remedy,
    change_quantizer,
    in_first_stage,
    is_short,
    longer,
    quantizer_of,
    short_training,
)
from vqwn_kit.models.vqvae import as_batch
from vqwn_kit.presets.preset import Preset

MEL_IGNORED, MEL_WEAK = 0.05, 0.3  # share by which wrong codes raise a first stage's mel error
SPEAKER_CODES = 0.75  # share of the speaker information of the input, above which codes have it
TRUE, CODES, SPEAKER = "mel error", "mel error, codes shuffled", "mel error, another speaker"
EXTRA_CODES, EXTRA_SPEAKER = "extra bits, codes shuffled", "extra bits, another speaker"
PROBES = ("speaker from codes", "speaker from log-mel input")
ROWS = (EXTRA_CODES, EXTRA_SPEAKER, *PROBES)


def conditioning_findings(
    rows: Mapping[str, float], preset: Preset, num_speakers: int, step: int | None = None
) -> list[Finding]:
    """Return what is wrong with codes and speakers as conditioning.

    Of a short training the cause is that, and the remedy a longer one.

    Args:
        rows: values of a score card by name, and of `mel_errors`; rules of missing ones are silent.
        preset: that of the run.
        num_speakers: S, of the run.
        step: of its last update; None where that is not known.
    """
    found = [_ignored_codes(rows, preset)]
    if num_speakers > 1:
        found += [_speaker_in_codes(rows, preset, num_speakers), _ignored_speaker(rows, preset)]
    findings = [finding for finding in found if finding is not None]
    if step is not None and is_short(preset, step):
        changes = {"cause": short_training(preset, step), "remedy": longer(preset)}
        findings = [replace(finding, **changes) for finding in findings]
    return [in_first_stage(finding, preset) for finding in findings]


def _effect(rows: Mapping[str, float], extra: str, error: str) -> float:
    """Return the extra bits, or of a first stage the share of its error, of wrong conditioning."""
    return rows[extra] if extra in rows else rows.get(error, math.inf) / rows.get(TRUE, 1.0) - 1


def _numbers(rows: Mapping[str, float], *names: str) -> dict[str, float]:
    return {name: rows[name] for name in names if name in rows}


def _ignored_codes(rows: Mapping[str, float], preset: Preset) -> Finding | None:
    ignored, weak = (MEL_IGNORED, MEL_WEAK) if TRUE in rows else (IGNORED_BELOW, WEAK_BELOW)
    effect, training = _effect(rows, EXTRA_CODES, CODES), preset.training
    if effect >= weak:
        return None
    depends = "ignores" if effect < ignored else "hardly depends on"
    if training.first_stage_steps or "bottleneck" in training.freeze or TRUE in rows:
        twice = {"first_stage_steps": 2 * (training.first_stage_steps or 800)}
        twice = {"steps": 2 * training.steps} if TRUE in rows else twice
        cause = "the codes say little, as after a collapse of the codebook or few steps"
        remedy = Remedy("first follow the other findings; else train the codes longer", twice)
    else:
        cause = (
            "the WaveNet predicts each sample from those before it, and learns that first; the "
            "codes then receive little gradient"
        )
        learn = "learn the codes first, with a decoder that has no past samples"
        remedy = Remedy(learn, {"first_stage_steps": 800})
    return Finding(
        "decoder that ignores the codes",
        f"The decoder {depends} the codes: wrong ones hardly change its error.",
        _numbers(rows, EXTRA_CODES, TRUE, CODES),
        cause,
        remedy,
    )


def _ignored_speaker(rows: Mapping[str, float], preset: Preset) -> Finding | None:
    if _effect(rows, EXTRA_SPEAKER, SPEAKER) >= IGNORED_BELOW:
        return None
    return Finding(
        "decoder that ignores the speaker",
        "The decoder ignores the speaker: a wrong one does not change its error, so that "
        "conversions keep the voice of the source.",
        _numbers(rows, EXTRA_SPEAKER, TRUE, SPEAKER, *PROBES),
        "the codes carry the voice already, or the training was too short for the decoder to learn "
        "the differences between speakers",
        _without_speaker(preset),
    )


def _speaker_in_codes(rows: Mapping[str, float], preset: Preset, speakers: int) -> Finding | None:
    if not all(name in rows for name in PROBES):
        return None
    chance = 100.0 / speakers
    codes, mel = (rows[name] - chance for name in PROBES)
    if mel <= 0 or codes < SPEAKER_CODES * mel:
        return None
    return Finding(
        "speaker in the codes",
        f"The codes contain the speaker: a probe is right in {codes + chance:.0f} % of frames, "
        f"from the spectrum in {mel + chance:.0f} %.",
        {"chance, %": chance, **{f"{name}, %": rows[name] for name in PROBES}},
        "there are enough codes to describe each voice by codes of its own, and nothing makes the "
        "encoder leave the voice out",
        _without_speaker(preset),
    )


def _without_speaker(preset: Preset) -> Remedy:
    """Return what makes the codes carry less of the voice."""
    if preset.encoder["class_name"] != "ResidualConvEncoder":
        text = "use the encoder on MFCCs, with vocal-tract-length perturbation"
        settings = {"class_name": "2019", "features": "mfcc", "warp": 0.2, "tilt": 3.5}
        return Remedy(text, {"encoder": settings})
    if not preset.encoder["config"].get("warp"):
        text = "vary vocal-tract length and spectral tilt at the encoder's input"
        return Remedy(text, {"encoder": {"warp": 0.2, "tilt": 3.5}})
    size = quantizer_of(preset).get("config", {}).get("num_embeddings")
    fewer = change_quantizer(preset, {"num_embeddings": max(2, size // 2)}) if size else {}
    return Remedy("use fewer codes", fewer)


def mel_errors(context: EvaluationContext) -> dict[str, float]:
    """Return the mel error of a first stage, and with codes shuffled and with another speaker.

    Squared error of mel bands in units of 20 dB, mean over the held-out frames of a context.
    """
    model, sums, frames = context.model, np.zeros(3), 0
    for number in context.bar(context.held_out, "mel error"):
        rng = context.rng(1, int(number))
        waveform = as_batch(context.store.waveform(number), model.hop_length)
        z_q = np.array(model.vector_quantize(waveform).z_q)
        speaker = context.speaker_ids([number])
        others = context.other_speakers(number)
        other = model.speaker_ids([str(rng.choice(others))]) if others else speaker
        inputs = ((z_q, speaker), (z_q[:, rng.permutation(z_q.shape[1])], speaker), (z_q, other))
        pitch = context.pitch(number)
        for place, pair in enumerate(inputs):
            conditioning = model.condition(*pair, pitch)
            error = float(model.decoder.loss(waveform, conditioning, training=False))
            sums[place] += error * z_q.shape[1]
        frames += z_q.shape[1]
    names = (TRUE, CODES, SPEAKER) if len(context.run.trained_speakers) > 1 else (TRUE, CODES)
    return dict(zip(names, (sums / frames).tolist(), strict=False))
