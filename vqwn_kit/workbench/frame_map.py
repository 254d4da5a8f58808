"""A run -> a map of frames of held-out speech as the encoder outputs them, among the codes."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.evaluation.code_usage import codebook_vectors, sample_frames
from vqwn_kit.evaluation.metrics.intervals import NotMeasured
from vqwn_kit.evaluation.phones import KIND_OF
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.points import Colour, Link
from vqwn_kit.workbench.codebook_map import METHODS, examine_codes, projections
from vqwn_kit.workbench.excerpts import examples, excerpt


def frame_map(
    run,
    data,
    progress: bool,
    *,
    frames: int = 1200,
    methods: Sequence[str] = METHODS,
    utterances: int | None = None,
) -> Explorer:
    """Return the map of the frames; see `explore`."""
    context = examine_codes(run, data, progress, utterances)
    facts, codebook = sample_frames(context, frames), codebook_vectors(context)
    used = np.unique(facts.codes)
    count, blank = len(facts.z_e), [""] * len(used)
    speakers = [*facts.speakers, *blank]
    distances = [*facts.distance, *[np.nan] * len(used)]
    colours = [Colour("speaker", speakers), Colour("distance to its code", distances)]
    texts = {"code": [*map(str, facts.codes), *blank], "speaker": speakers}
    if isinstance(facts.phones, NotMeasured):
        texts["phone"] = [f"not known: {facts.phones}"] * count + blank
    else:
        texts["phone"] = [*facts.phones, *blank]
        colours.insert(0, Colour("phone", texts["phone"], groups=KIND_OF))
    to = np.full((count + len(used), 1), -1)
    to[:count, 0] = count + np.searchsorted(used, facts.codes)

    def around(point: int) -> np.ndarray:
        if point >= count:
            return examples(context, int(used[point - count]))
        return excerpt(context, facts.utterances[point], facts.places[point])

    names = [f"{key} {t:.2f} s" for key, t in zip(facts.keys, facts.seconds, strict=True)]
    return Explorer(
        projections(np.concatenate([facts.z_e, codebook[used]]), methods),
        names + [f"code {code}" for code in used],
        colours=colours,
        facts=texts,
        links=[Link("its code", to)],
        hear={"speech around it": around},
        crosses=np.arange(len(to)) >= count,
        cross_name="codes",
        numbers=[-1] * count + used.tolist(),
        sample_rate=context.store.sample_rate,
        title=f"{context.run.folder.name}: {count} frames and {len(used)} of {len(codebook)} codes",
    )
