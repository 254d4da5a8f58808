"""Linear prediction: mel bands of frames -> filters, what they leave of a sound, and it again.

What is left of speech when each sample is told from those before it, and scaled to the loudness of
its frame, is the source: pulses of the voice and noise. Spoken through the filter again it has the
frame's spectrum whatever it is, and so have the errors made in it
([Atal and Hanauer 1971](https://doi.org/10.1121/1.1912679)).
"""

import numpy as np
from keras import ops

from vqwn_kit.models.layers import shift_right
from vqwn_kit.models.mel import LogMel

FLOOR = 1e-5  # of a frame's power, added as white noise so that no filter rings for long
LEAST_POWER = 1e-9
RANGE = 16.0  # the greatest remainder, in units of what a frame is expected to have


def filters(decibels, order: int, spectrum: LogMel, emphasis: float = 0.0):
    """Return the filters of frames from their mel bands.

    Power at the bands' centres, lines drawn between them in dB, is turned into an autocorrelation
    and that, by Levinson's and Durbin's recursion, into the best predictor.

    Args:
        decibels: bands (B, N, M), in dB, as `spectrum` tells them.
        order: P, how many past samples are heard.
        spectrum: whose bands these are, built.
        emphasis: of the sound that is to be predicted; see `WaveNet`.

    Returns:
        Coefficients, float32 (B, N, P), of the samples 1 to P before; and the standard deviation
        that is expected of what they leave, float32 (B, N).
    """
    lines, areas = _lines(spectrum)
    decibels = ops.cast(decibels, "float64") - 10.0 * np.log10(areas)
    power = 10.0 ** (ops.matmul(decibels, ops.convert_to_tensor(lines)) / 10.0)
    bins = np.arange(lines.shape[1])
    angle = np.pi * bins / bins[-1]
    twice = np.where((bins == 0) | (bins == bins[-1]), 1.0, 2.0)
    response = np.abs(1.0 - emphasis * np.exp(-1j * angle)) ** 2
    window = spectrum.basis[:, 0, 0]  # of cos(0 t)
    energy = 2 * bins[-1] * np.sum(window**2)
    cosines = np.cos(angle[:, None] * np.arange(order + 1)) / energy
    waves = (twice * response)[:, None] * cosines
    r = ops.matmul(power, ops.convert_to_tensor(waves))  # autocorrelation, (B, N, P + 1)
    error = r[..., :1] * (1.0 + FLOOR) + LEAST_POWER
    told = r[..., :0]
    for step in range(1, order + 1):
        past = ops.flip(r[..., 1:step], axis=-1)
        share = (r[..., step : step + 1] - ops.sum(told * past, -1, keepdims=True)) / error
        told = ops.concatenate([told - share * ops.flip(told, axis=-1), share], axis=-1)
        error = error * (1.0 - share**2)
    return ops.cast(told, "float32"), ops.cast(ops.sqrt(error[..., 0]), "float32")


def _lines(spectrum: LogMel) -> tuple[np.ndarray, np.ndarray]:
    """Return M bands' shares in the dB of each Fourier bin, (M, bins), and their areas, (M,)."""
    import librosa

    edges = librosa.mel_frequencies(spectrum.n_mels + 2, fmin=spectrum.fmin, fmax=spectrum.fmax)
    hertz = np.arange(spectrum.n_fft // 2 + 1) * spectrum.sample_rate / spectrum.n_fft
    rows = np.eye(spectrum.n_mels)
    lines = np.stack([np.interp(hertz, edges[1:-1], row) for row in rows])
    return lines, spectrum.mel.sum(axis=0)


def remainder(sound, coefficients, scale):
    """Return what filters leave of a sound (B, T), in units of RANGE times its scale, (B, T).

    Args:
        sound: float32 (B, T), T a multiple of N.
        coefficients: (B, N, P).
        scale: (B, N).
    """
    batch, frames, order = ops.shape(coefficients)
    past = [shift_right(sound[..., None], lag) for lag in range(1, order + 1)]
    past = ops.reshape(ops.concatenate(past, axis=-1), (batch, frames, -1, order))
    told = ops.matmul(past, coefficients[..., None])[..., 0]
    left = ops.reshape(sound, ops.shape(told)) - told
    return ops.reshape(left / (RANGE * scale[..., None]), ops.shape(sound))


class Synthesis:
    """Speaks remainders through the filters of frames again, part after part: `remainder` undone.

    Args:
        coefficients: (S', N, P).
        scale: (S', N).
        hop_length: samples a frame.
        postfilter: how much the peaks of each frame's spectrum are raised over what lies between
            them, as is usual in codecs, since told spectra are flatter than real ones: 0 not at
            all, up to less than 1. The sound goes through A(z / (b - 0.3)) / A(z / b), where
            1 / A is the frame's filter and b this number (the numerator is 1 under 0.3), and keeps
            its loudness: the short-term part of
            [Chen and Gersho 1995](https://doi.org/10.1109/89.365380), who take 0.8.

    Example:
        synthesis = Synthesis(coefficients, scale, 160)
        sound = np.concatenate([synthesis(part) for part in parts], axis=1)
    """

    def __init__(
        self, coefficients: np.ndarray, scale: np.ndarray, hop_length: int, postfilter: float = 0.0
    ):
        streams, _, order = coefficients.shape
        self.poles = np.pad(-coefficients, ((0, 0), (0, 0), (1, 0)), constant_values=1.0)
        self.scale = scale
        self.hop_length = hop_length
        self.postfilter = postfilter
        lags = np.arange(order + 1)
        self.shrunk = [self.poles * b**lags for b in (max(0.0, postfilter - 0.3), postfilter)]
        self.past = np.zeros((2, streams, order))  # spoken, and postfiltered
        self.loudness = [np.zeros((streams, 1)), np.zeros((streams, 1))]  # of the same
        self.clock = 0

    def __call__(self, left: np.ndarray) -> np.ndarray:
        """Return the sound, float32 (S', t), of remainders (S', t) that follow those before."""
        order, length = self.past.shape[2], left.shape[1]
        room = np.zeros((2, *left.shape))
        spoken, raised = np.concatenate([self.past, room], axis=2)
        done = 0
        while done < length:
            frame, begun = divmod(self.clock, self.hop_length)
            end = min(done + self.hop_length - begun, length)
            for stream, part in enumerate(left[:, done:end]):
                poles, here = self.poles[stream, frame], slice(order + done, order + end)
                before = slice(done, order + done)
                part = part * (RANGE * self.scale[stream, frame])
                spoken[stream, here] = _filtered([1.0], poles, part, spoken[stream, before], [0.0])
                if self.postfilter:
                    zeros, poles = [shrunk[stream, frame] for shrunk in self.shrunk]
                    raised[stream, here] = _filtered(
                        zeros, poles, spoken[stream, here], raised[stream, before],
                        spoken[stream, before],
                    )  # fmt: skip
            self.clock += end - done
            done = end
        self.past = np.stack([sound[:, sound.shape[1] - order :] for sound in (spoken, raised)])
        if not self.postfilter:
            return spoken[:, order:].astype(np.float32)
        return self._as_loud(raised[:, order:], spoken[:, order:]).astype(np.float32)

    def _as_loud(self, sound: np.ndarray, model: np.ndarray) -> np.ndarray:
        """Return a sound (S', t) with the loudness, over some 10 ms, of another."""
        from scipy.signal import lfilter

        power = []
        for number, one in enumerate((sound, model)):
            smooth, state = lfilter([0.01], [1.0, -0.99], one**2, zi=self.loudness[number])
            self.loudness[number] = state
            power.append(smooth + LEAST_POWER)
        return sound * np.sqrt(power[1] / power[0])


def _filtered(zeros, poles, sound, came_out, went_in) -> np.ndarray:
    """Return a sound (t,) through a filter, given what came out of it and went in before."""
    from scipy.signal import lfilter, lfiltic

    state = lfiltic(zeros, poles, came_out[::-1], went_in[::-1])
    return lfilter(zeros, poles, sound, zi=state)[0]
