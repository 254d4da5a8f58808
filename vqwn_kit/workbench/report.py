"""The report of a run: `summary.json`, sounds and figures -> `report.html`, one file of all.

The page works from disk, without a network, and can be moved and sent.
"""

import base64
import html
from pathlib import Path

from vqwn_kit.data.audio import SAMPLE_RATE, load_audio
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.widgets.listen import table
from vqwn_kit.widgets.page import write_page
from vqwn_kit.widgets.player import Player
from vqwn_kit.workbench.summary import SUMMARY, noted

STYLE = """
body.vq-page { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; color: #222; }
h1, h2 { line-height: 1.2; } img { max-width: 100%; height: auto; background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #8884;
         vertical-align: middle; }
.note { border-left: 4px solid #D55E00; padding: .2rem 1rem; }
@media (prefers-color-scheme: dark) { body.vq-page { color: #eee; } }
"""
FIGURES = {
    "loss_codes.png": "Stage 1: error of the mel bands that are predicted from the codes.",
    "loss.png": "Bits per sample during training. Lower is better.",
    "code_history.png": "Codes in use during training: each point counts the crops of all steps "
    "since the point before, while the codes still move. Early points therefore lie below the "
    "next figure, which counts whole utterances with the codes as they are at the end.",
    "code_use.png": "How often each code is used at the end, in all frames of the held-out "
    "utterances, or of all utterances where none is held out.",
    "codebook_umap.png": "The codebook (UMAP): each dot is a code; near dots have similar vectors.",
    "codebook_pca.png": "The codebook (PCA): its two directions of greatest variance.",
    "score_card.png": "The score card; its numbers are in score_card.md.",
    "speakers.png": "The speaker embeddings of the decoder (PCA).",
}
KEYS = (
    "Click a player and press Space; 1 to 9 switch the track at the same sample. The coloured "
    "strip shows the codes, the decoder's only input from the recording."
)


def write_report(folder: Path, shipped: Path | None = None) -> Path:
    """Write `report.html` of a run folder and return its path.

    Args:
        folder: a run folder with `summary.json`, and the sounds and figures that it names.
        shipped: the folder of a run that was trained for longer, with a score card; its sounds of
            the same utterances become tracks beside those of this run.
    """
    summary, file = noted(folder), folder / "summary.json"
    try:
        body = _body(folder, summary, shipped)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file} is damaged, or is not {SUMMARY} ({error!r:.200})") from error
    figures = [name for name in FIGURES if (folder / "figures" / name).is_file()]
    body += ["<h2>Figures</h2>"] if figures else []
    for name in figures:
        data = base64.b64encode((folder / "figures" / name).read_bytes()).decode()
        picture = f'<img src="data:image/png;base64,{data}" alt="">'
        body.append(f"<p>{picture}<br>{FIGURES[name]}</p>")
    if (folder / "embeddings").is_dir():
        body.append(
            "<p>The vectors of codes, speakers and frames are in <code>embeddings/</code> of the "
            "run's folder. The command <code>vqwn visualise --open --save</code> with that folder "
            "shows them in the Embedding Projector, and projector.tensorflow.org loads a "
            "<code>_vecs.tsv</code> with its <code>_meta.tsv</code>.</p>"
        )
    return write_page(folder / "report.html", body, summary["run"], STYLE)


def _body(folder: Path, summary: dict, shipped: Path | None) -> list:
    """Return what the report says before its figures."""
    body: list = [f"<h1>{html.escape(summary['run'])}</h1>", *_introduction(summary)]
    others: dict[str, dict[str, Path]] = {}  # files of the shipped run by utterance and label
    if shipped is not None:
        card = ScoreCard.load(shipped)
        body.append(f"<p>{_about_shipped(shipped.name, card)}</p>")
        for track in card.tracks:
            files = others.setdefault(track["utterance"], {})
            if not track["label"].startswith("original"):
                files[f"{shipped.name}: {track['label']}"] = shipped / track["file"]
    players = (_player(folder, u, others.get(u["key"], {})) for u in summary["utterances"])
    body += [f"<p>{KEYS}</p>", *players]
    if summary.get("measures"):
        measures = [list(map(html.escape, pair)) for pair in summary["measures"].items()]
        verdicts = [
            f"<p><strong>{html.escape(text)}</strong></p>" for text in summary.get("verdicts", [])
        ]
        body += ["<h2>Is it any good?</h2>", *verdicts] if verdicts else []
        body += ["<h2>Measures</h2>", table(measures)]
    return body


def _introduction(summary: dict) -> list[str]:
    """Return what was trained, for how long, why it ended, and what to expect."""
    stages, utterances = summary["stages"], summary["utterances"]
    held_out = all(utterance["split"] == "held_out" for utterance in utterances)
    origin = "No utterance below was in training."
    if not held_out:
        origin = "These utterances were in training, since none is held out."
    decoder = "a light decoder of mel bands" if summary["first_stage_only"] else "a WaveNet"
    ends = [f"{html.escape(stage['name'])}: {html.escape(stage['end'])}" for stage in stages]
    others = ", and in others" if any(len(u["tracks"]) > 2 for u in utterances) else ""
    lines = [
        f"<p>An encoder turned speech into {_rate(summary)}, and {decoder} synthesised it from "
        f"them: in the same voice{others}. {origin}</p>",
        "<ul>",
        *(f"<li>{end}.</li>" for end in ends),
        "</ul>",
    ]
    if summary["first_stage_only"]:
        lines.append(
            '<p class="note"><strong>Codes only, no WaveNet yet.</strong> The phases are estimated '
            "by the method of Griffin and Lim. The WaveNet is in training; this page is replaced "
            "when it is done.</p>"
        )
    return lines


def _rate(summary: dict) -> str:
    rate, bits = summary["codes_per_second"], summary["bits_per_second"]
    text = f"{rate:.0f} vectors per second, without a codebook"
    if bits is not None:
        text = f"{rate:.0f} codes per second ({bits:.0f} bits per second)"
    pitch = summary.get("pitch_bits_per_second")
    return text if pitch is None else f"{text} and the pitch ({pitch:.0f} bits per second)"


def _about_shipped(name: str, card: ScoreCard) -> str:
    return (
        f"The tracks named <em>{html.escape(name)}</em> are of the run that comes with the "
        "project, for comparison; its decoder was trained for "
        f"{card['training time'].value / 60:.0f} minutes."
    )


def _player(folder: Path, utterance: dict, others: dict[str, Path]) -> Player:
    """Return a player of all sounds of an utterance, those of another run last."""
    files = {track["label"]: folder / track["file"] for track in utterance["tracks"]} | others
    tracks = {label: load_audio(file) for label, file in files.items()}
    title = f"{utterance['key']}: {utterance['text']}".removesuffix(": ")
    settings = {name: utterance[name] for name in ("codes", "hop_length", "phones")}
    return Player(tracks, SAMPLE_RATE, title=title, **settings)
