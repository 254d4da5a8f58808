"""Waveforms, codes and phones -> a player that switches between tracks at the same sample."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import traitlets as t

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.waveforms import as_waveform
from vqwn_kit.widgets.arrays import (
    BANDS,
    FRAME,
    checked_codes,
    colour_map,
    frequency_marks,
    matching_gains,
    mel_picture,
    paint_codes,
    to_pcm,
)
from vqwn_kit.widgets.base import BY_PAGE, OpeningWidget, module_of
from vqwn_kit.widgets.blind import BlindTest


class Player(OpeningWidget):
    """Tracks under one playhead, with spectrogram, codes and phones.

    Click to seek, drag to loop; the line below the player lists the keys. All tracks run together
    and only their gains change, so that a switch keeps the position to the sample.

    Args:
        tracks: waveforms (T,) in [-1, 1] by name. They may differ in length.
        sample_rate: of all, in Hz.
        codes: int (N,) or (1, N), drawn as a strip below; of Q codebooks (N, Q) or (1, N, Q), drawn
            as Q rows.
        hop_length: samples per frame; by default the codes are spread evenly.
        phones: (start, end, phone) in seconds, as `phone_times` returns them.
        marks: (start, end) in seconds of what is marked, such as the frames with a code.
        title: of the player.
        palette: colours of the codes, uint8 (Q K, 3), as `code_palette` of a run returns them.
        **settings: `open`, a function of a code that returns a widget to show below, and `opens`,
            what its button says; see `OpeningWidget`.

    Codes, phones, marks and palette may be given by track, in a dict of names, where they differ.

    Attributes:
        active: number of the track that is audible; `track` is its name.
        position: of the playhead in seconds, ten times per second while playing; set it to seek.
        playing: whether it plays.
        loop: (start, end) in seconds, or () for none.
        view: (start, end) in seconds of what is drawn.
        matched: whether all tracks are brought to one level; off until somebody asks for it.
        gains_db: the gain of each track in dB then, see `matching_gains`.
        blind_test: the blind test in progress, or None.
        answers: the CSV that answers of blind tests are added to.
        item: what the answers say was played; the title where it is "".

    Raises:
        InputError: no tracks, or one that is not a waveform; codes or phones of another shape.

    Example:
        player = Player({"original": wave, "as joe": converted}, codes=model.encode(wave))
        player.blind("abx", save="results/mini/listening.csv")
    """

    _esm = module_of("player")

    sample_rate = t.Int(16_000).tag(sync=True)
    names = t.List(t.Unicode()).tag(sync=True)
    pcm = t.List(t.Bytes()).tag(sync=True)
    spectrograms = t.List(t.Bytes()).tag(sync=True)
    spectrogram_form = t.List(t.Int()).tag(sync=True)  # bands, samples per column
    frequency_marks = t.List(t.List()).tag(sync=True)  # (label, height 0 to 1)
    codes = t.List().tag(sync=True)  # N codes, or N lists of Q
    hop_length = t.Float(1.0).tag(sync=True)
    phones = t.List(t.List()).tag(sync=True)
    marks = t.List(t.List()).tag(sync=True)
    code_colours = t.Bytes().tag(sync=True)
    own = t.List(t.Dict()).tag(sync=True)  # codes, code_colours, phones and marks by track
    magma = t.Bytes().tag(sync=True)
    gains_db = t.List(t.Float()).tag(sync=True)
    notes = t.Unicode("").tag(sync=True)
    active = t.Int(0).tag(**BY_PAGE)
    position = t.Float(0.0).tag(**BY_PAGE)
    playing = t.Bool(False).tag(**BY_PAGE)
    loop = t.List(t.Float()).tag(**BY_PAGE)
    view = t.List(t.Float()).tag(**BY_PAGE)
    matched = t.Bool(False).tag(**BY_PAGE)
    blind_state = t.Dict().tag(sync=True)

    def __init__(
        self,
        tracks: dict[str, np.ndarray],
        sample_rate: int = 16_000,
        *,
        codes: Sequence[int] | np.ndarray | dict | None = None,
        hop_length: int | None = None,
        phones: Sequence[tuple[float, float, str]] | dict | None = None,
        marks: Sequence[tuple[float, float]] | dict | None = None,
        title: str = "",
        palette: np.ndarray | dict | None = None,
        **settings,
    ):
        if not sample_rate > 0:
            raise InputError(f"sample_rate={sample_rate}; expected Hz, such as 16000")
        self.blind_test: BlindTest | None = None
        self._palette = palette
        self.answers, self.item = Path("listening.csv"), ""
        content = self._content(tracks, int(sample_rate), codes, hop_length, phones, marks)
        super().__init__(
            title=title,
            sample_rate=int(sample_rate),
            spectrogram_form=[BANDS, FRAME],
            frequency_marks=frequency_marks(sample_rate),
            magma=colour_map("magma"),
            **content | settings,
        )

    def load(self, tracks: dict[str, np.ndarray], **settings) -> None:
        """Replace the tracks of the player that is shown.

        Args:
            tracks: as in `Player`.
            **settings: codes, hop_length, phones and marks, as in `Player`.

        Raises:
            InputError: as for a new player, or during a blind test.
        """
        if self.blind_test is not None:
            raise InputError("a blind test is in progress: end it first, with reveal()")
        content = self._content(tracks, self.sample_rate, **settings)
        with self.hold_sync():
            self.playing, self.loop, self.view = False, [], []
            self.active = min(self.active, len(content["names"]) - 1)
            self.position = min(self.position, self.duration)
            for name, value in content.items():
                setattr(self, name, value)

    def _content(
        self, tracks, sample_rate, codes=None, hop_length=None, phones=None, marks=None
    ) -> dict:
        """Check the tracks, keep them, and return them as traits."""
        if not tracks:
            raise InputError("no tracks; expected waveforms by name, {'original': waveform}")
        tracks = {str(name): as_waveform(wave, name, clip=False) for name, wave in tracks.items()}
        longest = max(map(len, tracks.values()))
        padded = [np.pad(wave, (0, longest - len(wave))) for wave in tracks.values()]
        clipped = [name for name, wave in tracks.items() if np.abs(wave).max() > 1.0]
        own, below = [], (codes, phones, marks, self._palette)
        shared = self._strip(*(None if isinstance(part, dict) else part for part in below))
        if any(isinstance(part, dict) for part in below):
            by_track = [
                part if isinstance(part, dict) else dict.fromkeys(tracks, part) for part in below
            ]
            own = [self._strip(*(part.get(name) for part in by_track)) for name in tracks]
        frames = max([len(strip["codes"]) for strip in (shared, *own)])
        self.tracks, self._figure = tracks, None
        return {
            "names": list(tracks),
            "pcm": [to_pcm(wave) for wave in padded],
            "spectrograms": [mel_picture(wave, sample_rate).tobytes() for wave in padded],
            "hop_length": float(hop_length or longest / max(1, frames)),
            "gains_db": matching_gains(list(tracks.values())),
            "notes": f"clipped at full scale: {', '.join(clipped)}" if clipped else "",
            "own": own,
            **shared,
        }

    def _strip(self, codes, phones, marks, palette) -> dict:
        """Return what is drawn below a track, as traits."""
        codes = checked_codes(codes)
        return {
            "codes": codes,
            "code_colours": paint_codes(codes, palette).tobytes() if codes else b"",
            "phones": [[float(start), float(end), str(name)] for start, end, name in phones or []],
            "marks": [[float(start), float(end)] for start, end in marks or []],
        }

    @property
    def duration(self) -> float:
        """Seconds of the longest track."""
        return max(map(len, self.tracks.values())) / self.sample_rate

    @property
    def track(self) -> str:
        """Name of the audible track; set it to switch."""
        return self.names[self.active]

    @track.setter
    def track(self, name: str) -> None:
        if name not in self.names:
            raise one_of("track", name, self.names)
        self.active = self.names.index(name)

    @t.validate("active")
    def _valid_active(self, proposal) -> int:
        if not 0 <= proposal["value"] < max(1, len(self.names)):
            raise InputError(f"active={proposal['value']}; expected 0 to {len(self.names) - 1}")
        return proposal["value"]

    @t.validate("loop", "view")
    def _valid_span(self, proposal) -> list[float]:
        span = list(proposal["value"])
        if span and not (len(span) == 2 and 0 <= span[0] < span[1]):
            raise InputError(f"{proposal['trait'].name}={span}; expected (start, end) in seconds")
        return span

    def blind(
        self,
        mode: str = "rating",
        save: str | Path | None = None,
        *,
        item: str | None = None,
        **settings,
    ) -> "Player":
        """Start a blind test in this player; return the player.

        Names, waveforms and spectrograms are hidden, since they identify the tracks. A page that
        `save_html` writes has the tracks, and no test.

        Args:
            mode: `rating`, each track gets 1 to 5, or `abx`, whether X is A or B.
            save: the CSV that the answers are added to; existing rows stay. `answers` by default,
                which is `listening.csv`, in the run's folder for a player of a run.
            item: what is played; `item` or the title by default.
            **settings: listener, trials, pair and seed; see `BlindTest`.
        """
        item = self.item or self.title if item is None else item
        save = self.answers if save is None else save
        self.blind_test = BlindTest(self.names, mode, save, item=item, **settings)
        with self.hold_sync():  # the browser must receive all of it at once
            self.playing, self.position, self.loop, self.view = False, 0.0, [], []
            self.blind_state = self.blind_test.state
            self.active = self.blind_test.order[0]
        return self

    def reveal(self) -> None:
        """End a blind test without saving ratings that are not saved yet."""
        self.blind_test = None
        self.blind_state = {}

    def _receive(self, _, message: dict, buffers) -> None:
        """Take an answer of a blind test."""
        test, what = self.blind_test, message.get("do")
        if self._receive_open(message) or test is None:
            return
        if what == "reveal":
            self.reveal()
            return
        try:
            if what == "rate":
                test.rate(int(message["label"]), int(message["value"]))
            elif what == "finish":
                test.finish(self.matched)
            elif what == "abx":
                test.answer(str(message["choice"]), self.matched)
            self.blind_state = test.state
        except (InputError, OSError) as error:  # shown where the listener is looking
            self.blind_state = test.state | {"problem": str(error)}

    def _has_figure(self) -> bool:
        return self.blind_test is None  # the figure names the tracks

    def _page_state(self) -> dict:
        return super()._page_state() | {"blind_state": {}}

    def figure(self):
        """Return the tracks' spectrograms, the codes and the phones as a matplotlib figure."""
        from vqwn_kit.widgets.figures import plot_tracks

        if self._figure is None:
            self._figure = plot_tracks(
                self.tracks,
                self.sample_rate,
                self.codes,
                self.hop_length,
                self.phones,
                self.title,
                None if isinstance(self._palette, dict) else self._palette,
            )
        return self._figure
