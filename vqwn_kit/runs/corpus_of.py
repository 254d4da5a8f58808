"""The corpus that a run was trained on, where it can be found by its name."""

from pathlib import Path

from vqwn_kit.data.corpus import Corpus, find_folder, open_corpus
from vqwn_kit.data.store import Store, prepare
from vqwn_kit.errors import InputError
from vqwn_kit.runs.run import Run

FINDABLE = {"mini": "mini", "vctk-corpus": "VCTK", "librispeech": "LibriSpeech"}


def knows_corpus(run: Run) -> bool:
    """Return whether `store_of` finds the corpus of a run without help."""
    try:
        return find_folder(FINDABLE[run.config["corpus"]]).is_dir()
    except (KeyError, InputError):
        return False


def store_of(
    run: Run, data: Store | Corpus | str | Path | None = None, progress: bool = True
) -> Store:
    """Return the prepared corpus that was given, or by default the one a run was trained on.

    Args:
        run: the run.
        data: a store, which is returned as it is, a corpus or its folder.
        progress: show a progress bar while the corpus is prepared.

    Raises:
        InputError: no data was given, and the corpus of the run cannot be found by its name.
    """
    if isinstance(data, Store):
        return data
    if data is None:
        name = run.config["corpus"]
        if name not in FINDABLE:
            raise InputError(
                f"{run.folder} was trained on the corpus {name!r}, whose folder is not known: give "
                "the folder (data=, or --data)"
            )
        data = FINDABLE[name]
    corpus = data if isinstance(data, Corpus) else open_corpus(data)
    return prepare(corpus, progress=progress)
