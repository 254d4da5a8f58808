"""Listening to a model: codes or a recording, and speakers -> waveforms."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from vqwn_kit import audio
from vqwn_kit.errors import InputError
from vqwn_kit.sampler import Sampler
from vqwn_kit.vqvae import VQVAE

Speaker = str | int | None  # a name, a number, or None for 'no speaker'


def generate(
    model: VQVAE,
    codes: np.ndarray,
    speakers: Iterable[Speaker],
    *,
    mode: str = "sample",
    temperature: float = 1.0,
    seed: int = 0,
    progress: bool = False,
) -> np.ndarray:
    """Speak codes in the voices of speakers; all are sampled as one batch.

    Args:
        model: a trained model.
        codes: int (N,), (1, N): the same for all speakers, or (S', N), one row a speaker.
        speakers: names or numbers of S' speakers; None for no speaker.
        mode: `sample` or `greedy`.
        temperature: below 1 is less noisy and less lively.
        seed: the same seed gives the same sound.
        progress: show a progress bar with the time left.

    Returns:
        float32 (S', N * hop_length) in [-1, 1].

    Raises:
        InputError: no such speaker, codes out of range, or no codebook.

    Example:
        generate(model, model.encode(waveform), ["alpha", "joe"], temperature=0.9)    # (2, T)
    """
    size = model.bottleneck.num_embeddings
    codes = np.atleast_2d(np.asarray(codes))
    if not size:
        raise InputError("this model has no codebook (an autoencoder): use reconstruct()")
    if codes.ndim != 2 or not codes.size or codes.min() < 0 or codes.max() >= size:
        raise InputError(f"codes of shape {codes.shape}; expected (N,) or (S', N) of 0..{size - 1}")
    local = np.array(model.bottleneck.embed(codes))
    return speak(model, local, speakers, mode, temperature, seed, progress)


def reconstruct(model: VQVAE, waveform: np.ndarray, speaker: Speaker, **settings) -> np.ndarray:
    """Encode a waveform (T,) and speak it again in the voice of `speaker`; return float32 (T,).

    The settings are those of `generate`.
    """
    return convert_voice(model, waveform, [speaker], **settings)[0]


def convert_voice(
    model: VQVAE, waveform: np.ndarray, speakers: Iterable[Speaker], **settings
) -> np.ndarray:
    """Encode a waveform (T,) and speak it in the voices of S' speakers; return float32 (S', T).

    A batch of one, (1, T) or (1, T, 1), is taken too. The settings are those of `generate`.
    """
    speakers = [speakers] if isinstance(speakers, str) else list(speakers)
    return convert_many(model, [waveform], [speakers], **settings)[0]


def convert_many(
    model: VQVAE,
    waveforms: Sequence[np.ndarray],
    speakers: Sequence[Sequence[Speaker]],
    *,
    mode: str = "sample",
    temperature: float = 1.0,
    seed: int = 0,
    progress: bool = False,
) -> list[np.ndarray]:
    """Speak several waveforms, each in the voices of its own speakers, as one batch.

    Args:
        model: a trained model.
        waveforms: U waveforms, (T_u,) each.
        speakers: for each waveform its S_u speakers.
        mode: as in `generate`, like all that follow.
        temperature: below 1 is less noisy.
        seed: the same seed gives the same sound.
        progress: show a progress bar.

    Returns:
        For each waveform float32 (S_u, T_u).
    """
    waveforms = [_one(waveform) for waveform in waveforms]
    encoded = [np.array(model.latents(waveform).z_q) for waveform in waveforms]
    longest = max(one.shape[1] for one in encoded)
    padded = [np.pad(one, ((0, 0), (0, longest - one.shape[1]), (0, 0))) for one in encoded]
    counts = [len(names) for names in speakers]
    local = np.repeat(np.concatenate(padded), counts, axis=0)
    everyone = [name for names in speakers for name in names]
    spoken = speak(model, local, everyone, mode, temperature, seed, progress)
    parts = np.split(spoken, np.cumsum(counts)[:-1])
    return [part[:, : len(wave)] for part, wave in zip(parts, waveforms, strict=True)]


def _one(waveform: np.ndarray) -> np.ndarray:
    """Return the (T,) of (T,), (1, T) or (1, T, 1)."""
    waveform = np.asarray(waveform, np.float32)
    if waveform.ndim > 1 and waveform.shape[0] == 1:
        waveform = waveform.reshape(-1) if waveform.ndim < 3 or waveform.shape[2] == 1 else waveform
    if waveform.ndim != 1:
        raise InputError(
            f"a waveform of shape {waveform.shape}; expected (T,): give a batch to convert_many"
        )
    return waveform


def speak(
    model: VQVAE,
    local_condition: np.ndarray,
    speakers: Iterable[Speaker],
    mode: str,
    temperature: float,
    seed: int,
    progress: bool,
) -> np.ndarray:
    """Sample from the decoder; local_condition (1 or S', N, D) -> float32 (S', T) in [-1, 1]."""
    from tqdm import tqdm

    if not model.speaks:
        raise InputError(
            "this model is a first stage, without a WaveNet, and can't speak: train a second on it "
            "with parts={'encoder': run, 'bottleneck': run} and freeze=['encoder', 'bottleneck']"
        )
    ids = model.speaker_ids([speakers] if isinstance(speakers, str) else speakers)
    if not len(ids):
        raise InputError(f"no speakers given; there are {', '.join(model.speaker_names)}")
    rows = np.array(local_condition)
    if len(rows) == 1:
        rows = np.repeat(rows, len(ids), axis=0)
    if len(rows) != len(ids):
        raise InputError(f"{len(rows)} rows of codes for {len(ids)} speakers; expected one each")
    frames = np.array(model.decoder.frames(rows, ids), np.float32)
    total = frames.shape[1] * model.hop_length
    with tqdm(total=total, desc="speak", unit="sample", disable=not progress) as bar:
        levels = Sampler(model.decoder)(
            frames, model.hop_length, mode, temperature, seed, progress=bar.update
        )
    return audio.mu_law_decode(levels, model.decoder.levels)


def audio_log(
    log_dir: str | Path, waveforms: dict[str, np.ndarray], speaker: Speaker = None, **settings
) -> Callable[[dict, VQVAE], None]:
    """Return a callback of `train` that writes reconstructions for TensorBoard's audio page.

    It speaks whenever held-out utterances are measured, with the averaged weights.

    Args:
        log_dir: folder of the logs.
        waveforms: by name, (T,) each.
        speaker: whose voice.
        **settings: as in `generate`.
    """
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(log_dir))

    def write(record: dict, model: VQVAE) -> None:
        if "held_out/bits" not in record:
            return
        with writer.as_default(step=record["step"]):
            spoken = convert_many(
                model, list(waveforms.values()), [[speaker]] * len(waveforms), **settings
            )
            for name, sound in zip(waveforms, spoken, strict=True):
                tf.summary.audio(name, sound[:, :, None], audio.SAMPLE_RATE)
        writer.flush()

    return write
