"""A voice as callbacks -> a lab: record, choose voices, hear them come, edit what is said."""

import threading
import time
from collections.abc import Sequence

import numpy as np
import traitlets as t
from ipywidgets import widget_serialization

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.widgets.base import BY_PAGE, Widget, checked_waveform, code_colours, module_of, to_pcm
from vqwn_kit.widgets.player import Player
from vqwn_kit.widgets.strip import EDITS, CodeStrip
from vqwn_kit.widgets.voices import NOBODY, Blend, Takes, Voice

MOST_SECONDS = 30.0  # of a recording; a longer one is cut


class VoiceLab(Widget):
    """Speech in, other voices out; and the codes between them, to be cut and spliced.

    A recording, a file or an utterance becomes the original in the player below. Each time it is
    spoken, the voices appear sample by sample, can be heard while they come, and then stand beside
    the original. Speaking happens in a thread: the kernel stays free.

    Args:
        voice: the model's callbacks; see `Voice`.
        title: of the widget.
        note: what there is to know beforehand, such as a corpus that wasn't found.

    Attributes:
        state: `ready`, `listening` or `speaking`.
        voices: names of those who speak next; `no voice` leaves the decoder untold.
        blend: a point between two voices, as {"first", "second", "share", "on"}.
        temperature: below 1 is less noisy and less lively.
        seed: the same seed gives the same sound.
        strip: the codes, see `CodeStrip`; edit them by `edit`, so that the browser learns of it.
        player: of the original and the takes; None before there is an original.
        problem: what went wrong, or "".

    Example:
        lab = vq.voice_lab("results/mini")
        lab.choose("kumo_036")
        lab.voices = ["joe"]
        lab.speak().wait()
        lab.edit("repeat", 40, 60)
        lab.speak().wait()
    """

    _esm = module_of("lab", "player", "tape")

    state = t.Unicode("ready").tag(sync=True)
    source = t.Dict().tag(sync=True)
    speakers = t.List(t.List()).tag(sync=True)  # (name, what is known)
    utterances = t.List(t.List()).tag(sync=True)  # (key, text)
    voices = t.List(t.Unicode()).tag(**BY_PAGE)
    blend = t.Dict().tag(**BY_PAGE)
    temperature = t.Float(1.0).tag(**BY_PAGE)
    seed = t.Int(0).tag(**BY_PAGE)
    codes = t.List(t.Int()).tag(sync=True)
    selection = t.List(t.Int(), default_value=[0, 0]).tag(**BY_PAGE)
    tape = t.Dict().tag(sync=True)  # what can be undone, and so on
    alike = t.List(t.Unicode()).tag(sync=True)  # tracks that have just these codes
    palette = t.Bytes().tag(sync=True)
    progress = t.Dict().tag(sync=True)
    about = t.Dict().tag(sync=True)
    problem = t.Unicode("").tag(sync=True)
    player = t.Instance(Player, allow_none=True).tag(sync=True, **widget_serialization)

    def __init__(self, voice: Voice, *, title: str = "", note: str = "", **settings):
        self.voice, self.strip = voice, CodeStrip()
        self.waveform: np.ndarray | None = None
        self._takes = Takes()
        self._said: list[np.ndarray] = []
        self._stop, self._ended = threading.Event(), threading.Event()
        self._ended.set()
        self._lock, self._error = threading.Lock(), None
        names, size = list(voice.speakers), voice.num_embeddings
        content = dict(
            speakers=[[name, about] for name, about in voice.speakers.items()],
            utterances=[[key, text] for key, text in voice.utterances.items()],
            voices=names[:2],
            blend={"first": names[0], "second": names[-1], "share": 0.5, "on": False},
            palette=code_colours(np.arange(size)).tobytes() if size else b"",
            about={
                "rate": voice.sample_rate, "hop": voice.hop_length, "codes": size, "note": note,
                "most": MOST_SECONDS,
            },
            progress=_progress([], 0, 0), tape=self._tape(),
        )  # fmt: skip
        if "blend" in settings:
            settings["blend"] = content["blend"] | settings["blend"]
        super().__init__(title=title, **content | settings)
        self.on_msg(self._asked)

    # ---- what the user does

    @property
    def takes(self) -> dict[str, np.ndarray]:
        """What was spoken, float32 (T,), by name."""
        return self._takes.sounds

    def take(
        self, waveform: np.ndarray, sample_rate: int | None = None, name: str = "recording"
    ) -> "VoiceLab":
        """Take a recording (T,) in [-1, 1] as what is to be said; return the lab.

        Args:
            waveform: at any rate; what is longer than 30 s is cut.
            sample_rate: in Hz; the model's by default.
            name: of the recording.

        Raises:
            InputError: no waveform, silence, or something goes on.
        """
        self._take(waveform, sample_rate or self.voice.sample_rate, name)
        self.wait()
        return self

    def choose(self, key: str) -> "VoiceLab":
        """Take an utterance of the corpus as what is to be said; return the lab.

        Raises:
            InputError: no such utterance, or something goes on.
        """
        self._choose(key)
        self.wait()
        return self

    def speak(self) -> "VoiceLab":
        """Begin to say the codes in the voices that are chosen; return the lab.

        Raises:
            InputError: nothing to say, nobody to say it, or something goes on.
        """
        if self.waveform is None:
            raise InputError("nothing to say yet: record something, or give a file or an utterance")
        voices = self._chosen()
        if not voices:
            raise InputError("nobody is chosen to speak: choose a voice")
        told = np.array(self.strip.codes) if self.voice.num_embeddings else self.waveform
        codes = self.strip.codes
        settings = {"temperature": self.temperature, "seed": self.seed}
        names = [self._takes.name(voice, codes, **settings) for voice in voices]
        self._begin("speaking", lambda: self._speak(names, codes, told, voices, settings))
        return self

    def stop(self) -> None:
        """Stop speaking; what was said is kept."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until nothing goes on, or `timeout` seconds; raise what went wrong.

        The toolbar's stop button or Ctrl-C stops speaking, and what was said is kept.
        """
        until = np.inf if timeout is None else time.monotonic() + timeout
        try:
            while time.monotonic() < until and not self._ended.wait(0.1):
                pass
        except KeyboardInterrupt:
            self.stop()
            self._ended.wait()
            raise
        if self._ended.is_set() and self._error is not None:
            raise self._error

    def edit(self, what: str, start: int = 0, end: int | None = None, amount: float | None = None):
        """Edit the codes; see `CodeStrip`.

        Args:
            what: `cut`, `copy`, `repeat`, `stretch`, `splice`, `undo`, `redo` or `reset`.
            start: place before the first code.
            end: place behind the last one; the end of the strip by default, and for `splice`
                `start`.
            amount: how many times for `repeat`, how many times as long for `stretch`; 2 by default.

        Raises:
            InputError: see `CodeStrip`.
        """
        if what in EDITS:
            if end is None and what != "splice":
                end = len(self.strip)
            more = () if amount is None or what not in ("repeat", "stretch") else (amount,)
            span = EDITS[what](self.strip, start, end, *more)
        elif what in ("undo", "redo", "reset"):
            getattr(self.strip, what)()
            span = [min(place, len(self.strip)) for place in self.selection]
        else:
            raise one_of("edit", what, [*EDITS, "undo", "redo", "reset"])
        self._show_strip(span)

    def clear(self) -> None:
        """Forget what was spoken; the original stays."""
        self._takes = Takes(self._takes.original, self._takes.speaker)
        if self.waveform is not None:
            self._show()

    # ---- what goes on in the thread

    def _begin(self, state: str, job) -> None:
        with self._lock:
            if self.state != "ready":
                raise InputError(f"it is still {self.state}: stop it first, or wait()")
            self._stop.clear()
            self._error, self.problem, self.state = None, "", state
            self._ended.clear()
        threading.Thread(target=self._body, args=(job,), name=state, daemon=True).start()

    def _body(self, job) -> None:
        try:
            job()
        except BaseException as error:  # raised again by `wait`, in the caller's thread
            self._error = error
            name = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            self.problem = f"{name}{error}"
        finally:
            self.state = "ready"
            self._ended.set()

    def _take(self, waveform, sample_rate: int, name: str) -> None:
        waveform = checked_waveform(name, waveform)
        most = round(MOST_SECONDS * sample_rate)
        notes = [f"its first {MOST_SECONDS:g} s"] if len(waveform) > most else []
        if np.mean(np.abs(waveform) > 0.999) > 1e-3:
            notes.append("too loud: parts are cut at full scale")
        waveform = waveform[:most]

        def job():
            wave = self.voice.prepare(waveform, sample_rate)
            silence = len(waveform) / sample_rate - len(wave) / self.voice.sample_rate
            if silence > 0.05:
                notes.append(f"{silence:.1f} s of silence at its ends left out")
            self._listen(wave, name, "", notes)

        self._begin("listening", job)

    def _choose(self, key: str) -> None:
        if key not in self.voice.utterances:
            raise one_of("utterance", key, self.voice.utterances)
        text = self.voice.utterances[key]
        notes = [text] if text else []
        self._begin("listening", lambda: self._listen(*self._fetched(key), notes))

    def _fetched(self, key: str) -> tuple[np.ndarray, str, str]:
        waveform, speaker = self.voice.fetch(key)
        return waveform, key, speaker

    def _listen(self, waveform: np.ndarray, name: str, speaker: str, notes: list[str]) -> None:
        """Take a waveform at the model's rate as the original."""
        waveform = checked_waveform(name, waveform)
        codes = self.voice.encode(waveform) if self.voice.num_embeddings else ()
        self.waveform = waveform
        self.strip.load(codes)
        self._takes = Takes(self.strip.original, speaker)
        seconds = len(waveform) / self.voice.sample_rate
        self.source = {
            "name": name, "speaker": speaker, "seconds": seconds, "codes": len(codes),
            "notes": notes,
        }  # fmt: skip
        self._show_strip((0, 0))
        self._show()

    def _speak(self, names: list[str], codes: tuple, told, voices: list, settings: dict) -> None:
        total = len(told) * (self.voice.hop_length if self.voice.num_embeddings else 1)
        self._said, done, began = [], 0, time.perf_counter()
        self.progress = _progress(names, 0, total)
        for part in self.voice.stream(told, voices, **settings):
            part = part[:, : total - done]
            self._said.append(part)
            self.send({"at": done}, [to_pcm(row) for row in part])
            done += part.shape[1]
            speed = done / (time.perf_counter() - began)
            self.progress = _progress(names, done, total, speed)
            if self._stop.is_set():
                break
        if not done:
            return
        self._takes.add(names, np.concatenate(self._said, axis=1), codes)
        self._show(names[0])

    # ---- within

    def _chosen(self) -> list[str | Blend | None]:
        voices = [None if name == NOBODY else name for name in self.voices]
        if self.blend["on"]:
            voices.append((self.blend["first"], self.blend["second"], float(self.blend["share"])))
        return voices

    def _show(self, track: str | None = None) -> None:
        """Put the original and the takes into the player."""
        tracks = {"original": self.waveform, **self.takes}
        same = len(self._takes.alike(self._takes.original)) == len(tracks)
        codes = (self.strip.original or None) if same else None  # one strip is below all tracks
        settings = {"codes": codes, "hop_length": self.voice.hop_length}
        if self.player is None:
            self.player = Player(tracks, self.voice.sample_rate, **settings)
        else:
            self.player.load(tracks, **settings)
        self.alike = self._takes.alike(self.strip.codes)
        self.player.position = 0.0
        self.player.track = track or "original"

    def _show_strip(self, span: Sequence[int]) -> None:
        with self.hold_sync():
            self.codes, self.selection = list(self.strip.codes), list(span)
            self.alike = self._takes.alike(self.strip.codes)
        self.tape = self._tape()  # the browser must know the rest by then

    def _tape(self) -> dict:
        strip = self.strip
        return {
            "answer": self.tape.get("answer", 0) + 1, "edited": strip.edited,
            "undo": len(strip.past), "redo": len(strip.future), "held": len(strip.held),
        }  # fmt: skip

    @t.validate("voices")
    def _valid_voices(self, proposal) -> list[str]:
        known = [*self.voice.speakers, NOBODY]
        for name in proposal["value"]:
            if name not in known:
                raise one_of("voice", name, known)
        return list(dict.fromkeys(proposal["value"]))

    @t.validate("blend")
    def _valid_blend(self, proposal) -> dict:
        blend = {**self.blend, **proposal["value"]}
        for end in ("first", "second"):
            if blend[end] not in self.voice.speakers:
                raise one_of("voice", blend[end], self.voice.speakers)
        if not 0.0 <= blend["share"] <= 1.0:
            raise InputError(f"share={blend['share']}; expected 0, the first voice, to 1")
        return blend

    @t.validate("temperature")
    def _valid_temperature(self, proposal) -> float:
        if not 0.0 < proposal["value"] <= 10.0:
            raise InputError(f"temperature={proposal['value']}; expected above 0, at most 10")
        return proposal["value"]

    @t.validate("seed")
    def _valid_seed(self, proposal) -> int:
        if proposal["value"] < 0:
            raise InputError(f"seed={proposal['value']}; expected 0 or more")
        return proposal["value"]

    def _asked(self, _, message: dict, buffers) -> None:
        """Do what the browser says."""
        what = message.get("do")
        try:
            if what == "sound":
                samples = np.frombuffer(buffers[0], "<i2").astype(np.float32) / 32767.0
                self._take(samples, int(message["rate"]), str(message["name"]))
            elif what == "choose":
                self._choose(str(message["key"]))
            elif what == "speak":
                for name in ("voices", "blend", "temperature", "seed"):
                    setattr(self, name, message["how"][name])
                self.speak()
            elif what == "stop":
                self.stop()
            elif what == "clear":
                self.clear()
            elif what == "edit":
                places = [int(message[name]) for name in ("start", "end")]
                self.problem = ""
                try:
                    self.edit(str(message["what"]), *places, message.get("amount"))
                except InputError:
                    self.tape = self._tape()  # the browser waits for an answer
                    raise
            elif what == "again" and self._said:  # a page that was reloaded meanwhile
                self.send({"at": 0}, [to_pcm(r) for r in np.concatenate(self._said, axis=1)])
        except InputError as error:
            self.problem = str(error)

    def _static(self) -> bool:
        return self.player is not None and self.player._static()

    def _page_state(self) -> dict:
        page = self.player and self.player._page_state()
        return super()._page_state() | {"player": page, "state": "ready"}

    def figure(self):
        """Return the spectrograms of the original and of what was spoken as a matplotlib figure.

        Raises:
            InputError: nothing was recorded or chosen yet.
        """
        if self.player is None:
            raise InputError("nothing to draw yet: record something, or choose an utterance")
        return self.player.figure()


def _progress(names: list[str], done: int, total: int, speed: float = 0.0) -> dict:
    return {"names": names, "done": done, "total": total, "speed": speed}
