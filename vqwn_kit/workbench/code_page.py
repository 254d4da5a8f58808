"""A run -> the pages of its codes: speech that has a code, and what is known about it."""

from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.code_profile import CodeProfiles
from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.frames import frame_index
from vqwn_kit.evaluation.metrics import code_runs
from vqwn_kit.runs.run import Run
from vqwn_kit.widgets.code_page import CodeFacts, CodePage, Moments
from vqwn_kit.workbench.code_index import index_row, write_index
from vqwn_kit.workbench.code_palette import code_palette
from vqwn_kit.workbench.code_panels import panels_of, tiles_of
from vqwn_kit.workbench.examine import examine_codes
from vqwn_kit.workbench.frame_excerpts import (
    AROUND,
    excerpt_with_codes,
    recording_of,
    squeezed,
)

EXAMPLES, EXAMPLES_OF_ALL = 9, 4  # a player has nine keys; less for each of hundreds of pages


class CodePages:
    """The pages of all codes of a run; what they show is counted once.

    Args:
        context: the run and its utterances.
        examples: frames to hear on each page, at most.
    """

    def __init__(self, context: EvaluationContext, examples: int = EXAMPLES):
        if not 1 <= examples <= EXAMPLES:
            raise InputError(f"examples={examples}; expected 1 to {EXAMPLES}")
        self.context, self.examples = context, examples
        self.index = frame_index(context)
        self.profiles = CodeProfiles(self.index)

    @cached_property
    def palette(self) -> np.ndarray:
        """The colours of the codes, uint8 (Q K, 3); see `code_palette`."""
        return code_palette(self.context.run)

    def page(self, token: int) -> CodePage:
        """Return the page of the code with a token, q K + k of code k of codebook q."""
        return CodePage(
            self.facts,
            token,
            find=self.find,
            sample_rate=self.context.store.sample_rate,
            hop_length=self.context.model.hop_length,
            palette=self.palette,
            title=self.context.run.folder.name,
        )

    def facts(self, token: int) -> CodeFacts:
        """Return what a page shows of a code.

        Raises:
            InputError: no such token.
        """
        if not 0 <= token < len(self.profiles.names):
            raise InputError(f"no code {token}; there are 0 to {len(self.profiles.names) - 1}")
        profile = self.profiles[token]
        tracks, strips = {}, {"codes": {}, "phones": {}, "marks": {}}
        for frame in profile.strongest[: self.examples].tolist():
            name = self.index.name(frame)
            tracks[name], *below = excerpt_with_codes(self.index, frame, token)
            for strip, part in zip(strips.values(), below, strict=True):
                strip[name] = part
        note = "Each track is the frame of an utterance that is nearest to the code, marked, and "
        note += f"{AROUND:g} s of speech around it; the nearest comes first."
        if not tracks:
            note = f"No frame of {len(self.index.bounds)} utterances has this code."
        tiles, panels = tiles_of(profile, self.index), panels_of(profile, self.profiles)
        return CodeFacts(token, profile.name, tiles, panels, tracks, strips, note)

    def find(self, recording, sample_rate: int | None, token: int) -> Moments:
        """Return where a recording takes a code; see `CodePage.try_on`."""
        waveform = recording_of(self.context.store, recording, sample_rate)[0]
        codebook, code = divmod(token, self.profiles.size)
        frames = self.index.encoder(waveform)
        runs = zip(*code_runs(frames.codes[:, codebook]), strict=True)
        own = [(start, start + length) for of, start, length in runs if of == code]
        far = frames.distances[:, codebook]
        seconds = [tuple(float(n) / self.context.frame_rate for n in span) for span in own]
        distances = [float(far[start:end].min()) for start, end in own]
        nearest = [] if own else self._nearest(token, np.unique(frames.codes[:, codebook]))
        return Moments(waveform, squeezed(frames.codes), seconds, distances, nearest)

    def _nearest(self, token: int, codes: np.ndarray) -> list[str]:
        """Return the names of three of some codes, int (n,), of a codebook nearest to another."""
        tokens = codes + token // self.profiles.size * self.profiles.size
        vectors = self.profiles.vectors
        far = np.linalg.norm(vectors[tokens] - vectors[token], axis=1)
        return [self.profiles.names[n] for n in tokens[np.argsort(far, kind="stable")[:3]]]

    def save(self, folder: str | Path, progress: bool = False) -> list[Path]:
        """Write a page per code, and `index.html` with a table of all; return the paths.

        The index comes last. Each page is one file that plays, and links to the others.
        """
        from threadpoolctl import threadpool_limits
        from tqdm import tqdm

        folder, names = Path(folder), [file_of(name) for name in self.profiles.names]
        folder.mkdir(parents=True, exist_ok=True)
        written, rows = [], []
        page = self.page(0)
        with threadpool_limits(1):  # of spectrograms so small that threads take longer
            for token in tqdm(range(len(names)), desc="pages", unit="code", disable=not progress):
                page.show_code(token)
                near = {row.token for panel in page.facts.panels for row in panel.rows}
                page.hrefs = {n: names[n] for n in near if n >= 0} | {"index": "index.html"}
                written.append(page.save_html(folder / names[token]))
                profile = self.profiles[token]
                rows.append(index_row(profile, names[token], self.context.frame_rate))
        title = f"{self.context.run.folder.name}: {len(rows)} codes"
        return [*written, write_index(folder / "index.html", title, rows)]


OPENS = "page of code"  # what the button of a map, player or strip says


def page_opener(context: Callable[[], EvaluationContext]) -> dict:
    """Return `open` and `opens` of a widget, for the pages of the codes of a run, by token.

    The frames are encoded when the first page is opened.
    """
    pages = cache(lambda: CodePages(context()))
    return {"open": lambda token: pages().page(token), "opens": OPENS}


def code_page(
    run: Run | str | Path,
    code: int,
    data: Store | Corpus | str | Path | None = None,
    *,
    codebook: int = 0,
    examples: int = EXAMPLES,
    utterances: int | None = None,
    progress: bool = True,
) -> CodePage:
    """Return the page of a code: speech that has it, and what is known about it.

    Its strongest frames in context, in a player; its phones, voices, durations and place in the
    word or phone; the codes before and after it, its neighbours, and the distances of its frames.
    Other codes are a click away; `try_on` marks the moments of a recording that take the code, and
    `save_html` writes one file that plays. Lifts are shares over the shares among all frames.

    Args:
        run: a run, its path, or the name of a shipped one.
        code: its number, 0 to K - 1.
        data: the corpus; the run's own by default, where it is known.
        codebook: of the code, where the model has several.
        examples: frames to hear, 1 to 9, each of another utterance.
        utterances: held-out ones that are examined beside up to 240 of training; all by default.
        progress: show progress bars.

    Raises:
        InputError: no such run, corpus, code or codebook; no codebook.

    Example:
        page = vq.code_page("mini", 17)
        print(page)                          # phones, voices, codes before and after
        pandas.DataFrame(page.table())
        page.try_on("my.wav")                # [(0.41, 0.43), ...]
        page.save_html("code-17.html")
    """
    pages = CodePages(examine_codes(run, data, progress, utterances), examples)
    return pages.page(pages.profiles.token(code, codebook))


def save_code_pages(
    run: Run | str | Path,
    folder: str | Path,
    data: Store | Corpus | str | Path | None = None,
    *,
    examples: int = EXAMPLES_OF_ALL,
    utterances: int | None = None,
    progress: bool = True,
) -> list[Path]:
    """Write the pages of all codes of a run, and `index.html` with a table of them.

    Args:
        run: see `code_page`.
        folder: created where it is missing; files of the same names are replaced.
        data: see `code_page`.
        examples: frames to hear on each page, 1 to 9; each takes 35 kB.
        utterances: see `code_page`.
        progress: show progress bars.

    Returns:
        The paths, that of the index last.

    Raises:
        InputError: see `code_page`.
    """
    pages = CodePages(examine_codes(run, data, progress, utterances), examples)
    return pages.save(folder, progress)


def file_of(name: str) -> str:
    """Return the name of a code's file: `17` -> `code_0017.html`, `1:17` -> `code_1_0017.html`."""
    *codebook, code = name.split(":")
    return "_".join(["code", *codebook, f"{int(code):04d}"]) + ".html"
