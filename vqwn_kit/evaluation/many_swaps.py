"""Many swaps of codes in held-out speech -> how much they change, beside random swaps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.code_usage import CodeStatistics, code_statistics, most_frequent
from vqwn_kit.evaluation.context import EvaluationContext, evaluation_context
from vqwn_kit.evaluation.external import recognise_phones
from vqwn_kit.evaluation.metrics import (
    Estimate,
    NotMeasured,
    code_runs,
    edit_distance,
    nearest_vectors,
    ratio,
)
from vqwn_kit.evaluation.metrics.tables import Shown, html_table, markdown_table, write_csv
from vqwn_kit.evaluation.phones import SOUNDS
from vqwn_kit.evaluation.swaps import (
    around,
    band_change,
    decoder_bands,
    reach_of,
    replace_code,
)
from vqwn_kit.files import counted
from vqwn_kit.runs.codes import check_code, need_codebook
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.griffin_lim import griffin_lim

NEAREST, SAME_PHONE, RANDOM = "the nearest code", "a code of the same phone", "a random code"
Choose = Callable[[int, np.random.Generator], int | None]  # a code -> what is put for it, or None


@dataclass(repr=False)
class SwapEffects(Shown):
    """What swaps of codes change; see `swap_effects`.

    Attributes:
        columns: a row per swap: utterance, frame, code, kind, what was put there, distance of the
            two codes, change of the bands in dB, and of the recognised phones, NaN where they were
            not recognised. `pandas.DataFrame(effects.columns)` takes it as it is.
        sentences: of each row, the groups of the intervals.
        skipped: measures that could not be made, with the reason.
        about: the run, and what was swapped.
    """

    columns: dict[str, list]
    sentences: list[str]
    skipped: dict[str, str] = field(default_factory=dict)
    about: str = ""

    @property
    def kinds(self) -> list[str]:
        """The kinds of swaps, in order."""
        return list(dict.fromkeys(self.columns["put there"]))

    def estimate(self, measure: str, kind: str) -> Estimate:
        """Return the mean of a column over the swaps of a kind, with its 95 % interval by sentence.

        Raises:
            NotMeasured: no swap of that kind has it.
        """
        rows = [
            (value, sentence)
            for value, put, sentence in zip(
                self.columns[measure], self.columns["put there"], self.sentences, strict=True
            )
            if put == kind and np.isfinite(value)
        ]
        values, groups = zip(*rows, strict=True) if rows else ((), ())
        return ratio(values, groups=groups)

    def _rows(self) -> tuple[list[str], list[list[str]]]:
        measures = {"distance": 2, "bands (dB)": 2, "phones": 2}
        measures = {name: n for name, n in measures.items() if name in self.columns}
        rows = []
        for kind in self.kinds:
            cells = [kind, f"{self.columns['put there'].count(kind):,}"]
            for name, digits in measures.items():
                try:
                    cells.append(_cell(self.estimate(name, kind), digits))
                except NotMeasured:
                    cells.append("-")
            rows.append(cells)
        return ["put for the code", "swaps", *measures], rows

    def _notes(self) -> list[str]:
        return [
            self.about,
            "Means, ± half of the 95 % interval by sentence. distance: of the two codes; bands: "
            "root mean square change in the reach of the swap; phones: edits between the phones "
            "that are recognised in both sounds of the sentence.",
            *(f"Not measured: {name}: {reason}." for name, reason in self.skipped.items()),
        ]

    def __str__(self) -> str:
        """Return the table as text."""
        head, rows = self._rows()
        table = markdown_table(head, rows, "l" + "r" * (len(head) - 1))
        return "\n\n".join([table, *self._notes()])

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        head, rows = self._rows()
        table = html_table(head, [("change", rows)], "l" + "r" * (len(head) - 1))
        return table + "".join(f"<p>{text}</p>" for text in self._notes())

    def save_csv(self, path: str | Path) -> Path:
        """Write the row of each swap as a CSV file; return its path."""
        return write_csv(path, self.columns)


def swap_effects(
    run: Run | str | Path,
    data=None,
    *,
    code: int | None = None,
    by: int | None = None,
    codebook: int = 0,
    swaps: int = 200,
    recognised: int = 40,
    utterances: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> SwapEffects:
    """Put codes for others in held-out speech, and measure how much that changes.

    Runs of a code are drawn; for each, the same run is replaced by a code of every kind: with `by`
    that one, else the nearest code and one of the same most frequent phone; and always a random
    code in use, which says what any change does. The bands are those of the light decoder, so no
    noise of sampling is in the numbers; phones are recognised in their sounds by Griffin-Lim.

    Args:
        run: a run with a light decoder: a first stage, or one whose WaveNet has `lpc_order`.
        data: the corpus; the run's own by default.
        code: whose runs are drawn; of all codes by default.
        by: the code that is put there, with `code`.
        codebook: of the codes.
        swaps: runs that are drawn, at most; each once.
        recognised: swaps whose sounds are recognised, which takes a second each; 0 for none.
        utterances: held-out utterances at most; all by default.
        seed: of the choices and of the first phases.
        progress: show a progress bar.

    Returns:
        A table of the kinds. Phones need the extra `eval`; `skipped` has the reason without it.

    Raises:
        InputError: no such run, corpus or code, no light decoder, or no run of the code.

    Example:
        effects = vq.evaluation.swap_effects("mini", swaps=200)
        effects.estimate("bands (dB)", "a random code").value
    """
    run = load_run(run)
    _check(run, code, by, codebook, swaps, recognised)
    context = evaluation_context(run, store_of(run, data, progress), utterances, seed, progress)
    study = _Study(context, codebook)
    rng = context.rng(7)
    drawn = study.draw(code, swaps, rng)
    choices = study.choices() if by is None else {f"code {by}": lambda own, rng: by, **study.random}
    effects = _measure(study, drawn, choices, rng, recognised)
    what = "runs of any code" if code is None else f"runs of code {code}"
    effects.about = (
        f"{run.folder.name}: {counted(len(drawn), what)} in "
        f"{counted(len(study.codes), 'held-out utterances')}."
    )
    return effects


def _check(
    run: Run, code: int | None, by: int | None, codebook: int, swaps: int, recognised: int
) -> None:
    """Raise InputError for what `swap_effects` cannot measure; see there."""
    need_codebook(run)
    if swaps < 1 or recognised < 0:
        raise InputError(
            f"swaps={swaps}, recognised={recognised}: expected 1 or more, and 0 or more"
        )
    if by is not None and code is None:
        raise InputError(f"by={by} without a code: give code, the one that it is put for")
    for value in (code, by):
        check_code(run.model.bottleneck, 0 if value is None else value, codebook)
    if run.model.decoder.get_mel_decoder() is None:
        raise InputError(
            f"{run.folder} has no light decoder: expected a first stage, or a decoder with "
            "lpc_order"
        )


class _Study:
    """The codes of held-out speech, and what may be put for each."""

    def __init__(self, context: EvaluationContext, codebook: int):
        self.context, self.codebook = context, codebook
        self.codes = {int(n): context.codes[n] for n in context.held_out}
        facts: CodeStatistics = code_statistics(context)
        own = slice(codebook * facts.num_embeddings, (codebook + 1) * facts.num_embeddings)
        self.vectors, self.used = facts.vectors[own], facts.counts[own] > 0
        self.phones = None
        if not isinstance(facts.phones, NotMeasured):
            self.phones = np.array(most_frequent(facts.phones[own], SOUNDS)[0])

    def column(self, number: int) -> np.ndarray:
        """Return the codes of the codebook in an utterance, (N,)."""
        codes = self.codes[number]
        return codes if codes.ndim == 1 else codes[:, self.codebook]

    def draw(self, code: int | None, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Return utterance and first frame of runs, drawn without replacement, in order."""
        places = [
            (number, int(start))
            for number in self.codes
            for own, start, _ in zip(*code_runs(self.column(number)), strict=True)
            if code is None or own == code
        ]
        if not places:
            raise InputError(f"no frame of {len(self.codes)} held-out utterances has code {code}")
        return [places[n] for n in rng.permutation(len(places))[:count]]

    @property
    def random(self) -> dict[str, Choose]:
        """A random code in use."""
        used = np.flatnonzero(self.used)
        return {RANDOM: lambda own, rng: _one_of(used, own, rng)}

    def choices(self) -> dict[str, Choose]:
        """Return what is put for a code, by kind."""
        near = nearest_vectors(self.vectors, 1, self.used)[0][:, 0]
        kinds: dict[str, Choose] = {
            NEAREST: lambda own, rng: int(near[own]) if near[own] >= 0 else None
        }
        phones = self.phones
        if phones is not None:
            kinds[SAME_PHONE] = lambda own, rng: _one_of(
                np.flatnonzero(self.used & (phones == phones[own])), own, rng
            )
        return kinds | self.random


def _one_of(codes: np.ndarray, own: int, rng: np.random.Generator) -> int | None:
    """Return one of some codes that is not its own; None where there is no other."""
    others = codes[codes != own]
    return int(rng.choice(others)) if len(others) else None


def _measure(
    study: _Study, drawn: list[tuple[int, int]], choices: dict[str, Choose], rng, recognised: int
) -> SwapEffects:
    """Return the effects of all kinds of swaps at the places that were drawn."""
    names = ("utterance", "frame", "code", "put there", "by", "distance", "bands (dB)", "phones")
    effects = SwapEffects({name: [] for name in names}, [])
    context, corpus = study.context, study.context.store.corpus
    for turn, (number, frame) in enumerate(context.bar(drawn, "swap")):
        own = int(study.column(number)[frame])
        chosen = {kind: choose(own, rng) for kind, choose in choices.items()}
        chosen = {kind: code for kind, code in chosen.items() if code is not None}
        if not chosen:  # no other code is in use
            continue
        changes = _band_changes(study, number, frame, list(chosen.values()))
        edits = [np.nan] * len(chosen)
        if turn < recognised and "phones" not in effects.skipped:
            try:
                edits = _phone_edits(study, number, frame, list(chosen.values()))
            except NotMeasured as reason:
                effects.skipped["phones"] = str(reason)
        for (kind, code), change, edit in zip(chosen.items(), changes, edits, strict=True):
            far = float(np.linalg.norm(study.vectors[own] - study.vectors[code]))
            key = corpus.utterances[number].key
            row = (key, frame, own, kind, code, far, change, float(edit))
            for name, value in zip(names, row, strict=True):
                effects.columns[name].append(value)
            effects.sentences += context.sentences([number])
    return effects


def _versions(study: _Study, number: int, frame: int, codes: list[int]) -> tuple[list, np.ndarray]:
    """Return the codes of an utterance as they are and with each put there; the changed frames."""
    whole, own = study.codes[number], int(study.column(number)[frame])
    pairs = [replace_code(whole, own, code, frame, study.codebook) for code in codes]
    return [whole, *(replaced for replaced, _ in pairs)], pairs[0][1]


def _bands(study: _Study, number: int, rows: list, part: slice) -> np.ndarray:
    pitch = study.context.pitch(number, len(rows[0]))
    pitch = None if pitch is None else pitch[:, part]
    speaker = study.context.speaker(number)
    bands = decoder_bands(study.context.model, [row[part] for row in rows], speaker, pitch)
    assert bands is not None
    return bands


def _band_changes(study: _Study, number: int, frame: int, codes: list[int]) -> list[float]:
    """Return the change of the bands in dB by each code, in the reach of the swap."""
    rows, changed = _versions(study, number, frame, codes)
    context = study.context.model.decoder.conditioner.context
    part = around(changed, context)
    bands = _bands(study, number, rows, part)[:, reach_of(changed, context)[part]]
    return [band_change(bands[0], after) for after in bands[1:]]


def _phone_edits(study: _Study, number: int, frame: int, codes: list[int]) -> list[int]:
    """Return the edits between the phones that are recognised before and after each swap."""
    rows, _ = _versions(study, number, frame, codes)
    model = study.context.model
    spectrum = model.decoder.get_mel_decoder().spectrum
    bands = _bands(study, number, rows, slice(None))
    sounds = [griffin_lim(row, spectrum, study.context.seed) for row in bands]
    before, *after = [recognise_phones(sound) for sound in sounds]
    return [edit_distance(before, phones) for phones in after]


def _cell(estimate: Estimate, digits: int) -> str:
    half = "" if estimate.high is None else f" ± {estimate.high - estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f}{half}"
