"""Speed and memory of encoding: recordings of a minute to an hour, and a folder of short ones."""

import json
import subprocess
import sys
import tempfile
from itertools import cycle
from pathlib import Path

import soundfile

from benchmarks.memory import PEAK
from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.data.corpus import Corpus, example_corpus, open_corpus

MINUTES = (1, 10, 60)
FOLDER_MINUTES = 5

_MEASURE = (
    PEAK
    + """

from vqwn_kit.runs.encode import encode_files
import vqwn_kit.models.vqvae, vqwn_kit.presets.build
run, sound, save = sys.argv[1:]
before = peak()
done = encode_files(run, sound, save, progress=False)
print(json.dumps([done.sound / done.seconds, peak() - before]))
"""
)


def bench_encode(
    run: str | Path | None = None, folder: str | Path | None = None
) -> dict[str, float]:
    """Measure `encode_files` in fresh processes.

    Args:
        run: a run; `results/mini` by default.
        folder: a corpus, whose recordings are joined and repeated; the bundled one by default.

    Returns:
        Of recordings of so many minutes, and of a folder of short recordings: how many times faster
        than real time they are encoded, the start of the first part included, and the mebibytes at
        the peak beyond what the imports take.
    """
    corpus = open_corpus(folder) if folder else example_corpus()
    figures = {}
    with tempfile.TemporaryDirectory(prefix="vqwn-bench-") as scratch:
        for minutes in MINUTES:
            sound = Path(scratch) / f"{minutes}.wav"
            join_recordings(corpus, sound, 60.0 * minutes)
            figures |= _measured(run, sound, f"{minutes}_min")
            sound.unlink()
        few = Path(scratch) / "few"
        few.mkdir()
        seconds = 0.0
        for number, utterance in enumerate(corpus):
            if seconds < 60 * FOLDER_MINUTES:
                seconds += soundfile.info(utterance.path).duration
                link = few / f"{number:06d}{utterance.path.suffix}"
                link.symlink_to(utterance.path.resolve())
        figures |= _measured(run, few, "short_recordings")
    return figures


def join_recordings(corpus: Corpus, path: Path, seconds: float) -> None:
    """Write a recording of so many seconds, 16-bit, made of a corpus's, one after the other."""
    missing = round(seconds * SAMPLE_RATE)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16") as file:
        for utterance in cycle(corpus):
            wave = utterance.load()[:missing]
            file.write(wave)
            missing -= len(wave)
            if not missing:
                return


def _measured(run: str | Path | None, sound: Path, name: str) -> dict[str, float]:
    arguments = [str(run or "mini"), str(sound), f"{sound}.jsonl"]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *arguments], capture_output=True, text=True, check=True
    )
    rate, mebibytes = json.loads(done.stdout)
    return {f"{name}_times_real_time": rate, f"{name}_mebibytes": mebibytes}
