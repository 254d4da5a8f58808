"""Widgets -> `docs/live/NAME.js`: their state as JSON, and their sounds as MP3.

`live.js` shows them on a page. Making a widget takes TensorFlow and minutes, so that a file that
exists is kept; all other pages are made from text in seconds.
"""

import base64
import gzip
import hashlib
import io
import itertools
import json
from pathlib import Path

import numpy as np
import soundfile

from vqwn_kit.errors import InputError
from vqwn_kit.files import results
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.page import packed

RATE = 16_000
GAP = 800  # samples of silence between the sounds of a block: none leaks into the next
BLOCK = 32  # sounds of an explorer in one MP3: more make the file smaller, and a click slower
BEGIN = "(globalThis.vqwnLive ??= {})"


RUNS = {  # by name of the widget: its run, and which widget it is
    "sentence": ("mini", "player"),
    "codebook": ("mini", "explorer"),
    "codebook-vctk-libri": ("vctk-libri", "explorer"),
    "saved-sounds": ("mini", "player"),
    "ablation": ("mini", "player"),
    "conversions": ("mini", "player"),
    "speakers": ("mini", "explorer"),
    "voice-lab": ("mini", "lab"),
    "edited-codes": ("mini", "lab"),
}


def kind_of(name: str) -> str:
    """Return which widget a name stands for: `player`, `explorer` or `lab`."""
    return RUNS[name][1]


def weights_hash(run: str) -> str:
    """Return the SHA-256 of the newest weights of a shipped run."""
    (file,) = results(run).glob("weights-*.weights.h5")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def write_live(folder: Path, name: str) -> Path:
    """Make a widget, write it to `folder`, and return the path of its file."""
    from scripts.site_parts.widgets import WIDGETS

    run, kind = RUNS[name]
    widget = WIDGETS[name]()
    widget.key = name
    if kind == "explorer":
        sounds, failed = _sounds_of(widget)
        state = widget._page_state() | {"played": {}, "page": False}
    else:
        state = widget._page_state()
        player = state["player"] if kind == "lab" else state
        sounds, failed = dict(enumerate(map(_samples, player["pcm"]))), {}
        player |= {"pcm": [], "key": name}
    blocks, places = mp3_blocks(sounds, BLOCK if kind == "explorer" else 1)
    content = {
        "made_of": {"run": run, "weights": weights_hash(run)},
        "widget": kind,
        "state": _zipped(packed(state)),
        "rate": RATE,
        "places": places,
        "failed": failed,
        "mp3": blocks,
    }
    text = json.dumps(content, allow_nan=False, separators=(",", ":"), sort_keys=True)
    path = folder / f"{name}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{BEGIN}["{name}"] = {text};\n', encoding="utf-8")
    return path


def _zipped(state: dict) -> str:
    """Return a state as JSON, compressed by gzip, in base64."""
    text = json.dumps(state, allow_nan=False, separators=(",", ":"), sort_keys=True)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def read_live(path: Path) -> dict:
    """Return what `write_live` wrote."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text.partition(" = ")[2].rstrip(";\n"))


def _samples(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, "<i2")


def _sounds_of(explorer: Explorer) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return every sound of an explorer by `point sound`, and why the others are missing."""
    sounds, failed = {}, {}
    kinds, points = range(len(explorer.sounds)), range(len(explorer.names))
    for sound, point in itertools.product(kinds, points):
        try:
            sounds[f"{point} {sound}"] = _samples(explorer._sound(point, sound))
        except InputError as error:
            failed[f"{point} {sound}"] = str(error)
    return sounds, failed


def mp3_blocks(sounds: dict, size: int) -> tuple[list[str], dict[str, list[int]]]:
    """Join sounds, int16 (T,), to blocks, each an MP3 in base64.

    Returns:
        The blocks; and by name the block of each sound, its first sample there and its length.
    """
    blocks, places = [], {}
    every = list(sounds)
    for names in (every[start : start + size] for start in range(0, len(every), size)):
        parts = [np.append(sounds[name], np.zeros(GAP, np.int16)) for name in names]
        ends = np.cumsum(list(map(len, parts)))
        for name, part, end in zip(names, parts, ends.tolist(), strict=True):
            places[str(name)] = [len(blocks), end - len(part), len(part) - GAP]
        blocks.append(base64.b64encode(to_mp3(np.concatenate(parts))).decode())
    return blocks, places


def to_mp3(samples: np.ndarray) -> bytes:
    """Return samples, int16 (T,), as an MP3 of about 24 kbit/s, a tenth of their size."""
    file = io.BytesIO()
    quality = {"compression_level": 0.99, "bitrate_mode": "VARIABLE"}
    soundfile.write(file, samples, RATE, "MPEG_LAYER_III", format="MP3", **quality)
    return file.getvalue()
