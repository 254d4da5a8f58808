"""A run -> a map of frames of held-out speech as the encoder outputs them, among the codes.

Of several codebooks a cross is the vector of all codes of a frame.
"""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.evaluation.code_usage import quantized_vectors, sample_frames
from vqwn_kit.evaluation.metrics.intervals import NotMeasured
from vqwn_kit.evaluation.phones import KIND_OF
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.points import Colour, Link
from vqwn_kit.workbench.code_page import page_opener
from vqwn_kit.workbench.codebook_map import METHODS, projections
from vqwn_kit.workbench.examine import examine_codes
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
    facts = sample_frames(context, frames)
    used, code_of = np.unique(facts.codes, axis=0, return_inverse=True)
    several, code_of = used.ndim > 1, code_of.reshape(-1)
    names_of = [" ".join(map(str, codes)) for codes in used] if several else list(map(str, used))
    count, blank = len(facts.z_e), [""] * len(used)
    speakers = [*facts.speakers, *blank]
    distances = [*facts.distance, *[np.nan] * len(used)]
    colours = [Colour("speaker", speakers), Colour("distance to its code", distances)]
    texts = {"code": [*(names_of[n] for n in code_of), *blank], "speaker": speakers}
    if isinstance(facts.phones, NotMeasured):
        texts["phone"] = [f"not known: {facts.phones}"] * count + blank
    else:
        texts["phone"] = [*facts.phones, *blank]
        colours.insert(0, Colour("phone", texts["phone"], groups=KIND_OF))
    to = np.full((count + len(used), 1), -1)
    to[:count, 0] = count + code_of

    def around(point: int) -> np.ndarray:
        if point >= count:
            return examples(context, used[point - count])
        return excerpt(context, facts.utterances[point], facts.places[point])

    opener = page_opener(lambda: context)
    first = used[:, 0] if several else used  # the page of a frame is that of its first code
    page = opener.pop("open")
    opener["open"] = lambda point: page(first[point - count if point >= count else code_of[point]])
    size = context.model.bottleneck.num_embeddings
    of = f"of their codes, {used.shape[1]} each" if several else f"of {size} codes"
    names = [f"{key} {t:.2f} s" for key, t in zip(facts.keys, facts.seconds, strict=True)]
    return Explorer(
        projections(np.concatenate([facts.z_e, quantized_vectors(context, used)]), methods),
        names + [f"code {name}" for name in names_of],
        colours=colours,
        facts=texts,
        links=[Link("its code", to)],
        hear={"speech around it": around},
        crosses=np.arange(len(to)) >= count,
        cross_name="codes",
        numbers=[-1] * len(to) if several else [-1] * count + used.tolist(),
        sample_rate=context.store.sample_rate,
        **opener,
        title=f"{context.run.folder.name}: {count} frames and {len(used)} {of}",
    )
