"""The corpus that a run was trained on: noted in its `config.json`, or found by its name.

`data` in the config says where the corpus was, how it was opened and prepared, and the identity of
its store; None for an iterable. A run that was resumed on another corpus lists those before in
`earlier`, each with the step until which it was trained on.
"""

import json
import os
from pathlib import Path

from vqwn_kit.data.corpus import Corpus, find_folder, open_corpus
from vqwn_kit.data.store import Store, is_prepared, prepare
from vqwn_kit.errors import InputError
from vqwn_kit.files import project_root
from vqwn_kit.runs.run import Run

FINDABLE = {"mini": "mini", "vctk-corpus": "VCTK", "librispeech": "LibriSpeech"}
OPENED = ("layout", "microphone", "pattern", "hold_out")  # keywords of `open_corpus`
PREPARED = ("sample_rate", "trim_db", "level_db")  # keywords of `prepare`


def corpus_facts(store: Store | None) -> dict | None:
    """Return what the config of a run says of its corpus; see above."""
    if store is None:
        return None
    settings = json.loads((store.folder / "settings.json").read_text(encoding="utf-8"))
    return {
        "folder": _shortest(store.corpus.folder),
        "store": store.identity,
        **{name: store.corpus.choices.get(name) for name in OPENED},
        **{name: settings.get(name) for name in PREPARED},
    }


def _shortest(folder: Path) -> str:
    """Return a path below the project where the folder is in one, else the whole path."""
    whole, root = Path(os.path.abspath(folder)), project_root().resolve()
    shipped = (root / "data" / "mini").is_dir()  # else the root is the working folder of today
    inside = shipped and whole.is_relative_to(root)
    return whole.relative_to(root).as_posix() if inside else str(whole)


def same_content(facts: dict, others: dict) -> bool:
    """Return whether two corpora hold the same recordings, splits and settings."""
    one, two = (str(f.get("store")).rpartition("-")[2] for f in (facts, others))
    return one == two


def knows_corpus(run: Run) -> bool:
    """Return whether `store_of` finds the corpus of a run without help."""
    return _folder_of(run) is not None


def _folder_of(run: Run) -> Path | None:
    """Return the folder of the corpus of a run, where it is there."""
    facts = run.config.get("data") or {}
    if isinstance(facts.get("folder"), str) and (project_root() / facts["folder"]).is_dir():
        return project_root() / facts["folder"]
    try:
        folder = find_folder(FINDABLE[run.config["corpus"]])
    except (KeyError, InputError):
        return None
    return folder if folder.is_dir() else None


def store_of(
    run: Run, data: Store | Corpus | str | Path | None = None, progress: bool = True
) -> Store:
    """Return the prepared corpus that was given, or by default the one a run was trained on.

    Args:
        run: the run.
        data: a store, which is returned as it is, a corpus or its folder.
        progress: show a progress bar while the corpus is prepared.

    Raises:
        InputError: no data was given, and the corpus of the run cannot be found.
    """
    if isinstance(data, Store):
        return data
    if data is not None:
        corpus = data if isinstance(data, Corpus) else open_corpus(data)
        return prepare(corpus, progress=progress)
    folder = _folder_of(run)
    if folder is None:
        facts = run.config.get("data")
        where = f" ({facts['folder']})" if facts else ""
        raise InputError(
            f"{run.folder} was trained on the corpus {run.config['corpus']!r}{where}, which is not "
            "there or not known: give the folder (data=, or --data)"
        )
    corpus, settings = _opened(run, folder)
    return prepare(corpus, progress=progress, **settings)


def prepared_store_of(run: Run) -> Store | None:
    """Return the prepared corpus that a run was trained on; None where `store_of` would decode.

    None, too, where its folder is not there or holds no speech any more.
    """
    folder = _folder_of(run)
    if folder is None:
        return None
    try:
        corpus, settings = _opened(run, folder)
        prepared = is_prepared(corpus, **settings)
        return prepare(corpus, progress=False, **settings) if prepared else None
    except InputError:
        return None


def _opened(run: Run, folder: Path) -> tuple[Corpus, dict]:
    """Return the corpus in a folder, opened as in a run's training, and the settings of its store.

    Raises:
        InputError: see `open_corpus`.
    """
    facts = run.config.get("data") or {}
    opened = {name: facts[name] for name in OPENED if facts.get(name) is not None}
    return open_corpus(folder, **opened), {name: facts[name] for name in PREPARED if name in facts}
