"""Measures of waveforms by external packages of the extra `eval`: phones, pitch, quality.

None of these packages needs another framework; all run offline, on the processor.
"""

import importlib
import re
import warnings
from functools import cache
from types import ModuleType

import numpy as np

from vqwn_kit.evaluation.metrics import NotMeasured

RATE = 16_000  # Hz, the sample rate that all of them take
PACKAGES = {"swift_f0": "swift-f0", "speechmos.dnsmos": "speechmos"}


def import_optional(module: str) -> ModuleType:
    """Import a module of the extra `eval`.

    Raises:
        NotMeasured: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = PACKAGES.get(module, module)
        raise NotMeasured(
            f"the package {package} is not installed ({error.name} is missing): "
            "pip install -e .[eval]"
        ) from error


def words_of(text: str) -> list[str]:
    """Return the words of an English text in lower case, without punctuation."""
    return re.sub(r"[^a-z' ]", " ", text.lower().replace("’", "'")).split()


def _symbols(ipa: str) -> str:
    """Remove stress, length, spaces and ties, so that each sound is one or two symbols."""
    return re.sub(r"[ˈˌː .͡]", "", ipa)


@cache
def _hama():
    hama = import_optional("hama")
    return hama.ASRModel(), hama.G2PModel()


def text_to_phones(text: str) -> str:
    """Return the phones (IPA) of a text, by hama's grapheme-to-phoneme model.

    Raises:
        NotMeasured: hama is not installed, or the text has no English words.
    """
    words = words_of(text)
    if not words:
        raise NotMeasured("the utterance has no text in Latin letters")
    return _symbols(_hama()[1].predict(" ".join(words)).ipa)


def recognise_phones(waveform: np.ndarray) -> str:
    """Return the phones (IPA) that hama's recogniser finds in a waveform (T,) at 16 kHz."""
    return _symbols(_hama()[0](np.asarray(waveform, np.float32), RATE).phoneme_text)


@cache
def _swift_f0():
    return import_optional("swift_f0").SwiftF0(threads=1)


def pitch(waveform: np.ndarray) -> np.ndarray:
    """Return the pitch in Hz of a waveform (T,) at 16 kHz every 16 ms; NaN where unvoiced."""
    track = _swift_f0().detect(np.asarray(waveform, np.float32), RATE, fmax=600.0)
    return np.where(track.confidence >= 0.5, track.pitch_hz, np.nan)


def pitch_errors(original: np.ndarray, sampled: np.ndarray) -> tuple[float, float]:
    """Compare two pitch tracks (F,) in Hz, NaN where unvoiced, frame by frame.

    Returns:
        The mean distance in semitones where both are voiced (NaN if nowhere), and the share of
        frames where only one is.
    """
    frames = min(len(original), len(sampled))
    original, sampled = original[:frames], sampled[:frames]
    voiced, voiced_again = ~np.isnan(original), ~np.isnan(sampled)
    both = voiced & voiced_again
    distances = 12.0 * np.abs(np.log2(sampled[both] / original[both]))
    distance = float(distances.mean()) if both.any() else float("nan")
    return distance, float((voiced != voiced_again).mean())


def dnsmos(waveform: np.ndarray) -> float:
    """Return DNSMOS P.808, a predicted opinion score from 1 to 5, of a waveform (T,) at 16 kHz.

    [Reddy 2021](https://arxiv.org/abs/2010.15258). Short clips are repeated to 9 s, as the package
    does.
    """
    model = import_optional("speechmos.dnsmos")
    with warnings.catch_warnings():
        # its 120 mel bands are more than its 321-point transform can fill
        warnings.filterwarnings("ignore", "Empty filters detected", UserWarning)
        return float(model.run(np.clip(waveform, -1.0, 1.0), RATE)["p808_mos"])


def stoi(original: np.ndarray, sampled: np.ndarray) -> float:
    """Return STOI, 0 to 1, of a waveform (T,) at 16 kHz against its time-aligned original.

    [Taal 2011](https://doi.org/10.1109/TASL.2011.2114881). NaN if the original has less than 0.4 s
    of sound, which is too little for it.
    """
    pystoi = import_optional("pystoi")
    samples = min(len(original), len(sampled))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return float(pystoi.stoi(original[:samples], sampled[:samples], RATE))
        except RuntimeWarning:
            return float("nan")
