"""Copy a trained run as the project ships it: to be played and measured, not trained on.

Usage: python scripts/ship_run.py RUN FOLDER

Of one checkpoint the averaged weights, rounded to float16, the codebook and the speakers' vectors;
config and history, also those of the first stage. The folder is new, or that of a run, of which
README and the answers of blind tests stay; all else in it is removed, as it was of other weights. A
score card, sounds, a prior and the projector's files are made again from the copy.
"""

import argparse
import shutil
from pathlib import Path

import vqwn_kit as vq
from vqwn_kit.runs.weights import save_weights

COPIED = ("config.json", "history.jsonl")
LEFT = ("README.md", "listening.csv")  # in the folder


def main() -> None:
    """Make the copy."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", metavar="RUN", help="a run folder or a checkpoint, P-STEP")
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    options = parser.parse_args()
    run = vq.load_run(options.run)
    if run.folder.resolve() == options.folder.resolve():
        parser.error(f"{options.folder} is the run itself; expected another folder")
    there = list(options.folder.glob("*"))
    if there and not (options.folder / "config.json").is_file():
        parser.error(f"{options.folder} holds other things than a run; expected a new folder")
    for path in there:
        if path.name not in LEFT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in (*COPIED, *(f"first_stage/{name}" for name in COPIED)):
        if (run.folder / name).is_file():
            (options.folder / name).parent.mkdir(parents=True, exist_ok=True)
            content = (run.folder / name).read_text(encoding="utf-8")
            for old in (run.folder.resolve(), run.folder):  # where the parts come from
                content = content.replace(f'"{old.as_posix()}/', f'"{options.folder.as_posix()}/')
            (options.folder / name).write_text(content, encoding="utf-8")
    for path in run.folder.glob(f"*embedding_{run.newest}.npy"):
        shutil.copy(path, options.folder)
    save_weights(run.model, options.folder / run.weights_file(run.newest).name, small=True)
    print(f"{options.folder}: step {run.newest}, {run.weights_file(run.newest).name}")


if __name__ == "__main__":
    main()
