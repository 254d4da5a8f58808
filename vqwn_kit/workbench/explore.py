"""A run -> a map to click on; the three maps are built in `*_map.py`."""

import inspect
from pathlib import Path

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import one_of
from vqwn_kit.runs.run import Run
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.workbench.codebook_map import codebook_map
from vqwn_kit.workbench.frame_map import frame_map
from vqwn_kit.workbench.speaker_map import speaker_map

MAPS = {"codebook": codebook_map, "speakers": speaker_map, "frames": frame_map}


def explore(
    run: Run | str | Path,
    what: str = "codebook",
    data: Store | Corpus | str | Path | None = None,
    *,
    progress: bool = True,
    **settings,
) -> Explorer:
    """Return a map of a run to click on: of its codes, its speakers, or frames of held-out speech.

    The key O opens the page of a code, see `code_page`; `table` and `save_csv` take what was chosen
    by a drag with Shift, or all.

    Args:
        run: a run, its path, or the name of a shipped one.
        what: `codebook`: a point per code of each codebook, with its use, neighbours and
            followers; a click plays speech that has the code, or the decoder holding it, with the
            codes of other codebooks that are most frequent beside it. `speakers`: a point per
            speaker embedding; a click plays a recording, or the decoder in that voice. `frames`: a
            point per encoder output z_e, among the codes (crosses); a click plays the speech
            around it.
        data: the corpus; the run's own by default, where it is known.
        progress: show progress bars.
        **settings: of `codebook`: `speaker`, the voice of the decoder, the first by default.
            Of `speakers`: `utterance`, the key of what every voice says, the first held-out one by
            default, and `seconds`, the longest sound, 2.5 by default.
            Of `frames`: `frames`, how many at most, 1200 by default.
            Of `codebook` and `frames`: `methods`, `pca`, `umap` or both, which is the default (the
            first UMAP takes half a minute); and `utterances`, how many held-out ones are examined
            beside up to 240 of training, all by default.

    Raises:
        InputError: no such run, corpus, map, setting, speaker or utterance; no codebook.

    Example:
        vq.explore("mini", "codebook", methods=["pca"])
    """
    if what not in MAPS:
        raise one_of("map", what, MAPS)
    parameters = inspect.signature(MAPS[what]).parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    for name in settings:
        if name not in names:
            raise one_of(f"setting of explore(run, {what!r})", name, names)
    return MAPS[what](run, data, progress, **settings)
