"""Listening to a model: codes or a recording, and speakers -> waveforms."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.errors import InputError
from vqwn_kit.models.lpc import Synthesis
from vqwn_kit.models.vqvae import VQVAE, as_batch, as_floats
from vqwn_kit.models.wavenet import WaveNet
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
    progress: bool = False,
    stop: threading.Event | None = None,
) -> np.ndarray:
    """Speak codes in the voices of speakers; all are sampled as one batch.

    Args:
        model: a trained model.
        codes: int (N,), (1, N): the same for all speakers, or (S', N), one row a speaker.
        speakers: names or numbers of S' speakers; None for no speaker; or vectors of voices, such
            as `interpolate_voices` returns.
        mode: `sample` or `greedy`.
        temperature: below 1 is less noisy and less lively.
        top_k: draw from the likeliest so many levels only.
        seed: the same seed gives the same sound.
        precision: of the weights: float32, or the faster bfloat16 and int8; see `Sampler`.
        progress: show a progress bar with the time left.
        stop: set it to end early; what is done is returned.

    Returns:
        float32 (S', N * hop_length) in [-1, 1]; shorter if stopped.

    Raises:
        InputError: no such speaker, codes out of range, or no codebook.
        Interrupted: by the keyboard; it holds what was spoken.

    Example:
        generate(model, model.encode(waveform), ["alpha", "joe"], temperature=0.9)    # (2, T)
    """
    told = _told(model, codes, speakers)
    settings = {"mode": mode, "temperature": temperature, "top_k": top_k, "seed": seed}
    return speak(model, told, precision=precision, progress=progress, stop=stop, **settings)


def stream(
    model: VQVAE,
    codes: np.ndarray,
    speakers: Iterable[Speaker],
    precision: str = "float32",
    **settings,
) -> Iterator[np.ndarray]:
    """Speak codes as `generate` does, but yield the sound as it comes: float32 (S', t) in [-1, 1].

    The first part comes within a fraction of a second; whoever had enough stops asking.

    Args:
        model: a trained model.
        codes: as in `generate`.
        speakers: as in `generate`.
        precision: of the weights.
        **settings: mode, temperature, top_k and seed, as in `generate`.

    Raises:
        InputError: as `generate`.
    """
    return stream_conditioning(model, _told(model, codes, speakers), precision, **settings)


def stream_conditioning(
    model: VQVAE, frames: np.ndarray, precision: str = "float32", **settings
) -> Iterator[np.ndarray]:
    """Speak what `conditioning_for` returned, float32 (S', N, C), as `stream` speaks codes."""
    parts = Sampler(model.decoder, precision).stream(frames, model.hop_length, **settings)
    return as_sounds(model.decoder, parts, frames)


def _told(model: VQVAE, codes: np.ndarray, speakers: Iterable[Speaker]) -> np.ndarray:
    """Return what the decoder is told of codes and speakers, float32 (S', N, C)."""
    size = model.bottleneck.num_embeddings
    codes = np.atleast_2d(np.asarray(codes))
    if not size:
        raise InputError("this model has no codebook (an autoencoder): use reconstruct()")
    if codes.ndim != 2 or not codes.size or codes.min() < 0 or codes.max() >= size:
        raise InputError(f"codes of shape {codes.shape}; expected (N,) or (S', N) of 0..{size - 1}")
    return conditioning_for(model, np.array(model.bottleneck.embed(codes)), speakers)


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
    **settings,
) -> list[np.ndarray]:
    """Speak several waveforms, each in the voices of its own speakers, as one batch.

    Args:
        model: a trained model.
        waveforms: U waveforms, (T_u,) each.
        speakers: for each waveform its S_u speakers.
        **settings: mode, temperature, top_k, seed, precision, progress and stop, as in `generate`.

    Returns:
        For each waveform float32 (S_u, T_u); shorter if stopped.

    Raises:
        Interrupted: by the keyboard; it holds what was spoken, in the same form.
    """
    waveforms = [_one(waveform) for waveform in waveforms]
    encoded = [np.array(model.quantize(waveform).z_q) for waveform in waveforms]
    told = [
        conditioning_for(model, z_q, names) for z_q, names in zip(encoded, speakers, strict=True)
    ]
    longest = max(frames.shape[1] for frames in told)
    widths = [((0, 0), (0, longest - frames.shape[1]), (0, 0)) for frames in told]
    padded = [np.pad(*pair, mode="edge") for pair in zip(told, widths, strict=True)]

    def split(spoken: np.ndarray) -> list[np.ndarray]:
        parts = np.split(spoken, np.cumsum([len(frames) for frames in told])[:-1])
        return [part[:, : len(wave)] for part, wave in zip(parts, waveforms, strict=True)]

    try:
        return split(speak(model, np.concatenate(padded), **settings))
    except Interrupted as interrupt:
        raise Interrupted(str(interrupt), split(interrupt.waveforms)) from None


def _one(waveform: np.ndarray) -> np.ndarray:
    """Return the (T,) of (T,), (1, T) or (1, T, 1)."""
    waveform = as_floats(waveform)
    if waveform.ndim > 1 and waveform.shape[0] == 1:
        waveform = waveform.reshape(-1) if waveform.ndim < 3 or waveform.shape[2] == 1 else waveform
    if waveform.ndim != 1:
        raise InputError(
            f"a waveform of shape {waveform.shape}; expected (T,): give a batch to convert_many"
        )
    return waveform


def conditioning_for(model: VQVAE, z_q: np.ndarray, speakers: Iterable[Speaker]) -> np.ndarray:
    """Return what the decoder is told, float32 (S', N, C): z_q (1 or S', N, D) by each speaker.

    Raises:
        InputError: no such speaker, or a model that can't speak.
    """
    if not model.is_autoregressive:
        raise InputError(
            "this model is a first stage, without a WaveNet, and can't speak: train a second on it "
            "with parts={'encoder': run, 'bottleneck': run} and freeze=['encoder', 'bottleneck']"
        )
    voices = model.speaker_vectors([speakers] if isinstance(speakers, str) else list(speakers))
    if not len(voices):
        raise InputError(f"no speakers given; there are {', '.join(model.speaker_names)}")
    rows = np.repeat(z_q, len(voices), axis=0) if len(z_q) == 1 else z_q
    if len(rows) != len(voices):
        raise InputError(f"{len(rows)} rows of codes for {len(voices)} speakers; expected one each")
    return np.array(model.decoder.frames(rows, voices), np.float32)


def interpolate_voices(model: VQVAE, first: Speaker, second: Speaker, share: float) -> np.ndarray:
    """Return a point between two voices, float32 (speaker_dim,), to be given as a speaker.

    Args:
        model: a trained model.
        first: whose voice it is at a share of 0, to the last bit.
        second: whose voice it is at a share of 1, to the last bit.
        share: how far from the first to the second, 0 to 1.

    Raises:
        InputError: no such speaker, or a share outside 0..1.

    Example:
        generate(model, codes, ["alpha", interpolate_voices(model, "alpha", "joe", 0.5), "joe"])
    """
    if not 0.0 <= share <= 1.0:
        raise InputError(f"share={share}; expected 0, the first voice, to 1, the second")
    one, other = model.speaker_vectors([first, second])
    return np.float32(1.0 - share) * one + np.float32(share) * other


class Interrupted(KeyboardInterrupt):
    """Speaking was interrupted; `waveforms` is what was sampled until then."""

    def __init__(self, message: str, waveforms):
        super().__init__(message)
        self.waveforms = waveforms


def speak(
    model: VQVAE,
    frames: np.ndarray,
    *,
    precision: str = "float32",
    progress: bool = False,
    stop: threading.Event | None = None,
    **settings,
) -> np.ndarray:
    """Sample what the decoder says of frames (S', N, C); return float32 (S', T) in [-1, 1].

    The settings are those of `generate`.
    """
    from tqdm import tqdm

    total = frames.shape[1] * model.hop_length
    parts = [np.zeros((len(frames), 0), np.int32)]
    sampler = Sampler(model.decoder, precision)
    with tqdm(total=total, desc="speak", unit="sample", disable=not progress) as bar:
        try:
            for part in sampler.stream(frames, model.hop_length, **settings):
                parts.append(part)
                bar.update(part.shape[1])
                if stop is not None and stop.is_set():
                    break
        except KeyboardInterrupt:
            spoken = _decoded(model, parts, frames)
            done = spoken.shape[1] / audio.SAMPLE_RATE
            message = f"stopped after {done:.2f} s of {total / audio.SAMPLE_RATE:.2f} s"
            raise Interrupted(message, spoken) from None
    return _decoded(model, parts, frames)


def _decoded(model: VQVAE, parts: list[np.ndarray], frames: np.ndarray) -> np.ndarray:
    (sound,) = as_sounds(model.decoder, [np.concatenate(parts, axis=1)], frames)
    return sound


def as_sounds(
    decoder: WaveNet,
    parts: Iterable[np.ndarray],
    frames: np.ndarray | None,
    postfilter: float | None = None,
) -> Iterator[np.ndarray]:
    """Turn levels (S', t), part after part, into sound, float32 (S', t) in [-1, 1].

    What the decoder did to the sound whose levels it tells is undone, across the borders of the
    parts too: first the filters of its frames (S', N, C), if it has any, then the emphasis. The
    decoder's own `postfilter` is used if none is given.
    """
    from scipy.signal import lfilter

    synthesis = None
    if decoder.prediction_order:
        raised = decoder.postfilter if postfilter is None else postfilter
        coefficients, scale = [np.array(part) for part in decoder.filters(frames)]
        synthesis = Synthesis(coefficients, scale, decoder.hop_length, raised)
    undo, state = np.float32([1.0, -decoder.emphasis]), np.float32([[0.0]])
    for part in parts:
        emphasised = audio.mu_law_decode(part, decoder.levels)
        if synthesis is not None:
            emphasised = synthesis(emphasised)
        state = np.broadcast_to(state, (len(part), 1))
        sound, state = lfilter(undo[:1], undo, emphasised, axis=1, zi=state)
        yield sound.clip(-1.0, 1.0)


def in_levels(model: VQVAE, waveform: np.ndarray, speaker: Speaker) -> np.ndarray:
    """Return a waveform (T,) as it is when it's rounded to a decoder's levels, float32 (T,).

    They depend on its codes and on who speaks where the decoder tells what filters leave of it.
    """
    padded = as_batch(waveform, model.hop_length)
    frames = conditioning_for(model, np.array(model.quantize(waveform).z_q), [speaker])
    levels = np.array(model.decoder.targets(padded, frames))
    (sound,) = as_sounds(model.decoder, [levels], frames, postfilter=0.0)
    return sound[0, : len(waveform)]


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
