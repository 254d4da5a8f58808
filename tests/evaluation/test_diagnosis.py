"""The doctor: each kind of failure is named with its cause, and healthy runs raise no alarm.

`histories.json` holds histories of trainings that were provoked once, since they take too long
here, with their presets. `collapsed`, `dying`, `runaway`, `overfitted` and `nan` are of the preset
`tiny` on the tones of `tests.conftest.make_folders`; `mini` and `paper` are healthy trainings on
the bundled corpus, of 4 minutes each. `overfitted` ends where its training went on.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import vqwn_kit as vq
from tests.conftest import ROOT
from tests.evaluation.conftest import untrained
from vqwn_kit import InputError
from vqwn_kit.cli.main import main
from vqwn_kit.evaluation import conditioning_rules as rules, sound_rules
from vqwn_kit.evaluation.context import evaluation_context
from vqwn_kit.evaluation.diagnosis import (
    CURVES,
    HEALTHY,
    Diagnosis,
    _bits_before,
    card_verdicts,
)
from vqwn_kit.evaluation.findings import as_texts, series, smooth
from vqwn_kit.evaluation.history_rules import findings_of
from vqwn_kit.evaluation.metrics import Estimate
from vqwn_kit.evaluation.outlook import outlook_of
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.presets.preset import from_dict, load_preset, parse_changes, preset_names
from vqwn_kit.runs.run import Run

STORED = json.loads(Path(__file__).with_name("histories.json").read_text(encoding="utf-8"))
SHIPPED = ("mini", "mini/first_stage", "vctk-libri", "vctk-libri/first_stage")


def stored(name: str):
    """Return a stored history and its preset."""
    entry = STORED[name]
    return entry["history"], from_dict(entry["preset"])


def healthy(name: str, run: Run):
    """Return the history and the preset of a training in which nothing went wrong."""
    if name in STORED:
        return stored(name)
    run = run if name == "tiny" else Run(ROOT / "results" / name)
    return run.history, run.preset


@pytest.mark.parametrize("name", [*SHIPPED, "mini", "mini, first stage", "paper", "tiny"])
def test_there_is_no_alarm_at_any_line_of_a_healthy_training(name, run):
    history, preset = healthy(name, run)
    for count in range(1, len(history) + 1):
        running = count < len(history)
        found = findings_of(history[:count], preset, 12.0, running)
        assert not found, f"line {count}: {found[0].verdict}"


FOUND = {  # name of a stored history: kind, words of the cause, what is copied
    "collapsed": ("collapsed codebook", "cold start", "bottleneck.initializer=data"),
    "dying": ("dead codes that grow", "nothing resets them", "--set reset_dead_every=40"),
    "runaway": ("z_e running away", "commitment_cost is 0", "bottleneck.commitment_cost=0.25"),
    "overfitted": ("overfitting", "memorises", "--set steps="),
    "nan": ("NaN", "learning rate", "clip_norm=1.0"),
}


@pytest.mark.parametrize("name", FOUND)
def test_each_failure_is_named_with_its_cause_and_a_remedy(name):
    history, preset = stored(name)
    kind, cause, copied = FOUND[name]
    finding = {found.kind: found for found in findings_of(history, preset)}[kind]
    assert cause in finding.cause
    assert copied in finding.remedy.copied
    assert finding.step in [record["step"] for record in history]
    assert any(finding.measure in record for record in history)
    check_remedy(finding, preset)


def check_remedy(finding, preset) -> None:
    """The remedy changes the preset, and its text on the command line means the same."""
    changes = finding.remedy.changes
    changed = preset.change(**changes)
    assert not changed.same_as(preset)
    assert preset.change(**parse_changes(as_texts(changes))).same_as(changed)


SETTINGS = {"progress": False, "steps": 10, "log_every": 1}


@pytest.fixture(scope="module")
def diverged(store, tmp_path_factory):
    """A run with a learning rate of 10."""
    folder = tmp_path_factory.mktemp("diverged")
    return vq.train(store, "tiny", save=folder / "weights", learning_rate=10.0, **SETTINGS)


def test_a_learning_rate_of_10_is_too_high_and_waiting_does_not_help(diverged, store):
    diagnosis = vq.diagnose(diverged, store, measured=False)
    (finding,) = diagnosis.findings  # what follows from it is not listed
    assert finding.kind == "learning rate too high"
    assert diagnosis.outlook.sentence.startswith("Stop: ")
    assert finding.remedy.copied == "--set learning_rate=0.001 clip_norm=1.0"
    check_remedy(finding, diverged.preset)
    text, page = str(diagnosis), diagnosis._repr_html_()
    assert text.splitlines()[0] == diverged.folder.name
    for words in (finding.verdict, finding.cause, finding.remedy.copied):
        assert words in text
        assert words in page
    assert HEALTHY not in text
    marked = [a.get_text() for ax in diagnosis.figure(Figure()).axes for a in ax.texts]
    assert marked == ["learning rate too high"]


def test_a_commitment_of_100_is_too_strong(store, tmp_path):
    changes = {"bottleneck": {"commitment_cost": 100.0}, **SETTINGS}
    run = vq.train(store, "tiny", save=tmp_path / "weights", **changes)
    (finding,) = findings_of(run.history, run.preset)
    assert finding.kind == "commitment too strong"
    assert finding.evidence["commitment_cost"] == 100.0
    share = smooth(series(run.history, "vq/commitment")[1])[-1] / finding.evidence["loss"]
    assert f"{100 * share:.0f} % of the loss" in finding.verdict
    check_remedy(finding, run.preset)


def history_of(losses, held_out=(), **more) -> list[dict]:
    """Return a history of losses in bits, one line per 10 steps."""
    records = [
        {"step": 10 * n, "seconds": float(n), "bits": loss, "loss": loss, "samples": 10_000 * n}
        for n, loss in enumerate(losses, 1)
    ]
    for record, loss in zip(records, held_out, strict=False):
        record["held_out/bits"] = loss
    return [record | more for record in records]


def kinds(history, preset, *arguments, **settings) -> list[str]:
    return [finding.kind for finding in findings_of(history, preset, *arguments, **settings)]


def test_overfitting_needs_a_held_out_loss_that_rises_while_that_of_training_falls():
    tiny, falling = load_preset("tiny"), [5.0, 4.5, 4.2, 4.0, 3.8, 3.6]
    rising = [5.0, 4.6, 4.5, 4.7, 4.8, 4.9]
    finding = findings_of(history_of(falling, rising), tiny)[0]
    assert (finding.kind, finding.step) == ("overfitting", 30)
    assert finding.remedy.changes == {"steps": 30}
    assert not kinds(history_of(falling, [5.0, 4.6, 4.5, 4.52, 4.51, 4.55]), tiny)  # noise
    assert "overfitting" not in kinds(history_of([*falling[:3], 4.3, 4.4, 4.5], rising), tiny)


@pytest.mark.parametrize("name", [*preset_names(), "first stage", "residual"])
def test_every_preset_can_be_judged_at_each_line(name):
    """In the monitor an error of the doctor would end a training."""
    preset = load_preset(name if name in preset_names() else "mini")
    if name == "first stage":
        preset = from_dict({**preset.to_dict(), "decoder": {"class_name": "MelDecoder"}})
    elif name == "residual":
        preset = preset.change(bottleneck="residual")
    measures = {"vq/commitment": 0.01, "vq/z_e_rms": 0.7, "vq/code_rms": 0.6}
    measures |= {"vq/codes_used": 500.0, "vq/codes_dead": 12.0, "vq/perplexity": 400.0}
    losses = np.linspace(4.0, 3.0, 24)
    history = history_of(losses, losses + 0.1, learning_rate=1e-3, **measures)
    if name == "first stage":
        history = [record | {"mel/mse": record.pop("bits")} for record in history]
    for count in (1, 3, 4, 8, 13, 23):
        found = findings_of(history[:count], preset, 12.0, running=True)
        assert not found
        assert outlook_of(history[:count], preset, "mini", found, running=True).sentence


def test_spikes_are_of_a_learning_rate_that_is_too_high_and_one_is_not():
    tiny, losses = load_preset("tiny"), np.linspace(5.0, 4.0, 30)
    for places, found in (((9,), []), ((9, 15, 21), ["learning rate too high"])):
        spiky = losses.copy()
        spiky[list(places)] *= 1.8
        assert kinds(history_of(spiky), tiny) == found
    finding = findings_of(history_of(spiky), tiny)[0]
    assert (finding.step, finding.evidence["spikes"]) == (100, 3)


def test_a_schedule_is_cut_short_only_where_the_rate_was_to_fall_and_it_was_stopped():
    cosine = {"peak": 1e-3, "warm_up": 0, "end": 1e-5}
    preset = load_preset("tiny").change(learning_rate=cosine, steps=1000)
    history = history_of([5.0, 4.5, 4.2], learning_rate=8e-4)
    assert kinds(history, preset) == ["schedule cut short"]
    assert not kinds(history, preset, running=True)
    assert not kinds(history, preset.change(learning_rate=1e-3))
    assert not kinds(history_of([5.0, 4.5, 4.2], learning_rate=1.2e-5), preset)
    history[-1]["ended"] = "time"  # the rate followed the time
    assert not kinds(history, preset)


def test_a_training_that_is_stopped_is_cut_short(store, tmp_path):
    def stop(trainer):
        if trainer.step == 4:
            trainer.stop_requested.set()

    cosine = {"peak": 3e-3, "warm_up": 0, "end": 1e-5}
    settings = SETTINGS | {"learning_rate": cosine, "after_step": stop}
    run = vq.train(store, "tiny", save=tmp_path / "weights", **settings)
    (finding,) = findings_of(run.history, run.preset)
    assert finding.kind == "schedule cut short"
    assert "step 4 of 10" in finding.verdict
    assert finding.remedy.copied.startswith("vqwn train")
    assert finding.evidence["at the end of its schedule"] == 1e-5


def test_a_training_on_two_seconds_of_speech_has_too_little(store):
    history, preset = stored("overfitted")
    found = {f.kind: f for f in findings_of(history, preset, store.seconds("train") / 60)}
    assert "visited 126 times" in found["too little speech"].verdict
    check_remedy(found["too little speech"], preset)
    assert "too little speech" not in kinds(history, preset, 12.0)


def test_little_speech_needs_many_visits_and_a_gap_to_held_out_speech():
    tiny, bits = load_preset("tiny"), [5.0, 4.5, 4.0, 4.0]
    gap = history_of(bits, [5.5, 5.0, 4.9, 4.85])
    minutes = gap[-1]["samples"] / 16_000 / 60 / 40  # so that each second was visited 40 times
    finding = findings_of(gap, tiny, minutes)[0]
    assert finding.kind == "too little speech"
    assert finding.evidence["visits"] == pytest.approx(40)
    check_remedy(finding, tiny)
    assert not kinds(gap, tiny, 2 * minutes)
    assert not kinds(gap, tiny)
    assert not kinds(history_of(bits, [5.0, 4.6, 4.2, 4.1]), tiny, minutes)


def test_remedies_of_a_first_stage_change_the_first_stage_of_the_whole_preset():
    history = [{"step": n, "mel/mse": np.nan, "loss": np.nan} for n in (1, 2)]
    whole = load_preset("mini")
    decoder = {"class_name": "MelDecoder", "config": {}}
    preset = from_dict({**whole.to_dict(), "decoder": decoder})
    assert not kinds([*history, {"step": 3, "mel/mse": 1.0, "loss": 1.0}], preset)
    (finding,) = findings_of(history, preset)
    first = whole.change(**finding.remedy.changes).training.first_stage
    assert first["clip_norm"] == 1.0
    assert first["batch_size"] == whole.training.first_stage["batch_size"]
    assert parse_changes(as_texts(finding.remedy.changes)) == finding.remedy.changes


def test_a_decoder_without_conditioning_ignores_codes_and_speaker(parallel, tmp_path):
    run = untrained(tmp_path, parallel)
    for variable in run.model.decoder.variables:
        if "condition" in variable.path:
            variable.assign(np.zeros(variable.shape))
    diagnosis = vq.diagnose(run, parallel, progress=False)
    found = {finding.kind: finding for finding in diagnosis.findings}
    assert {"decoder that ignores the codes", "decoder that ignores the speaker"} <= found.keys()
    codes = found["decoder that ignores the codes"]
    assert "from those before it" in codes.cause
    assert codes.remedy.changes == {"first_stage_steps": 800}
    for finding in found.values():
        check_remedy(finding, run.preset)
    assert "the run has no history.jsonl" in diagnosis.skipped["its training"]
    assert "not examined: its training: the run has no history.jsonl" in str(diagnosis)


def test_a_first_stage_is_judged_by_its_mel_error(parallel, tmp_path):
    decoder = {
        "class_name": "MelDecoder",
        "config": {"conditioner": {"class_name": "Conditioner", "config": {"speaker_dim": 4}}},
    }
    run = untrained(tmp_path, parallel, decoder=decoder)
    context = evaluation_context(run, parallel, progress=False)
    errors = rules.mel_errors(context)
    assert errors[rules.CODES] != errors[rules.TRUE] != errors[rules.SPEAKER]
    for variable in run.model.decoder.conditioner.variables:
        variable.assign(np.zeros(variable.shape))
    codebook = run.model.bottleneck.codebook
    codebook.assign(np.repeat(codebook.numpy()[:1], codebook.shape[0], axis=0))
    errors = rules.mel_errors(context)
    assert errors[rules.CODES] == pytest.approx(errors[rules.TRUE], rel=1e-5)
    assert errors[rules.SPEAKER] == pytest.approx(errors[rules.TRUE], rel=1e-5)
    found = rules.conditioning_findings(errors, run.preset, 4)
    assert [finding.kind for finding in found] == [
        "decoder that ignores the codes",
        "decoder that ignores the speaker",
    ]
    assert "collapse" in found[0].cause


@pytest.mark.parametrize(
    ("codes", "found"), [(85.0, ["speaker in the codes"]), (45.0, []), (73.0, [])]
)
def test_the_speaker_is_in_the_codes_if_a_probe_is_as_good_as_on_the_spectrum(codes, found):
    rows, mini = dict(zip(rules.PROBES, (codes, 90.0), strict=True)), load_preset("mini")
    for preset in (mini, mini.change(bottleneck="residual")):
        given = rules.conditioning_findings(rows, preset, 4)
        assert [finding.kind for finding in given] == found  # 25 + 0.75 (90 - 25) = 73.75
        for finding in given:
            check_remedy(finding, preset)


def test_a_card_says_what_the_doctor_says_once(diverged, store):
    card = ScoreCard({})
    extra = "extra bits, codes shuffled"
    card.add("likelihood", extra, Estimate(0.001, None, None, 2), "bits", "utterances")
    sentences = card_verdicts(diverged, card)
    assert sentences[0].startswith("Stop: ")
    assert "worse than guessing" in sentences[1]
    assert sentences[2].startswith("The decoder ignores the codes")
    card.verdicts.append("The decoder ignores the codes: +0.001 bits per sample.")
    assert card_verdicts(diverged, card) == sentences[:2]


def test_the_command_prints_all_and_writes_the_figure(diverged, folder, tmp_path, capsys):
    figure = tmp_path / "doctor.png"
    line = ["doctor", str(diverged.folder), "--data", str(folder), "--no-measured"]
    assert main([*line, "--figure", str(figure)]) == 0
    printed = capsys.readouterr().out
    for words in ("LEARNING RATE TOO HIGH", "evidence:", "cause:", "remedy:", "--set", str(figure)):
        assert words in printed
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert main([*line, "--figure", str(tmp_path / "doctor.xyz")]) == 2
    assert "expected one of" in capsys.readouterr().err
    assert main(["doctor", str(tmp_path)]) == 2
    assert "no run at" in capsys.readouterr().err


def test_what_was_not_trained_or_has_no_corpus_is_said(tmp_path, store, diverged, monkeypatch):
    monkeypatch.setattr("vqwn_kit.runs.corpus_of._folder_of", lambda run: None)
    run = Run.create(tmp_path / "weights", load_preset("tiny"), "elsewhere", {"ann": {}})
    with pytest.raises(InputError, match="nothing was trained there yet"):
        vq.diagnose(run)
    diagnosis = vq.diagnose(diverged)
    assert "which is not there or not known" in diagnosis.skipped["what needs its speech"]


def test_lost_words_are_found_and_the_shipped_runs_have_none():
    preset, kind = load_preset("mini"), sound_rules.PHONE_ERROR.format
    rows = {kind("reconstruction"): 0.73, kind("original"): 0.21}
    short, whole = (sound_rules.lost_words(rows, preset, step) for step in (111, 1200))
    assert short.kind == "lost words"
    assert (
        "the phone error of its reconstructions is 0.73, that of the recordings 0.21"
        in short.verdict
    )
    assert short.cause == "the training was short: 111 of 1,200 steps"
    assert short.remedy.copied == "vqwn train DATASET --preset mini --minutes 30"
    assert whole.remedy.copied == "vqwn evaluate RUN --links"
    for name in ("mini", "vctk-libri"):
        card = ScoreCard.load(vq.results(name))
        rows = {row.name: row.value for row in card.rows}
        assert rows[kind("reconstruction")] > rows[kind("original")]
        assert sound_rules.lost_words(rows, preset, 111) is None
    assert sound_rules.lost_words({kind("original"): 0.21}, preset, 111) is None


@pytest.mark.parametrize(("step", "copied"), [(111, "vqwn train"), (1200, "--set")])
def test_of_a_short_training_conditioning_is_not_judged_by_what_it_will_be(step, copied):
    rows = {rules.EXTRA_CODES: 0.0, rules.EXTRA_SPEAKER: -0.1}
    rows |= dict(zip(rules.PROBES, (85.0, 90.0), strict=True))
    found = rules.conditioning_findings(rows, load_preset("mini"), 4, step)
    assert [finding.kind for finding in found] == [
        "decoder that ignores the codes",
        "speaker in the codes",
        "decoder that ignores the speaker",
    ]
    for finding in found:
        assert finding.remedy.copied.startswith(copied)
        assert ("the training was short" in finding.cause) == (step == 111)


def test_one_held_out_utterance_does_not_judge_codes_and_speaker(diverged, store, monkeypatch):
    card = ScoreCard({})
    card.add("likelihood", rules.EXTRA_CODES, 0.001, "bits", "utterances")
    card.add("sounds", sound_rules.PHONE_ERROR.format("original"), 0.1, "", "sounds")
    card.add("sounds", sound_rules.PHONE_ERROR.format("reconstruction"), 0.9, "", "sounds")
    sentences = " ".join(card_verdicts(diverged, card))
    assert "ignores the codes" not in sentences
    assert "words do not come through" in sentences  # of which one sound is enough
    numbers = store.numbers
    few = {"held_out": numbers("held_out")[:1]}
    monkeypatch.setattr(store, "numbers", lambda split: few.get(split, numbers(split)))
    skipped = vq.diagnose(diverged, store, progress=False).skipped
    reason = skipped["whether the decoder depends on codes and speaker"]
    assert reason == "1 utterance held out, and 2 are needed"


@pytest.mark.parametrize(("step", "steps", "is_short"), [(60, 60, 1), (299, 400, 1), (300, 400, 0)])
def test_a_training_of_few_steps_is_short_whatever_was_planned(step, steps, is_short):
    rows = dict(zip(rules.PROBES, (85.0, 90.0), strict=True))
    preset = load_preset("mini").change(steps=steps)
    (finding,) = rules.conditioning_findings(rows, preset, 4, step)
    assert finding.remedy.copied.startswith("vqwn train") == is_short
    assert ("short: 60 steps" in finding.cause) == (step == 60)


def test_little_speech_is_the_cause_of_words_that_are_lost_after_a_whole_training():
    rows = dict.fromkeys(map(sound_rules.PHONE_ERROR.format, ("original", "conversion")), 0.1)
    rows[sound_rules.PHONE_ERROR.format("reconstruction")] = 0.9
    preset = load_preset("mini")
    finding = sound_rules.lost_words(rows, preset, 1200, minutes=3.0)
    assert finding.cause == "there are only 3.0 minutes of speech to train on"
    assert "minutes of speech" not in sound_rules.lost_words(rows, preset, 1200, 12.0).cause
    assert "short" in sound_rules.lost_words(rows, preset, 111, 3.0).cause


def test_a_card_begins_with_what_a_recogniser_understands():
    card = ScoreCard.load(vq.results("mini"))
    assert card_verdicts(vq.load_run("mini"), card)[0] == (
        "The phone error of its reconstructions is 0.20 in 25 sentences, that of the recordings "
        "0.08 (0: a recogniser gets all phones right; 1: none)."
    )
    assert sound_rules.understood({}) == ""
    card.rows = [row for row in card.rows if not row.name.startswith("phone error")]
    for kind, error in (("reconstruction", 0.9), ("original", 0.1)):
        card.add("content", sound_rules.PHONE_ERROR.format(kind), error, "", "sounds")
    verdicts = card_verdicts(vq.load_run("mini"), card)
    assert verdicts[0].startswith("The words do not come through: the phone error of its rec")
    assert sum("phone error" in verdict for verdict in verdicts) == 1


@pytest.mark.parametrize(("step", "cause"), [(63, "63 of 1,200 steps"), (1200, "too large")])
def test_bits_that_do_not_fall_below_those_before_training_are_found(step, cause):
    preset = load_preset("mini").change(first_stage_steps=0)
    line = short_history(200.0)[-1] | {"held_out/bits": 6.59, "step": step}
    (finding,) = findings_of([line], preset, bits_before=6.38)
    assert finding.kind == "nothing learned"
    assert "6.59 bits per sample, and had 6.38 before" in finding.verdict
    assert cause in finding.cause
    assert findings_of([line], preset, bits_before=6.7) == []
    assert findings_of([line], preset) == []


def test_bits_before_training_are_those_of_the_summary(diverged, store):
    summary = diverged.folder / "summary.json"
    summary.write_text(json.dumps({"before": {"bits": 6.38}}))
    try:
        assert _bits_before(diverged) == 6.38
    finally:
        summary.unlink()
    assert _bits_before(diverged) is None


def short_history(perplexity: float) -> list[dict]:
    """Two lines, the second of which is the end."""
    line = {"vq/codes_used": 7.0, "vq/codes_dead": 505.0, "vq/perplexity": perplexity}
    line |= {"vq/z_e_rms": 1.2, "vq/code_rms": 1.2, "bits": 4.0, "learning_rate": 1e-3}
    line |= {"seconds": 30.0, "samples": 960_000}
    return [{**line, "step": 50}, {**line, "step": 63, "ended": "time"}]


def test_a_codebook_that_has_collapsed_at_an_early_end_is_found():
    preset = load_preset("mini").change(first_stage_steps=0)
    (finding,) = findings_of(short_history(3.2), preset)
    assert finding.kind == "collapsed codebook"
    assert finding.remedy.command.startswith("vqwn train")
    outlook = outlook_of(short_history(3.2), preset, "", [finding])
    assert outlook.state == "early"  # more steps may help
    assert findings_of(short_history(200.0), preset) == []


def on_held_out(perplexity: float, used: int, frames: int = 1000) -> dict:
    names = ("perplexity", "codes_used", "codes_dead", "frames")
    values = (perplexity, used, 512 - used, frames)
    return {f"held_out/{name}": value for name, value in zip(names, values, strict=True)}


def test_the_codebook_at_the_end_is_that_of_held_out_speech_where_it_was_measured():
    """Of few lines, those of training are of a codebook that has just begun to fill."""
    preset = load_preset("mini").change(first_stage_steps=0)
    history = short_history(200.0)
    history[-1] |= on_held_out(5.1, 7)
    (finding,) = findings_of(history, preset)
    assert finding.evidence["codes in use"] == "7 of 512"
    assert finding.evidence["perplexity on held-out speech"] == 5.1
    assert findings_of(history, preset, running=True) == []
    del history[-1]["ended"]  # stopped, with the same codebook
    assert findings_of(history, preset)[0].kind == "collapsed codebook"
    filled = short_history(15.0)
    filled[-1] |= on_held_out(379.0, 484)
    assert findings_of(filled, preset) == []
    history = short_history(200.0)
    history[-1] |= on_held_out(5.1, 7, frames=60)  # which say little
    assert findings_of(history, preset) == []


def test_a_training_that_was_cut_or_has_few_lines_is_not_called_healthy(tmp_path):
    run, outlook = vq.load_run("mini"), outlook_of([], load_preset("mini"))
    outlook = replace(outlook, state="unknown")
    assert HEALTHY in str(Diagnosis(run, outlook, []))
    assert HEALTHY not in str(Diagnosis(run, outlook, [], {CURVES: "1 line"}))
    short = Run.create(tmp_path / "weights", load_preset("mini"), "a", {"b": {}})
    lines = "".join(f"{json.dumps(line)}\n" for line in short_history(200.0))
    (short.folder / "history.jsonl").write_text(lines)
    assert HEALTHY not in str(Diagnosis(short, outlook, []))


def test_a_collapse_is_not_judged_early_in_a_training_that_runs():
    preset = load_preset("mini").change(first_stage_steps=0)
    assert findings_of(short_history(3.2)[:1], preset, running=True) == []


def test_too_early_is_not_healthy():
    outlook = outlook_of(short_history(200.0), load_preset("mini"))
    run = vq.load_run("mini")
    early = Diagnosis(run, outlook, [])
    assert "Too early to say" in str(early)
    assert HEALTHY not in str(early) + early._repr_html_()
    assert HEALTHY in str(Diagnosis(run, outlook_of(run.history, run.preset), []))


def test_what_was_not_examined_is_named(diverged, store):
    skipped = vq.diagnose(diverged, store, progress=False).skipped
    assert "`vqwn evaluate" in skipped["whether words come through"]


def test_the_codebook_of_the_first_stage_is_that_of_the_run(tmp_path):
    preset = load_preset("mini")
    run = Run.create(
        tmp_path / "weights", preset.change(freeze=("encoder", "bottleneck")), "a", {"b": {}}
    )
    first = Run.create(tmp_path / "first_stage/weights", preset.first_stage(), "a", {"b": {}})
    for folder in (run.folder, first.folder):
        lines = map(json.dumps, short_history(3.2))
        (folder / "history.jsonl").write_text("".join(f"{line}\n" for line in lines))
    diagnosis = vq.diagnose(run.folder, measured=False)
    assert [finding.kind for finding in diagnosis.findings] == ["collapsed codebook"]
    lines = map(json.dumps, short_history(300.0))
    (first.folder / "history.jsonl").write_text("".join(f"{line}\n" for line in lines))
    diagnosis = vq.diagnose(run.folder, measured=False)
    assert "its losses" in diagnosis.skipped  # its codebook was examined
    assert CURVES not in diagnosis.skipped


def test_a_codebook_that_collapsed_in_few_steps_and_lines_is_no_reason_to_change_the_preset():
    preset = load_preset("mini").change(first_stage_steps=0, steps=63)
    history = short_history(3.2)
    (finding,) = findings_of(history, preset)
    assert finding.cause.startswith("the training was short: 63 steps;")
    assert outlook_of(history, preset, "", [finding]).sentence.startswith("Too early to say")


def test_a_history_without_lines_of_codes_finds_no_collapse():
    line = {"step": 9, "seconds": 1.0, "samples": 9600, "bits": 4.0, "learning_rate": 1e-3}
    line |= {"held_out/frames": 900, "held_out/perplexity": 1.5, "held_out/codes_used": 2.0}
    found = findings_of([line], load_preset("mini").change(first_stage_steps=0), running=True)
    assert found == []
