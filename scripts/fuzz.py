"""Change files of this project at random, and read them: a result, or an error that says what is.

    python scripts/fuzz.py --mutations 100000 --seed 1 --only history config

Each reader gets its files as they are written, then with changed, lost, repeated and foreign bytes,
or with odd values in the place of others. It must return, or raise InputError or OSError with a
message; anything else is printed with the file that caused it, and the exit status is 1.
"""

import argparse
import collections
import copy
import io
import json
import resource
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import h5py
import numpy as np

from vqwn_kit.data.alignment import read_phones
from vqwn_kit.data.arrays import load_array, load_arrays, save_array, save_arrays
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.metrics.listening_test import COLUMNS, findings, read_answers
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.files import read_json
from vqwn_kit.presets.preset import PRESETS, load_preset
from vqwn_kit.projector.server import _named
from vqwn_kit.projector.tables import visualise
from vqwn_kit.runs.added_voices import AddedVoice, read_voice, save_voice, voice_files
from vqwn_kit.runs.history import read_history, write_history
from vqwn_kit.runs.run import Run
from vqwn_kit.runs.weights import read_weights

ODD = [None, True, False, 0, -1, 1, 10**20, 1e-300, float("nan"), float("inf"), "", "x", "\0", "9"]
ODD += [[], {}, [1], [[]], {"a": 1}, {"class_name": 5}, "a" * 300, "../../x", "$\\foo$", 0.5, -3]
MEMORY = 6 * 2**30  # bytes that the process may take
RATE, SPEAKERS = {"peak": 1e-3, "warm_up": 5, "end": 1e-5}, {"ann": {"sex": "F"}, "bob": {}}


class Reader(NamedTuple):
    """How files are made in a folder, and read."""

    write: Callable[[Path], list[str]]  # the names of those to change
    read: Callable[[Path], object]


def _json(**files: dict) -> Callable[[Path], list[str]]:
    """Return how JSON files are written, by their names without ending."""

    def write(folder: Path) -> list[str]:
        for name, content in files.items():
            (folder / f"{name}.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
        return [f"{name}.json" for name in files]

    return write


def _preset() -> dict:
    return load_preset("mini").change(learning_rate=RATE).to_dict()


def _config() -> dict:
    data = {"folder": "data/mini", "store": "mini-0123", "trim_db": 40.0, "hold_out": "sentences"}
    about = {"prefix": "weights", "corpus": "mini", "speakers": SPEAKERS, "parts": {"encoder": "x"}}
    return {"preset": _preset(), **about, "data": data, "earlier": [{"corpus": "a", "until": 3}]}


def _read_run(folder: Path) -> None:
    run = Run(folder)
    assert run.steps == []
    run.preset.first_stage()
    run.preset.same_as(run.preset)


def _write_history(folder: Path) -> list[str]:
    record = {"samples": 5, "bits": 3.5, "held_out/bits": float("nan")}
    write_history(folder, [{"step": n, "seconds": 1.5 * n, **record} for n in range(1, 5)])
    return ["history.jsonl"]


def _write_arrays(folder: Path) -> list[str]:
    arrays = {"step": np.array(7), "model/0": np.ones((3, 4), np.float32), "seconds": np.array(2.5)}
    save_arrays(folder / "state.npz", arrays)
    save_array(folder / "table.npy", np.eye(5, dtype=np.float32))
    return ["state.npz", "table.npy"]


def _read_arrays(folder: Path) -> None:
    load_arrays(folder / "state.npz")
    load_array(folder / "table.npy")


def _write_weights(folder: Path) -> list[str]:
    memory = io.BytesIO()  # without a checksum, as Keras writes it
    with h5py.File(memory, "w") as file:
        for number in range(3):
            file[f"layers/conv_{number}/vars/0"] = np.ones((2, 3), np.float32)
    (folder / "weights-3.weights.h5").write_bytes(memory.getvalue())
    return ["weights-3.weights.h5"]


def _card() -> dict:
    row = {"section": "a", "name": "b", "value": 1.5, "low": 1.0, "high": None, "n": 4, "of": "c"}
    row |= {"unit": "%", "note": "", "sentences": {"s": 1.0}}
    track = {"utterance": "u", "text": "t", "split": "held_out", "label": "l", "file": "f.flac"}
    card = {"about": {"run": "mini"}, "rows": [row, {**row, "name": "d"}], "skipped": {"e": "why"}}
    return {**card, "verdicts": ["so"], "divergence": [[1, 2.5]], "tracks": [track]}


def _write_phones(folder: Path) -> list[str]:
    lines = ["utterance\tstart\tend\tphone", "ann_1\t0.0\t0.5\tSIL", "ann_1\t0.5\t0.75\tAA"]
    (folder / "phones.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["phones.tsv"]


def _write_answers(folder: Path) -> list[str]:
    rows = [dict.fromkeys(COLUMNS, "a") | {"mode": "abx", "correct": "1"} for _ in range(3)]
    rows += [
        dict.fromkeys(COLUMNS, "b") | {"mode": "rating", "answer": "4", "track": n} for n in "xy"
    ]
    lines = [",".join(COLUMNS), *(",".join(row[name] for name in COLUMNS) for row in rows)]
    (folder / "listening.csv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    return ["listening.csv"]


def _write_speakers(folder: Path) -> list[str]:
    save_array(folder / "speaker_embedding_3.npy", np.eye(2, 4))
    return [*_json(config=_config())(folder), "speaker_embedding_3.npy"]


def _read_prior(folder: Path) -> None:
    from vqwn_kit.prior.load import read_config

    read_config(SimpleNamespace(folder=folder), "prior")


def _write_prior(folder: Path) -> list[str]:
    (folder / "prior").mkdir(exist_ok=True)
    training = {"steps": 5, "learning_rate": RATE, "speaker": True, "encodings": 2}
    content = {"prior": {"units": 8}, "training": training, "store": "mini-01", "step": 5}
    _json(config={**content, "frame_rate": 250.0})(folder / "prior")
    return ["prior/config.json"]


def _read_comparison(folder: Path) -> None:
    from vqwn_kit.training.compare import Comparison

    Comparison.load(folder)


def _write_voice(folder: Path) -> list[str]:
    about = {"seconds": 31.5, "errors": {"bits": [4.0, "bob", 3.5]}, "hertz": 210.0}
    save_voice(folder, AddedVoice("ann", np.ones(4, np.float32), 20, about))
    return [*_json(about={"step": 20, **about})(folder), "voices/ann.npz"]


def _read_voice(folder: Path) -> None:
    about = np.frombuffer((folder / "about.json").read_bytes(), np.uint8)
    save_arrays(folder / "voices" / "bob.npz", {"vector": np.ones(4), "about": about})
    for file in voice_files(folder):
        voice = read_voice(file)
        assert str(voice)
        assert voice.facts


ROWS = [{"variant": "a", "seed": 0, "run": "a-seed0", "bits": 3.0, "scores": {"abx": 5.0}}]
TABLES = {"embeddings": [{"tensorPath": "a_vecs.tsv", "metadataPath": "a_meta.tsv"}]}
ORIGINAL = [
    json.loads((PRESETS / f"{n}_parameters.json").read_text()) for n in ("model", "wavenet")
]
READERS = {
    "config": Reader(_json(config=_config()), _read_run),
    "preset": Reader(_json(own=_preset()), lambda folder: load_preset(folder / "own.json")),
    "original": Reader(
        _json(model=ORIGINAL[0] | {"wavenet_parameters": "wavenet.json"}, wavenet=ORIGINAL[1]),
        lambda folder: load_preset(folder / "model.json"),
    ),
    "history": Reader(_write_history, read_history),
    "arrays": Reader(_write_arrays, _read_arrays),
    "weights": Reader(_write_weights, lambda folder: read_weights(folder / "weights-3.weights.h5")),
    "card": Reader(_json(score_card=_card()), lambda folder: str(ScoreCard.load(folder))),
    "phones": Reader(_write_phones, lambda folder: read_phones(folder / "phones.tsv")),
    "answers": Reader(
        _write_answers, lambda folder: findings(read_answers(folder / "listening.csv"))
    ),
    "tables": Reader(
        _json(projector_config=TABLES), lambda folder: _named(folder / "projector_config.json")
    ),
    "speakers": Reader(
        _write_speakers,
        lambda folder: visualise(folder / "out", speaker=folder / "speaker_embedding_3.npy"),
    ),
    "summary": Reader(
        _json(summary={"run": "x", "stages": []}),
        lambda folder: read_json(folder / "summary.json", "a summary"),
    ),
    "voice": Reader(_write_voice, _read_voice),
    "prior": Reader(_write_prior, _read_prior),
    "comparison": Reader(
        _json(compare={"corpus": "mini", "steps": 5, "utterances": 2, "rows": ROWS}),
        _read_comparison,
    ),
}


def mutations(content: bytes, is_json: bool, rng: np.random.Generator) -> Iterator[bytes]:
    """Yield changed content without end: bytes, or values of a JSON file."""
    while True:
        changed = content
        for _ in range(rng.integers(1, 4)):
            changed = _other_value(changed, rng) if is_json and rng.random() < 0.7 else changed
            changed = _other_bytes(changed, rng) if changed == content else changed
        yield changed


def _other_value(content: bytes, rng: np.random.Generator) -> bytes:
    """Put an odd value in the place of one in a JSON file, remove it, or add one."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        return content
    places, queue = [], [whole] if isinstance(whole, dict | list) else []
    while queue:
        item = queue.pop()
        keys = item if isinstance(item, dict) else range(len(item))
        places += [(item, key) for key in keys]
        queue += [item[key] for key in keys if isinstance(item[key], dict | list)]
    if not places:
        return json.dumps(copy.copy(ODD[rng.integers(len(ODD))])).encode()
    item, key = places[rng.integers(len(places))]
    choice = rng.random()
    if choice < 0.8:
        item[key] = copy.deepcopy(ODD[rng.integers(len(ODD))])
    elif choice < 0.95:
        del item[key]
    elif isinstance(item, dict):
        item["odd"] = 1
    return json.dumps(whole).encode()


def _other_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Change, lose, repeat or add bytes."""
    first, last = sorted(rng.integers(0, len(content) + 1, 2))
    last = min(last, first + int(rng.integers(1, 40)))
    piece, place = content[first:last], int(rng.integers(0, len(content) + 1))
    bit = int(rng.integers(0, 8 * max(1, len(content))))
    flipped = bytearray(content)
    if flipped:
        flipped[bit // 8] ^= 1 << bit % 8
    return [
        bytes(flipped),
        content[:place],
        content[:first] + content[last:],
        content[:place] + piece + content[place:],
        content[:first] + rng.bytes(last - first) + content[last:],
        content[:first] + bytes(last - first) + content[last:],
        content + bytes(100),
        content.replace(rng.choice([b"1", b".", b"\t", b",", b'"', b"\n"]), b"-", 1),
    ][rng.integers(8)]


def fuzz(names: list[str], count: int, seed: int, folder: Path) -> tuple[dict, list[str]]:
    """Read changed files; return how often each outcome was, and the faults as text.

    Args:
        names: of readers.
        count: mutations of each.
        seed: of the mutations.
        folder: for the files.
    """
    outcomes: dict[str, collections.Counter] = {}
    faults: list[str] = []
    for number, name in enumerate(names):
        rng, place = np.random.default_rng([seed, number]), folder / name
        place.mkdir(parents=True)
        files = READERS[name].write(place)
        READERS[name].read(place)  # as they are written, they are read
        whole = {file: (place / file).read_bytes() for file in files}
        changes = {f: mutations(whole[f], f.endswith(".json"), rng) for f in files}
        outcomes[name] = collections.Counter()
        for turn in range(count):
            file = files[turn % len(files)]
            (place / file).write_bytes(next(changes[file]))
            outcome, fault = _outcome(READERS[name].read, place)
            outcomes[name][outcome] += 1
            if fault:
                kept = folder / f"fault-{name}-{turn}-{Path(file).name}"
                kept.write_bytes((place / file).read_bytes())
                faults.append(f"{name}, {kept}:\n{fault}")
            (place / file).write_bytes(whole[file])
    return outcomes, faults


def _outcome(read: Callable[[Path], object], folder: Path) -> tuple[str, str]:
    """Return what came of reading, and the traceback of a fault."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            read(folder)
        return "read", ""
    except (InputError, OSError) as error:
        return type(error).__name__, "" if str(error).strip() else "an error without a message"
    except Exception:
        return "fault", traceback.format_exc(limit=-4)


def main() -> int:
    """Parse the arguments, print the outcomes; return 1 where a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=20_000, help="of each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=READERS, default=list(READERS))
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    outcomes, faults = fuzz(options.only, options.mutations, options.seed, folder)
    for name, counts in outcomes.items():
        print(f"{name:12}", ", ".join(f"{what} {count:,}" for what, count in counts.items()))
    kinds = {fault.strip().splitlines()[-1]: fault for fault in reversed(faults)}
    for fault in kinds.values():
        print(fault, file=sys.stderr)
    print(f"{len(faults)} faults; files in {folder}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
