"""The widgets of the site, each made from a shipped run; with TensorFlow, in minutes."""

import csv
from collections.abc import Callable, Iterable

import numpy as np

import vqwn_kit as vq
from vqwn_kit.data import audio
from vqwn_kit.evaluation.phones import KIND_OF, phone_times
from vqwn_kit.widgets.base import Widget
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.points import Colour, nearest
from vqwn_kit.workbench.code_palette import code_palette
from vqwn_kit.workbench.codebook_map import projections
from vqwn_kit.workbench.excerpts import faded

RATE = 16_000
SENTENCE = "kumo_036"
EXCERPTS = 7_680  # samples of the first two excerpts of a code, with the gap between
VOICE = "p239"  # of vctk-libri; twelve of the 26 minutes of its training speech
COLOUR = "most frequent phone"


def sentence() -> Widget:
    """Return the player of the start page: recording, reconstruction and a conversion."""
    run = vq.load_run("mini")
    tracks = {
        name: vq.load_audio(run.folder / "audio" / f"{SENTENCE}_{file}.flac")
        for name, file in {
            "recording of kumo": "original_kumo",
            "reconstruction": "reconstruction_kumo",
            "conversion to blend": "as_blend",
        }.items()
    }
    store = vq.prepare(vq.example_corpus(), progress=False)
    number = store.corpus.utterances.index(store.corpus[SENTENCE])
    return vq.Player(
        tracks,
        codes=run.model.encode(tracks["recording of kumo"]),
        hop_length=run.model.hop_length,
        phones=phone_times(store, [number])[number],
        title=f"“{store.corpus[SENTENCE].text}”",
        palette=code_palette(run),
    )


def codebook() -> Widget:
    """Return the map of the codes of `results/mini`."""
    explorer = vq.explore("mini", "codebook", speaker="joe", progress=False)
    explorer.colour = [colour["name"] for colour in explorer.colours].index(COLOUR)
    excerpts = explorer._hear[0]
    explorer._hear[0] = lambda code: faded(excerpts(code)[:EXCERPTS])
    return explorer


def codebook_of_recordings() -> Widget:
    """Return the map of the first codebook of `results/vctk-libri`, from the files of its folder.

    Its corpus is not shipped: so the codes' uses are those of `projector/codebook_meta.tsv`, and a
    click plays the decoder only.
    """
    run = vq.load_run("vctk-libri")
    folder = run.folder / "projector"
    with (folder / "codebook_meta.tsv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["codebook"] == "0"]
    vectors = np.loadtxt(folder / "codebook_vecs.tsv", delimiter="\t")[: len(rows)]
    column = {name: [row[name] for row in rows] for name in rows[0]}
    percent = np.array(column["percent"], float)
    number = {name: _numbers(column[name]) for name in ("phone percent", "speaker percent")}
    return Explorer(
        projections(vectors, ("pca", "umap")),
        [f"code {row['code']}" for row in rows],
        sizes=percent,
        colours=[
            Colour(COLOUR, _names(column["phone"]), groups=KIND_OF),
            Colour("share of that phone", number["phone percent"], "%"),
            Colour("share of frames", np.where(percent > 0, percent, np.nan), "%", log=True),
            Colour("most frequent speaker", _names(column["speaker"])),
            Colour("share of that speaker", number["speaker percent"], "%"),
        ],
        facts={
            "frames": [f"{row['uses']} ({row['percent']} %)" for row in rows],
            "phone": _with_share(column, "phone"),
            "speaker": _with_share(column, "speaker"),
        },
        links=[nearest(vectors, among=percent > 0)],
        hear={f"decoder ({VOICE})": _holding(run, VOICE)},
        crosses=percent == 0,
        size_name="share of frames",
        title=f"vctk-libri: {(percent > 0).sum()} of {len(rows)} codes in use",
    )


def _holding(run, voice: str) -> Callable[[int], np.ndarray]:
    """Return the sound of a code of the first codebook that the decoder holds for 0.4 s."""
    held = np.zeros((40, run.model.bottleneck.num_codebooks), int)

    def hold(code: int) -> np.ndarray:
        held[:, 0] = code
        return faded(vq.generate(run.model, held, [voice], codebooks=1)[0])

    return hold


def _names(column: Iterable[str]) -> list[str]:
    return ["" if name == "-" else name for name in column]


def _numbers(column: Iterable[str]) -> np.ndarray:
    return np.array([np.nan if number == "-" else float(number) for number in column])


def _with_share(column: dict, name: str) -> list[str]:
    pairs = zip(column[name], column[f"{name} percent"], strict=True)
    return ["" if value == "-" else f"{value} ({share} %)" for value, share in pairs]


def saved_sounds() -> Widget:
    """Return the first player of notebook 00."""
    return vq.play("mini", SENTENCE, saved=True)


def ablation() -> Widget:
    """Return the player of notebook 04: wrong codes and voices, as the notebook makes them."""
    run, rng = vq.load_run("mini"), np.random.default_rng(0)
    store = vq.prepare(vq.example_corpus(), progress=False)
    number = store.corpus.utterances.index(store.corpus["blend_038"])
    wave = store.waveform(number)[: 2 * RATE]
    codes, utterance = run.model.encode(wave)[0], store.corpus.utterances[number]
    rows = np.stack([codes, rng.permutation(codes), codes, codes])
    own = utterance.speaker
    sounds = vq.generate(run.model, rows, [own, own, "joe", None], seed=0)
    names = ["right codes", "shuffled codes", "as joe", "as nobody"]
    tracks = {"original": wave} | dict(zip(names, sounds, strict=True))
    title = f"{own}: {utterance.text}"
    settings = {"hop_length": run.model.hop_length, "palette": code_palette(run)}
    return vq.Player(tracks, codes=codes, title=title, **settings)


def conversions() -> Widget:
    """Return the player of notebook 06."""
    return vq.play("mini", "joe_036", ["alpha", "tebukuro"], seed=0)


def speakers() -> Widget:
    """Return the map of the speakers of notebook 07."""
    return vq.explore("mini", "speakers", utterance=SENTENCE, seconds=1.2, progress=False)


def voice_lab() -> Widget:
    """Return the voice lab of notebook 09."""
    lab = _lab(["alpha", "kumo"])
    lab.generate().wait()
    return lab


def edited_codes() -> Widget:
    """Return the second voice lab of notebook 09, whose first codes are stretched."""
    lab = _lab(["alpha"])
    lab.edit("stretch", 0, 50, 2.0)
    lab.generate().wait()
    return lab


def _lab(voices: list[str]):
    """Return a lab with the recording of notebook 09, a voice of the corpus played slower."""
    slow = audio.resample(vq.example_corpus()["alpha_001"].load(), int(RATE * 0.88), RATE)
    lab = vq.voice_lab(vq.load_run("mini"), voices=voices, temperature=0.9)
    return lab.take(0.9 * slow, RATE, name="ann")


WIDGETS: dict[str, Callable[[], Widget]] = {  # the names are those of `live.RUNS`
    "sentence": sentence,
    "codebook": codebook,
    "codebook-vctk-libri": codebook_of_recordings,
    "saved-sounds": saved_sounds,
    "ablation": ablation,
    "conversions": conversions,
    "speakers": speakers,
    "voice-lab": voice_lab,
    "edited-codes": edited_codes,
}
