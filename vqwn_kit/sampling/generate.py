"""Synthesis: codes or a recording, and speakers -> waveforms."""

import threading
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.errors import InputError
from vqwn_kit.models.vqvae import VQVAE, as_batch, as_floats
from vqwn_kit.sampling.sampler import Sampler

# A name, a number, None for 'no speaker', or a voice's vector (speaker_dim,).
Speaker = str | int | None | np.ndarray


def generate(
    model: VQVAE,
    codes: np.ndarray,
    speakers: Iterable[Speaker],
    *,
    mode: str = "sample",
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    threads: int | None = None,
    progress: bool = False,
    stop: threading.Event | None = None,
) -> np.ndarray:
    """Synthesise codes in the voices of speakers; all are sampled as one batch.

    Args:
        model: a trained model.
        codes: int (N,), (1, N): the same for all speakers, or (S', N), one row per speaker.
        speakers: names or numbers of S' speakers; None for no speaker; or vectors of voices, such
            as `interpolate_voices` returns.
        mode: `sample` or `greedy`.
        temperature: below 1 is less noisy and less lively.
        top_k: draw from the most likely so many levels only.
        seed: the same seed gives the same sound.
        precision: of the weights; see `Sampler`.
        threads: that share the streams; by default one per core. The sound does not depend on it.
        progress: show a progress bar with the time left.
        stop: set it to end early; what is done is returned.

    Returns:
        float32 (S', N * hop_length) in [-1, 1]; shorter if stopped.

    Raises:
        InputError: no such speaker, codes out of range, or no codebook.
        Interrupted: by the keyboard; it holds the waveforms up to then.

    Example:
        generate(model, model.encode(waveform), ["alpha", "joe"], temperature=0.9)    # (2, T)
    """
    return synthesise(
        model,
        _conditioning_of_codes(model, codes, speakers),
        precision=precision,
        progress=progress,
        stop=stop,
        mode=mode,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
        threads=threads,
    )


def stream(
    model: VQVAE,
    codes: np.ndarray,
    speakers: Iterable[Speaker],
    precision: str = "float32",
    **settings,
) -> Iterator[np.ndarray]:
    """Synthesise codes as `generate` does, but yield the sound in parts: float32 (S', t).

    The first part comes within a fraction of a second; to cancel, stop iterating.

    Args:
        model: a trained model.
        codes: see `generate`.
        speakers: see `generate`.
        precision: of the weights.
        **settings: mode, temperature, top_k, seed and threads of `generate`.

    Raises:
        InputError: see `generate`.
    """
    conditioning = _conditioning_of_codes(model, codes, speakers)
    return stream_conditioning(model, conditioning, precision, **settings)


def stream_conditioning(
    model: VQVAE, conditioning: np.ndarray, precision: str = "float32", **settings
) -> Iterator[np.ndarray]:
    """Synthesise what `conditioning_for` returned, float32 (S', N, C), as `stream` does codes."""
    sampler = Sampler(model.decoder, precision)
    synthesis = _synthesis(model, conditioning)
    return map(synthesis, sampler.stream(conditioning, model.hop_length, **settings))


def _synthesis(model: VQVAE, conditioning: np.ndarray, postfilter: float | None = None):
    """Return what turns sampled levels (S', t) into waveforms, part after part."""
    filters = model.decoder.filters(conditioning)
    return model.decoder.codec.synthesis(filters, model.hop_length, postfilter)


def _conditioning_of_codes(
    model: VQVAE, codes: np.ndarray, speakers: Iterable[Speaker]
) -> np.ndarray:
    """Return the conditioning of codes and speakers, float32 (S', N, C)."""
    size = model.bottleneck.num_embeddings
    codes = np.atleast_2d(np.asarray(codes))
    if not size:
        raise InputError("this model has no codebook (an autoencoder): use reconstruct()")
    if codes.ndim != 2 or not codes.size or codes.min() < 0 or codes.max() >= size:
        raise InputError(f"codes of shape {codes.shape}; expected (N,) or (S', N) of 0..{size - 1}")
    return conditioning_for(model, np.array(model.bottleneck.embed(codes)), speakers)


def conditioning_for(model: VQVAE, z_q: np.ndarray, speakers: Iterable[Speaker]) -> np.ndarray:
    """Return the conditioning of the decoder, float32 (S', N, C).

    Args:
        model: a trained model with a WaveNet.
        z_q: (1, N, D): the same for all speakers, or (S', N, D).
        speakers: S' of them.

    Raises:
        InputError: no such speaker, or a first-stage model, which has no WaveNet.
    """
    if not model.is_autoregressive:
        raise InputError(
            "this is a first-stage model (mel decoder only), which does not synthesise samples: "
            "train a second stage on it with parts={'encoder': run, 'bottleneck': run} and "
            "freeze=['encoder', 'bottleneck']"
        )
    voices = model.speaker_vectors([speakers] if isinstance(speakers, str) else list(speakers))
    if not len(voices):
        raise InputError(f"no speakers given; there are {', '.join(model.speaker_names)}")
    rows = np.repeat(z_q, len(voices), axis=0) if len(z_q) == 1 else z_q
    if len(rows) != len(voices):
        raise InputError(f"{len(rows)} rows of codes for {len(voices)} speakers; expected one each")
    return np.array(model.decoder.conditioner(rows, voices), np.float32)


def reconstruct(model: VQVAE, waveform: np.ndarray, speaker: Speaker, **settings) -> np.ndarray:
    """Encode a waveform (T,) and synthesise it in the voice of a speaker; return float32 (T,).

    The settings are those of `generate`.
    """
    return convert_voice(model, waveform, [speaker], **settings)[0]


def convert_voice(
    model: VQVAE, waveform: np.ndarray, speakers: Iterable[Speaker], **settings
) -> np.ndarray:
    """Encode a waveform (T,) and synthesise it in the voices of S' speakers; float32 (S', T).

    A batch of one, (1, T) or (1, T, 1), is accepted too. The settings are those of `generate`.
    """
    speakers = [speakers] if isinstance(speakers, str) else list(speakers)
    return convert_many(model, [waveform], [speakers], **settings)[0]


def convert_many(
    model: VQVAE,
    waveforms: Sequence[np.ndarray],
    speakers: Sequence[Sequence[Speaker]],
    **settings,
) -> list[np.ndarray]:
    """Convert several waveforms, each to the voices of its own speakers, as one batch.

    Args:
        model: a trained model.
        waveforms: U waveforms, (T_u,) each.
        speakers: for each waveform its S_u speakers.
        **settings: those of `generate`: mode, temperature, seed, threads and the others.

    Returns:
        For each waveform float32 (S_u, T_u); shorter if stopped.

    Raises:
        Interrupted: by the keyboard; it holds the waveforms up to then, in the same form.
    """
    waveforms = [_single(waveform) for waveform in waveforms]
    parts = [
        conditioning_for(model, np.array(model.vector_quantize(waveform).z_q), names)
        for waveform, names in zip(waveforms, speakers, strict=True)
    ]
    longest = max(part.shape[1] for part in parts)
    padded = [
        np.pad(part, ((0, 0), (0, longest - part.shape[1]), (0, 0)), mode="edge") for part in parts
    ]

    def split(converted: np.ndarray) -> list[np.ndarray]:
        rows = np.split(converted, np.cumsum([len(part) for part in parts])[:-1])
        return [row[:, : len(wave)] for row, wave in zip(rows, waveforms, strict=True)]

    try:
        return split(synthesise(model, np.concatenate(padded), **settings))
    except Interrupted as interrupt:
        raise Interrupted(str(interrupt), split(interrupt.waveforms)) from None


def _single(waveform: np.ndarray) -> np.ndarray:
    """Return the (T,) of (T,), (1, T) or (1, T, 1)."""
    waveform = as_floats(waveform)
    if waveform.ndim > 1 and waveform.shape[0] == 1:
        waveform = waveform.reshape(-1) if waveform.ndim < 3 or waveform.shape[2] == 1 else waveform
    if waveform.ndim != 1:
        raise InputError(
            f"a waveform of shape {waveform.shape}; expected (T,): give a batch to convert_many"
        )
    return waveform


def interpolate_voices(model: VQVAE, first: Speaker, second: Speaker, share: float) -> np.ndarray:
    """Return a point between two voices, float32 (speaker_dim,), to be given as a speaker.

    Args:
        model: a trained model.
        first: the voice at a share of 0, to the last bit.
        second: the voice at a share of 1, to the last bit.
        share: how far from the first to the second, 0 to 1.

    Raises:
        InputError: no such speaker, or a share outside 0..1.

    Example:
        generate(model, codes, ["alpha", interpolate_voices(model, "alpha", "joe", 0.5), "joe"])
    """
    if not 0.0 <= share <= 1.0:
        raise InputError(f"share={share}; expected 0, the first voice, to 1, the second")
    start, end = model.speaker_vectors([first, second])
    return np.float32(1.0 - share) * start + np.float32(share) * end


class Interrupted(KeyboardInterrupt):
    """Synthesis was interrupted; `waveforms` is what was done until then."""

    def __init__(self, message: str, waveforms):
        super().__init__(message)
        self.waveforms = waveforms


def synthesise(
    model: VQVAE,
    conditioning: np.ndarray,
    *,
    precision: str = "float32",
    progress: bool = False,
    stop: threading.Event | None = None,
    **settings,
) -> np.ndarray:
    """Sample the decoder for conditioning (S', N, C); return float32 (S', T) in [-1, 1].

    The settings are those of `generate`.
    """
    from tqdm import tqdm

    total = conditioning.shape[1] * model.hop_length
    parts = [np.zeros((len(conditioning), 0), np.int32)]
    sampler = Sampler(model.decoder, precision)
    interrupted = False
    with tqdm(total=total, desc="synthesise", unit="sample", disable=not progress) as bar:
        try:
            for part in sampler.stream(conditioning, model.hop_length, **settings):
                parts.append(part)
                bar.update(part.shape[1])
                if stop is not None and stop.is_set():
                    break
        except KeyboardInterrupt:
            interrupted = True
    waveforms = _synthesis(model, conditioning)(np.concatenate(parts, axis=1))
    if interrupted:
        done = waveforms.shape[1] / SAMPLE_RATE
        message = f"stopped after {done:.2f} s of {total / SAMPLE_RATE:.2f} s"
        raise Interrupted(message, waveforms)
    return waveforms


def round_to_levels(model: VQVAE, waveform: np.ndarray, speaker: Speaker) -> np.ndarray:
    """Return a waveform (T,) rounded to a decoder's levels, float32 (T,).

    With an `lpc_order` the levels depend on its codes and on the speaker.
    """
    padded = as_batch(waveform, model.hop_length)
    conditioning = conditioning_for(model, np.array(model.vector_quantize(waveform).z_q), [speaker])
    levels = np.array(model.decoder.levels_of(padded, conditioning))
    return _synthesis(model, conditioning, postfilter=0.0)(levels)[0, : len(waveform)]
