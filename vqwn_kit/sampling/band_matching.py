"""Sound that comes in parts -> the same sound with the mel bands that were predicted for it.

What a WaveNet samples strays from the spectrum that its codes stand for, and then follows its own
errors. Its frames are brought back: the WaveNet gives the pulses, phases and noise of the sound,
the light decoder its spectrum.
"""

import numpy as np

from vqwn_kit.models.lpc import bands_to_bins
from vqwn_kit.models.mel import LogMel

MOST_UP, MOST_DOWN = 12.0, 30.0  # dB by which a band of a frame is changed at most


class BandMatching:
    """Changes the spectrum of each frame towards given mel bands, without a seam between parts.

    A windowed frame is multiplied, frequency by frequency, by the ratio of its predicted bands to
    its own, with lines drawn in dB between the bands' centres. Frames are added up as in [Griffin
    and Lim 1984](https://doi.org/10.1109/TASSP.1984.1164317), equation 6:

        y = sum over n of w irfft(G_n rfft(w x_n)) / sum over n of w^2

    so that without a change y is x. Streams do not depend on each other, nor on the parts. What
    follows a sound, of `frames_after` frames at least, is in the windows of its last samples: give
    it, and cut it from the result.

    Args:
        spectrum: the layer whose bands are given, built.
        bands: of the first frames, in dB, (S', N, M); frame n is centred on n * hop_length.
        share: of the difference in dB, 0 to 1.

    Example:
        matching = BandMatching(mel.spectrum, bands, 1.0)
        whole = np.concatenate([matching(part) for part in parts], axis=1)[:, :length]
    """

    def __init__(self, spectrum: LogMel, bands: np.ndarray, share: float):
        self.hop, self.window = spectrum.hop_length, spectrum.basis[:, 0, 0]  # of cos(0 t)
        self.size, self.mel = spectrum.n_fft, spectrum.mel
        self.lines = bands_to_bins(spectrum)[0]
        self.bands, self.share = np.asarray(bands, np.float64), share
        streams, half = len(bands), len(self.window) // 2
        self.frame = 0  # the next one; sound, sums and weights begin where its window does
        self.kept = 0  # the frame that the first of the bands are of
        self.lead = half  # samples before the first one, which are not given back
        self.sound = np.zeros((streams, half))
        self.sums = np.zeros((streams, 2 * half))
        self.weights = np.zeros(2 * half)

    @property
    def frames_after(self) -> int:
        """Frames that must follow a sound, so that all of it is given back."""
        return 2 * -(-len(self.window) // 2 // self.hop) - 1

    def extend(self, bands: np.ndarray) -> None:
        """Add the bands of the frames that come next, and drop those of past frames."""
        past = self.frame - self.kept
        self.bands = np.concatenate([self.bands[:, past:], bands], axis=1)
        self.kept = self.frame

    def __call__(self, sound: np.ndarray) -> np.ndarray:
        """Return the sound, float32 (S', n), that is complete after a part of t samples, (S', t).

        It ends before the part does, by at most a window and a hop.
        """
        self.sound = np.concatenate([self.sound, sound], axis=1)
        done = [np.zeros((len(sound), 0))]
        while self.sound.shape[1] >= len(self.window):
            done.append(self._next())
        done = np.concatenate(done, axis=1)
        dropped = min(self.lead, done.shape[1])
        self.lead -= dropped
        return done[:, dropped:].astype(np.float32)

    def _next(self) -> np.ndarray:
        """Add the next frame to the sums, and return the hop that no later frame reaches."""
        target = self.bands[:, self.frame - self.kept]
        for stream, bands in enumerate(target):
            frame = self.sound[stream, : len(self.window)]
            self.sums[stream] += self.window * self._changed(self.window * frame, bands)
        self.weights += self.window**2
        done = self.sums[:, : self.hop] / np.maximum(self.weights[: self.hop], 1e-9)
        self.sums = np.pad(self.sums[:, self.hop :], ((0, 0), (0, self.hop)))
        self.weights = np.pad(self.weights[self.hop :], (0, self.hop))
        self.sound = self.sound[:, self.hop :]
        self.frame += 1
        return done

    def _changed(self, frame: np.ndarray, bands: np.ndarray) -> np.ndarray:
        """Return a windowed frame, (window,), with its bands (M,) changed towards others."""
        spectrum = np.fft.rfft(frame, self.size)
        own = 10.0 * np.log10(np.maximum(np.abs(spectrum) ** 2 @ self.mel, 1e-10))
        change = np.clip(self.share * (bands - own), -MOST_DOWN, MOST_UP)
        gain = 10.0 ** (change @ self.lines / 20.0)
        return np.fft.irfft(gain * spectrum, self.size)[: len(frame)]
