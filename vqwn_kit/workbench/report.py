"""The report of a run: `summary.json` and the sounds and figures beside it -> `report.html`.

The page needs nothing but its folder: it works from disk, without a network.
"""

import base64
import html
import io
import json
import shutil
import urllib.parse
from pathlib import Path

import numpy as np
import soundfile

from vqwn_kit.files import replacing

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
h1, h2 { line-height: 1.2; } img { max-width: 100%; height: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #ddd;
         vertical-align: middle; }
audio { width: 20rem; max-width: 55vw; height: 2.2rem; }
.note { border-left: 4px solid #D55E00; padding: .2rem 1rem; background: #fff6ef; }
.text { font-style: italic; }
"""
FIGURES = {
    "loss.png": "How likely the model finds each next sample, while it trained. Lower is better.",
    "code_history.png": "How many codes were in use while it trained.",
    "code_use.png": "How often each code is used, on all held-out speech where some is held out.",
    "spectrograms_1.png": "The first utterance: original, reconstruction and a conversion.",
    "spectrograms_2.png": "The second utterance: original, reconstruction and a conversion.",
    "codebook_umap.png": "The codebook (UMAP): each dot is a code, near ones have similar vectors.",
    "codebook_pca.png": "The codebook again, in its two directions of greatest spread (PCA).",
    "score_card.png": "The score card; its numbers are in score_card.md.",
    "speakers.png": "The speakers, as the decoder has learned to tell them apart.",
}


def write_report(folder: Path, reference: Path | None = None) -> Path:
    """Write `report.html` of a run folder and return its path.

    Args:
        folder: a run folder with `summary.json`, and the sounds and figures that it names.
        reference: a longer trained run folder with a score card, of whose sounds some are copied
            to `reference/` and played below.
    """
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    body = [
        f"<h1>{html.escape(summary['run'])}</h1>",
        f"<p>An encoder turned speech into {_rate(summary)}, and a WaveNet spoke it again: in the "
        f"same voice, and in the others. {_origin(summary['tracks'])}</p>",
    ]
    if summary["train_minutes"] < 30:
        body.append(
            f'<p class="note">The model was trained for {summary["train_minutes"]:.1f} minutes. '
            "A few minutes are enough to hear rhythm and loudness at best, and far too little for "
            "words: expect babble and noise.</p>"
        )
    body += ["<h2>Listen</h2>", *_players(summary["tracks"])]
    if reference is not None:
        body += _reference(folder, reference)
    body += ["<h2>Measured</h2>", _table(summary["measures"]), "<h2>Look</h2>"]
    for name, caption in FIGURES.items():
        if (folder / "figures" / name).is_file():
            body.append(f'<p><img src="figures/{name}" alt=""><br>{caption}</p>')
    body.append(
        "<p>The vectors of codes, speakers and frames are in <code>embeddings/</code>: see them in "
        "the Embedding Projector with <code>vqwn visualise --open --save</code> and that folder, "
        "or load a <code>_vecs.tsv</code> and its <code>_meta.tsv</code> at "
        "projector.tensorflow.org.</p>"
    )
    page = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(summary['run'])}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(line + chr(10) for line in body)}</body></html>"
    )
    with replacing(folder / "report.html") as scratch:
        scratch.write_text(page, encoding="utf-8")
    return folder / "report.html"


def _rate(summary: dict) -> str:
    rate, bits = summary["codes_per_second"], summary["bits_per_second"]
    if bits is None:
        return f"{rate:.0f} vectors a second, without a codebook"
    return f"{rate:.0f} codes a second ({bits:.0f} bits a second)"


def _origin(tracks: list[dict]) -> str:
    if all(track["split"] == "held_out" for track in tracks):
        return "No utterance below was in training."
    return "These utterances were in training, since none is held out: the model knows them."


def listen(tracks: dict[str, np.ndarray], sample_rate: int = 16_000):
    """Show an audio player for each waveform (T,) in a notebook, at its own loudness.

    Example:
        vq.listen({"original": wave, "as joe": audio[1]})
    """
    from IPython.display import HTML

    rows = []
    for name, waveform in tracks.items():
        buffer = io.BytesIO()
        soundfile.write(buffer, np.clip(waveform, -1, 1), sample_rate, "PCM_16", format="FLAC")
        data = base64.b64encode(buffer.getvalue()).decode()
        source = f"data:audio/flac;base64,{data}"
        rows.append([html.escape(name), _audio(source)])
    return HTML(_rows(rows))


def _players(tracks: list[dict], prefix: str = "") -> list[str]:
    parts = []
    for utterance in dict.fromkeys(track["utterance"] for track in tracks):
        mine = [track for track in tracks if track["utterance"] == utterance]
        text = (
            f' <span class="text">{html.escape(mine[0]["text"])}</span>' if mine[0]["text"] else ""
        )
        parts.append(f"<h3>{html.escape(utterance)}{text}</h3>")
        rows = [
            [html.escape(track["label"]), _audio(urllib.parse.quote(prefix + track["file"]))]
            for track in mine
        ]
        parts.append(_rows(rows))
    return parts


def _audio(source: str) -> str:
    known = "metadata" if source.startswith("data:") else "none"  # shows how long it is
    return f'<audio controls preload="{known}" src="{html.escape(source)}"></audio>'


def _reference(folder: Path, reference: Path) -> list[str]:
    card = json.loads((reference / "score_card.json").read_text(encoding="utf-8"))
    utterances = list(dict.fromkeys(track["utterance"] for track in card["tracks"]))
    shown = utterances[:: max(1, len(utterances) - 1)][:2]
    tracks = [track for track in card["tracks"] if track["utterance"] in shown]
    for track in tracks:
        target = folder / "reference" / track["file"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(reference / track["file"], target)
    (seconds,) = [row["value"] for row in card["rows"] if row["name"] == "training time"]
    intro = (
        f"<p>A model of another recipe, trained for {seconds / 60:.0f} minutes "
        f"(<code>{html.escape(reference.name)}</code>, see its README and its score card):</p>"
    )
    return ["<h2>What longer training gives</h2>", intro, *_players(tracks, "reference/")]


def _table(measures: dict[str, str]) -> str:
    return _rows([[html.escape(name), html.escape(value)] for name, value in measures.items()])


def _rows(rows: list[list[str]]) -> str:
    cells = ("".join(f"<td>{cell}</td>" for cell in row) for row in rows)
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"
