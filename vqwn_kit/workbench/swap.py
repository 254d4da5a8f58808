"""An utterance of a run with one code put for another -> a player of both."""

from pathlib import Path

import numpy as np

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.swaps import Swap, swap
from vqwn_kit.runs.codes import check_code, code_names, need_codebook
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.pitch import utterance_pitch
from vqwn_kit.widgets.figures import Still
from vqwn_kit.widgets.player import Player
from vqwn_kit.workbench.code_palette import code_palette
from vqwn_kit.workbench.excerpts import find_utterance
from vqwn_kit.workbench.players import opener_of, phones_of


class SwapPlayer(Player):
    """A player of an utterance before and after a swap, with the change of the spectrum as figure.

    Attributes:
        swap: the arrays: codes, frames that changed and that can change, bands and waveforms.
    """

    swap: Swap

    def figure(self):
        """Return the mel bands before and after, and their difference, as a matplotlib figure."""
        from vqwn_kit.plots import plot_swap

        if self._figure is None:
            swapped, seconds = self.swap, self.swap.waveforms.shape[1] / self.sample_rate
            marks = (swapped.changed, swapped.reach) if swapped.by_decoder else (swapped.changed,)
            names = (self.names[-2], self.names[-1])
            self._figure = plot_swap(
                *swapped.bands, seconds, *marks, names=names, figure=Still((7.6, 4.8))
            )
        return self._figure


def swap_codes(
    run: Run | str | Path,
    utterance: str,
    code: int | None,
    by: int,
    *,
    at: int | None = None,
    codebook: int = 0,
    speaker: str | None = None,
    data: Store | Corpus | str | Path | None = None,
    progress: bool = False,
    **settings,
) -> SwapPlayer:
    """Put a code for another one in an utterance, and return a player of both versions.

    Both are synthesised with the same random numbers, so that the sound of a WaveNet is the same up
    to the first frame that can change, and another draw after it. The mel bands of the light
    decoder, which `figure` draws, change in the frames within `swap.reach` and in no other.

    Args:
        run: a run, its path or its name.
        utterance: its key, such as `kumo_036`.
        code: that is replaced; None for that of the frame `at`.
        by: what is put there.
        at: a frame of the run of the code that is replaced; by default all its frames are.
        codebook: of both codes, where the model has several.
        speaker: whose voice; that of the utterance by default.
        data: the corpus; the run's own by default, where it is known.
        progress: show progress bars.
        **settings: as in `generate`: mode, temperature, top_k, seed, precision.

    Raises:
        InputError: no such run, utterance, code or speaker; no codebook, no frame of the utterance
            has the code, or neither a code nor a frame.

    Example:
        player = vq.workbench.swap_codes("mini", "kumo_036", 17, 201)
        player.figure()
    """
    run = load_run(run)
    size = need_codebook(run)
    store = store_of(run, data, progress)
    number = find_utterance(store, utterance)
    model, codes = run.model, run.model.encode(store.waveform(number))[0]
    if code is None:
        check_code(model.bottleneck, by, codebook)
        code = _code_at(codes, at, codebook)
    voice = _voice(run, store, number, speaker)
    pitch = utterance_pitch(model, store, number, progress=progress)
    settings = {"progress": progress, "pitch": pitch, **settings}
    swapped = swap(model, codes, voice, code, by, at=at, codebook=codebook, **settings)
    names = code_names(size, model.bottleneck.num_codebooks)[codebook * size :]
    return _player(run, store, number, swapped, f"{names[by]} for {names[code]}")


def _voice(run: Run, store: Store, number: int, speaker: str | None) -> str:
    """Return the speaker, by default that of an utterance, if the run knows them."""
    member = store.corpus.utterances[number]
    if speaker is None and member.speaker not in run.speakers:
        raise InputError(
            f"{run.folder} does not know the speaker of {member.key}, {member.speaker}: give "
            f"speaker, one of {', '.join(run.speakers)}"
        )
    return speaker or member.speaker


def _player(run: Run, store: Store, number: int, swapped: Swap, what: str) -> SwapPlayer:
    """Return a player of an utterance, and of both versions of its codes."""
    hop = run.model.hop_length
    names = ("recording", "its codes", what)
    waveforms = (store.waveform(number), *swapped.waveforms)
    codes = (swapped.codes[0], *swapped.codes)
    edges = np.flatnonzero(np.diff([0, *swapped.changed.astype(int), 0])).reshape(-1, 2)
    key, count = store.corpus.utterances[number].key, swapped.changed.sum()
    player = SwapPlayer(
        dict(zip(names, waveforms, strict=True)),
        store.sample_rate,
        codes=dict(zip(names, codes, strict=True)),
        hop_length=hop,
        phones=phones_of(store, number),
        marks=(edges * hop / store.sample_rate).tolist(),
        palette=code_palette(run),
        title=f"{key}: code {what} in {count} frame{'s' if count > 1 else ''}",
        **opener_of(run, store),
    )
    player.swap = swapped
    player.answers = run.folder / "listening.csv"
    return player


def _code_at(codes: np.ndarray, at: int | None, codebook: int) -> int:
    """Return the code of a codebook in a frame of codes (N,) or (N, Q)."""
    if at is None or not 0 <= at < len(codes):
        raise InputError(f"code=None, at={at}: give a code, or a frame from 0 to {len(codes) - 1}")
    return int(codes[at] if codes.ndim == 1 else codes[at, codebook])
