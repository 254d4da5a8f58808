"""The data doctor: a folder of speech -> how much there is, what is wrong, what will be done."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vqwn_kit.data.corpus import Corpus, open_corpus
from vqwn_kit.data.decode import Converted, Settings, convert_all
from vqwn_kit.plots.corpus import plot_corpus

SHORT = 1.0  # seconds; shorter than some crops
QUIET = -45.0  # dBFS RMS; 20 dB under usual speech
CLIPPED = 1e-3  # share of samples at the loudest value
FEW_SECONDS = 30.0  # of a speaker; too little to learn a voice from
FRAME = 1024  # samples, for the share of pauses
LISTED = 12  # names a kind that the text lists

# What is wrong, and what will be done about it.
KINDS = {
    "unusable": "left out",
    "left out": "no part of the corpus as it is",
    "cut off": "used as far as it goes",
    "very short": "used; where a crop is longer, it is padded with zeros",
    "clipped": "used as it is; record it again, or leave it out",
    "very quiet": "used as it is; --level evens the levels out",
    "low rate": "used, resampled; it holds nothing above half its rate",
    "duplicate": "all are used; remove the copies, else what is held out may be trained on too",
    "speaker with one file": "used; nothing of this voice can be held out",
    "speaker with little": f"used; under {FEW_SECONDS:g} s are too little to learn a voice from",
    "speakers named alike": "used as two voices; rename one if they are one",
}


@dataclass(frozen=True)
class Finding:
    """Something worth knowing about a recording or a speaker: its name, kind and detail."""

    name: str
    kind: str
    detail: str

    @property
    def action(self) -> str:
        """What will be done about it."""
        return KINDS[self.kind]


@dataclass(repr=False)
class Checkup:
    """What `check` found. Arrays have an entry for each usable recording, in the corpus's order.

    Attributes:
        corpus: the corpus that was checked.
        keys, speakers: name and speaker of each usable recording.
        seconds: length without the silence at both ends.
        trimmed: seconds of silence at both ends.
        pauses: share of `seconds` that lies 40 dB or more under the loudest frame.
        levels: RMS in dBFS. peaks: loudest sample, in dBFS.
        rates: in Hz. channels: how many. kinds: container and sample format.
        findings: what is wrong, and what is only worth knowing.
    """

    corpus: Corpus
    keys: list[str] = field(default_factory=list)
    speakers: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    trimmed: list[float] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    rates: list[int] = field(default_factory=list)
    channels: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether there is anything to train on."""
        return bool(self.keys)

    @property
    def minutes(self) -> dict[str, float]:
        """Minutes of sound by speaker, silence at both ends not counted."""
        total = dict.fromkeys(self.corpus.speakers, 0.0)
        for speaker, seconds in zip(self.speakers, self.seconds, strict=True):
            total[speaker] += seconds / 60
        return total

    def named(self, kind: str) -> list[str]:
        """Return the names of the findings of a kind, a key of `KINDS`."""
        return [finding.name for finding in self.findings if finding.kind == kind]

    def plot(self, figure=None):
        """Draw minutes a speaker, lengths, levels and rates; return the figure."""
        return plot_corpus(self.minutes, self.seconds, self.levels, self.rates, figure)

    def text(self, listed: int | None = LISTED) -> str:
        """Return all that was found, with at most `listed` names a kind (None: every one)."""
        corpus, lines = self.corpus, []
        lines.append(f"{corpus.folder}: {corpus.layout} ({corpus.reason})")
        lines.append(
            f"usable: {len(self.keys)} of {len(corpus)} recordings, "
            f"{sum(self.seconds) / 60:.1f} minutes; speakers: {len(corpus.speakers)}"
        )
        if self.usable:
            lines += self._numbers() + self._speakers(listed)
        for kind, action in KINDS.items():
            found = [finding for finding in self.findings if finding.kind == kind]
            if found:
                lines += ["", f"{kind}: {len(found)} ({action})"]
                lines += [f"  {finding.name}: {finding.detail}" for finding in found[:listed]]
                lines += _more(len(found), listed)
        if not self.findings:
            lines += ["", "nothing found that is wrong"]
        lines += ["", "Not looked for: two labels for one voice, or two voices under one label."]
        if not self.usable:
            lines.append("Nothing usable is left.")
        return "\n".join(lines)

    __str__ = __repr__ = text

    def _numbers(self) -> list[str]:
        def spread(values, form: str) -> str:
            low, middle, high = np.percentile(values, (0, 50, 100))
            return f"{low:{form}} / {middle:{form}} / {high:{form}}"

        silent, spoken = sum(self.trimmed), sum(self.seconds)
        paused = np.average(self.pauses, weights=self.seconds)
        return [
            "shortest / median / longest or least / median / most:",
            f"  length   {spread(self.seconds, '.2f')} s",
            f"  level    {spread(self.levels, '.1f')} dBFS (RMS)",
            f"  peak     {spread(self.peaks, '.1f')} dBFS",
            f"  silence  {100 * silent / (silent + spoken):.0f} % at both ends, which is trimmed "
            f"(40 dB under the loudest); {100 * paused:.0f} % within",
            f"  rates    {_counted(self.rates)} Hz",
            f"  channels {_counted(self.channels)}",
            f"  format   {_counted(self.kinds)}",
        ]

    def _speakers(self, listed: int | None) -> list[str]:
        files = Counter(self.speakers)
        order = sorted(self.minutes.items(), key=lambda pair: pair[1])
        lines = ["speakers, those with least first:"]
        for name, minutes in order[:listed]:
            facts = ", ".join(v for k, v in self.corpus.speakers[name].items() if k != "name")
            lines.append(f"  {name:12} {minutes:7.2f} min {files[name]:6} files  {facts}".rstrip())
        return lines + _more(len(order), listed)


def _more(count: int, listed: int | None) -> list[str]:
    return [f"  … and {count - listed} more"] if listed is not None and count > listed else []


def _counted(values: list) -> str:
    return ", ".join(f"{value} ({count})" for value, count in Counter(values).most_common())


def check_corpus(
    folder: str | Path | Corpus,
    layout: str | None = None,
    progress: bool = True,
    workers: int | None = None,
    **choices,
) -> Checkup:
    """Look through a folder of speech, before hours are spent on it; nothing is written.

    Args:
        folder: a folder, see `open_corpus`, or a corpus.
        layout: overrides the recognised layout.
        progress: show a progress bar.
        workers: threads that decode.
        **choices: those of `open_corpus`.

    Returns:
        What there is and what is wrong; `print` it, or `plot()` it. What `prepare` would skip is
        found by the same code, so it is the same.

    Raises:
        InputError: no such folder, or no recordings in it.
    """
    corpus = folder if isinstance(folder, Corpus) else open_corpus(folder, layout, **choices)
    found, same = Checkup(corpus), defaultdict(list)
    for name, reason in corpus.left_out.items():
        found.findings.append(Finding(name, "left out", reason))
    paths = [utterance.path for utterance in corpus]
    settings = Settings()
    conversions = convert_all(paths, settings, progress, workers, "check")
    for utterance, converted in zip(corpus, conversions, strict=True):
        if converted.problem:
            found.findings.append(Finding(utterance.key, "unusable", converted.problem))
            continue
        _measure(found, utterance.key, utterance.speaker, converted, settings.sample_rate)
        content = hashlib.blake2b(converted.samples.tobytes(), digest_size=12).digest()
        same[content].append(utterance)
    for twins in same.values():
        if len(twins) > 1:
            _add_duplicates(found, twins)
    _judge_speakers(found)
    return found


def _measure(found: Checkup, key: str, speaker: str, converted: Converted, rate: int) -> None:
    """Add the figures of a usable recording, and what is wrong with it."""
    recording, samples = converted.recording, converted.samples / np.float32(32768)
    seconds = len(samples) / rate
    level = 10 * np.log10(max(np.mean(np.square(samples, dtype=np.float64)), 1e-12))
    found.keys.append(key)
    found.speakers.append(speaker)
    found.seconds.append(seconds)
    found.trimmed.append(max(0.0, recording.seconds - seconds))
    found.pauses.append(_pauses(samples))
    found.levels.append(float(level))
    found.peaks.append(float(20 * np.log10(max(np.abs(samples).max(), 1e-6))))
    found.rates.append(recording.sample_rate)
    found.channels.append(recording.channels)
    found.kinds.append(recording.kind)
    facts = {
        "cut off": (
            recording.kept < 1,
            f"{100 * recording.kept:.0f} % of what its header promises",
        ),
        "very short": (seconds < SHORT, f"{seconds:.2f} s"),
        "clipped": (recording.clipped > CLIPPED, f"{100 * recording.clipped:.1f} % of its samples"),
        "very quiet": (level < QUIET, f"{level:.0f} dBFS"),
        "low rate": (recording.sample_rate < rate, f"{recording.sample_rate} Hz"),
    }
    found.findings += [Finding(key, kind, text) for kind, (holds, text) in facts.items() if holds]


def _pauses(samples: np.ndarray) -> float:
    """Return the share of frames that lie 40 dB or more under the loudest."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    if not len(frames):
        return 0.0
    power = np.square(frames).mean(axis=1)
    return float(np.mean(power < 1e-4 * power.max()))


def _add_duplicates(found: Checkup, twins: list) -> None:
    splits = {utterance.split for utterance in twins}
    leak = "; one is held out, the other trained on" if len(splits) > 1 else ""
    others = ", ".join(utterance.key for utterance in twins[1:])
    detail = f"the same sound as {others}{leak}"
    found.findings.append(Finding(twins[0].key, "duplicate", detail))


def _judge_speakers(found: Checkup) -> None:
    files, alike = Counter(found.speakers), defaultdict(list)
    for name, minutes in found.minutes.items():
        alike[name.casefold().strip()].append(name)
        if files[name] == 1:
            found.findings.append(Finding(name, "speaker with one file", f"{60 * minutes:.1f} s"))
        if 60 * minutes < FEW_SECONDS:
            detail = f"{60 * minutes:.1f} s in {files[name]} files"
            found.findings.append(Finding(name, "speaker with little", detail))
    for names in alike.values():
        if len(names) > 1:
            text = f"written like {', '.join(names[1:])}"
            found.findings.append(Finding(names[0], "speakers named alike", text))
