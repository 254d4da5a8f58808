"""The summary of a run, damaged: it is named, and nothing is written."""

import json
import shutil

import pytest

import vqwn_kit as vq
from vqwn_kit import InputError
from vqwn_kit.workbench.report import write_report
from vqwn_kit.workbench.summary import measures_of, note, noted


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


def test_measures_are_grammatical_and_say_where_nothing_was_learned(tmp_path):
    """An interval needs two sentences; bits that do not fall are no result."""
    shutil.copy(vq.results("mini") / "config.json", tmp_path)
    facts = {"seconds": {}, "samples_generated": 1, "sampling_seconds": 1.0, "stages": []}
    facts |= {"peak_gib": 1.0, "compiling_seconds": 1.0, "before": {"bits": 6.13}}
    note(tmp_path, {**facts, "after": {"bits": 6.14}})
    card = vq.ScoreCard({})
    card.add("content", "phone error, original", 0.21, "", "sounds")
    card.save(tmp_path)
    run = vq.load_run("mini")
    assert run.model.count_params() > 0  # loaded
    run.folder = tmp_path
    measures = measures_of(run, None)
    assert measures["phone error, recordings"] == "0.21 (1 sound)"
    (bits,) = (text for name, text in measures.items() if name.startswith("bits per sample"))
    assert "6.13 before training, 6.14 after: nothing was learned" in bits
    note(tmp_path, {"after": {"bits": 4.0}})
    assert "nothing" not in " ".join(measures_of(run, None).values())
