"""A run as the project ships it: played like the run itself, in half of the bytes."""

import json
import shutil

import numpy as np
import pytest

from scripts.ship_run import main
from vqwn_kit import Run


def test_the_copy_is_played_and_what_was_of_other_weights_is_gone(
    run, store, tmp_path, monkeypatch
):
    folder = tmp_path / "shipped"
    (folder / "prior").mkdir(parents=True)
    kept = {"README.md", "listening.csv"}
    for name in (*kept, "config.json", "score_card.json", "prior/weights.weights.h5"):
        (folder / name).write_text("old")
    parts = {"parts": {"encoder": f"{run.folder}/first_stage/weights-2.weights.h5"}}
    written = json.loads((run.folder / "config.json").read_text())
    source = tmp_path / "run"
    shutil.copytree(run.folder, source)
    text = json.dumps(written | parts).replace(str(run.folder), str(source))
    (source / "config.json").write_text(text)
    monkeypatch.setattr("sys.argv", ["ship_run.py", str(source), str(folder)])
    main()
    assert str(source) not in (folder / "config.json").read_text()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    tables = {"embedding_20.npy", "speaker_embedding_20.npy"}
    assert names == {*kept, "config.json", "history.jsonl", "weights-20.weights.h5", *tables}
    copy, wave = Run(folder), store.waveform(0)
    np.testing.assert_array_equal(copy.model.encode(wave), run.model.encode(wave))
    for other in (folder, tmp_path):  # itself, and a folder that is no run
        monkeypatch.setattr("sys.argv", ["ship_run.py", str(folder), str(other)])
        with pytest.raises(SystemExit):
            main()
    assert (source / "config.json").is_file()
