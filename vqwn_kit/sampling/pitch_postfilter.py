"""Sound that comes in parts -> the same sound with less noise between the harmonics of its voice.

A sampled vowel is hoarse: each of its periods has noise of its own. The mean of neighbouring
periods keeps what they share.
"""

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE

HOP = SAMPLE_RATE // 200  # samples from one frame to the next, 5 ms
HALF = 3 * HOP  # half of what is compared
SHORTEST, LONGEST = SAMPLE_RATE // 420, SAMPLE_RATE // 60  # samples of a period
LEAST, FULL = 0.2, 0.5  # correlations from which on, and above which fully, it is filtered
PERIODIC = 0.4  # correlation above which the next period is expected to be alike
OCTAVES, JUMP = 0.25, 0.15  # a period further away counts as less alike, by `JUMP`
LONGER = 4e-4  # a period longer by a sample counts as less alike: none is doubled by chance


class PitchPostfilter:
    """Adds to each frame what lies one period before and after it, in voiced frames.

        y(t) = (x(t) + g (x(t - T) + x(t + T)) / 2) / (1 + g)

    where the period T is that of the greatest correlation with both neighbours, and g grows with
    it from 0 to `strength`. Frames overlap by half. After the long-term postfilter of [Chen and
    Gersho 1995](https://doi.org/10.1109/89.365380), but with both neighbours, which keeps it in
    phase, and without gain control. Periods are whole samples, which dulls high frequencies by up
    to 6 dB, and breathy voices get quieter: band matching makes up for both.

    Streams do not depend on each other, nor on the parts. What follows a sound, of `AFTER` samples
    at least, is in the frames of its last ones: give it, and cut it from the result.

    Args:
        streams: S'.
        strength: 0, none, to 1: both neighbours together then count as much as the frame itself.

    Example:
        postfilter = PitchPostfilter(1, 1.0)
        whole = np.concatenate([postfilter(part) for part in parts], axis=1)[:, :length]
    """

    REACH = HALF + LONGEST
    AFTER = HOP + REACH

    def __init__(self, streams: int, strength: float):
        self.strength = strength
        self.window = 0.5 - 0.5 * np.cos(np.pi * np.arange(2 * HOP) / HOP)  # adds up to 1
        self.sound = np.zeros((streams, self.REACH))  # from `REACH` before the next frame's centre
        self.sums = np.zeros((streams, 2 * HOP))  # from `HOP` before it
        self.periods = np.zeros(streams)  # of the frame before, 0 where it had none
        self.lead = HOP  # samples before the first one, which are not given back

    def __call__(self, sound: np.ndarray) -> np.ndarray:
        """Return the sound, float32 (S', n), that is complete after a part of t samples, (S', t).

        It ends at most `AFTER` samples before the part does.
        """
        self.sound = np.concatenate([self.sound, sound], axis=1)
        done = [np.zeros((len(sound), 0))]
        while self.sound.shape[1] >= 2 * self.REACH:
            done.append(self._next())
        done = np.concatenate(done, axis=1)
        dropped = min(self.lead, done.shape[1])
        self.lead -= dropped
        return done[:, dropped:].astype(np.float32)

    def _next(self) -> np.ndarray:
        """Add the next frame to the sums, and return the hop that no later frame reaches."""
        for stream, sound in enumerate(self.sound[:, : 2 * self.REACH]):
            period, correlation = self._period(sound, self.periods[stream])
            self.periods[stream] = period if correlation > PERIODIC else 0
            gain = self.strength * np.clip((correlation - LEAST) / (FULL - LEAST), 0.0, 1.0)
            before, frame, after = (
                sound[self.REACH + shift - HOP :][: 2 * HOP] for shift in (-period, 0, period)
            )
            changed = (frame + gain * 0.5 * (before + after)) / (1.0 + gain)
            self.sums[stream] += self.window * changed
        done = self.sums[:, :HOP]
        self.sums = np.pad(self.sums[:, HOP:], ((0, 0), (0, HOP)))
        self.sound = self.sound[:, HOP:]
        return done

    def _period(self, sound: np.ndarray, before: float) -> tuple[int, float]:
        """Return the period in samples at the middle of a sound (2 REACH,), and its correlation.

        The correlation is the mean of those with the period before and after, -1 to 1.
        """
        frame = sound[LONGEST:-LONGEST]
        power = np.concatenate([[0.0], np.cumsum(sound**2)])
        power = np.maximum(power[2 * HALF :] - power[: -2 * HALF], 1e-9)  # from each sample on
        products = np.correlate(sound, frame) / np.sqrt(power * power[LONGEST])
        lags = np.arange(SHORTEST, LONGEST + 1)
        correlation = 0.5 * (products[LONGEST - lags] + products[LONGEST + lags])
        scores = correlation - LONGER * lags * correlation
        if before:
            scores = scores - JUMP * np.minimum(1.0, np.abs(np.log2(lags / before)) / OCTAVES)
        best = int(np.argmax(scores))
        return int(lags[best]), float(correlation[best])
