"""The summary of a run, damaged: it is named, and nothing is written."""

import json

import pytest

from vqwn_kit import InputError
from vqwn_kit.workbench.report import write_report
from vqwn_kit.workbench.summary import note, noted


def test_facts_are_added(tmp_path):
    assert noted(tmp_path) == {}
    note(tmp_path, {"run": "a", "stages": []})
    note(tmp_path, {"stages": [1]})
    assert noted(tmp_path) == {"run": "a", "stages": [1]}


@pytest.mark.parametrize("content", ["{", "[]", "5"])
def test_a_damaged_summary_is_named_and_kept(tmp_path, content):
    (tmp_path / "summary.json").write_text(content)
    for call in (lambda: noted(tmp_path), lambda: note(tmp_path, {"run": "b"})):
        with pytest.raises(InputError, match=r"summary\.json .*delete it, or start a new run"):
            call()
    assert (tmp_path / "summary.json").read_text() == content


@pytest.mark.parametrize("change", [{"utterances": 5}, {"stages": None}, {"run": 5}, {}])
def test_a_report_of_a_summary_that_lacks_something_is_refused(tmp_path, change):
    whole = {"run": "a", "stages": [], "utterances": [], "first_stage_only": True}
    (tmp_path / "summary.json").write_text(json.dumps(whole | change))
    with pytest.raises(InputError, match=r"summary\.json is damaged"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
