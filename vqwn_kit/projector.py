"""Export for projector.tensorflow.org: tables of vectors and of what is known about them.

The projector wants no header in a file of vectors, and a header in a file of metadata only where
it has two columns or more.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing
from vqwn_kit.readers import FACTS
from vqwn_kit.run import Run


def export_projector(
    run: Run | str | Path, folder: str | Path, code_counts: np.ndarray | None = None
) -> list[Path]:
    """Write the codebook and the speakers of a run for the Embedding Projector.

    Args:
        run: a run or its path.
        folder: where `codebook_vecs.tsv`, `codebook_meta.tsv`, `speakers_vecs.tsv`,
            `speakers_meta.tsv` and `projector_config.json` go.
        code_counts: int (K,), how often each code was used, for a column to colour by.

    Returns:
        The paths that were written. To look at them, load a `_vecs` and a `_meta` file at
        projector.tensorflow.org.

    Raises:
        InputError: no such run, or vectors that the projector can't show.
    """
    run = run if isinstance(run, Run) else Run(run)
    folder = Path(folder)
    step = run.newest
    tables = {}
    codebook = run.folder / f"embedding_{step}.npy"
    if codebook.is_file():
        columns, rows = code_rows(len(np.load(codebook)), code_counts)
        tables["codebook"] = (np.load(codebook), columns, rows)
    speakers = np.load(run.folder / f"speaker_embedding_{step}.npy")
    tables["speakers"] = (speakers, *speaker_rows(run.speakers))
    written = []
    for name, (vectors, columns, rows) in tables.items():
        written += write_table(folder / name, vectors, columns, rows)
    entries = [
        {
            "tensorName": name,
            "tensorShape": list(vectors.shape),
            "tensorPath": f"{name}_vecs.tsv",
            "metadataPath": f"{name}_meta.tsv",
        }
        for name, (vectors, *_) in tables.items()
    ]
    with replacing(folder / "projector_config.json") as scratch:
        scratch.write_text(json.dumps({"embeddings": entries}, indent=1), encoding="utf-8")
    return [*written, folder / "projector_config.json"]


def visualise(
    save: str | Path,
    embedding: str | Path | None = None,
    speaker: str | Path | None = None,
) -> list[Path]:
    """Write `NAME_vecs.tsv` and `NAME_meta.tsv` for saved embeddings, NAME that of each file.

    Args:
        save: the folder to write to.
        embedding: a codebook, `embedding_STEP.npy`; its metadata are the numbers of the codes.
        speaker: the speakers' vectors, `speaker_embedding_STEP.npy`; with the run's `config.json`
            beside it, its metadata are what is known about each speaker.

    Raises:
        InputError: neither file was given, or one isn't a table of vectors.
    """
    if embedding is None and speaker is None:
        raise InputError("nothing to visualise: give an embedding_STEP.npy, or one of speakers")
    written = []
    for path in (embedding, speaker):
        if path is None:
            continue
        vectors = _load_vectors(Path(path))
        columns, rows = ["code"], [[str(number)] for number in range(len(vectors))]
        if path is speaker:
            columns, rows = _known_speakers(Path(path).parent / "config.json", len(vectors))
        written += write_table(Path(save) / Path(path).stem, vectors, columns, rows)
    return written


def _load_vectors(path: Path) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"no such file: {path}. Give an .npy file that training saved")
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path} is no .npy table of vectors, as training saves them") from error


def _known_speakers(config: Path, count: int) -> tuple[list[str], list[list[str]]]:
    if config.is_file():
        speakers = json.loads(config.read_text(encoding="utf-8"))["speakers"]
        if len(speakers) == count:
            return speaker_rows(speakers)
    return ["speaker"], [[str(number)] for number in range(count)]


def code_rows(size: int, counts: np.ndarray | None = None) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows about K codes: their numbers, and their use where it is known."""
    if counts is None:
        return ["code"], [[str(code)] for code in range(size)]
    share = 100.0 * np.asarray(counts) / max(1, np.sum(counts))
    rows = [[str(code), str(int(counts[code])), f"{share[code]:.3f}"] for code in range(size)]
    return ["code", "uses", "percent"], rows


def speaker_rows(speakers: dict[str, dict[str, str]]) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows about speakers.

    The first column joins the facts, `23#F#English#Southern#England`, so that a search for `#F#`
    finds the women; what isn't known is `-`.
    """
    columns = ["facts", "speaker", *FACTS]
    rows = []
    for name, facts in speakers.items():
        known = [facts.get(fact) or "-" for fact in FACTS]
        joined = "#".join([*known[:3], *known[3].split()])
        rows.append([joined, name, *known])
    return columns, rows


def write_table(
    path: Path, vectors: np.ndarray, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> list[Path]:
    """Write `PATH_vecs.tsv` and `PATH_meta.tsv` by the projector's rules.

    Raises:
        InputError: not (M, >= 2) finite vectors, another number of rows, or an empty label.
    """
    if vectors.ndim != 2 or vectors.shape[1] < 2 or not len(vectors):
        raise InputError(f"{path.name}: vectors {vectors.shape}; expected (M, at least 2)")
    if not np.isfinite(vectors).all():
        raise InputError(f"{path.name}: some vectors aren't finite; the run has diverged")
    if len(rows) != len(vectors):
        raise InputError(f"{path.name}: {len(rows)} labels for {len(vectors)} vectors")
    cells = [[str(cell).replace("\t", " ").replace("\n", " ") for cell in row] for row in rows]
    if any(not cell.strip() for row in cells for cell in row):
        raise InputError(f"{path.name}: an empty label would shift all labels after it")
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(f"{path.name}_{kind}.tsv") for kind in ("vecs", "meta")]
    with replacing(files[0]) as scratch:
        np.savetxt(scratch, vectors, fmt="%.6g", delimiter="\t")
    header = [list(columns)] if len(columns) > 1 else []
    with replacing(files[1]) as scratch:
        lines = ("\t".join(row) + "\n" for row in [*header, *cells])
        scratch.write_text("".join(lines), encoding="utf-8")
    return files
