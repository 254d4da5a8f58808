"""Where runs are looked for."""

import pytest

from vqwn_kit import InputError, results


def test_results_are_found_in_scratch_first_and_else_among_those_shipped(tmp_path, monkeypatch):
    monkeypatch.setenv("VQWN_RESULTS", str(tmp_path / "scratch"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "mini").mkdir(parents=True)
    (tmp_path / "data" / "mini" / "utterances.tsv").touch()
    shipped = tmp_path / "results" / "mini"
    shipped.mkdir(parents=True)
    assert results() == tmp_path / "scratch"
    assert results("mini") == shipped
    own = tmp_path / "scratch" / "mini"
    own.mkdir(parents=True)
    assert results("mini") == own
    with pytest.raises(InputError, match="no run 'mimi': did you mean 'mini'"):
        results("mimi")
