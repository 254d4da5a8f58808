"""Units that need no trained model, to compare codes with: waveform -> codes.

k-means on MFCC, a frozen random projection of log-mel frames, and codes by chance. Frames are as
many as the model's, each around its middle, n + 1/2 hops after the start.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vqwn_kit.evaluation.metrics import NotMeasured, mel_power

BANDS, CEPSTRA = 40, 13
WINDOW = 0.025  # s, or a hop if that is longer; the transform has the next power of two
MAX_FRAMES = 40_000  # that k-means is fitted on
PROJECTED = 16  # dimensions of the random projection
DEVIATION_FLOOR = 1e-3  # of a feature that hardly changes


@dataclass(frozen=True)
class Units:
    """A way to turn speech into units.

    Attributes:
        name: shown in tables.
        encode: waveform (T,) -> codes, int (N,) or (N, Q), N = T / hop_length, up.
        rate: frames per second.
        size: K, codes of a codebook.
        codebooks: Q, codes per frame.
    """

    name: str
    encode: Callable[[np.ndarray], np.ndarray]
    rate: float
    size: int
    codebooks: int = 1

    @property
    def bit_rate(self) -> float:
        """Nominal bits per second, Q log2 K per frame."""
        return self.rate * self.codebooks * float(np.log2(self.size))


def mel_frames(waveform: np.ndarray, sample_rate: int, hop_length: int) -> np.ndarray:
    """Return mel power in dB, float32 (N, 40), N = T / hop_length, up; -100 dB is the floor."""
    frames = -(-len(waveform) // hop_length)
    window = 1 << (max(round(WINDOW * sample_rate), hop_length) - 1).bit_length()
    padded = np.pad(waveform, (0, frames * hop_length - len(waveform)))[hop_length // 2 :]
    power = mel_power(padded, sample_rate, window, hop_length, BANDS)[:, :frames]
    return 10.0 * np.log10(np.maximum(power, 1e-10)).T


def mfcc_frames(waveform: np.ndarray, sample_rate: int, hop_length: int) -> np.ndarray:
    """Return 13 mel-frequency cepstra with their first and second deltas, float32 (N, 39)."""
    import librosa
    from scipy.fft import dct

    cepstra = dct(mel_frames(waveform, sample_rate, hop_length), norm="ortho")[:, :CEPSTRA].T
    deltas = [librosa.feature.delta(cepstra, order=order, mode="nearest") for order in (1, 2)]
    return np.concatenate([cepstra, *deltas]).T


@dataclass(frozen=True)
class Normalised:
    """Features of frames with mean 0 and deviation 1 per dimension over the training speech.

    Attributes:
        features: waveform (T,) -> (N, F).
        mean: (F,).
        deviation: (F,).
    """

    features: Callable[[np.ndarray], np.ndarray]
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(
        cls, features: Callable[[np.ndarray], np.ndarray], waveforms: Sequence[np.ndarray]
    ) -> "Normalised":
        """Return the normalised features of training speech, (T,) each."""
        frames = np.concatenate([features(waveform) for waveform in waveforms])
        return cls(features, frames.mean(axis=0), np.maximum(frames.std(axis=0), DEVIATION_FLOOR))

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """Return the features of a waveform (T,), (N, F)."""
        return (self.features(waveform) - self.mean) / self.deviation


def kmeans_units(
    features: Normalised, waveforms: Sequence[np.ndarray], rate: float, size: int, seed: int = 0
) -> Units:
    """Return units by k-means on features.

    Args:
        features: such as normalised MFCC.
        waveforms: training speech, (T,) each.
        rate: frames per second.
        size: K.
        seed: of k-means.

    Raises:
        NotMeasured: there are fewer than K frames.
    """
    from sklearn.cluster import MiniBatchKMeans

    frames = np.concatenate([features(waveform) for waveform in waveforms])
    if len(frames) < size:
        raise NotMeasured(f"k-means of K = {size} needs as many frames; training has {len(frames)}")
    chosen = np.linspace(0, len(frames) - 1, min(MAX_FRAMES, len(frames))).astype(int)
    options = {"batch_size": 4096, "init_size": 4 * size, "n_init": 1, "max_iter": 30}
    fitted = MiniBatchKMeans(size, random_state=seed, **options).fit(frames[chosen])
    centres = fitted.cluster_centers_
    half_norms = 0.5 * (centres**2).sum(axis=1)

    def encode(waveform: np.ndarray) -> np.ndarray:
        return np.argmax(features(waveform) @ centres.T - half_norms, axis=1)

    return Units("k-means MFCC", encode, rate, size)


def projected_units(
    waveforms: Sequence[np.ndarray], sample_rate: int, hop_length: int, size: int, seed: int = 0
) -> Units:
    """Return units by a frozen random projection of normalised log-mel frames.

    The nearest of K random unit vectors, by the angle: the targets of BEST-RQ
    ([Chiu 2022](https://arxiv.org/abs/2202.01855)), with one frame for a code. Only the
    normalisation is fitted.

    Args:
        waveforms: training speech, (T,) each.
        sample_rate: in Hz.
        hop_length: samples per frame.
        size: K.
        seed: of the projection and the vectors.
    """
    features = Normalised.fit(lambda w: mel_frames(w, sample_rate, hop_length), waveforms)
    rng = np.random.default_rng(seed)
    limit = np.sqrt(6.0 / (BANDS + PROJECTED))  # Glorot's
    projection = rng.uniform(-limit, limit, (BANDS, PROJECTED))
    vectors = rng.normal(size=(size, PROJECTED))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def encode(waveform: np.ndarray) -> np.ndarray:
        return np.argmax(features(waveform) @ projection @ vectors.T, axis=1)

    return Units("random projection", encode, sample_rate / hop_length, size)


def random_units(sample_rate: int, hop_length: int, size: int, seed: int = 0) -> Units:
    """Return units by chance, all K equally frequent; the same waveform has the same codes."""

    def encode(waveform: np.ndarray) -> np.ndarray:
        content = zlib.crc32(np.ascontiguousarray(waveform, np.float32).tobytes())
        frames = -(-len(waveform) // hop_length)
        return np.random.default_rng([seed, content]).integers(0, size, frames)

    return Units("random codes", encode, sample_rate / hop_length, size)
