"""The report of a run: `summary.json` and the sounds and figures beside it -> `report.html`.

The page works from disk, without a network.
"""

import html
import json
import shutil
import urllib.parse
from pathlib import Path

from vqwn_kit.files import replacing
from vqwn_kit.widgets.listen import audio_element, table

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
    "loss.png": "Loss per sample during training, in bits. Lower is better.",
    "code_history.png": "Codes in use during training.",
    "code_use.png": "How often each code is used, in held-out speech where some is held out.",
    "spectrograms_1.png": "The first utterance: original, reconstruction and a conversion.",
    "spectrograms_2.png": "The second utterance: original, reconstruction and a conversion.",
    "codebook_umap.png": "The codebook (UMAP): each dot is a code; near dots have similar vectors.",
    "codebook_pca.png": "The codebook (PCA): its two directions of greatest variance.",
    "score_card.png": "The score card; its numbers are in score_card.md.",
    "speakers.png": "The speaker embeddings of the decoder (PCA).",
}


def write_report(folder: Path, reference: Path | None = None) -> Path:
    """Write `report.html` of a run folder and return its path.

    Args:
        folder: a run folder with `summary.json`, and the sounds and figures that it names.
        reference: the folder of a run that was trained for longer, with a score card; some of its
            sounds are copied to `reference/` and included.
    """
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    body = [
        f"<h1>{html.escape(summary['run'])}</h1>",
        f"<p>An encoder turned speech into {_rate(summary)}, and a WaveNet synthesised it from "
        f"them: in the same voice, and in others. {_origin(summary['tracks'])}</p>",
    ]
    if summary["train_minutes"] < 30:
        body.append(
            f'<p class="note">The model was trained for {summary["train_minutes"]:.1f} minutes. '
            "That is enough for rhythm and loudness at best, and far too little for words: expect "
            "babble and noise.</p>"
        )
    body += ["<h2>Sounds</h2>", *_players(summary["tracks"])]
    if reference is not None:
        body += _reference(folder, reference)
    measures = [list(map(html.escape, pair)) for pair in summary["measures"].items()]
    body += ["<h2>Measures</h2>", table(measures), "<h2>Figures</h2>"]
    for name, caption in FIGURES.items():
        if (folder / "figures" / name).is_file():
            body.append(f'<p><img src="figures/{name}" alt=""><br>{caption}</p>')
    body.append(
        "<p>The vectors of codes, speakers and frames are in <code>embeddings/</code>. The command "
        "<code>vqwn visualise --open --save</code> with that folder shows them in the Embedding "
        "Projector, and projector.tensorflow.org loads a <code>_vecs.tsv</code> with its "
        "<code>_meta.tsv</code>.</p>"
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
        return f"{rate:.0f} vectors per second, without a codebook"
    return f"{rate:.0f} codes per second ({bits:.0f} bits per second)"


def _origin(tracks: list[dict]) -> str:
    if all(track["split"] == "held_out" for track in tracks):
        return "No utterance below was in training."
    return "These utterances were in training, since none is held out."


def _players(tracks: list[dict], prefix: str = "") -> list[str]:
    parts = []
    for utterance in dict.fromkeys(track["utterance"] for track in tracks):
        versions = [track for track in tracks if track["utterance"] == utterance]
        text = html.escape(versions[0]["text"])
        text = f' <span class="text">{text}</span>' if text else ""
        rows = []
        for track in versions:
            source = urllib.parse.quote(prefix + track["file"])
            rows.append([html.escape(track["label"]), audio_element(source)])
        parts += [f"<h3>{html.escape(utterance)}{text}</h3>", table(rows)]
    return parts


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
        f"<p>A model with other settings, trained for {seconds / 60:.0f} minutes "
        f"(<code>{html.escape(reference.name)}</code>, see its README and its score card):</p>"
    )
    return ["<h2>Longer training</h2>", intro, *_players(tracks, "reference/")]
