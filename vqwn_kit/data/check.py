"""A folder of speech -> a report: statistics, problems, and what is done about each."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

import numpy as np

from vqwn_kit.data.audio import Recording
from vqwn_kit.data.corpus import Corpus, open_corpus
from vqwn_kit.data.decode import Settings, convert_all
from vqwn_kit.data.scan import Utterance
from vqwn_kit.plots.corpus import plot_corpus

SHORT = 1.0  # seconds; less than some crops
QUIET = -45.0  # dBFS RMS; 20 dB under usual speech
CLIPPED = 1e-3  # share of samples at full scale
FEW_SECONDS = 30.0  # of a speaker
FRAME = 1024  # samples, for the share of pauses
LISTED = 12  # names per kind that the text lists

JUDGED = 12  # held-out recordings from which on the intervals of a score card are useful
MINUTES = 8  # to train on, from which on there is a run whose words come through: results/mini

# Kinds of findings, and what is done about each.
KINDS = {
    "unusable": "left out",
    "left out": "no part of the corpus as it is",
    "cut off": "the part that is there is used",
    "very short": "used; where a crop is longer, it is padded with zeros",
    "length of 0": "its header gives its samples no bytes; read to the end of the file",
    "channels cancel": "one channel is used, since nothing would be left of their mean",
    "16-bit samples as floats": "divided by 32768",
    "offset": "removed; a constant would hide the silence at both ends",
    "clipped": "used as it is; record it again, or leave it out",
    "very quiet": "used as it is; --level gives all the same level",
    "low rate": "used, resampled; nothing is in it above half its rate",
    "duplicate": "all are used; remove the copies, or held-out speech may be in training too",
    "speaker without sound": "left out of the model; none of their recordings can be used",
    "speaker with one file": "used; no file of this speaker can be held out",
    "speaker with little": f"used; under {FEW_SECONDS:g} s are too little to learn a voice from",
    "similar speaker names": "used as two speakers; rename one if they are the same",
}


@dataclass(frozen=True)
class Finding:
    """A remark on a recording or a speaker: its name, kind and detail."""

    name: str
    kind: str
    detail: str

    @property
    def action(self) -> str:
        """What is done about it."""
        return KINDS[self.kind]


@dataclass(frozen=True)
class RecordingFacts:
    """What was measured of a usable recording, silence at both ends cut off.

    Attributes:
        utterance: its key, speaker, split and so on.
        file: facts about the sound file: rate, channels, format, share of clipped samples.
        seconds: length.
        pauses: share of `seconds` that lies 40 dB or more below the loudest frame.
        level: RMS in dBFS.
        peak: the largest sample, in dBFS.
    """

    utterance: Utterance
    file: Recording
    seconds: float
    pauses: float
    level: float
    peak: float

    @property
    def trimmed(self) -> float:
        """Seconds of silence at both ends."""
        return max(0.0, self.file.seconds - self.seconds)


@dataclass(repr=False)
class CorpusReport:
    """The result of `check_corpus`.

    Attributes:
        corpus: the corpus that was checked.
        recordings: facts of each usable recording, in the corpus's order.
        findings: problems, and other facts worth knowing.
    """

    corpus: Corpus
    recordings: list[RecordingFacts] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether there is anything to train on."""
        return bool(self.recordings)

    @property
    def minutes(self) -> dict[str, float]:
        """Minutes of sound by speaker, without silence at both ends."""
        total = dict.fromkeys(self.corpus.speakers, 0.0)
        for recording in self.recordings:
            total[recording.utterance.speaker] += recording.seconds / 60
        return total

    def column(self, name: str) -> list:
        """Return a fact of all usable recordings, such as `seconds` or `file.channels`."""
        return [attrgetter(name)(recording) for recording in self.recordings]

    def named(self, kind: str) -> list[str]:
        """Return the names of the findings of a kind, a key of `KINDS`."""
        return [finding.name for finding in self.findings if finding.kind == kind]

    def plot(self, figure=None):
        """Draw minutes per speaker, lengths, levels and rates; return the figure."""
        seconds, levels = self.column("seconds"), self.column("level")
        return plot_corpus(self.minutes, seconds, levels, self.column("file.sample_rate"), figure)

    def text(self, listed: int | None = LISTED) -> str:
        """Return the report as text, with at most `listed` names per kind (None: all)."""
        corpus = self.corpus
        lines = [
            f"{corpus.folder}: {corpus.layout} ({corpus.reason})",
            f"usable: {len(self.recordings)} of {len(corpus)} recordings, "
            f"{sum(self.minutes.values()):.1f} minutes; speakers: {len(corpus.speakers)}",
            *sufficiency(*self._splits()),
        ]
        if self.usable:
            lines += [*self._statistics(), "speakers:", *_cut(self._speakers(), listed)]
        for kind, action in KINDS.items():
            names = [f"  {f.name}: {f.detail}" for f in self.findings if f.kind == kind]
            if names:
                lines += ["", f"{kind}: {len(names)} ({action})", *_cut(names, listed)]
        lines += [] if self.findings else ["", "no problem found in any recording"]
        lines += ["", "Not checked: two names for one speaker, or two speakers under one name."]
        lines += [] if self.usable else ["Nothing usable is left."]
        return "\n".join(lines)

    __str__ = __repr__ = text

    def _splits(self) -> tuple[int, float]:
        """Return how many recordings are held out, and the minutes of the others."""
        split = np.array(self.column("utterance.split"))
        held_out = split == "held_out"
        return int(held_out.sum()), float(np.sum(np.array(self.column("seconds"))[~held_out]) / 60)

    def _statistics(self) -> list[str]:
        def spread(name: str, digits: int) -> str:
            values = np.percentile(self.column(name), (0, 50, 100))
            return " / ".join(f"{value:.{digits}f}" for value in values)

        def counted(name: str) -> str:
            counts = Counter(self.column(name)).most_common()
            return ", ".join(f"{value} ({count})" for value, count in counts)

        seconds, trimmed = self.column("seconds"), sum(self.column("trimmed"))
        ends = 100 * trimmed / (trimmed + sum(seconds))
        pauses = 100 * np.average(self.column("pauses"), weights=seconds)
        return [
            "minimum / median / maximum:",
            f"  length   {spread('seconds', 2)} s",
            f"  level    {spread('level', 1)} dBFS (RMS)",
            f"  peak     {spread('peak', 1)} dBFS",
            f"  silence  {ends:.0f} % at both ends, which is trimmed (40 dB below the loudest "
            f"frame); {pauses:.0f} % within",
            f"  rates    {counted('file.sample_rate')} Hz",
            f"  channels {counted('file.channels')}",
            f"  format   {counted('file.kind')}",
        ]

    def _speakers(self) -> list[str]:
        files, lines = Counter(self.column("utterance.speaker")), []
        for name, minutes in sorted(self.minutes.items(), key=lambda pair: pair[1]):
            facts = ", ".join(v for k, v in self.corpus.speakers[name].items() if k != "name")
            lines.append(f"  {name:12} {minutes:7.2f} min {files[name]:6} files  {facts}".rstrip())
        return lines


def sufficiency(held_out: int, minutes: float) -> list[str]:
    """Say how many recordings are held out, how many minutes the others have, and what is too few.

    Args:
        held_out: number of recordings that are not trained on.
        minutes: of sound in the others.
    """
    few = f", fewer than the {JUDGED} that useful intervals need: add recordings"
    little = f", less than the {MINUTES} that words need: add recordings, 20 minutes or more in all"
    return [
        f"held out, for the measures: {held_out}{few if held_out < JUDGED else ''}",
        f"to train on: {minutes:.1f} minutes{little if minutes < MINUTES else ''}",
    ]


def _cut(lines: list[str], listed: int | None) -> list[str]:
    more = len(lines) - len(lines[:listed])
    return lines[:listed] + ([f"  … and {more} more"] if more else [])


def check_corpus(
    folder: str | Path | Corpus,
    layout: str | None = None,
    progress: bool = True,
    workers: int | None = None,
    **choices,
) -> CorpusReport:
    """Check a folder of speech before it is trained on; nothing is written.

    Args:
        folder: a folder, see `open_corpus`, or a corpus.
        layout: overrides the recognised layout.
        progress: show a progress bar.
        workers: threads for decoding.
        **choices: those of `open_corpus`.

    Returns:
        The report; `print` it, or `plot()` it. A recording is unusable if `prepare` would skip it.

    Raises:
        InputError: no such folder, or no recordings in it.
    """
    corpus = folder if isinstance(folder, Corpus) else open_corpus(folder, layout, **choices)
    report, copies = CorpusReport(corpus), defaultdict(list)
    for name, reason in corpus.left_out.items():
        report.findings.append(Finding(name, "left out", reason))
    settings = Settings()
    conversions = convert_all(corpus.utterances, settings, progress, workers, "check")
    for utterance, converted in zip(corpus, conversions, strict=True):
        if converted.recording is None or converted.problem:
            report.findings.append(Finding(utterance.key, "unusable", converted.problem))
            continue
        facts = _measure(utterance, converted.recording, converted.samples, settings.sample_rate)
        report.recordings.append(facts)
        report.findings += _problems(facts, settings.sample_rate)
        content = hashlib.blake2b(converted.samples.tobytes(), digest_size=12).digest()
        copies[content].append(utterance)
    report.findings += [_duplicate(same) for same in copies.values() if len(same) > 1]
    report.findings += _speaker_findings(report)
    return report


def _measure(utterance: Utterance, file: Recording, samples: np.ndarray, rate: int):
    """Return the facts of a recording whose converted samples are int16 (T,)."""
    samples = samples / np.float32(32768)
    level = 10 * np.log10(max(np.mean(np.square(samples, dtype=np.float64)), 1e-12))
    peak = 20 * np.log10(max(np.abs(samples).max(), 1e-6))
    power = np.square(samples[: len(samples) // FRAME * FRAME]).reshape(-1, FRAME).mean(axis=1)
    pauses = float(np.mean(power < 1e-4 * power.max())) if len(power) else 0.0
    return RecordingFacts(utterance, file, len(samples) / rate, pauses, float(level), float(peak))


def _problems(facts: RecordingFacts, rate: int) -> list[Finding]:
    """Return what is wrong with a usable recording; `rate` is that of the store."""
    file, seconds, level = facts.file, facts.seconds, facts.level
    problems = {
        "cut off": (not file.kept >= 1, _kept(file)),
        "very short": (seconds < SHORT, f"{seconds:.2f} s"),
        "clipped": (file.clipped > CLIPPED, f"{100 * file.clipped:.1f} % of its samples"),
        "very quiet": (level < QUIET, f"{level:.0f} dBFS"),
        "low rate": (file.sample_rate < rate, f"{file.sample_rate} Hz"),
    }
    key = facts.utterance.key
    findings = [Finding(key, kind, text) for kind, (holds, text) in problems.items() if holds]
    return findings + [Finding(key, kind, text) for kind, text in file.remarks.items()]


def _kept(file: Recording) -> str:
    if np.isnan(file.kept):
        return "its last part is not there"
    return f"{100 * file.kept:.0f} % of the length in its header"


def _duplicate(same: list[Utterance]) -> Finding:
    leak = len({utterance.split for utterance in same}) > 1
    others = ", ".join(utterance.key for utterance in same[1:])
    detail = f"the same sound as {others}{'; one is held out, the other trained on' * leak}"
    return Finding(same[0].key, "duplicate", detail)


def _speaker_findings(report: CorpusReport) -> list[Finding]:
    findings, files, similar = [], Counter(report.column("utterance.speaker")), defaultdict(list)
    for name, minutes in report.minutes.items():
        similar[name.casefold().strip()].append(name)
        if not files[name]:
            findings.append(Finding(name, "speaker without sound", "0 s"))
            continue
        if files[name] == 1:
            findings.append(Finding(name, "speaker with one file", f"{60 * minutes:.1f} s"))
        if 60 * minutes < FEW_SECONDS:
            detail = f"{60 * minutes:.1f} s in {files[name]} files"
            findings.append(Finding(name, "speaker with little", detail))
    for first, *others in similar.values():
        if others:
            detail = f"spelt like {', '.join(others)}"
            findings.append(Finding(first, "similar speaker names", detail))
    return findings
