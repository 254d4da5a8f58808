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
SPEECH_RMS = 0.07  # level of the frames with speech, the same for all
MIN_PHONE = 0.03  # seconds, the aligner's shortest phone
SEX = {"alpha": "F", "gongitsune": "F", "tebukuro": "F", "kumo": "M", "joe": "M", "blend": "M"}


def read_sentences() -> list[str]:
    """Return the sentences, one per line; sentence 1 is the first."""
    return (MINI / "sentences.txt").read_text(encoding="utf-8").split("\n")[:-1]


def words_of(text: str) -> list[str]:
    """Return the words of a text in small letters, without punctuation."""
    return re.sub(r"[^a-z' ]", "", text.lower()).split()


def read_dictionary() -> dict[str, list[list[str]]]:
    """Return Pocketsphinx's CMU dictionary: each word's pronunciations, the usual one first."""
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


def read_spans() -> dict[str, list[tuple[str, str, str]]]:
    """Return each utterance's phones as they are written: (start, end, phone)."""
    spans = collections.defaultdict(list)
    for row in read_table("phones.tsv"):
        spans[row["utterance"]].append((row["start"], row["end"], row["phone"]))
    return spans


def frame_levels(sound: np.ndarray) -> np.ndarray:
    """Return the RMS of each 10 ms frame."""
    size = RATE // 100
    return np.sqrt(np.mean(sound[: len(sound) // size * size].reshape(-1, size) ** 2, axis=1))


def pitches(sound: np.ndarray) -> list[float]:
    """Return the pitch in Hz of each voiced 80 ms frame: the first high autocorrelation peak."""
    size, values = 1280, []
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
            values.append(RATE / (np.flatnonzero(peaks)[0] + 36))
    return values


def edit_distance(a: str, b: str) -> int:
    """Return the least number of insertions, deletions and replacements that turn a into b."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


def find_faults(
    row: dict[str, str], times: list[tuple[float, float, str]], dictionary
) -> list[str]:
    """Return what is wrong with an utterance: its row of the table, and its phones' times."""
    info = soundfile.info(MINI / row["path"])
    samples, rate = soundfile.read(MINI / row["path"], dtype="int16")
    sound, seconds = samples / 32768, len(samples) / rate
    labels = " ".join(phone for _, _, phone in times if phone != "SIL")
    words = words_of(row["text"])
    variants = ["(" + "|".join(" ".join(v) for v in dictionary[w]) + ")" for w in words]
    faults = {
        "format": (rate, samples.ndim, info.subtype) != (RATE, 1, "PCM_16"),
        "length in the table": abs(float(row["seconds"]) - seconds) > 0.0006,
        "clipped": np.abs(sound).max() >= 0.95,
        "offset": abs(sound.mean()) > 0.001,
        "phones not those of the text": not re.fullmatch(" ".join(variants), labels),
        "first time not 0": times[0][0] != 0,
        "last time not the end": abs(times[-1][1] - seconds) > 0.0006,
        "times with a gap": any(x[1] != y[0] for x, y in itertools.pairwise(times)),
        "times not increasing": any(start >= end for start, end, _ in times),
        "many phones of minimal length": short_phones(times) > 0.2,
    }
    return [f"{row['utterance']}: {fault}" for fault, holds in faults.items() if holds]


def short_phones(times: list[tuple[float, float, str]]) -> float:
    """Return the share of an utterance's phones that have the least length."""
    return float(np.mean([b - a < MIN_PHONE + 0.001 for a, b, p in times if p != "SIL"]))


def measure_speaker(rows: list[dict[str, str]], spans: dict[str, list]) -> tuple[dict, list[float]]:
    """Return sums over the utterances of a speaker, and the pitches of all their frames."""
    import hama

    recogniser, speller, clean = hama.ASRModel(), hama.G2PModel(), re.compile(r"[ˈˌː .͡]")
    sums, pitch = collections.Counter(), []
    for row in rows:
        sound, _ = soundfile.read(MINI / row["path"], dtype="int16")
        sound = sound / 32768
        expected = clean.sub("", speller.predict(" ".join(words_of(row["text"]))).ipa)
        recognised = clean.sub("", recogniser(sound.astype(np.float32), RATE).phoneme_text)
        levels, times = frame_levels(sound), spans[row["utterance"]]
        for part in ("all", row["split"]):
            sums["errors", part] += edit_distance(expected, recognised)
            sums["phones", part] += len(expected)
        sums["seconds"] += len(sound) / RATE
        sums["silent"] += sum(end - start for start, end, phone in times if phone == "SIL")
        sums["peak"] = max(sums["peak"], np.abs(sound).max())
        sums["energy"] += np.sum(levels**2)
        sums["frames"] += len(levels)
        pitch += pitches(sound)
    return sums, pitch


def check() -> bool:
    """Print the measurements and the faults; return whether there is no fault."""
    dictionary, rows, wrong = read_dictionary(), read_table("utterances.tsv"), []
    spans = {
        name: [(float(start), float(end), phone) for start, end, phone in phones]
        for name, phones in read_spans().items()
    }
    for row in rows:
        wrong += find_faults(row, spans[row["utterance"]], dictionary)
    minutes = 0.0
    print(
        "voice       sex  seconds  pitch (Hz)  10-90 %  silence  peak   RMS    "
        "phone errors (held out)"
    )
    for speaker in SEX:
        sums, pitch = measure_speaker([row for row in rows if row["speaker"] == speaker], spans)
        low, middle, high = np.percentile(pitch, [10, 50, 90])
        errors = {p: sums["errors", p] / sums["phones", p] for p in ("all", "held_out")}
        print(
            f"{speaker:11s} {SEX[speaker]:3s}  {sums['seconds']:7.1f}  {middle:10.0f}  "
            f"{low:3.0f}-{high:3.0f}  {sums['silent'] / sums['seconds']:7.3f}  "
            f"{sums['peak']:.3f}  {np.sqrt(sums['energy'] / sums['frames']):.3f}  "
            f"{errors['all']:.3f} ({errors['held_out']:.3f})"
        )
        minutes += sums["seconds"] / 60
        if errors["all"] > 0.35:
            wrong.append(f"{speaker}: hard to understand")
    size = sum((MINI / row["path"]).stat().st_size for row in rows) / 1e6
    print(f"{len(rows)} utterances, {minutes:.2f} minutes, {size:.1f} MB of FLAC")
    counts, texts = collections.defaultdict(collections.Counter), {}
    for row in rows:
        words = words_of(row["text"])
        texts.setdefault(row["split"], set()).add(" ".join(words))
        if row["speaker"] == next(iter(SEX)):
            counts[row["split"]].update(phone for word in words for phone in dictionary[word][0])
    train, held_out = counts["train"], counts["held_out"]
    everything = train + held_out
    print(
        f"{everything.total()} phones, {len(everything)} different; times each is in the "
        "training sentences + in the held-out ones:"
    )
    print(", ".join(f"{p} {train[p]} + {held_out[p]}" for p in sorted(everything)))
    short = max(short_phones(spans[row["utterance"]]) for row in rows)
    print(f"largest share of {MIN_PHONE * 1000:.0f} ms phones in an utterance: {short:.2f}")
    if min(everything.values()) < 4 or len(train) < 39 or len(held_out) < 39:
        wrong.append("a phone is too rare")
    if texts["train"] & texts["held_out"]:
        wrong.append("a held-out sentence is also in training")
    names = {row["utterance"] for row in rows}
    if len(names) != len(SEX) * len(read_sentences()) or set(spans) != names:
        wrong.append("the tables do not list the same utterances")
    print("\n".join(f"WRONG: {fault}" for fault in wrong) or "nothing wrong")
    return not wrong
