"""How far a recording lies from what a run was trained on."""

import json
import shutil

import numpy as np
import pytest

from tests.conftest import make_folders, tones
from vqwn_kit import InputError, Run, describe, open_corpus, prepare
from vqwn_kit.cli.main import main
from vqwn_kit.data.audio import save_audio
from vqwn_kit.evaluation import familiarity as module
from vqwn_kit.evaluation.familiarity import (
    FILE,
    MOST_SECONDS,
    Calibration,
    calibrate,
    calibration_of,
    familiarity,
    statistic,
    stored_calibration,
    warning,
)
from vqwn_kit.files import project_root
from vqwn_kit.models.bottleneck import Quantized
from vqwn_kit.runs.unit_encoder import encoder_digest


@pytest.fixture
def own(run, tmp_path):
    """A copy of the run without a calibration, which may be written to."""
    shutil.copytree(run.folder, tmp_path / "copy", ignore=shutil.ignore_patterns(FILE))
    copy = Run(tmp_path / "copy")
    copy.__dict__["model"] = run.model
    return copy


class FarModel:
    """Its outputs are as far from their codes as the waveform is loud."""

    def vector_quantize(self, waveform):
        """Return z_e of 1 ± 2 in turn, and codes that are off by the first sample."""
        self.length = len(waveform)
        z_e = np.tile([[[3.0], [-1.0]]], (1, 5, 1))
        return Quantized(z_e + waveform[0], None, {}, z_e)


def test_the_statistic_is_the_squared_distance_from_the_codes_over_the_variance():
    model = FarModel()
    loud = np.full(40 * 16_000, 0.5, np.float32)
    assert statistic(model, loud) == pytest.approx(0.5**2 / 2.0**2)
    assert model.length == MOST_SECONDS * 16_000


def test_held_out_speech_is_familiar_and_what_lies_farther_is_not(own, store):
    calibration = calibrate(own, store.corpus)
    held_out = [store.waveform(n) for n in store.numbers("held_out")]
    values = np.array([statistic(own.model, wave) for wave in held_out])
    assert calibration.mean == pytest.approx(values.mean())
    assert calibration.speakers == 2
    assert calibration.minutes == pytest.approx(store.seconds("train") / 60, abs=1e-3)
    assert calibration.minutes > 0.01
    assert calibration_of(own) == calibration == calibration_of(Run(own.folder))
    ratios = [familiarity(own, wave).ratio for wave in held_out]
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.05)
    lower = calibration._replace(mean=calibration.mean / 10)
    (own.folder / FILE).write_text(json.dumps(lower._asdict()))
    assert not familiarity(own, held_out[0]).is_familiar
    assert familiarity(own, np.zeros(1000, np.float32)) is None


def test_a_warning_is_one_sentence_that_names_the_nearer_run(own, monkeypatch):
    wave = tones(0.3, 200.0)
    value = statistic(own.model, wave)

    def known(mean):
        facts = Calibration("speech", 2, 1.2, mean, 1.5, encoder_digest(own))
        (own.folder / FILE).write_text(json.dumps(facts._asdict()))

    known(value)
    assert familiarity(own, wave).ratio == pytest.approx(1.0)
    assert warning(own, wave) == ""
    known(value / 3)
    shipped = Run(own.folder.parent / "copy")
    monkeypatch.setattr(module, "SHIPPED", {"better": "recordings of people"})
    monkeypatch.setattr(module, "_shipped", lambda: [])
    text = warning(own, wave)
    assert text.startswith("unfamiliar speech: 3.0 times as far from the codes of copy (2 speakers")
    assert "familiar up to 1.5" in text
    assert "nearer" not in text
    shutil.copytree(own.folder, own.folder.parent / "better")
    known(value / 3)
    shipped = Run(own.folder.parent / "better")
    shipped.__dict__["model"] = own.model
    near = Calibration("people", 9, 1.0, value / 2, 1.5, encoder_digest(own))
    (shipped.folder / FILE).write_text(json.dumps(near._asdict()))
    link = own.folder.parent / "link"  # the run itself, under another path, is not named
    link.symlink_to(own.folder)
    monkeypatch.setattr(module, "_shipped", lambda: [shipped, Run(link)])
    assert warning(own, wave).endswith("better, trained on recordings of people, is nearer (2.0)")


def test_a_run_is_calibrated_on_its_own_prepared_corpus_and_nothing_is_decoded(own, store):
    """Its config says where the corpus is; no name has to be known."""
    found = calibration_of(own)
    assert found.corpus == store.corpus.name
    assert found == Calibration(**json.loads((own.folder / FILE).read_text())) == calibrate(own)
    assert familiarity(own, tones(0.3, 200.0)).calibration == found


def test_what_is_not_prepared_is_not_decoded_and_nothing_is_said(own, tmp_path, monkeypatch):
    monkeypatch.setenv("VQWN_STORES", str(tmp_path / "stores"))
    assert calibration_of(own) is None
    assert familiarity(own, tones(0.3, 200.0)) is None
    assert warning(own, tones(0.3, 200.0)) == ""
    assert not (tmp_path / "stores").exists()
    calibrate(own, progress=False)  # decodes
    assert calibration_of(own) is not None
    (own.folder / FILE).write_text('{"mean": 1}')
    with pytest.raises(InputError, match="is damaged"):
        calibration_of(own)


def test_splits_are_those_of_the_run_and_strangers_and_silent_files_are_left_out(own, tmp_path):
    speech = make_folders(tmp_path / "mini", {"ann": 200.0, "bob": 110.0, "eve": 150.0})
    save_audio(speech / "ann" / "ann_silent.wav", np.zeros(8000))
    facts = {"folder": str(speech), "hold_out": "speakers"}
    own.config["corpus"] = "mini"  # a name that the bundled corpus has, too
    own.config["data"] = own.config["data"] | facts
    whole = prepare(open_corpus(speech, hold_out="speakers"), progress=False)
    held_out = {whole.corpus.utterances[n].speaker for n in whole.numbers("held_out")}
    for one in whole.corpus.speakers:  # one that trained, and others held out, or strangers
        own.config["speakers"] = {name: {} for name in whole.corpus.speakers if name != one}
        names = [u.speaker for u in whole.corpus]
        train, ours = module._own(own, whole)
        assert {names[n] for n in ours} == held_out - {one}
        assert {names[n] for n in train} == set(names) - held_out - {one}
    own.config["speakers"] = {name: {} for name in whole.corpus.speakers}
    found = calibration_of(own)
    assert found.speakers == 3 - len(held_out)
    values = [statistic(own.model, whole.waveform(n)) for n in whole.numbers("held_out")]
    assert found.mean == pytest.approx(np.mean(values))
    own.config["speakers"] = {"zoe": {}}
    with pytest.raises(InputError, match="0 training and 0 held-out recordings by the speakers"):
        calibrate(own)


def test_a_calibration_of_other_weights_is_not_used(own, monkeypatch):
    before = calibrate(own)
    monkeypatch.setattr(module, "encoder_digest", lambda run: "other weights")
    assert stored_calibration(own) is None
    assert "not known for these weights" in describe(own.folder)["familiar recordings"]
    assert calibration_of(own) == before._replace(encoder="other weights")
    assert stored_calibration(own) is not None


def test_shipped_runs_are_found_wherever_runs_are_written(monkeypatch, tmp_path):
    monkeypatch.setenv("VQWN_RESULTS", str(tmp_path))
    folders = {run.folder for run in module._shipped.__wrapped__()}
    assert folders == {project_root() / "results" / name for name in module.SHIPPED}


@pytest.mark.parametrize("name", module.SHIPPED)
def test_shipped_calibrations_are_of_the_shipped_weights(name):
    run = Run(project_root() / "results" / name)
    assert stored_calibration(run).encoder == encoder_digest(run)


def test_generate_warns_and_info_says_what_a_run_was_trained_on(own, folder, capsys):
    line = f"info {own.folder} --calibrate --data {folder}"
    assert main(line.split()) == 0
    assert "2 speakers, 0 minutes of" in capsys.readouterr().out
    assert main(f"info {own.folder} --data {folder}".split()) == 2
    assert "--calibrate" in capsys.readouterr().err
    path = own.folder.parent / "noise.wav"
    save_audio(path, np.random.default_rng(0).normal(0, 0.5, 8000))
    facts = json.loads((own.folder / FILE).read_text())
    line = f"generate --run {own.folder} --audio {path} --speakers bob --save {own.folder}"
    for mean, warned in ((1e-9, True), (1e9, False)):
        (own.folder / FILE).write_text(json.dumps(facts | {"mean": mean}))
        assert main(line.split()) == 0
        assert ("unfamiliar speech" in capsys.readouterr().err) is warned
