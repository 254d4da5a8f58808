"""The doctor: does it collapse, does the decoder depend on the codes, wait or stop?"""

import html
from dataclasses import dataclass, field, replace
from pathlib import Path

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.findings import FEW, Finding, is_short
from vqwn_kit.evaluation.history_rules import findings_of
from vqwn_kit.evaluation.metrics.tables import Shown
from vqwn_kit.evaluation.outlook import Outlook, outlook_of
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.evaluation.sound_rules import (
    LOST_WORDS,
    PHONE_ERROR,
    SENTENCES,
    lost_words,
    understood,
)
from vqwn_kit.files import counted, read_json, replacing
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run

DECODED, HELD_OUT, TRAIN = 2, 4, 24  # utterances for the decoder, and for the probes
LEAST = 2  # held-out utterances that codes and speaker are judged on
CURVES = "its losses and its codebook"
HEALTHY = "Nothing is wrong with it, as far as was examined."


@dataclass(repr=False)
class Diagnosis(Shown):
    """What the doctor says of a run.

    Attributes:
        run: the run.
        outlook: whether to wait or to stop.
        findings: what is wrong, each with its evidence, cause and remedy.
        skipped: why something was not examined, by name.
        rows: what was measured on held-out speech, by name.
    """

    run: Run
    outlook: Outlook
    findings: list[Finding]
    skipped: dict[str, str] = field(default_factory=dict)
    rows: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the run; a first stage has that of its run before it."""
        folder = self.run.folder.absolute()
        first = folder.name == "first_stage"
        return f"{folder.parent.name}/first_stage" if first else folder.name

    @property
    def verdicts(self) -> list[str]:
        """The outlook and what is wrong, in one sentence each."""
        return [self.outlook.sentence, *(finding.verdict for finding in self.findings)]

    @property
    def is_healthy(self) -> bool:
        """Whether enough is known, and nothing is wrong."""
        last = self.run.history[-1] if self.run.history else {}
        is_cut = "ended" in last and is_short(self.run.preset, last["step"])
        known = self.outlook.state != "early" and CURVES not in self.skipped and not is_cut
        return known and not self.findings

    def __str__(self) -> str:
        """Return the diagnosis for a terminal."""
        lines = [self.name, self.outlook.sentence, *self._beside()]
        for number, finding in enumerate(self.findings, 1):
            first, *rest = finding.lines()
            lines += ["", f"{number}. {finding.kind.upper()}: {first}", *rest]
        lines += ["", HEALTHY] if self.is_healthy else []
        return "\n".join([*lines, *(f"not examined: {a}: {b}" for a, b in self.skipped.items())])

    def _beside(self) -> list[str]:
        """Return the phone error of the reference in a sentence, where it is known."""
        reference = self.outlook.reference
        if reference is None or not reference.phone_error:
            return []
        errors = [f"{error:.2f} at step {step:,}" for step, error in reference.phone_error]
        runs = f"runs of `{reference.preset}`"
        return [f"Phone error of reconstructions by {runs}: {', '.join(errors)}."]

    def _repr_html_(self) -> str:
        """Return the diagnosis for a notebook; a remedy's text can be selected and copied."""
        parts = [f"<p>{html.escape(text)}</p>" for text in (self.outlook.sentence, *self._beside())]
        for finding in self.findings:
            verdict, evidence, cause, remedy, *copied = map(html.escape, finding.lines())
            code = "".join(f"<br><code>{line.strip()}</code>" for line in copied)
            title = f"<b>{html.escape(finding.kind)}</b>: {verdict}"
            parts.append(f"<p>{title}<br>{evidence}<br>{cause}<br>{remedy}{code}</p>")
        parts += [f"<p>{HEALTHY}</p>"] if self.is_healthy else []
        parts += [
            f"<p><small>not examined: {html.escape(f'{name}: {reason}')}</small></p>"
            for name, reason in self.skipped.items()
        ]
        return "".join(parts)

    def figure(self, figure=None):
        """Draw the run's curves over the bands of the reference, and mark the findings.

        Args:
            figure: a matplotlib figure to draw on; a new one of pyplot by default.

        Raises:
            InputError: the run has no history.
        """
        from vqwn_kit.plots.diagnosis import plot_diagnosis

        history = self.run.history
        if not history:
            raise InputError(f"{self.run.folder} has no history.jsonl, so there is nothing to draw")
        curves = self.outlook.reference.curves if self.outlook.reference else {}
        bands = {name: (c.steps, c.low, c.high) for name, c in curves.items()}
        marks = [(f.measure, f.step, f.kind) for f in self.findings if f.step is not None]
        if self.outlook.trend.kind == "stopped":
            marks.append((self.outlook.measure, self.outlook.trend.since, "stopped improving"))
        return plot_diagnosis(history, bands, marks, self.name, figure)

    def save_figure(self, path: str | Path) -> Path:
        """Write `figure` as a picture, whose format follows from the name, and return the path.

        Raises:
            InputError: the run has no history, or no such format.
        """
        from matplotlib.figure import Figure

        path, figure = Path(path), self.figure(Figure())
        kinds = figure.canvas.get_supported_filetypes()
        if path.suffix[1:] not in kinds:
            raise InputError(
                f"{path} has no ending of a picture; expected one of {', '.join(kinds)}"
            )
        with replacing(path) as scratch:
            figure.savefig(scratch, dpi=110, format=path.suffix[1:])
        return path


def diagnose(
    run: Run | str | Path,
    data: Store | Corpus | str | Path | None = None,
    *,
    measured: bool = True,
    progress: bool = True,
) -> Diagnosis:
    """Say what is wrong with a run, why, and what to change; and whether to wait or to stop.

    Args:
        run: a run, its folder, or its name.
        data: its corpus; by default that of the run, where it can be found.
        measured: also examine what the decoder makes of codes and speakers: from the run's score
            card, if it has one of its newest step, else on a few utterances, in up to a minute.
        progress: show progress bars.

    Returns:
        The diagnosis. What could not be examined is in its `skipped`, with the reason.

    Raises:
        InputError: no such run, it has neither history nor checkpoint, or no such corpus.

    Example:
        vq.diagnose("results/mini").show()
        vq.diagnose("results/mini").findings[0].remedy.changes      # for `Preset.change`
    """
    run = load_run(run)
    if not run.history and not run.steps:
        raise InputError(
            f"{run.folder} has no history.jsonl and no checkpoint: nothing was trained there yet"
        )
    history = [r for r in run.history if run.step is None or r["step"] <= run.step]
    rows, skipped, store = {}, {}, None
    if not history:
        skipped["its training"] = "the run has no history.jsonl"
    try:
        store = store_of(run, data, progress) if measured else None
    except InputError as reason:
        if data is not None:
            raise
        skipped["what needs its speech"] = str(reason)
    if measured:
        rows = _saved_rows(run)
        if not run.steps:
            skipped["its decoder"] = "the run has no checkpoint"
        elif store is not None:
            rows |= _measured_rows(run, store, rows, skipped, progress)
        skipped |= _without_words(run, rows)
    minutes = store.seconds("train") / 60 if store else None
    findings = findings_of(history, run.preset, minutes, bits_before=_bits_before(run))
    if 0 < len(history) <= FEW:
        of_codes = any(finding.measure.startswith("vq/") for finding in findings)
        of_codes = of_codes or _first_stage(run) is not None
        skipped["its losses" if of_codes else CURVES] = (
            f"the history has {counted(len(history), 'lines')}, and the rules need more than "
            f"{FEW}: train for longer, or with a lower log_every"
        )
    outlook = outlook_of(history, run.preset, run.config["corpus"], findings)
    findings = [*_of_frozen_codes(run), *findings, *_of_rows(rows, run, minutes)]
    return Diagnosis(run, outlook, findings, skipped, rows)


def _without_words(run: Run, rows: dict[str, float]) -> dict[str, str]:
    """Return why it is not known whether words come through, or nothing."""
    if PHONE_ERROR.format("reconstruction") in rows:
        return {}
    step = f" of step {run.newest}" if run.steps else ""
    reason = f"there is no phone error{step}: `vqwn evaluate {run.folder.name}`"
    return {"whether words come through": reason}


def card_verdicts(run: Run, card: ScoreCard) -> list[str]:
    """Return how words come through, the outlook and what is wrong, for a score card of a run.

    What is measured is taken from the rows of the card; what the card says already is left out.
    """
    history = [record for record in run.history if record["step"] <= run.newest]
    if not history:
        return []
    findings = findings_of(history, run.preset, bits_before=_bits_before(run))
    outlook = outlook_of(history, run.preset, run.config["corpus"], findings)
    rows = _judged_values(card)
    new = [
        finding
        for finding in [*_of_frozen_codes(run), *_of_rows(rows, run)]
        if not any(finding.verdict.split(":")[0] in verdict for verdict in card.verdicts)
    ]
    lost = [finding.verdict for finding in new if finding.kind == LOST_WORDS]
    others = [finding.verdict for finding in findings + new if finding.kind != LOST_WORDS]
    return [*filter(None, lost or [understood(rows)]), outlook.sentence, *others]


def _values(card: ScoreCard) -> dict[str, float]:
    return {row.name: row.value for row in card.rows}


def _judged_values(card: ScoreCard) -> dict[str, float]:
    """Return the values by name, without those of codes and speaker that are of one utterance.

    `SENTENCES` are beside them, if the words of reconstructions were judged.
    """
    from vqwn_kit.evaluation.conditioning_rules import ROWS

    few = {row.name for row in card.rows if row.n < LEAST and row.name in ROWS}
    rows = {name: value for name, value in _values(card).items() if name not in few}
    counts = {row.name: float(row.n) for row in card.rows}
    words = PHONE_ERROR.format("reconstruction")
    return rows | ({SENTENCES: counts[words]} if words in counts else {})


def _bits_before(run: Run) -> float | None:
    """Return the bits per sample before training, which `vqwn run` notes; None where it did not."""
    file = run.folder / "summary.json"
    known = read_json(file, "a summary of `vqwn run`") if file.is_file() else {}
    return known.get("before", {}).get("bits")


def _first_stage(run: Run) -> Run | None:
    """Return the first stage of a run, where it trained the codebook; else None."""
    folder = run.folder / "first_stage"
    frozen = "bottleneck" in run.preset.training.freeze
    return Run(folder) if frozen and (folder / "config.json").is_file() else None


def _of_frozen_codes(run: Run) -> list[Finding]:
    """Return what is wrong with a codebook that was trained in the first stage of a run."""
    first = _first_stage(run)
    found = [] if first is None else findings_of(first.history, first.preset)
    return [finding for finding in found if finding.measure.startswith("vq/")]


def _of_rows(rows: dict[str, float], run: Run, minutes: float | None = None) -> list[Finding]:
    if not rows:
        return []
    from vqwn_kit.evaluation.conditioning_rules import conditioning_findings

    step = run.history[-1]["step"] if run.history else None
    words = lost_words(rows, run.preset, step, minutes)
    of_speakers = (rows, run.preset, len(run.trained_speakers), step)
    return [*([words] if words else []), *conditioning_findings(*of_speakers)]


def _saved_rows(run: Run) -> dict[str, float]:
    """Return the rows of the run's score card, if it is of its newest step."""
    try:
        card = ScoreCard.load(run.folder)
    except InputError:
        return {}
    return _judged_values(card) if run.steps and card.about.get("step") == run.newest else {}


def _measured_rows(
    run: Run, store: Store, rows: dict, skipped: dict[str, str], progress: bool
) -> dict[str, float]:
    """Return rows that are missing, measured on a few utterances."""
    from vqwn_kit.evaluation import code_metrics, conditioning_rules
    from vqwn_kit.evaluation.context import EvaluationContext, select_utterances

    try:
        held_out = select_utterances(run, store, "held_out", HELD_OUT)
        train = select_utterances(run, store, "train", TRAIN)
    except InputError as reason:
        skipped["its decoder"] = str(reason)
        return {}
    if len(held_out) < LEAST:
        skipped["whether the decoder depends on codes and speaker"] = (
            f"{counted(len(held_out), 'utterances')} held out, and {LEAST} are needed"
        )
        return {}
    context = EvaluationContext(run, store, held_out, train, progress=progress)
    card, errors = ScoreCard({}), {}
    if not run.model.is_autoregressive:
        errors = conditioning_rules.mel_errors(context)
    elif conditioning_rules.EXTRA_CODES not in rows:
        few = replace(context, held_out=context.chosen(context.held_out, DECODED))
        code_metrics.score_likelihood(card, few)
    if not all(name in rows for name in conditioning_rules.PROBES):
        code_metrics.score_speakers(card, context)
    skipped |= card.skipped
    return _values(card) | errors
