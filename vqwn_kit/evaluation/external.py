"""Measures of waveforms by external packages of the extra `eval`: phones, pitch, quality.

None of these packages needs another framework; all run offline, on the processor. The second judge
of quality, of the extra `mos`, needs PyTorch.
"""

import re
import warnings
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from types import ModuleType

import numpy as np

from vqwn_kit import errors
from vqwn_kit.data.pitch import pitch_of
from vqwn_kit.evaluation.metrics import NotMeasured

RATE = 16_000  # Hz, the sample rate that all of them take


def import_optional(module: str) -> ModuleType:
    """Import a module of the extra `eval` or `mos`.

    Raises:
        NotMeasured: it is not installed.
    """
    try:
        return errors.import_optional(module)
    except errors.InputError as error:
        raise NotMeasured(str(error)) from error


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


def pitch(waveform: np.ndarray) -> np.ndarray:
    """Return the pitch in Hz of a waveform (T,) at 16 kHz every 16 ms; NaN where unvoiced."""
    return pitch_of(waveform)


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


@cache
def _distill_mos():
    package = import_optional("distillmos")
    with redirect_stdout(StringIO()):  # it prints where its weights are
        return package.ConvTransformerSQAModel().eval()


def distill_mos(waveform: np.ndarray) -> float:
    """Return Distill-MOS, a predicted opinion score from 1 to 5, of a waveform (T,) at 16 kHz.

    [Stahl 2025](https://arxiv.org/abs/2502.05356): a small network that was taught by one on
    wav2vec 2.0 features, so that its errors are not those of `dnsmos`, which reads mel bands.

    Raises:
        NotMeasured: distillmos or PyTorch is not installed.
    """
    model, torch = _distill_mos(), import_optional("torch")
    with torch.no_grad():
        return float(model(torch.from_numpy(np.array(waveform, np.float32)[None]))[0])


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
