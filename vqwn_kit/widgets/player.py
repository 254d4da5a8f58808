"""Waveforms, codes and phones -> a player that switches between tracks at the same sample."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import traitlets as t

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.widgets.base import (
    BY_PAGE,
    Widget,
    checked_waveform,
    code_colours,
    colour_map,
    level_db,
    module_of,
    to_pcm,
)
from vqwn_kit.widgets.blind import BlindTest

SILENT = -70.0  # dBFS; a track below this has no level to match
BANDS, FRAME, WINDOW = 64, 128, 512  # of the spectrogram: mel bands, samples a column, samples


class Player(Widget):
    """Tracks under one playhead, with spectrogram, codes and phones.

    Click to seek, drag to loop; the line below the player lists the keys. All tracks run together
    and only their loudness changes, so a switch keeps the very sample.

    Args:
        tracks: waveforms (T,) in [-1, 1] by name. They may differ in length.
        sample_rate: of all, in Hz.
        codes: int (N,) or (1, N), drawn as a strip below.
        hop_length: samples a code; spread evenly by default.
        phones: (start, end, phone) in seconds, as `phone_times` returns them.
        title: what is heard.

    Attributes:
        active: number of the track that is heard; `track` is its name.
        position: of the playhead in seconds, ten times a second while playing; set it to seek.
        playing: whether it plays.
        loop: (start, end) in seconds, or () for none.
        view: (start, end) in seconds of what is drawn.
        matched: whether all tracks are brought to one level; off until somebody asks for it.
        gains_db: by how many dB each is turned up or down then, see `matching_gains`.
        blind_test: the blind test that goes on, or None.
        answers: the CSV that answers of blind tests are added to.

    Raises:
        InputError: no tracks, or one that isn't a waveform; codes or phones of another shape.

    Example:
        player = Player({"original": wave, "as joe": spoken}, codes=model.encode(wave))
        player.blind("abx", save="results/mini/listening.csv")
    """

    _esm = module_of("player")

    sample_rate = t.Int(16_000).tag(sync=True)
    names = t.List(t.Unicode()).tag(sync=True)
    pcm = t.List(t.Bytes()).tag(sync=True)
    spectrograms = t.List(t.Bytes()).tag(sync=True)
    spectrogram_form = t.List(t.Int()).tag(sync=True)  # bands, samples a column
    frequency_marks = t.List(t.List()).tag(sync=True)  # (label, height 0 to 1)
    codes = t.List(t.Int()).tag(sync=True)
    hop_length = t.Float(1.0).tag(sync=True)
    phones = t.List(t.List()).tag(sync=True)
    code_colours = t.Bytes().tag(sync=True)
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
        codes: Sequence[int] | np.ndarray | None = None,
        hop_length: int | None = None,
        phones: Sequence[tuple[float, float, str]] | None = None,
        title: str = "",
        **settings,
    ):
        if not sample_rate > 0:
            raise InputError(f"sample_rate={sample_rate}; expected Hz, such as 16000")
        self.blind_test: BlindTest | None = None
        self.answers = Path("listening.csv")
        content = self._content(tracks, int(sample_rate), codes, hop_length, phones)
        super().__init__(
            title=title,
            sample_rate=int(sample_rate),
            spectrogram_form=[BANDS, FRAME],
            frequency_marks=_frequency_marks(sample_rate),
            magma=colour_map("magma"),
            **content | settings,
        )
        self.on_msg(self._answer)

    def load(
        self,
        tracks: dict[str, np.ndarray],
        *,
        codes: Sequence[int] | np.ndarray | None = None,
        hop_length: int | None = None,
        phones: Sequence[tuple[float, float, str]] | None = None,
    ) -> None:
        """Put other sounds into the player that is shown; the arguments are those of `Player`.

        Raises:
            InputError: as for a new player, or while a blind test goes on.
        """
        if self.blind_test is not None:
            raise InputError("a blind test goes on: end it first, with reveal()")
        content = self._content(tracks, self.sample_rate, codes, hop_length, phones)
        with self.hold_sync():
            self.playing, self.loop, self.view = False, [], []
            self.active = min(self.active, len(content["names"]) - 1)
            self.position = min(self.position, self.duration)
            for name, value in content.items():
                setattr(self, name, value)

    def _content(self, tracks, sample_rate: int, codes, hop_length, phones) -> dict:
        """Check what shall be heard, keep it, and return it as traits."""
        if not tracks:
            raise InputError("no tracks; expected waveforms by name, {'original': waveform}")
        tracks = {str(name): checked_waveform(name, wave) for name, wave in tracks.items()}
        codes = _checked_codes(codes)
        longest = max(map(len, tracks.values()))
        padded = [np.pad(wave, (0, longest - len(wave))) for wave in tracks.values()]
        over = [name for name, wave in tracks.items() if np.abs(wave).max() > 1.0]
        self.tracks, self._figure = tracks, None
        return {
            "names": list(tracks),
            "pcm": [to_pcm(wave) for wave in padded],
            "spectrograms": [mel_picture(wave, sample_rate).tobytes() for wave in padded],
            "codes": codes,
            "hop_length": float(hop_length or longest / max(1, len(codes))),
            "phones": [[float(start), float(end), str(name)] for start, end, name in phones or []],
            "code_colours": code_colours(codes).tobytes() if codes else b"",
            "gains_db": matching_gains(list(tracks.values())),
            "notes": f"cut at full scale: {', '.join(over)}" if over else "",
        }

    @property
    def duration(self) -> float:
        """Seconds of the longest track."""
        return max(map(len, self.tracks.values())) / self.sample_rate

    @property
    def track(self) -> str:
        """Name of the track that is heard; set it to switch."""
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
        listener: str = "",
        trials: int = 10,
        pair: Sequence[str] | None = None,
        seed: int | None = None,
    ) -> "Player":
        """Start a blind test in this player; return the player.

        Names, waveforms and spectrograms are hidden, since they'd give the tracks away. A page that
        `save_html` writes has the tracks, and no test.

        Args:
            mode: `rating`, each track gets 1 to 5, or `abx`, whether X is A or B.
            save: the CSV that the answers are added to; what it holds stays. `answers` by
                default, which is `listening.csv`, in the run's folder for a player of a run.
            item: what is heard; the title by default.
            listener: who hears.
            trials: how many an ABX test has.
            pair: names of the two tracks of an ABX test; the first two by default.
            seed: of all shuffling.
        """
        item = self.title if item is None else item
        self.blind_test = BlindTest(
            self.names,
            mode,
            self.answers if save is None else save,
            item=item,
            listener=listener,
            trials=trials,
            pair=pair,
            seed=seed,
        )
        with self.hold_sync():  # the browser must learn all of it at once
            self.playing, self.position, self.loop, self.view = False, 0.0, [], []
            self.blind_state = self.blind_test.state
            self.active = self.blind_test.order[0]
        return self

    def reveal(self) -> None:
        """End a blind test without saving what wasn't saved yet."""
        self.blind_test = None
        self.blind_state = {}

    def _answer(self, _, message: dict, buffers) -> None:
        """Take what the browser says in a blind test."""
        if self.blind_test is None:
            return
        what = message.get("do")
        try:
            if what == "rate":
                self.blind_test.rate(int(message["label"]), int(message["value"]))
            elif what == "finish":
                self.blind_test.finish(self.matched)
            elif what == "abx":
                self.blind_test.answer(str(message["choice"]), self.matched)
            elif what == "reveal":
                return self.reveal()
        except (InputError, OSError) as error:  # told where the listener is looking
            self.blind_state = self.blind_test.state | {"problem": str(error)}
            return None
        self.blind_state = self.blind_test.state
        return None

    def _static(self) -> bool:
        return self.blind_test is None

    def _page_state(self) -> dict:
        return super()._page_state() | {"blind_state": {}}

    def figure(self):
        """Return the tracks' spectrograms, the codes and the phones as a matplotlib figure."""
        from vqwn_kit.widgets.figures import plot_tracks

        if self._figure is None:
            self._figure = plot_tracks(
                self.tracks, self.sample_rate, self.codes, self.hop_length, self.phones, self.title
            )
        return self._figure


def _checked_codes(codes) -> list[int]:
    array = np.asarray([] if codes is None else codes)
    if array.ndim == 2 and len(array) == 1:
        array = array[0]
    if array.size and (array.ndim != 1 or array.dtype.kind not in "iu" or array.min() < 0):
        raise InputError(f"codes {array.dtype} {array.shape}; expected whole numbers (N,) from 0")
    return array.tolist()


def matching_gains(waveforms: Sequence[np.ndarray]) -> list[float]:
    """Return gains in dB that bring waveforms (T,) to one level (RMS); 0 for silent ones.

    That level is the highest at which no sample is cut, but not above that of the loudest.
    """
    levels = [level_db(wave) for wave in waveforms]
    heard = [(level, np.abs(wave).max()) for level, wave in zip(levels, waveforms, strict=True)
             if level > SILENT]  # fmt: skip
    if not heard:
        return [0.0] * len(levels)
    target = min(max(heard)[0], *(level - 20.0 * np.log10(peak) for level, peak in heard))
    return [float(target - level) if level > SILENT else 0.0 for level in levels]


def mel_picture(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return a mel spectrogram of a waveform (T,) as uint8 (64, T / 128 + 1).

    255 is the loudest cell and 0 is 80 dB below it. Windows of 512 samples, every 128. Made here,
    not in the browser: it adds a quarter to what is sent, and is the same in figure and page.
    """
    import librosa

    short = max(0, WINDOW - len(waveform))
    power = librosa.feature.melspectrogram(
        y=np.pad(waveform, (0, short)), sr=sample_rate, n_fft=WINDOW, hop_length=FRAME, n_mels=BANDS
    )
    loudest = max(1e-8, float(power.max()))  # digital silence stays black
    level = librosa.power_to_db(power, ref=loudest, amin=1e-16, top_db=None)
    return np.round(255 * np.clip(1 + level / 80, 0, 1)).astype(np.uint8)


def _frequency_marks(sample_rate: int) -> list[list]:
    """Return labels of frequencies and how high they stand, 0 to 1."""
    import librosa

    marks = [hz for hz in (250, 1000, 2000, 4000) if hz < 0.45 * sample_rate]
    top = float(librosa.hz_to_mel(sample_rate / 2))
    names = [f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz" for hz in marks]
    heights = (np.asarray(librosa.hz_to_mel(marks)) / top).tolist() if marks else []
    return [[name, height] for name, height in zip(names, heights, strict=True)]
