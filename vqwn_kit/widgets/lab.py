"""A voice as callbacks -> a lab: record, choose voices, play them as they are generated, edit."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import traitlets as t

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.waveforms import as_waveform
from vqwn_kit.widgets.arrays import from_pcm, to_pcm
from vqwn_kit.widgets.base import BY_PAGE, module_of
from vqwn_kit.widgets.jobs import JobWidget
from vqwn_kit.widgets.player import Player
from vqwn_kit.widgets.strip import CodeEditor
from vqwn_kit.widgets.voices import NO_SPEAKER, Speaker, Takes, Voice

MOST_SECONDS = 30.0  # of a recording; a longer one is cut
LEAST_SECONDS = 10.0  # of speech that a voice is added from
SETTINGS = ("voices", "blend", "temperature", "seed", "codebooks")


class VoiceLab(JobWidget, CodeEditor):
    """Speech in, other voices out, and the codes between them to be edited.

    A recording, a file or an utterance becomes the original in the player below. `generate` samples
    it in the chosen voices: they can be played while they are sampled, and are then added to the
    player. It runs in a thread: the kernel stays free.

    Args:
        voice: the model's callbacks; see `Voice`.
        title: of the widget.
        note: a remark that is shown first, such as that no corpus is available.
        **settings: voices, blend, temperature, seed, codebooks; and `open` and `opens` of
            `OpeningWidget`, for the code at the caret.

    Attributes:
        state: `ready`, `encoding`, `generating` or `adding`.
        voices: names of the voices to generate; `no speaker` leaves the decoder unconditioned.
        blend: a point between two voices, as {"first", "second", "share", "on"}.
        temperature: below 1 is less noisy and less lively; "voiced" is so in vowels only.
        seed: the same seed gives the same sound.
        codebooks: how many the decoder uses, counted from the first; all by default. Only a
            residual model can use fewer.
        strip: the codes, see `CodeStrip`; edit them by `edit`, which updates the page.
        player: of the original and the takes; None before there is an original.
        problem: the last error, or "".

    Example:
        lab = vq.voice_lab("results/mini")
        lab.choose("kumo_036")
        lab.voices = ["joe"]
        lab.generate().wait()
        lab.edit("repeat", 40, 60)
        lab.generate().wait()
    """

    _esm = module_of("lab", "player", "strip")

    source = t.Dict().tag(sync=True)
    speakers = t.List(t.List()).tag(sync=True)  # (name, description)
    utterances = t.List(t.List()).tag(sync=True)  # (key, text)
    voices = t.List(t.Unicode()).tag(**BY_PAGE)
    blend = t.Dict().tag(**BY_PAGE)
    temperature = t.Union([t.Float(1.0), t.Unicode()]).tag(**BY_PAGE)
    seed = t.Int(0).tag(**BY_PAGE)
    codebooks = t.Int(0).tag(**BY_PAGE)

    def __init__(self, voice: Voice, *, title: str = "", note: str = "", **settings):
        self.voice = voice
        self.waveform: np.ndarray | None = None
        self._takes = Takes()
        self._spans: Sequence[tuple[float, float, str]] = ()  # phones of the original
        self._parts: list[np.ndarray] = []  # (S', t), generated so far
        self._stop = threading.Event()
        names, size = list(voice.speakers), voice.num_embeddings
        blend = {"first": names[0], "second": names[-1], "share": 0.5, "on": False}
        about = {"rate": voice.sample_rate, "hop": voice.hop_length, "codes": size, "note": note}
        about |= {"codebooks": voice.num_codebooks, "fewest": voice.fewest_codebooks}
        about["pitch"] = voice.pitch_levels if size else 0
        about["adds"] = LEAST_SECONDS if voice.adds_voices else 0
        super().__init__(
            palette=voice.palette,
            pitch_levels=about["pitch"],
            title=title,
            speakers=_listed(voice),
            utterances=[list(pair) for pair in voice.utterances.items()],
            about={**about, "most": MOST_SECONDS},
            progress=_progress([], 0, 0),
            blend=blend | settings.pop("blend", {}),
            **{"voices": names[:2], "codebooks": voice.num_codebooks, **settings},
        )

    # ---- what the user does

    @property
    def takes(self) -> dict[str, np.ndarray]:
        """What was generated, float32 (T,), by name."""
        return self._takes.sounds

    def take(
        self, waveform: np.ndarray, sample_rate: int | None = None, name: str = "recording"
    ) -> "VoiceLab":
        """Make a recording (T,) in [-1, 1] the original; return the lab.

        Args:
            waveform: at any rate; only its first 30 s are used.
            sample_rate: in Hz; the model's by default.
            name: of the recording.

        Raises:
            InputError: no waveform, silence, or a job is running.
        """
        self._take(waveform, sample_rate or self.voice.sample_rate, name)
        self.wait()
        return self

    def choose(self, key: str) -> "VoiceLab":
        """Make an utterance of the corpus the original; return the lab.

        Raises:
            InputError: no such utterance, or a job is running.
        """
        self._choose(key)
        self.wait()
        return self

    def generate(self) -> "VoiceLab":
        """Start to generate the codes in the chosen voices; return the lab.

        Raises:
            InputError: no original, no voice, or a job is running.
        """
        if self.waveform is None:
            raise InputError("no speech yet: record something, or give a file or an utterance")
        voices = self._chosen_voices()
        if not voices:
            raise InputError(f"no voice is chosen: choose one or more of {[*self.voice.speakers]}")
        codes = self.strip.codes
        source = np.array(codes) if self.voice.num_embeddings else self.waveform
        fewer = self.codebooks if self.codebooks < self.voice.num_codebooks else None
        settings = {"temperature": self.temperature, "seed": self.seed, "codebooks": fewer}
        names = [self._takes.name(voice, codes, **settings) for voice in voices]
        self._begin("generating", lambda: self._generate(names, codes, source, voices, settings))
        return self

    def add_voice(self, name: str) -> "VoiceLab":
        """Start to add the voice of the original to the model; return the lab.

        When it is done, the voice is in the list, and chosen. It stays with the run.

        Args:
            name: of the new voice.

        Raises:
            InputError: no original of 10 s or more, a model that takes no voices, or a job is
                running. What else is wrong, such as a name that is taken, is raised by `wait`.
        """
        if not self.voice.adds_voices:
            raise InputError("this model has one speaker only, so no voice can be added to it")
        waveform = np.zeros(0, np.float32) if self.waveform is None else self.waveform
        seconds, name = len(waveform) / self.voice.sample_rate, name.strip()
        if seconds < LEAST_SECONDS:
            raise InputError(
                f"a voice is added from {LEAST_SECONDS:g} s of speech or more; the original has "
                f"{seconds:.1f} s: record more, or give a longer file"
            )
        self._begin("adding", lambda: self._add_voice(name, waveform))
        return self

    def stop(self) -> None:
        """Stop generating, and keep the sound so far; or stop adding a voice, and keep nothing."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until no job is running, or `timeout` seconds; raise the error of the job.

        The toolbar's stop button or Ctrl-C stops generating; the sound so far is kept.
        """
        self._wait(timeout, self.stop)

    def clear(self) -> None:
        """Remove the takes; the original stays."""
        self._takes = Takes(self._takes.original, self._takes.speaker)
        if self.waveform is not None:
            self._show_tracks()

    # ---- jobs in the thread

    def _begin(self, state: str, job: Callable[[], object]) -> None:
        with self._changed:
            if self.state != "ready":
                raise InputError(f"the lab is still {self.state}: stop it first, or wait()")
            self._stop.clear()
            self._start_job(state, job, lambda: setattr(self, "state", "ready"))

    def _add_voice(self, name: str, waveform: np.ndarray) -> None:
        def report(share: float, text: str) -> None:
            self.progress = {**_progress([], share, 1.0), "text": f"{name}: {text}" if text else ""}

        report(0.0, "")
        try:
            self.voice.add(name, waveform, report, self._stop)
        finally:
            self.progress = _progress([], 0, 0)
        if name in self.voice.speakers:
            self.speakers = _listed(self.voice)
            self.voices = [*self.voices, name]

    def _take(self, waveform, sample_rate: int, name: str) -> None:
        waveform = as_waveform(waveform, name, clip=False)
        most = round(MOST_SECONDS * sample_rate)
        notes = [f"its first {MOST_SECONDS:g} s"] if len(waveform) > most else []
        if np.mean(np.abs(waveform) > 0.999) > 1e-3:
            notes.append("too loud: parts are clipped at full scale")
        waveform = waveform[:most]

        def job():
            wave = self.voice.prepare(waveform, sample_rate)
            silence = len(waveform) / sample_rate - len(wave) / self.voice.sample_rate
            if silence > 0.05:
                notes.append(f"{silence:.1f} s of silence removed at its ends")
            self._load(wave, name, "", notes)

        self._begin("encoding", job)

    def _choose(self, key: str) -> None:
        if key not in self.voice.utterances:
            raise one_of("utterance", key, self.voice.utterances)
        text = self.voice.utterances[key]

        def job():
            waveform, speaker = self.voice.fetch(key)
            phones = list(self.voice.phones(key))
            self._load(waveform, key, speaker, [text] if text else [], phones)

        self._begin("encoding", job)

    def _load(
        self,
        waveform: np.ndarray,
        name: str,
        speaker: str,
        notes: list[str],
        phones: Sequence[tuple[float, float, str]] = (),
    ) -> None:
        """Make a waveform at the model's rate the original; phones are as in `Player`."""
        waveform = as_waveform(waveform, name, clip=False)
        codes = self.voice.encode(waveform).tolist() if self.voice.num_embeddings else []
        self.waveform = waveform
        middles = (np.arange(len(codes)) + 0.5) * self.voice.hop_length / self.voice.sample_rate
        self.strip.load(codes, [_phone_at(seconds, phones) for seconds in middles])
        self._spans = phones
        self._takes = Takes(self.strip.original, speaker)
        self._show_strip((0, 0))
        self._show_tracks()
        facts = {"seconds": len(waveform) / self.voice.sample_rate, "codes": len(codes)}
        facts["remark"] = "" if speaker else self.voice.remark(waveform)
        self.source = {"name": name, "speaker": speaker, "notes": notes, **facts}

    def _generate(self, names: list[str], codes: tuple, source, voices, settings: dict) -> None:
        total = len(source) * (self.voice.hop_length if self.voice.num_embeddings else 1)
        self._parts, done, began = [], 0, time.perf_counter()
        self.progress = _progress(names, 0, total)
        for part in self.voice.stream(source, voices, **settings):
            part = part[:, : total - done]
            self._parts.append(part)
            self.send({"at": done}, [to_pcm(row) for row in part])
            done += part.shape[1]
            self.progress = _progress(names, done, total, done / (time.perf_counter() - began))
            if self._stop.is_set():
                break
        if done:
            self._takes.add(names, np.concatenate(self._parts, axis=1), codes)
            self._show_tracks(names[0])

    # ---- traits

    def _chosen_voices(self) -> list[Speaker]:
        voices = [None if name == NO_SPEAKER else name for name in self.voices]
        first, second, share = (self.blend[name] for name in ("first", "second", "share"))
        return [*voices, (first, second, float(share))] if self.blend["on"] else [*voices]

    def _tracks_with(self, codes: tuple) -> list[str]:
        return self._takes.with_codes(codes)

    def _show_tracks(self, track: str = "original") -> None:
        """Load the original and the takes into the player."""
        tracks = {"original": self.waveform, **self.takes}
        same = len(self._tracks_with(self._takes.original)) == len(tracks)
        codes = [self._without_pitch()] if same else None  # one strip is below all tracks
        settings: dict[str, Any] = {"codes": codes, "hop_length": self.voice.hop_length}
        settings["phones"] = self._spans if same else ()
        if self.player is None:
            palette = self.voice.palette
            self.player = Player(tracks, self.voice.sample_rate, palette=palette, **settings)
        else:
            self.player.load(tracks, **settings)
        self.matching_tracks = self._tracks_with(self.strip.codes)
        self.player.position = 0.0
        self.player.track = track

    def _without_pitch(self) -> list:
        """Return the original codes, N or N of Q, without the levels of the pitch."""
        if not self.strip.pitch_levels:
            return list(self.strip.original)
        codes = np.array(self.strip.original)[:, :-1]
        return (codes[:, 0] if codes.shape[1] == 1 else codes).tolist()

    @t.validate("voices")
    def _valid_voices(self, proposal) -> list[str]:
        known = [*self.voice.speakers, NO_SPEAKER]
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
    def _valid_temperature(self, proposal) -> float | str:
        value = proposal["value"]
        if value != "voiced" and (isinstance(value, str) or not 0.0 < value <= 10.0):
            raise InputError(f"temperature={value}; expected above 0, at most 10, or 'voiced'")
        return value

    @t.validate("seed")
    def _valid_seed(self, proposal) -> int:
        if proposal["value"] < 0:
            raise InputError(f"seed={proposal['value']}; expected 0 or more")
        return proposal["value"]

    @t.validate("codebooks")
    def _valid_codebooks(self, proposal) -> int:
        fewest, most = self.voice.fewest_codebooks, self.voice.num_codebooks
        if not fewest <= proposal["value"] <= most:
            expected = f"{fewest} to {most}" if fewest < most else f"{most}, all of this model"
            raise InputError(f"codebooks={proposal['value']}; expected {expected}")
        return proposal["value"]

    # ---- the page

    def _receive(self, _, message: dict, buffers) -> None:
        """Do what the page asks."""
        what = message.get("do")
        try:
            if self._receive_open(message):
                return
            if what == "sound":
                self._take(from_pcm(buffers[0]), int(message["rate"]), str(message["name"]))
            elif what == "choose":
                self._choose(str(message["key"]))
            elif what == "generate":
                for name in SETTINGS:
                    setattr(self, name, message["settings"][name])
                self.generate()
            elif what == "add":
                self.add_voice(str(message["name"]))
            elif what == "stop":
                self.stop()
            elif what == "clear":
                self.clear()
            elif what == "edit":
                self.problem = ""
                self._receive_edit(message)
            elif what == "resend" and self._parts:  # the page was reloaded meanwhile
                self.send({"at": 0}, [to_pcm(row) for row in np.concatenate(self._parts, axis=1)])
        except InputError as error:
            self.problem = str(error)

    def _has_figure(self) -> bool:
        return self.player is not None and self.player._has_figure()

    def _page_state(self) -> dict:
        return super()._page_state() | {"state": "ready"}

    def figure(self):
        """Return the spectrograms of the original and the takes as a matplotlib figure.

        Raises:
            InputError: there is no original yet.
        """
        if self.player is None:
            raise InputError("nothing to draw yet: record something, or choose an utterance")
        return self.player.figure()


def _phone_at(seconds: float, spans: Sequence[tuple[float, float, str]]) -> str:
    """Return the phone at a time, or "" in silence and where none is known."""
    names = [name for start, end, name in spans if start <= seconds < end]
    return names[0] if names and names[0] != "SIL" else ""


def _listed(voice: Voice) -> list[list[str]]:
    return [list(pair) for pair in voice.speakers.items()]


def _progress(names: Sequence[str], done: float, total: float, speed: float = 0.0) -> dict:
    return {"names": names, "done": done, "total": total, "speed": speed}
