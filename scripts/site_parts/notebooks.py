"""Executed notebooks -> HTML: text, code, figures and sounds; widgets where they can play."""

import base64
import hashlib
import html
import io
import json
import re
from pathlib import Path

import soundfile
from PIL import Image

from scripts.site_parts.live import to_mp3
from scripts.site_parts.text import Text, code_block

LIVE = {  # widgets of a shipped run, by notebook and cell
    ("00", "c61cb8d9"): "saved-sounds",
    ("04", "cell-29"): "ablation",
    ("06", "cell-05"): "conversions",
    ("07", "cell-14"): "codebook",
    ("07", "cell-35"): "speakers",
    ("09", "cell-27"): "voice-lab",
    ("09", "cell-30"): "edited-codes",
}
WIDGET = re.compile(r"^<(Player|Explorer|TrainingMonitor|VoiceLab) ")
STILL = {
    "Player": "A picture of the player. Its run was trained in the notebook and is not shipped: "
    '<a href="../index.html">the start page plays a trained run</a>.',
    "Explorer": "A picture of the map. "
    '<a href="../codebook.html">The codebook of the shipped run is a map to click on</a>.',
    "TrainingMonitor": "A picture of the monitor, which has buttons and plays sounds in JupyterLab "
    "while a model is trained.",
    "VoiceLab": "A picture of the voice lab.",
}
AUDIO = re.compile(r'<audio[^>]*src="data:audio/flac;base64,([^"]*)"></audio>')
PICTURE = re.compile(r"plot_(\w+)")


class Notebook:
    """The page of an executed notebook.

    Args:
        path: of the notebook.
        text: the page.
        files: folder for figures and sounds, `files` beside the page.
    """

    def __init__(self, path: Path, text: Text, files: Path):
        self.number, self.text, self.files = path.name[:2], text, files
        self.cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        self.live: list[str] = []  # names of the widgets of this page

    def html(self) -> str:
        """Return the HTML of all cells; write figures and sounds that are not there yet."""
        parts = []
        for cell in self.cells:
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                parts.append(self.text.html(source))
            elif cell["cell_type"] == "code":
                parts.append(code_block(source, "python"))
                parts += [self._output(output, cell["id"], source) for output in cell["outputs"]]
        return "\n".join(parts)

    def _output(self, output: dict, cell: str, source: str) -> str:
        if output["output_type"] == "stream":
            words = html.escape("".join(output["text"]).rstrip("\n"))
            return f'<pre class="output" tabindex="0">{words}</pre>'
        data = output["data"]
        name, plain = LIVE.get((self.number, cell)), "".join(data.get("text/plain", ""))
        widget = WIDGET.match(plain)
        if widget and name:
            self.live.append(name)
            return live_html(name)
        if "text/html" in data:
            return f'<div class="wide output" tabindex="0">{self._sounds(data["text/html"])}</div>'
        if "image/png" in data:
            note = f"<figcaption>{STILL[widget[1]]}</figcaption>" if widget else ""
            about = plain[1:-1] if widget else _about(source)
            return f"<figure>{self._picture(data['image/png'], about)}{note}</figure>"
        return "" if widget else f'<pre class="output" tabindex="0">{html.escape(plain)}</pre>'

    def _picture(self, png: str, about: str) -> str:
        content = base64.b64decode("".join(png))
        width, height = (int.from_bytes(content[at : at + 4]) for at in (16, 20))

        def as_webp() -> bytes:
            file = io.BytesIO()
            picture = Image.open(io.BytesIO(content)).convert("RGBA").convert("RGB")
            few = picture.quantize(128, dither=Image.Dither.NONE).convert("RGB")
            few.save(file, "WEBP", lossless=True, method=6)
            return file.getvalue()

        source = self._file(content, "webp", as_webp)
        return (
            f'<img src="{source}" width="{width}" height="{height}" loading="lazy" '
            f'alt="{html.escape(about)}">'
        )

    def _sounds(self, table: list[str] | str) -> str:
        """Return a table of sounds with files instead of their bytes, as MP3."""
        return AUDIO.sub(self._audio, "".join(table)).replace("\n", "")

    def _audio(self, match: re.Match) -> str:
        flac = base64.b64decode(match[1])

        def as_mp3() -> bytes:
            samples, _ = soundfile.read(io.BytesIO(flac), dtype="int16")
            return to_mp3(samples)

        source = self._file(flac, "mp3", as_mp3)
        return f'<audio controls preload="metadata" src="{source}"></audio>'

    def _file(self, content: bytes, kind: str, make) -> str:
        """Return the address of a file, which is named by what it is made from."""
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.{kind}"
        path = self.files / name
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(make())
        return f"files/{name}"


def _about(source: str) -> str:
    """Return what a figure is of, by the function that draws it."""
    found = PICTURE.search(source)
    return f"Figure: {found[1].replace('_', ' ')}" if found else "Figure of the cell above"


def live_html(name: str) -> str:
    """Return where a page shows a widget; see `live.js`."""
    return (
        f'<div class="live" data-live="{name}"><p>Loading the sounds …</p></div>\n'
        "<noscript><p>This needs JavaScript, from this page alone.</p></noscript>"
    )
