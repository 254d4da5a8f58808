"""Measure and check the bundled corpus data/mini; run by make_mini.py --check."""

import collections
import csv
import itertools
import re
from pathlib import Path

import numpy as np
import pocketsphinx
import soundfile

MINI = Path(__file__).resolve().parents[1] / "data" / "mini"
RATE = 16000
SPEECH_RMS = 0.07  # common level of the frames that hold speech
MIN_PHONE = 0.03  # the aligner's shortest phone, seconds
SEX = {"alpha": "F", "gongitsune": "F", "tebukuro": "F", "kumo": "M", "joe": "M", "blend": "M"}


def read_sentences() -> list[str]:
    """The sentences, one a line; sentence 1 is the first."""
    return (MINI / "sentences.txt").read_text(encoding="utf-8").split("\n")[:-1]


def words_of(text: str) -> list[str]:
    """The words of a text in small letters, without punctuation."""
    return re.sub(r"[^a-z' ]", "", text.lower()).split()


def read_dictionary() -> dict[str, list[list[str]]]:
    """Pocketsphinx's CMU dictionary: each word's pronunciations, the most usual first."""
    dictionary: dict[str, list[list[str]]] = collections.defaultdict(list)
    path = Path(pocketsphinx.get_model_path()) / "en-us" / "cmudict-en-us.dict"
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *phones = line.split()
        dictionary[re.sub(r"\(\d+\)$", "", word)].append(phones)
    return dictionary


def read_table(name: str) -> list[dict[str, str]]:
    """Read a table that write_table wrote."""
    with (MINI / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def frame_levels(sound: np.ndarray) -> np.ndarray:
    """RMS of each 10 ms frame."""
    size = RATE // 100
    return np.sqrt(np.mean(sound[: len(sound) // size * size].reshape(-1, size) ** 2, axis=1))


def pitches(sound: np.ndarray) -> list[float]:
    """Pitch in Hz of each voiced 80 ms frame: the first high peak of the autocorrelation."""
    size, found = 1280, []
    for start in range(0, len(sound) - size, 320):
        frame = sound[start : start + size]
        if frame.std() < 0.3 * SPEECH_RMS:
            continue
        power = np.abs(np.fft.rfft(frame - frame.mean(), 4096)) ** 2
        lags = np.fft.irfft(power)[:300]
        lags /= lags[0] * (1 - np.arange(300) / size)
        part = lags[35:]  # 53 to 457 Hz
        peaks = (part[1:-1] > part[:-2]) & (part[1:-1] >= part[2:]) & (part[1:-1] > 0.9 * max(part))
        if max(part) > 0.6 and peaks.any():
            found.append(RATE / (np.flatnonzero(peaks)[0] + 36))
    return found


def edit_distance(a: str, b: str) -> int:
    """Least number of symbols to insert, delete or replace to turn a into b."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


def check() -> bool:
    """Print what was measured, and what is wrong. True if nothing is."""
    import hama

    recogniser, speller = hama.ASRModel(), hama.G2PModel()
    dictionary, wrong = read_dictionary(), []
    spans = collections.defaultdict(list)
    for row in read_table("phones.tsv"):
        spans[row["utterance"]].append((float(row["start"]), float(row["end"]), row["phone"]))
    sums = {speaker: collections.Counter() for speaker in SEX}
    pitch = {speaker: [] for speaker in SEX}
    short, everything, training = 0.0, collections.Counter(), collections.Counter()
    texts = collections.defaultdict(set)
    rows = read_table("utterances.tsv")
    for row in rows:
        name, speaker, words = row["utterance"], row["speaker"], words_of(row["text"])
        info = soundfile.info(MINI / row["path"])
        samples, rate = soundfile.read(MINI / row["path"], dtype="int16")
        sound, seconds = samples / 32768, len(samples) / rate
        levels, count = frame_levels(sound), sums[speaker]
        times, labels = spans[name], [phone for _, _, phone in spans[name] if phone != "SIL"]
        variants = ["(" + "|".join(" ".join(v) for v in dictionary[w]) + ")" for w in words]
        minimal = np.mean([b - a < MIN_PHONE + 0.001 for a, b, p in times if p != "SIL"])
        short = max(short, minimal)
        faults = {
            "format": (rate, samples.ndim, info.subtype) != (RATE, 1, "PCM_16"),
            "length in the table": abs(float(row["seconds"]) - seconds) > 0.0006,
            "clipped": np.abs(sound).max() >= 0.95,
            "offset": abs(sound.mean()) > 0.001,
            "phones not those of the text": not re.fullmatch(" ".join(variants), " ".join(labels)),
            "first time not 0": times[0][0] != 0,
            "last time not the end": abs(times[-1][1] - seconds) > 0.0006,
            "times with a gap": any(x[1] != y[0] for x, y in itertools.pairwise(times)),
            "times not increasing": any(start >= end for start, end, _ in times),
            "many phones of minimal length": minimal > 0.2,
        }
        wrong += [f"{name}: {fault}" for fault, true in faults.items() if true]
        clean = re.compile(r"[ˈˌː .͡]")
        expected = clean.sub("", speller.predict(" ".join(words)).ipa)
        heard = clean.sub("", recogniser(sound.astype(np.float32), RATE).phoneme_text)
        count["errors"] += edit_distance(expected, heard)
        count["phones"] += len(expected)
        count["seconds"] += seconds
        count["silent"] += sum(end - start for start, end, phone in times if phone == "SIL")
        count["peak"] = max(count["peak"], np.abs(sound).max())
        count["energy"] += np.sum(levels**2)
        count["frames"] += len(levels)
        count["bytes"] += (MINI / row["path"]).stat().st_size
        pitch[speaker] += pitches(sound)
        texts[row["split"]].add(" ".join(words))
        if speaker == next(iter(SEX)):
            usual = [phone for word in words for phone in dictionary[word][0]]
            everything.update(usual)
            training.update(usual if row["split"] == "train" else [])
    print("voice       sex  seconds  pitch (Hz)  10-90 %  silence  peak   RMS    phone errors")
    for speaker, count in sums.items():
        low, middle, high = np.percentile(pitch[speaker], [10, 50, 90])
        print(
            f"{speaker:11s} {SEX[speaker]:3s}  {count['seconds']:7.1f}  {middle:10.0f}  "
            f"{low:3.0f}-{high:3.0f}  {count['silent'] / count['seconds']:7.3f}  "
            f"{count['peak']:.3f}  {np.sqrt(count['energy'] / count['frames']):.3f}  "
            f"{count['errors'] / count['phones']:.3f}"
        )
        if count["errors"] > 0.35 * count["phones"]:
            wrong.append(f"{speaker}: hard to understand")
    minutes = sum(count["seconds"] for count in sums.values()) / 60
    size = sum(count["bytes"] for count in sums.values()) / 1e6
    print(f"{len(rows)} utterances, {minutes:.2f} minutes, {size:.1f} MB of FLAC")
    print(f"{len(everything)} phones; times each is in the sentences (in the training ones):")
    print(", ".join(f"{p} {n} ({training[p]})" for p, n in sorted(everything.items())))
    print(f"largest share of {MIN_PHONE * 1000:.0f} ms phones in an utterance: {short:.2f}")
    if min(everything.values()) < 4 or set(everything) != set(training) or len(everything) < 39:
        wrong.append("a phone is too rare")
    if texts["train"] & texts["held_out"]:
        wrong.append("a held-out sentence is also in training")
    names = {row["utterance"] for row in rows}
    if len(names) != len(SEX) * len(read_sentences()) or set(spans) != names:
        wrong.append("the tables do not list the same utterances")
    print("\n".join(f"WRONG: {fault}" for fault in wrong) or "nothing wrong")
    return not wrong
