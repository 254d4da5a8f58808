"""Wait or stop: trends, bands, and the sentences that follow from them."""

import json
import runpy
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import ROOT
from vqwn_kit.evaluation import outlook, reference_curves
from vqwn_kit.evaluation.outlook import outlook_of, trend_of
from vqwn_kit.evaluation.reference_curves import (
    Curve,
    Reference,
    band_of,
    compared_parts,
    is_source,
    noise_of,
    reference_of,
)
from vqwn_kit.presets.preset import load_preset
from vqwn_kit.runs.run import Run

STEPS = np.arange(50.0, 2001.0, 50.0)


@pytest.mark.parametrize(("power", "factor"), [(-0.3, 1.0), (-1.0, 1.03)])
def test_a_power_of_the_steps_is_still_improving(power, factor, rng):
    values = STEPS**power * factor ** rng.standard_normal(len(STEPS))
    trend = trend_of(STEPS, values, "training")
    assert trend.kind == "improving"
    assert trend.fall == pytest.approx(1 - (2000 / trend.since) ** power, abs=0.03)
    assert trend.since == 1350


def test_a_curve_that_is_flat_from_a_step_on_has_stopped_there(rng):
    for step, noise in ((500.0, 0.0), (700.0, 0.003)):
        values = 4.0 * np.maximum(step / STEPS, 1.0) ** 0.3
        values *= np.exp(noise * rng.standard_normal(len(STEPS)))
        trend = trend_of(STEPS, values, "held_out")
        assert trend.kind == "stopped"
        assert abs(trend.since - step) <= 150
        assert trend.fall <= outlook.LITTLE


def test_of_few_or_noisy_points_nothing_is_said(rng):
    assert trend_of(STEPS[:2], np.array([4.0, 4.0]), "held_out").kind == "unknown"
    noisy = 4.0 * np.exp(0.2 * rng.standard_normal(len(STEPS)))
    assert trend_of(STEPS, noisy, "training").kind == "unknown"
    flat = trend_of(np.arange(1.0, 4001.0), np.full(4000, 4.0), "training")  # many lines
    assert flat.kind == "stopped"


def test_a_band_holds_all_runs_and_their_noise(rng):
    runs = [(STEPS, np.full(len(STEPS), value)) for value in (2.0, 3.0)]
    band = band_of(runs, 0.0)
    np.testing.assert_allclose(band.low, 2.0 / 1.05)
    np.testing.assert_allclose(band.high, 3.0 * 1.05)
    np.testing.assert_allclose(band_of(runs[:1], 0.1).high, 2.0 * np.exp(0.2))
    noisy = np.arange(1, 4001) * np.exp(0.05 * rng.standard_normal(4000))
    assert noise_of(noisy) == pytest.approx(0.05, rel=0.05)
    falling = band_of([(STEPS, 1.0 / STEPS)], 0.0)  # later or earlier by a quarter
    assert falling.at(500)[1] == pytest.approx(1.25 * 1.05 / 500, rel=0.02)
    assert falling.at(1)[0] == falling.low[0]


@pytest.fixture
def reference(monkeypatch):
    """A reference of `tiny` on the corpus `tones`: 4 bits over 200 to 1000 steps."""
    steps = np.array([200.0, 1000.0])
    curve = Curve(steps, np.full(2, 3.8), np.full(2, 4.2))
    parts = compared_parts(load_preset("tiny"))
    made = Reference("tiny", "tones", parts, 2, "", [[200, 1.0]], [], {"bits": curve})
    monkeypatch.setattr(reference_curves, "reference_curves", lambda: (made,))
    return made


def sentence_of(bits, last=400, corpus="tones", preset=None, **more):
    preset = preset or load_preset("tiny").change(steps=1000)
    history = [{"step": last - 20 + 10 * n, "seconds": 60.0 * n, "bits": bits} for n in range(3)]
    history[-1] |= more
    return outlook_of(history, preset, corpus, running=True)


@pytest.mark.usefixtures("reference")
def test_a_run_is_compared_with_the_reference_at_its_step():
    for bits, state, begin in (
        (4.0, "expected", "As expected at step 400 (minute 2.0 of this run): bits per sample"),
        (4.5, "behind", "Behind at step 400"),
        (3.5, "better", "Better than expected at step 400"),
    ):
        found = sentence_of(bits)
        assert found.state == state
        assert found.sentence.startswith(begin)
        assert "3.8 to 4.2 in 2 runs of `tiny`" in found.sentence
    assert sentence_of(4.5, last=60).state == "early"
    assert "ended at step 1,000" in sentence_of(4.5, last=1500).sentence
    assert sentence_of(4.0, corpus="elsewhere").state == "unknown"


@pytest.mark.usefixtures("reference")
@pytest.mark.parametrize(
    ("change", "compared"),
    [
        ({"decoder": {"codec": {"pre_emphasis": 0.85}}}, False),  # bits of another signal
        ({"encoder": {"filters": 32}}, False),
        ({"bottleneck": {"num_embeddings": 64}}, False),
        ({"bottleneck": "ema"}, False),
        ({"decoder": {"network": {"skip_channels": 32}}}, False),
        ({"decoder": {"codec": {"postfilter": 0.5}}}, True),  # applied after sampling
        ({"learning_rate": 1e-4, "batch_size": 8}, True),
    ],
)
def test_only_a_run_with_the_parts_of_the_reference_is_compared_with_it(change, compared):
    found = sentence_of(4.0, preset=load_preset("tiny").change(**change))
    assert found.state == ("expected" if compared else "unknown")
    assert found.sentence.startswith("There is no reference for these settings") != compared


def test_shipped_runs_have_a_reference_and_so_have_their_presets():
    for name in ("mini", "vctk-libri", "mini/first_stage", "vctk-libri/first_stage"):
        run = Run(ROOT / "results" / name)
        found = reference_of(run.preset, run.config["corpus"])
        assert found.source == f"results/{name}"
        assert is_source(run.history, found)
    for preset in map(load_preset, ("mini", "mini/first_stage", "reference", "paper")):
        assert reference_of(preset, "mini") is not None


def test_a_run_is_that_of_the_reference_only_if_its_times_are_the_same(reference):
    alone = replace(reference, runs=1)
    for step, seconds, same in ((200, 60.0, True), (200, 66.0, False), (60, 60.0, False)):
        assert is_source([{"step": step, "seconds": seconds}], alone) == same


def test_what_to_do_depends_on_the_learning_rate():
    cosine = {"peak": 1e-3, "warm_up": 0, "end": 1e-5}
    preset = load_preset("tiny").change(steps=2000, learning_rate=cosine)
    flat = [{"step": int(s), "seconds": s, "bits": 4.0, "learning_rate": 9e-4} for s in STEPS[:30]]
    text = outlook_of(flat, preset, running=True).sentence
    assert "Stopped improving 1,450 steps ago" in text
    assert "Wait: the learning rate is still 90 % of its highest" in text
    flat[-1]["learning_rate"] = 1.5e-5
    assert "Stop: the learning rate has fallen" in outlook_of(flat, preset, running=True).sentence
    constant = preset.change(learning_rate=1.5e-5)
    assert "Stop, or train again" in outlook_of(flat, constant, running=True).sentence
    flat[-1]["ended"] = "time"
    text = outlook_of(flat, preset).sentence
    assert "after 1,500 of 2,000 steps, as its time was spent: more steps bring little" in text


def test_the_script_makes_the_shipped_curves_of_the_shipped_runs():
    path = ROOT / "scripts" / "make_reference_curves.py"
    script = runpy.run_path(str(path))
    entries = json.loads(reference_curves.FILE.read_text(encoding="utf-8"))
    run = Run(ROOT / "results" / "mini" / "first_stage")
    (shipped,) = [entry for entry in entries if entry["source"] == "results/mini/first_stage"]
    assert script["entry_of"]([run]) == shipped


def test_the_shipped_curves_can_be_read():
    presets = {reference.preset for reference in reference_curves.reference_curves()}
    assert presets == {"mini", "paper", "reference"}
    for reference in reference_curves.reference_curves():
        for name, curve in reference.curves.items():
            assert name in reference_curves.MEASURES
            assert np.all(np.diff(curve.steps) > 0)
            assert np.all(curve.low < curve.high)
