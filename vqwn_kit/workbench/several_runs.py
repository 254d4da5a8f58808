"""Runs and steps as users give them -> runs by name, and the corpus that all are compared on."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run

MOST_RUNS = 8  # a player has nine keys, one of them for the recording
Given = Run | str | Path


def open_runs(given: Iterable[Given] | Mapping[str, Given]) -> dict[str, Run]:
    """Return runs by name, each at its step.

    Raises:
        InputError: no such run or step, fewer than two, more than eight, or two of the same name.
    """
    if isinstance(given, str | Path | Run):
        given = [given]
    named = given if isinstance(given, Mapping) else None
    given = list(given if named is None else named.values())
    for run in given:
        if not isinstance(run, Run | str | Path):
            raise InputError(
                f"{run!r} is no run: expected a Run, its path or its name; a step is a checkpoint, "
                "such as mini/weights-1000"
            )
    if not 2 <= len(given) <= MOST_RUNS:
        raise InputError(f"{len(given)} runs; a comparison takes 2 to {MOST_RUNS} runs or steps")
    runs = [load_run(run) for run in given]
    names = names_of(runs) if named is None else list(map(str, named))
    for name, run in zip(names, runs, strict=True):
        if names.count(name) > 1 or name == "recording":
            why = "as that track is" if name == "recording" else "as another run is"
            raise InputError(
                f"{run.folder} at step {run.newest} cannot be named {name!r}, {why}: give each run "
                "and step once, or names of your own, {'before': ..., 'after': ...}"
            )
    return dict(zip(names, runs, strict=True))


def names_of(runs: Sequence[Run]) -> list[str]:
    """Return the names of runs: the folder, `mini` or `a/mini`; of its steps `mini, step 1,000`."""
    folders = [run.folder.resolve() for run in runs]
    parts = 1
    while len({folder.parts[-parts:] for folder in folders}) < len(set(folders)):
        parts += 1
    names = ["/".join(folder.parts[-parts:]) for folder in folders]
    return [
        f"{name}, step {run.newest:,}" if names.count(name) > 1 else name
        for name, run in zip(names, runs, strict=True)
    ]


def shared_store(
    runs: dict[str, Run], data: Store | Corpus | str | Path | None, progress: bool
) -> Store:
    """Return the corpus that all runs are compared on; InputError where there is none."""
    rates = {name: (run.config.get("data") or {}).get("sample_rate") for name, run in runs.items()}
    store = None if data is None else store_of(next(iter(runs.values())), data, progress)
    rates["the corpus"] = None if store is None else store.sample_rate
    rates = {name: rate for name, rate in rates.items() if rate is not None}
    if len(set(rates.values())) > 1:
        listed = ", ".join(f"{name} {rate} Hz" for name, rate in rates.items())
        raise InputError(
            f"different sample rates, {listed}: all tracks of a player have one. Compare runs of "
            "the same rate, on a corpus of that rate, data=prepare(corpus, sample_rate=...)"
        )
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
