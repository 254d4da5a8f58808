"""Runs and steps as users give them -> runs by name, what they differ in, the corpus they share."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.naming import flat_settings
from vqwn_kit.runs.run import Run, load_run

MOST_RUNS = 8  # a player has nine keys, one of them for the recording
BOOKKEEPING = ("log_every", "save_every", "validate_every", "keep", "jit_compile")
Given = Run | str | Path | tuple[Run | str | Path, int]
Data = Store | Corpus | str | Path | None


def open_runs(given: Iterable[Given] | Mapping[str, Given]) -> dict[str, Run]:
    """Return runs by name, each at its step.

    Raises:
        InputError: no such run or step, fewer than two, more than eight, or the same twice.
    """
    if isinstance(given, str | Path | Run):
        given = [given]
    named = given if isinstance(given, Mapping) else None
    runs = [_open(run) for run in (given if named is None else named.values())]
    if not 2 <= len(runs) <= MOST_RUNS:
        raise InputError(f"{len(runs)} runs; a comparison takes 2 to {MOST_RUNS} runs or steps")
    places = [(run.folder.resolve(), run.prefix, run.newest) for run in runs]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise InputError(f"{runs[number].folder} at step {place[2]} is given twice")
    names = names_of(runs) if named is None else list(map(str, named))
    if "recording" in names:
        raise InputError("a run cannot be named 'recording', as that track is: give another name")
    return dict(zip(names, runs, strict=True))


def _open(given: Given) -> Run:
    """Return a run at its step, which may stand behind an @ or in a pair."""
    step = None
    if isinstance(given, tuple | list):
        if len(given) != 2:
            raise InputError(f"{given!r}: expected a run, or a pair of a run and a step")
        given, step = given
    elif isinstance(given, str) and not Path(given).exists():
        match = re.fullmatch(r"(.+)@([0-9]{1,18})", given)
        given, step = (match[1], match[2]) if match else (given, None)
    run = load_run(given)
    if step is None:
        return run
    if str(step) not in map(str, run.steps):
        raise one_of(f"checkpoint of {run.folder.name} of step", str(step), map(str, run.steps))
    return Run(run.folder / f"{run.prefix}-{step}")


def names_of(runs: Sequence[Run]) -> list[str]:
    """Return what runs differ in: `mini`, `a/mini`, `step 1,000`, or `mini, step 1,000`."""
    folders = [run.folder.resolve() for run in runs]
    steps = [f"step {run.newest:,}" for run in runs]
    if len(set(folders)) == 1:
        return steps if len(set(steps)) == len(runs) else [f"{r.prefix}-{r.newest}" for r in runs]
    parts = 1
    while len({folder.parts[-parts:] for folder in folders}) < len(set(folders)):
        parts += 1
    names = ["/".join(folder.parts[-parts:]) for folder in folders]
    if len(set(names)) == len(runs):
        return names
    return [
        f"{name}, {step}" if names.count(name) > 1 else name
        for name, step in zip(names, steps, strict=True)
    ]


def differing_settings(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return the settings in which the presets of runs differ, a text per run, by dotted name.

    Of a part whose class differs, only the class; not when a training saves or validates.
    """
    every = [flat_settings(run.preset.to_dict()) for run in runs]
    names = dict.fromkeys(name for settings in every for name in settings)
    rows = {name: [str(settings.get(name, "-")) for settings in every] for name in names}
    rows = {name: row for name, row in rows.items() if len(set(row)) > 1}
    parts = [name.removesuffix("class_name") for name in rows if name.endswith(".class_name")]
    return {
        name: row
        for name, row in rows.items()
        if name.rpartition(".")[2] not in BOOKKEEPING
        and not any(name.startswith(part) and name != f"{part}class_name" for part in parts)
    }


def shared_store(runs: dict[str, Run], data: Data, progress: bool) -> Store:
    """Return the corpus that all runs are compared on; InputError where there is none."""
    rates = {name: (run.config.get("data") or {}).get("sample_rate") for name, run in runs.items()}
    store = None if data is None else store_of(next(iter(runs.values())), data, progress)
    if store is not None:
        rates["the corpus"] = store.sample_rate
    rates = {name: rate for name, rate in rates.items() if rate is not None}
    if len(set(rates.values())) > 1:
        listed = ", ".join(f"{name} {rate} Hz" for name, rate in rates.items())
        raise InputError(f"different sample rates cannot be under one playhead: {listed}")
    if store is not None:
        return store
    corpora = {name: run.config["corpus"] for name, run in runs.items()}
    if len(set(corpora.values())) == 1:
        stores = {name: store_of(run, None, progress) for name, run in runs.items()}
        corpora = {name: store.identity for name, store in stores.items()}
        if len(set(corpora.values())) == 1:
            return next(iter(stores.values()))
    listed = ", ".join(f"{name} on {corpus}" for name, corpus in corpora.items())
    raise InputError(
        f"the runs were trained on different corpora, or on one that was prepared differently: "
        f"{listed}: give the one to compare them on (data=)"
    )
