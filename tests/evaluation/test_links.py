"""Where a run loses quality: links, what is missing, differences and verdicts."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import t

import vqwn_kit as vq
from tests.evaluation.conftest import untrained
from vqwn_kit import plots
from vqwn_kit.cli.main import main
from vqwn_kit.evaluation import audio_metrics, external, links
from vqwn_kit.evaluation.links import (
    LINKS,
    OWN,
    RECORDING,
    WAVENET,
    Z_E,
    Z_Q,
    LinkTable,
    band_error,
    link_bands,
    link_table,
)
from vqwn_kit.models.mel import LogMel
from vqwn_kit.models.vqvae import as_batch
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import load_preset
from vqwn_kit.sampling.griffin_lim import griffin_lim

SENTENCES = [f"sentence {number}" for number in range(6)]


def changed(**changes) -> dict:
    """Return the parts of the preset `tiny` with changes, for `untrained`."""
    return load_preset("tiny").change(**changes).to_dict()


@pytest.fixture
def judges(monkeypatch):
    """Fast judges whose answers are known: the text, and a number of the waveform."""
    monkeypatch.setattr(external, "recognise_phones", lambda waveform: "abcd")
    monkeypatch.setattr(external, "text_to_phones", lambda text: "abcf")
    opinions = {"DNSMOS P.808": lambda waveform: 1.0 + float(np.abs(waveform).mean())}
    monkeypatch.setattr(audio_metrics, "MEAN_OPINIONS", opinions)
    monkeypatch.setattr(audio_metrics, "pitch", lambda waveform: np.full(9, 100.0))
    monkeypatch.setattr(external, "stoi", lambda first, second: 1.0)


@pytest.fixture(scope="module")
def lpc_run(parallel, tmp_path_factory):
    """An untrained run with LPC, which has all five links."""
    return untrained(
        tmp_path_factory.mktemp("lpc"), parallel, **changed(decoder={"codec": {"lpc_order": 8}})
    )


def measured(run, store, **settings) -> LinkTable:
    return link_table(run, store, **{"sampled": 3, "progress": False, **settings})


def test_a_run_with_lpc_has_all_links(lpc_run, parallel, judges, monkeypatch):
    table = measured(lpc_run, parallel)
    assert table.links == list(LINKS)
    assert not set(table.skipped) & {*LINKS}
    assert table.about["judged on"] == "3 utterances of 2 sentences"
    errors = [table[f"phone error, {link}"] for link in LINKS]
    assert [row.value for row in errors] == [0.25] * 5
    assert table[f"DNSMOS P.808 difference, {Z_E}"].n == 2  # sentences
    head, rows, changes = table.table()
    assert [len(rows), len(changes), len(head)] == [5, 4, 6]
    assert rows[0][3:] == ["-", "-", "-"]  # a recording has no error against itself
    assert changes[3][0] == "5 minus 4: WaveNet minus Griffin-Lim"


def test_a_first_stage_has_no_wavenet(parallel, judges, tmp_path):
    run = untrained(tmp_path, parallel, **changed(decoder="mel"))
    table = measured(run, parallel)
    assert table.links == [RECORDING, OWN, Z_E, Z_Q]
    assert table.skipped[WAVENET] == "a first stage has none"
    assert "temperature" not in table.about


def test_a_run_without_mel_decoder_has_no_predicted_bands(full, parallel, judges):
    table = measured(full[0], parallel)
    assert table.links == [RECORDING, OWN, WAVENET]
    assert all("no mel decoder" in table.skipped[link] for link in (Z_E, Z_Q))
    assert table.table()[2][-1][0] == "3 minus 2: the whole model"


def test_without_a_codebook_z_q_is_z_e(parallel, judges, tmp_path):
    run = untrained(tmp_path, parallel, **changed(decoder="mel", bottleneck="ae"))
    table = measured(run, parallel)
    assert table.links == [RECORDING, OWN, Z_E]
    assert table.table()[2][-1][0] == "3 minus 2: encoder and prediction of bands"
    assert "no codebook" in table.skipped[Z_Q]


def test_missing_texts_are_named_once(run, store, judges):
    table = measured(run, store, sampled=1)
    assert "no texts" in table.skipped["phone error"]
    assert not any(name.startswith("phone error,") for name in table.skipped)
    assert "phone error" not in table.table()[0]
    assert table.verdicts == []  # one sentence has no difference


@pytest.mark.eval
def test_real_judges_fill_the_table(lpc_run, parallel):
    table = measured(lpc_run, parallel, sampled=2)
    for name in ("phone error", "DNSMOS P.808", "voicing error", "error of the bands"):
        assert f"{name}, {OWN}" in {row.name for row in table.rows}
    assert table[f"error of the bands, {OWN}"].value < table[f"error of the bands, {Z_E}"].value
    assert len(table.verdicts) == 2


@pytest.mark.parametrize("bottleneck", ["vq", "fsq", "softmax"])
def test_bands_are_those_of_the_decoder_for_z_e_and_z_q(bottleneck, rng):
    model = build_model(load_preset("tiny").change(decoder="mel", bottleneck=bottleneck), ["ann"])
    wave = rng.normal(0, 0.1, 1000).astype(np.float32)
    quantized, mel = model.vector_quantize(wave), model.decoder
    weights, bias = map(np.array, mel.head.get_weights())

    def bands(vectors):
        conditioning = np.array(mel.conditioner(vectors, model.speaker_ids(["ann"])))
        return (20.0 * (conditioning @ weights + bias))[0]

    given = link_bands(model, mel.spectrum, Z_Q, wave, "ann")
    np.testing.assert_allclose(given, bands(quantized.z_q), atol=1e-3)
    if bottleneck == "softmax":
        with pytest.raises(links.NotMeasured, match="not in the space of z_q"):
            link_bands(model, mel.spectrum, Z_E, wave, "ann")
        return
    z_e = np.array(quantized.z_e)
    if bottleneck == "fsq":
        kernel, bias_out = map(np.array, model.bottleneck.project_out.get_weights())
        z_e = np.tanh(z_e) @ kernel + bias_out
    given = link_bands(model, mel.spectrum, Z_E, wave, "ann")
    np.testing.assert_allclose(given, bands(z_e), atol=1e-3)
    assert np.abs(given - bands(quantized.z_q)).max() > 1e-2


def test_the_sounds_of_a_link_are_its_bands_by_griffin_lim(lpc_run, parallel, judges, monkeypatch):
    kept = {}

    def keep(card, context, sounds, kinds):
        kept["sounds"] = sounds

    monkeypatch.setattr(audio_metrics, "score_naturalness", keep)
    measured(lpc_run, parallel, sampled=1, seed=5)
    by_link = {sound.kind: sound for sound in kept["sounds"]}
    wave, speaker = by_link[RECORDING].waveform, by_link[RECORDING].voice
    model = lpc_run.model
    spectrum = model.decoder.mel_decoder.spectrum
    for link in (OWN, Z_E, Z_Q):
        bands = link_bands(model, spectrum, link, wave, speaker)
        expected = griffin_lim(bands, spectrum, 5)[: len(wave)]
        np.testing.assert_array_equal(by_link[link].waveform, expected)
    (codes,) = model.encode(wave)
    sampled = vq.generate(model, codes, [speaker], seed=5)[0, : len(wave)]
    np.testing.assert_allclose(by_link[WAVENET].waveform, sampled, atol=1e-6)


def test_the_error_of_bands_ignores_what_is_far_below_the_speech(rng):
    wave = rng.normal(0, 0.1, 3200).astype(np.float32)
    spectrum = LogMel()
    assert band_error(spectrum, wave, wave) == 0
    assert band_error(spectrum, wave, wave / 10) == pytest.approx(20.0, abs=1e-3)
    silence = np.concatenate([wave, np.zeros(3200, np.float32)])
    noise = silence + np.concatenate([np.zeros(3200), rng.normal(0, 1e-6, 3200)]).astype("f4")
    assert band_error(spectrum, silence, noise) < 0.1
    rows = (np.array(spectrum(as_batch(part, 160))) for part in (wave, wave[::-1]))
    expected = np.sqrt(np.mean(np.subtract(*rows) ** 2))
    assert band_error(spectrum, wave, wave[::-1]) == pytest.approx(expected, rel=1e-5)


def constructed(**values) -> LinkTable:
    """Return a table of six sentences of two sounds each, from values per sentence."""
    table = LinkTable({"run": "made"})
    names = {"recording": RECORDING, "own": OWN, "z_e": Z_E, "z_q": Z_Q, "wavenet": WAVENET}
    for measure in ("phone error", "DNSMOS P.808"):
        for name, row in values.items():
            each = np.repeat(row, 2) if measure == "phone error" else 4.0 - np.repeat(row, 2)
            table.add_ratio("sound", f"{measure}, {names[name]}", "", np.repeat(SENTENCES, 2), each)
    table.finish()
    return table


BASE = np.array([0.1, 0.2, 0.0, 0.15, 0.3, 0.05])
NOISE = np.array([0.02, -0.02, 0.01, -0.01, 0.015, -0.015])


def test_the_difference_is_paired_and_its_interval_by_sentence():
    second = BASE + 0.1 + NOISE
    table = constructed(recording=BASE, own=second)
    row = table[f"phone error difference, {OWN}"]
    half = t.ppf(0.975, 5) * np.std(second - BASE, ddof=1) / np.sqrt(6)
    assert row.value == pytest.approx(np.mean(second - BASE), abs=1e-6)
    assert (row.low, row.high) == pytest.approx((row.value - half, row.value + half), abs=1e-6)
    assert row.n == 6
    width = table[f"phone error, {OWN}"].high - table[f"phone error, {OWN}"].value
    assert half < width / 4  # sentences differ more than the links do


def test_the_verdict_names_the_largest_loss():
    steps = {"recording": BASE, "own": BASE + 0.02, "z_e": BASE + 0.05 + NOISE}
    steps |= {"z_q": BASE + 0.25 - NOISE, "wavenet": BASE + 0.3}
    errors, opinions = constructed(**steps).verdicts
    assert errors == "The largest loss is quantization: phone error 0.18 -> 0.38."
    assert opinions == "The largest loss is quantization: DNSMOS P.808 3.82 -> 3.62."
    steps["wavenet"] = steps["z_q"] + 0.19 + 3 * NOISE
    errors = constructed(**steps).verdicts[0]
    assert errors.endswith("Within the interval of it: WaveNet minus Griffin-Lim (+0.19).")


def test_the_verdict_says_where_no_loss_is_outside_its_interval():
    errors, _ = constructed(recording=BASE, own=BASE + 10 * NOISE + 0.01).verdicts
    assert errors == (
        "Every loss is within the interval; the largest is mel bands and phases: "
        "phone error 0.13 -> 0.14."
    )
    own = BASE + 0.03 + NOISE / 10  # small and sure, before one that is large and is not
    errors, _ = constructed(recording=BASE, own=own, z_e=own + 10 * NOISE + 0.05).verdicts
    assert errors == (
        "The largest loss is mel bands and phases: phone error 0.13 -> 0.16. Within the interval "
        "of it: encoder and prediction of bands (+0.05)."
    )
    better, _ = constructed(recording=BASE + 0.5, own=BASE).verdicts
    assert better == "No link has a loss by phone error."


def test_the_table_is_written_read_back_and_shown(tmp_path):
    table = constructed(recording=BASE, own=BASE + 0.1 + NOISE, wavenet=BASE + 0.3)
    table.skipped["Distill-MOS"] = "not <installed>"
    paths = [str(path.relative_to(tmp_path)) for path in table.save(tmp_path)]
    assert paths == ["links.json", "links.md", "figures/links.png"]
    again = LinkTable.load(tmp_path)
    assert (str(again), again._repr_html_()) == (str(table), table._repr_html_())
    saved = json.loads((tmp_path / "links.json").read_text())
    assert [row["section"] for row in saved["rows"]].count("differences") == 4
    assert "not &lt;installed&gt;" in table._repr_html_()
    line = next(line for line in str(table).splitlines() if "2 minus 1" in line)
    assert "+0.10 ± 0.02" in line
    with pytest.raises(vq.InputError, match="has no links.json"):
        LinkTable.load(tmp_path / "nothing")


def test_the_figure_draws_values_intervals_and_steps():
    values = {"error": [(0.1, 0.05, 0.15), (0.3, 0.2, 0.4), (0.35, None, None), None]}
    changes = {"error": [None, (0.2, 0.1, 0.3), (0.05, -0.1, 0.2), None]}
    figure = plots.plot_links(["a", "b", "c", "d"], values, changes, Figure())
    (ax,) = figure.axes
    bars = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    np.testing.assert_allclose(bars, [(0.1, 0.2), (0.3, 0.05)])
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()
    assert [text.get_text() for text in ax.texts] == ["+0.20", "+0.05"]
    dots = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert dots == [0.1, 0.3, 0.35]
    limits = [list(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2]
    assert limits == [[0.05, 0.15], [0.2, 0.4]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c", "d"]


def test_the_command_prints_and_writes_the_table(lpc_run, parallel, judges, tmp_path, capsys):
    line = ["evaluate", str(lpc_run.folder), "--links", "--data", str(parallel.corpus.folder)]
    assert main([*line, "--sampled", "2", "--save", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "5 minus 4: WaveNet minus Griffin-Lim" in printed
    assert "phone error" in printed
    assert (tmp_path / "links.md").is_file()
    assert not (tmp_path / "score_card.md").exists()
    assert main([*line, "--only", "content"]) == 2
    assert "--links and --only exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [({"sampled": 0}, "sampled=0: expected 1"), ({"temperature": 0.0}, "temperature")],
)
def test_bad_settings_are_refused(full, parallel, change, message):
    with pytest.raises(vq.InputError, match=message):
        measured(full[0], parallel, **change)
