"""Fixtures: a small speech-like corpus made for each session, and a run trained on it briefly."""

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from inspect import signature
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")

from vqwn_kit.models.tensorflow import keras, tf  # isort: skip

from tensorflow.python.framework import ops  # noqa: E402

from vqwn_kit.data import audio  # noqa: E402
from vqwn_kit.models import (  # noqa: E402
    Conditioner,
    SampleCodec,
    WaveNet,
    WaveNetDecoder,
)
from vqwn_kit.presets.build import build_model  # noqa: E402
from vqwn_kit.presets.parts import build_part, change_part  # noqa: E402

ROOT = Path(__file__).parents[1]

# Tracing a graph takes longer than the few steps of a tiny training, and keeps 86 MB. Tests that
# are marked `traced` trace graphs, as users do; so do notebooks, slow tests and the main job.
tf.config.run_functions_eagerly(True)
# Graphs that run for a few steps are not worth optimising: a fifth of the time of a tiny training.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
GRADIENTS = ops.gradient_registry._registry
KNOWN_GRADIENTS = set(GRADIENTS)
gc.collect()
gc.freeze()  # a million objects of TensorFlow that no later collection has to visit


@pytest.fixture(scope="module", autouse=True)
def _free_memory() -> Iterator[None]:
    """Free the models of a file: each is a reference cycle, which only a full collection finds.

    Its random weights do not depend on the files before.
    """
    keras.utils.set_random_seed(0)
    yield
    keras.utils.clear_session()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded random numbers."""
    return np.random.default_rng(1234)


@pytest.fixture(autouse=True)
def _seeded(request) -> Iterator[None]:
    """Make the weights of each test the same in every run; free the graphs that it traced.

    TensorFlow keeps each custom gradient that was traced, with its graph.
    """
    keras.utils.set_random_seed(1234)
    tf.config.run_functions_eagerly(not {"traced", "slow"} & set(request.keywords))
    yield
    tf.config.run_functions_eagerly(True)
    traced = GRADIENTS.keys() - KNOWN_GRADIENTS
    for name in traced:
        del GRADIENTS[name]
    if traced:
        gc.collect()


def tones(seconds: float, pitch: float, seed: int = 0) -> np.ndarray:
    """Return a buzzing sound of three harmonics with a slow envelope, float32 (T,)."""
    time = np.arange(int(seconds * 16_000)) / 16_000
    wave = sum(np.sin(2 * np.pi * pitch * h * time + seed) / h for h in (1, 2, 3))
    return (0.3 * wave * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time + seed))).astype(np.float32)


def zero_crossings(waveform: np.ndarray) -> np.ndarray:
    """Return half the zero crossings per second around each 256th sample, as a pitch in Hz.

    It stands for the estimator of an optional package; fewer than 50 Hz are unvoiced.
    """
    crossed = np.diff(np.signbit(np.pad(waveform, 256)))
    windows = [crossed[256 * n : 256 * n + 512].sum() for n in range(max(1, len(waveform) // 256))]
    hertz = np.array(windows) * 16_000 / 1024
    return np.where(hertz < 50, np.nan, np.maximum(hertz, 1.0))


def make_folders(folder: Path, speakers: dict[str, float], utterances: int = 4) -> Path:
    """Write a plain corpus, one subfolder a speaker, each speaking at a pitch of its own."""
    for name, pitch in speakers.items():
        for number in range(utterances):
            sound = tones(0.25 + 0.05 * number, pitch * (1 + 0.1 * number), number)
            audio.save_audio(folder / name / f"{name}_{number:03d}.wav", sound)
    return folder


def make_vctk(folder: Path) -> Path:
    """Write a corpus in the layout of VCTK 0.80, at 48 kHz, with its table of speakers."""
    facts = ["ID  AGE  GENDER  ACCENTS  REGION"]
    lines = {
        "p225": "225  23  F    English    Southern  England",
        "p226": "226  22  M    English    Surrey",
    }
    for name, pitch in {"p225": 220.0, "p226": 120.0, "p243": 140.0}.items():
        for number in range(1, 5):
            sound = np.repeat(tones(0.3, pitch, number), 3)
            audio.save_audio(folder / "wav48" / name / f"{name}_{number:03d}.wav", sound, 48_000)
            text = folder / "txt" / name / f"{name}_{number:03d}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text(f"Sentence number {number}.\n")
        facts += [lines[name]] if name in lines else []
    (folder / "speaker-info.txt").write_text("\n".join(facts) + "\n")
    return folder


def make_vctk_092(folder: Path) -> Path:
    """Write a corpus in the layout of VCTK 0.92: two microphones, and p280 without the second."""
    for name, pitch in {"p225": 220.0, "p280": 120.0}.items():
        for number in (1, 2):
            for place, microphone in enumerate(("mic1", "mic2")[: 1 if name == "p280" else 2]):
                sound = tones(0.3, pitch * (1 + place), number)
                file = f"{name}/{name}_{number:03d}_{microphone}.flac"
                audio.save_audio(folder / "wav48_silence_trimmed" / file, sound)
            text = folder / "txt" / name / f"{name}_{number:03d}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text(f"Sentence number {number}.\n")
    (folder / "wav48_silence_trimmed" / "log.txt").write_text("trimmed\n")
    (folder / "speaker-info.txt").write_text(
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \n"
        "p225  23  F    English    Southern  England\n"
        "p280  25  F    Unknown    France (mic2 files unavailable)\n"
    )
    return folder


def make_libri(folder: Path, subset: str = "test-other", speaker: str = "367") -> Path:
    """Write a subset in the layout of LibriSpeech."""
    chapter = folder / subset / speaker / "130732"
    keys = [f"{speaker}-130732-000{number}" for number in range(3)]
    for number, key in enumerate(keys):
        audio.save_audio(chapter / f"{key}.flac", tones(0.3, 150.0, number))
    lines = [f"{key} WORDS {number}" for number, key in enumerate(keys)]
    (chapter / f"{speaker}-130732.trans.txt").write_text("\n".join(lines) + "\n")
    with (folder / "SPEAKERS.TXT").open("a") as file:
        file.write(f"; ID |SEX\n{speaker}  | M | {subset} | 8.0 | A | Reader\n")
    return folder


def make_aishell(folder: Path) -> Path:
    """Write a corpus in the layout of Aishell-1, with the second archive beside it."""
    lines = []
    for split, speaker in (("train", "S0002"), ("dev", "S0724"), ("test", "S0764")):
        for number in (122, 123):
            key = f"BAC009{speaker}W0{number}"
            audio.save_audio(
                folder / "wav" / split / speaker / f"{key}.wav", tones(0.3, 150.0, number)
            )
            lines.append(f"{key} \u800c \u5bf9 {number}")
    (folder / "transcript").mkdir()
    table = folder / "transcript" / "aishell_transcript_v0.8.txt"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder.parent / "resource_aishell").mkdir()
    (folder.parent / "resource_aishell" / "speaker.info").write_text("0002 F\n0724 M\n")
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A plain corpus of two speakers, four utterances each."""
    return make_folders(tmp_path_factory.mktemp("speech"), {"ann": 200.0, "bob": 110.0})


@pytest.fixture(scope="session", autouse=True)
def stores(tmp_path_factory) -> Path:
    """Prepared stores go to a scratch folder."""
    os.environ["VQWN_STORES"] = str(tmp_path_factory.mktemp("stores"))
    return Path(os.environ["VQWN_STORES"])


@pytest.fixture(scope="session")
def store(folder):
    """The prepared plain corpus."""
    from vqwn_kit import open_corpus, prepare

    return prepare(open_corpus(folder), progress=False)


@pytest.fixture(scope="session")
def run(store, tmp_path_factory):
    """A run of the preset `tiny`."""
    from vqwn_kit import train

    return train(store, "tiny", save=tmp_path_factory.mktemp("run") / "weights", progress=False)


@pytest.fixture(scope="session")
def model(run):
    """The model of that run."""
    return run.model


@pytest.fixture(scope="module")
def estimator() -> Iterator[None]:
    """The pitch of waveforms is estimated by `zero_crossings`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vqwn_kit.data.pitch.pitch_of", zero_crossings)
        yield


@pytest.fixture(scope="session")
def pitch_run(store, tmp_path_factory):
    """A run of the preset `tiny` whose decoder is conditioned on pitch, by `zero_crossings`."""
    from vqwn_kit import train

    save = tmp_path_factory.mktemp("pitch") / "weights"
    settings = {"decoder": {"conditioner": {"pitch_levels": 50}}, "progress": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vqwn_kit.data.pitch.pitch_of", zero_crossings)
        return train(store, "tiny", save=save, **settings)


def several_codebooks(kind: str) -> dict:
    """Return settings of a bottleneck of three codebooks of eight codes, for the preset `tiny`."""
    sizes = {"num_embeddings": 8, "initializer": "data"}
    return {"class_name": kind, "num_codebooks": 3, "quantizer": sizes}


@pytest.fixture(scope="session")
def residual_run(store, tmp_path_factory):
    """A run of the preset `tiny` with three residual codebooks of eight codes."""
    from vqwn_kit import train

    settings = {"bottleneck": several_codebooks("residual"), "steps": 10, "save_every": 10}
    folder = tmp_path_factory.mktemp("residual") / "weights"
    return train(store, "tiny", save=folder, progress=False, **settings)


@pytest.fixture(scope="session")
def product_model():
    """A product model of random weights: groups of three of the nine channels."""
    from vqwn_kit import load_preset

    changes = {"encoder": {"embedding_dim": 9}, "bottleneck": several_codebooks("product")}
    changes["bottleneck"]["embedding_dim"] = 9
    return build_model(load_preset("tiny").change(**changes), ["ann", "bob"])


def declare(preset, speakers: Sequence[str] = ("ann",)):
    """Return the `VQVAE` of a preset with the shapes of its weights, which take no memory."""
    with keras.StatelessScope(initialize_variables=False):
        return build_model(preset, list(speakers))


def decoder_settings(**flat) -> dict:
    """Return settings of a `WaveNetDecoder`'s parts, given flat, each under its own part."""
    parts = {"conditioner": Conditioner, "codec": SampleCodec, "network": WaveNet}
    nested = {
        name: {key: flat.pop(key) for key in signature(cls).parameters if key in flat}
        for name, cls in parts.items()
    }
    if "num_components" in flat:
        settings = {"num_components": flat.pop("num_components")}
        nested["distribution"] = {"class_name": "LogisticMixture", **settings}
    own_names = ("trained_filters", "contrast", "match_bands", "pitch_postfilter")
    own = {key: flat.pop(key) for key in own_names if key in flat}
    assert not flat, flat
    return own | {name: settings for name, settings in nested.items() if settings}


def small_decoder(**changes) -> WaveNetDecoder:
    """Return a decoder of three speakers, four-dimensional codes and a few channels."""
    keywords = {
        "dilations": (1, 2, 4),
        "kernel_size": 3,
        "residual_channels": 6,
        "gate_channels": 5,
        "skip_channels": 7,
        "first_kernel_size": 4,
        "speaker_dim": 3,
    }
    hop, dtype = changes.pop("hop_length", 16), changes.pop("dtype", None)
    content = {"class_name": "WaveNetDecoder", "config": {}}
    content = change_part("decoder", content, decoder_settings(**keywords | changes))
    given = {"num_speakers": 3, "condition_dim": 4, "hop_length": hop}
    decoder = build_part("decoder", content, given, {"dtype": dtype} if dtype else {})
    decoder.build()
    return decoder


def ctrl_c_at(step: int):
    """Return a callback of training that presses Ctrl-C at a step."""

    def press(record, model):
        if record["step"] == step:
            os.kill(os.getpid(), signal.SIGINT)

    return press
