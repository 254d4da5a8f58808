"""Waveforms -> audio elements in a notebook, without a widget."""

import base64
import html
import io

import numpy as np
import soundfile

from vqwn_kit.waveforms import as_waveform


def listen(tracks: dict[str, np.ndarray], sample_rate: int = 16_000):
    """Show an audio element for each waveform (T,) in a notebook; loudness is kept as it is.

    Other forms of a waveform are those of `as_waveform`, such as 16-bit samples or (1, T).

    Raises:
        InputError: one is no waveform.

    Example:
        `vq.listen({"original": wave, "as joe": audio[1]})`
    """
    from IPython.display import HTML

    rows = []
    for name, waveform in tracks.items():
        samples, buffer = as_waveform(waveform, name), io.BytesIO()
        soundfile.write(buffer, samples, sample_rate, "PCM_16", format="FLAC")
        data = base64.b64encode(buffer.getvalue()).decode()
        rows.append([html.escape(name), audio_element(f"data:audio/flac;base64,{data}")])
    return HTML(table(rows))


def audio_element(source: str) -> str:
    """Return an HTML audio element of a file or data URL."""
    preload = "metadata" if source.startswith("data:") else "none"  # metadata show the duration
    return f'<audio controls preload="{preload}" src="{html.escape(source)}"></audio>'


def table(rows: list[list[str]]) -> str:
    """Return an HTML table of cells, which are HTML themselves."""
    cells = ("".join(f"<td>{cell}</td>" for cell in row) for row in rows)
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"
