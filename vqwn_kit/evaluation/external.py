"""Sounds -> what is heard in them: phones, pitch, quality. All need packages of the extra `eval`.

None of these packages brings another framework. All measures run on the processor, offline.
"""

import importlib
import re
import warnings
from functools import cache
from types import ModuleType

import numpy as np

from vqwn_kit.evaluation.metrics.measures import NotMeasured

RATE = 16_000  # Hz; all of them listen at this rate
PACKAGES = {"swift_f0": "swift-f0", "speechmos.dnsmos": "speechmos"}


def need(module: str) -> ModuleType:
    """Import a module of the extra `eval`.

    Raises:
        NotMeasured: it isn't installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = PACKAGES.get(module, module)
        raise NotMeasured(
            f"the package {package} isn't installed ({error.name} is missing): "
            "pip install -e .[eval]"
        ) from error


def words_of(text: str) -> list[str]:
    """Return the words of an English text in small letters, without punctuation."""
    return re.sub(r"[^a-z' ]", " ", text.lower().replace("’", "'")).split()


def _symbols(ipa: str) -> str:
    """Leave stress, length, spaces and ties out, so that each sound is one or two symbols."""
    return re.sub(r"[ˈˌː .͡]", "", ipa)


@cache
def _hama():
    hama = need("hama")
    return hama.ASRModel(), hama.G2PModel()


def phones_expected(text: str) -> str:
    """Return the phones (IPA) of a text, by hama's speller; punctuation is left out first.

    Raises:
        NotMeasured: no hama, or no English words in the text.
    """
    words = words_of(text)
    if not words:
        raise NotMeasured("the utterance has no text in Latin letters")
    return _symbols(_hama()[1].predict(" ".join(words)).ipa)


def phones_heard(waveform: np.ndarray) -> str:
    """Return the phones (IPA) that hama's recogniser hears in a waveform (T,) at 16 kHz."""
    return _symbols(_hama()[0](np.asarray(waveform, np.float32), RATE).phoneme_text)


@cache
def _swift_f0():
    return need("swift_f0").SwiftF0(threads=1)


def pitch(waveform: np.ndarray) -> np.ndarray:
    """Return the pitch in Hz of a waveform (T,) at 16 kHz every 16 ms; NaN where unvoiced."""
    found = _swift_f0().detect(np.asarray(waveform, np.float32), RATE, fmax=600.0)
    return np.where(found.confidence >= 0.5, found.pitch_hz, np.nan)


def pitch_errors(original: np.ndarray, spoken: np.ndarray) -> tuple[float, float]:
    """Compare two pitch tracks (F,), frame by frame.

    Returns:
        The mean distance in semitones where both are voiced (NaN if nowhere), and the share of
        frames where only one is.
    """
    frames = min(len(original), len(spoken))
    original, spoken = original[:frames], spoken[:frames]
    voiced, other = ~np.isnan(original), ~np.isnan(spoken)
    both = voiced & other
    distances = 12.0 * np.abs(np.log2(spoken[both] / original[both]))
    return float(distances.mean()) if both.any() else float("nan"), float((voiced != other).mean())


def p808(waveform: np.ndarray) -> float:
    """Return DNSMOS P.808, a guess at listeners' 1 to 5, of a waveform (T,) at 16 kHz.

    Reddy 2021, arXiv 2010.15258. Short clips are repeated to 9 s, as the package does.
    """
    dnsmos = need("speechmos.dnsmos")
    with warnings.catch_warnings():
        # its 120 mel bands are more than its 321-point transform can fill
        warnings.filterwarnings("ignore", "Empty filters detected", UserWarning)
        return float(dnsmos.run(np.clip(waveform, -1.0, 1.0), RATE)["p808_mos"])


def stoi(original: np.ndarray, spoken: np.ndarray) -> float:
    """Return STOI, 0 to 1, of a waveform (T,) against the original that it is aligned with.

    NaN where the original has less than 0.4 s of sound, which is too little for it.
    """
    pystoi = need("pystoi")
    samples = min(len(original), len(spoken))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return float(pystoi.stoi(original[:samples], spoken[:samples], RATE))
        except RuntimeWarning:
            return float("nan")
