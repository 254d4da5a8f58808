"""The score card of a run, its alignment and its page."""

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import vqwn_kit as vq
from tests.conftest import ROOT, make_folders, tones
from vqwn_kit.cli.main import main
from vqwn_kit.data import audio
from vqwn_kit.evaluation import (
    audio_metrics as sound_scores,
    external as hearing,
    phones as alignment,
    score_card as cards,
)
from vqwn_kit.evaluation.audio_metrics import speak_bands
from vqwn_kit.evaluation.code_metrics import (
    score_codebook,
    score_likelihood,
    score_phones,
    score_speakers,
    verdict,
)
from vqwn_kit.evaluation.evaluate import examine, score_card
from vqwn_kit.evaluation.metrics.measures import Estimate, NotMeasured
from vqwn_kit.models.mel import LogMel
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import from_dict, load_preset
from vqwn_kit.runs.run import Run
from vqwn_kit.training.train import train
from vqwn_kit.training.validate import validate

SENTENCES = ["we see a tree", "they buy one", "our shoe fits", "go home now"]


def untrained(folder, store, **parts) -> Run:
    """Make a run of the preset `tiny` with its first weights; `parts` replaces some."""
    preset = from_dict({**load_preset("tiny").to_dict(), **parts})
    run = Run.create(folder / "weights", preset, store.corpus.name, dict(store.corpus.speakers))
    run.save_weights(build_model(preset, list(store.corpus.speakers)), 0)
    return run


@pytest.fixture(scope="module")
def parallel(tmp_path_factory):
    """A store of four voices that read the same four sentences, with texts, sexes and phones."""
    folder = make_folders(
        tmp_path_factory.mktemp("parallel"),
        {"ann": 210.0, "bea": 250.0, "cyd": 100.0, "dan": 130.0},
    )
    rows, spans = ["path\tutterance\tspeaker\tsex\ttext\tsplit"], ["utterance\tstart\tend\tphone"]
    for speaker, sex in {"ann": "F", "bea": "F", "cyd": "M", "dan": "M"}.items():
        for number, text in enumerate(SENTENCES):
            key, split = f"{speaker}_{number:03d}", "held_out" if number > 1 else "train"
            rows.append(f"{speaker}/{key}.wav\t{key}\t{speaker}\t{sex}\t{text}\t{split}")
            spans += [f"{key}\t0.0\t0.1\tSIL", f"{key}\t0.1\t0.2\tIY", f"{key}\t0.2\t0.4\tS"]
    (folder / "utterances.tsv").write_text("\n".join(rows) + "\n")
    (folder / "phones.tsv").write_text("\n".join(spans) + "\n")
    return vq.prepare(vq.open_corpus(folder), progress=False)


@pytest.fixture(scope="module")
def plain_card(run, store):
    """The card of the trained tiny run on recordings without texts."""
    return score_card(run, store, spoken=1, targets=1, originals=False, progress=False)


@pytest.fixture(scope="module")
def full(parallel, tmp_path_factory):
    """An untrained run on the parallel corpus, and its card."""
    run = untrained(tmp_path_factory.mktemp("full"), parallel)
    return run, score_card(run, parallel, spoken=2, targets=1, progress=False)


def test_the_likelihood_is_that_of_validation(plain_card, model, store):
    measured = validate(model, store)
    row = plain_card["bits a sample"]
    assert row.value == pytest.approx(measured["bits"], rel=1e-5)
    assert row.n == len(store.numbers("held_out"))
    assert plain_card["codes used"].value == measured["codes_used"]
    assert plain_card["codes used"].value + plain_card["dead codes"].value == 32
    assert plain_card["perplexity"].value == pytest.approx(measured["perplexity"], rel=1e-5)


def test_recordings_may_stay_out_of_the_sounds_that_are_kept(plain_card, full):
    kinds = [track["label"].split()[0] for track in plain_card.tracks]
    assert kinds == ["reconstruction", "as"]
    assert len(plain_card.sounds) == 2
    assert plain_card["mel-cepstral distance, reconstruction"].n == 1  # it was judged by
    assert [track["label"].split()[0] for track in full[1].tracks].count("original") == 2


def test_rates_and_distance_from_uniform_agree(plain_card, run):
    nominal, carried = (plain_card[f"bit rate, {kind}"].value for kind in ("nominal", "by entropy"))
    assert nominal == 250 * 5  # hop 64, K = 32
    far = plain_card["distance from uniform"].value
    assert far == pytest.approx(5 - np.log2(plain_card["perplexity"].value))
    assert carried == pytest.approx(250 * (5 - far))
    assert [step for step, _ in plain_card.divergence] == [r["step"] for r in run.history]
    assert plain_card.divergence[-1][1] == pytest.approx(
        5 - np.log2(run.history[-1]["vq/perplexity"])
    )


def test_what_is_missing_is_named_with_its_reason(plain_card):
    reasons = plain_card.skipped
    assert "no texts" in reasons["phone error, reconstruction"]
    assert "no texts" in reasons["phone accuracy of codes"]
    assert "sex" in reasons["embedding separates the sexes"]
    assert "parallel" in reasons["mel-cepstral distance, conversion"]
    with pytest.raises(KeyError, match="no texts"):
        plain_card["phone error, reconstruction"]
    assert not {row.name for row in plain_card.rows} & set(reasons)


def test_nothing_is_unmeasured_where_all_is_there(full):
    pytest.importorskip("hama")
    _, card = full
    assert not [reason for reason in card.skipped.values() if "installed" in reason]
    for kind in ("original", "reconstruction", "conversion"):
        assert card[f"phone error, {kind}"].unit == ""
        assert 1.0 < card[f"DNSMOS P.808, {kind}"].value < 5.0
    assert card["mel-cepstral distance, conversion"].value > 1.0
    assert "history" in card.skipped["training time"]
    assert card["voice given to its speaker, conversion"].n == 2
    assert card["embedding separates the sexes"].n == 4
    prior = card["phone accuracy of the prior"]
    assert 0 < prior.value <= 100
    assert card.code_phones.sum() > 0
    assert set(np.flatnonzero(card.code_phones.sum(axis=0))) == {
        alignment.PHONES.index("IY"), alignment.PHONES.index("S")
    }  # fmt: skip


def test_the_same_seed_gives_the_same_card(full, parallel):
    run, _ = full

    def measured(seed):
        card, subject = cards.ScoreCard({}), examine(run, parallel, 2, seed, progress=False)
        score_likelihood(card, subject)
        sounds = sound_scores.speak(card, subject, 1, 1, 1.0)
        values = {row.name: row.value for row in card.rows if row.name != "generating"}
        return values, np.concatenate([sound.waveform for sound in sounds[1:]])

    (values, heard), (again, once_more), (other, different) = map(measured, (0, 0, 1))
    assert again == values
    np.testing.assert_array_equal(once_more, heard)
    assert other["bits a sample"] == values["bits a sample"]
    name = "listening gap, codes shuffled"
    assert other[name] != values[name]
    assert not np.array_equal(different, heard)


def test_without_sampling_the_card_says_so(full, parallel):
    card = score_card(full[0], parallel, spoken=0, utterances=1, progress=False)
    assert "spoken = 0" in card.skipped["everything that is sampled"]
    assert card["bits a sample"].low is None  # of a single utterance


def test_sampling_is_chosen_on_training_sentences(full, parallel):
    for package in ("hama", "speechmos"):
        pytest.importorskip(package)
    command = [sys.executable, ROOT / "results" / "choose_sampling.py", full[0].folder, "--data",
               parallel.corpus.folder, "--sentences", "2", "--temperature", "1", "0.5"]  # fmt: skip
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert told.returncode == 0, told.stderr
    rows = [line.strip("| ").split(" | ") for line in told.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["0, 1", "0, 0.5"]  # without filters there is one postfilter
    assert all(float(row[1]) > 0 and 1 < float(row[2]) < 5 for row in rows)


def test_a_deaf_decoder_is_called_deaf(parallel, tmp_path):
    run = untrained(tmp_path, parallel)
    for variable in run.model.decoder.variables:
        if "condition" in variable.path:
            variable.assign(np.zeros(variable.shape))
    card = cards.ScoreCard({})
    score_likelihood(card, examine(run, parallel, 2, progress=False))
    gaps = [row.value for row in card.rows if row.name.startswith("listening gap")]
    assert gaps == [0.0] * 4
    assert card.verdicts[0].startswith("The decoder ignores the codes")
    assert card.verdicts[1].startswith("The decoder ignores the speaker")


def test_a_listening_decoder_is_not():
    assert "hardly listens to the codes" in verdict(0.1, "the codes")
    assert "decoder listens to the codes" in verdict(0.3, "the codes")
    assert "ignores" in verdict(-0.2, "the codes")


def test_an_autoencoder_has_no_codes_to_measure(parallel, tmp_path):
    identity = {"class_name": "Identity", "config": {"embedding_dim": 8}}
    run = untrained(tmp_path, parallel, bottleneck=identity)
    subject, card = examine(run, parallel, 2, progress=False), cards.ScoreCard({})
    for score in (score_codebook, score_phones, score_speakers):
        score(card, subject)
    for name in ("perplexity", "phone accuracy of codes", "speaker from codes"):
        assert "no codebook" in card.skipped[name]
    assert card["speaker from z_e"].unit == "%"
    assert card.code_phones is None


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """Three of the bundled voices: six sentences to learn from and two that are held out."""
    whole = vq.example_corpus()
    keys = [f"{v}_{n:03d}" for v in ("alpha", "joe", "kumo") for n in (*range(1, 7), 36, 37)]
    corpus = replace(
        whole, name="three", utterances=tuple(whole[key] for key in sorted(keys)),
        speakers={name: whole.speakers[name] for name in ("alpha", "joe", "kumo")},
    )  # fmt: skip
    store = vq.prepare(corpus, progress=False)
    return examine(untrained(tmp_path_factory.mktemp("three"), store), store, progress=False)


def test_voices_are_told_apart_and_noise_does_not_deceive(voices, rng):
    """The probe gives recordings to their speakers, with noise 15 dB below them too."""
    sounds = []
    for number in voices.held_out:
        wave, voice = voices.store.waveform(number), voices.speaker(number)
        noise = 10 ** (-15 / 20) * wave.std() * rng.normal(size=len(wave))
        sounds.append(sound_scores.Sound(number, "original", voice, wave))
        sounds.append(sound_scores.Sound(number, "reconstruction", voice, wave + noise))
        target = "joe" if voice != "joe" else "alpha"
        sounds.append(sound_scores.Sound(number, "conversion", target, wave))
    card = cards.ScoreCard({})
    sound_scores.score_voices(card, voices, sounds)
    assert card["voice given to its speaker, original"].value == 100
    assert card["voice given to its speaker, reconstruction"].value >= 80
    assert card["conversion given to the source"].value == 100
    assert card["voice given to its speaker, conversion"].value == 0


def test_a_clip_is_its_own_best_reconstruction(voices, rng):
    subject, number = voices, voices.held_out[0]
    wave, voice = voices.store.waveform(number), voices.speaker(number)
    original = sound_scores.Sound(number, "original", voice, wave)
    measured = []
    for heard in (wave, rng.normal(0, 0.1, len(wave)).astype(np.float32)):
        card = cards.ScoreCard({})
        again = sound_scores.Sound(number, "reconstruction", voice, heard)
        sound_scores.score_sound(card, subject, [original, again])
        measured.append(card)
    itself, noise = measured
    assert itself["mel-cepstral distance, reconstruction"].value == 0.0
    assert noise["mel-cepstral distance, reconstruction"].value > 5.0
    if "DNSMOS P.808, original" in itself.skipped:
        pytest.skip("the packages of the extra eval aren't there")
    assert itself["pitch error, reconstruction"].value == 0.0
    assert itself["voicing error, reconstruction"].value == 0.0
    assert itself["STOI, reconstruction"].value == pytest.approx(1.0)
    assert noise["STOI, reconstruction"].value < 0.5
    quality = "DNSMOS P.808, reconstruction"
    real = itself["DNSMOS P.808, original"].value
    assert itself[quality].value == real > noise[quality].value
    assert noise[quality].value < itself["DNSMOS P.808, original in levels"].value < real + 0.05
    assert "no conversion" in itself.skipped["mel-cepstral distance, conversion"]


def test_phone_errors_of_a_clip_of_noise_and_of_another_sentence(voices, rng):
    pytest.importorskip("hama")
    one, other = [n for n in voices.held_out if voices.speaker(n) == "kumo"]
    wave = voices.store.waveform(one)
    sounds = [
        sound_scores.Sound(one, "original", "kumo", wave),
        sound_scores.Sound(one, "reconstruction", "kumo", wave),
        sound_scores.Sound(one, "conversion", "joe", voices.store.waveform(other)),
    ]
    card = cards.ScoreCard({})
    sound_scores.score_content(card, voices, sounds)
    assert card["phone error, reconstruction"].value < 0.25
    assert card["phone error to original, reconstruction"].value == 0.0
    assert card["phone error, conversion"].value > 0.6
    assert card["phone error to original, conversion"].value > 0.6
    noise = sound_scores.Sound(one, "reconstruction", "kumo", rng.normal(0, 0.1, len(wave)))
    card = cards.ScoreCard({})
    sound_scores.score_content(card, voices, [sounds[0], noise])
    assert card["phone error, reconstruction"].value > 0.8


def test_conversions_are_compared_with_the_targets_own_reading(voices):
    """The target's own reading, taken for a conversion, is at distance 0; the source isn't."""
    number = next(n for n in voices.held_out if voices.speaker(n) == "kumo")
    text = voices.store.corpus.utterances[number].text
    reading = next(n for n, u in enumerate(voices.store.corpus)
                   if u.speaker == "joe" and u.text == text)  # fmt: skip
    card = cards.ScoreCard({})
    sound_scores.score_sound(card, voices, [
        sound_scores.Sound(number, "original", "kumo", voices.store.waveform(number)),
        sound_scores.Sound(number, "conversion", "joe", voices.store.waveform(reading)),
    ])  # fmt: skip
    assert card["mel-cepstral distance, conversion"].value == 0.0
    assert card["mel-cepstral distance, source to target"].value > 2.0


def test_a_missing_package_is_said_and_the_card_goes_on(voices, monkeypatch):
    monkeypatch.setitem(sys.modules, "hama", None)
    monkeypatch.setitem(sys.modules, "pystoi", None)
    hearing._hama.cache_clear()
    number = voices.held_out[0]
    wave, voice = voices.store.waveform(number), voices.speaker(number)
    kinds = ("original", "reconstruction")
    sounds = [sound_scores.Sound(number, kind, voice, wave) for kind in kinds]
    card = cards.ScoreCard({})
    sound_scores.score_content(card, voices, sounds)
    sound_scores.score_sound(card, voices, sounds)
    hearing._hama.cache_clear()
    assert "hama isn't installed" in card.skipped["phone error, reconstruction"]
    assert "pip install" in card.skipped["STOI, reconstruction"]
    assert card["mel-cepstral distance, reconstruction"].value == 0.0


def test_the_card_is_written_as_json_page_and_figures(full, tmp_path):
    run, card = full
    names = {str(path.relative_to(tmp_path)) for path in card.save(tmp_path)}
    assert names == {
        "score_card.json", "score_card.md", "figures/score_card.png", "figures/code_phones.png",
        *card.sounds,
    }  # fmt: skip
    told = json.loads((tmp_path / "score_card.json").read_text())
    assert [track["file"] for track in told["tracks"]] == list(card.sounds)
    kinds = [track["label"].split()[0] for track in told["tracks"]]
    assert kinds.count("original") == kinds.count("reconstruction") > 0
    for file, wave in card.sounds.items():
        assert np.abs(audio.load_audio(tmp_path / file) - wave).max() <= 1 / 32768
    assert [row["name"] for row in told["rows"]] == [row.name for row in card.rows]
    assert told["about"]["step"] == 0
    page = (tmp_path / "score_card.md").read_text()
    shown, text = card._repr_html_(), str(card)
    for name in [row.name for row in card.rows] + list(card.skipped):
        assert name in page
        assert name in text
        assert name in shown
    assert all((tmp_path / name).stat().st_size > 1000 for name in names if name.endswith("png"))


def test_a_card_in_a_notebook_has_words_on_the_left_and_whole_numbers():
    card = cards.ScoreCard({"run": "a"})
    card.add("sound", "pitch & error", Estimate(1.5, 1.0, 2.0, 12), "semitones", "sounds", "median")
    shown = card._repr_html_()
    left, space = 'style="text-align:left"', "\N{NO-BREAK SPACE}"
    assert f'<th colspan="5" {left}>sound</th>' in shown
    assert f"<td {left}>pitch &amp; error</td>" in shown  # may be broken
    assert f"<td>1.50{space}semitones</td><td>1.00{space}to{space}2.00</td>" in shown
    assert f"<td {left}>12{space}sounds</td><td {left}>median</td>" in shown
    assert repr(card) == str(card)  # not all that it keeps, sounds and tables of codes


def test_a_card_is_read_back_as_it_was_written(full, tmp_path):
    _, card = full
    card.save(tmp_path)
    again = vq.ScoreCard.load(tmp_path)
    assert again.rows == card.rows
    assert (str(again), again._repr_html_()) == (str(card), card._repr_html_())
    again.save(tmp_path / "copy")
    texts = [(tmp_path / at / "score_card.json").read_text() for at in (".", "copy")]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("text", [None, "no json", "[]", "{}", '{"rows": [{"name": "alone"}]}'])
def test_what_is_no_card_is_refused(text, tmp_path):
    if text is not None:
        (tmp_path / "score_card.json").write_text(text)
    with pytest.raises(vq.InputError, match="has no score_card" if text is None else "no score"):
        vq.ScoreCard.load(tmp_path)


def test_limits_end_where_the_measure_does():
    card = cards.ScoreCard({})
    row = card.add("a", "share", Estimate(0.98, 0.9, 1.06, 9), "%", "utterances")
    assert row.words() == ("98.0 %", "90.0 to 100.0", "9 utterances")
    row = card.add("a", "errors", Estimate(0.1, -0.1, 1.2, 9), "", "sounds")
    assert row.words()[1] == "0.00 to 1.20"
    row = card.add("a", "gap", Estimate(0.0, -0.1, 0.1, 9), "bits", "utterances")
    assert row.words()[1] == "-0.100 to 0.100"
    assert card.add("a", "codes", 489, "codes", "").words()[:2] == ("489 codes", "")


def test_the_command_prints_and_writes_the_card(full, parallel, tmp_path, capsys):
    run, _ = full
    line = ["evaluate", str(run.folder), "--data", str(parallel.corpus.folder), "--spoken", "0"]
    assert main([*line, "--utterances", "2", "--save", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "bits a sample" in printed
    assert "2 utterances of split held_out" in printed
    assert (tmp_path / "score_card.md").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spoken": -1}, "spoken=-1"),
        ({"targets": -2}, "targets=-2"),
        ({"utterances": 0}, "utterances=0"),
        ({"temperature": 0.0}, "temperature=0"),
        ({"data": None}, "where that is isn't known"),
    ],
)
def test_bad_wishes_are_refused(full, parallel, change, message):
    with pytest.raises(vq.InputError, match=message):
        score_card(full[0], **{"data": parallel, "progress": False, **change})


def test_another_corpus_is_refused(parallel, tmp_path):
    run = Run.create(tmp_path / "weights", load_preset("tiny"), "other", {"zoe": {}})
    with pytest.raises(vq.InputError, match=r"none of the speakers.*zoe"):
        score_card(run, parallel, progress=False)


def test_a_corpus_that_holds_nothing_out_is_refused(full, parallel):
    part = replace(
        parallel.corpus, name="part", utterances=parallel.corpus.split("train").utterances
    )
    with pytest.raises(vq.InputError, match="no utterance in the split 'held_out'"):
        score_card(full[0], part, progress=False)


def test_phones_of_frames_are_those_in_their_middles():
    spans = [(0.0, 0.012, "SIL"), (0.012, 0.024, "IY"), (0.024, 0.04, "S")]
    found = alignment.frame_phones(spans, 4, 100.0)  # middles at 5, 15, 25, 35 ms
    iy, s = alignment.PHONES.index("IY"), alignment.PHONES.index("S")
    assert found.tolist() == [-1, iy, s, s]


def test_times_in_recordings_move_with_the_trimmed_front(tmp_path):
    silence = np.zeros(16_000, np.float32)
    for name in ("a_1", "a_2"):
        audio.save_audio(
            tmp_path / "a" / f"{name}.wav", np.concatenate([silence, tones(0.5, 150.0)])
        )
    store = vq.prepare(vq.open_corpus(tmp_path), progress=False)
    key = store.corpus.utterances[0].key
    (tmp_path / "phones.tsv").write_text(
        f"utterance\tstart\tend\tphone\n{key}\t0.0\t1.0\tSIL\n{key}\t1.0\t1.5\tIY\n"
    )
    front = store.offsets[0] / 16_000
    assert front > 0.9
    found = alignment.phone_times(store, range(len(store)))
    assert set(found) == {0}
    spans = found[0]
    assert spans[-1][2] == "IY"
    assert spans[-1][0] == pytest.approx(1.0 - front)


def test_ipa_becomes_arpabet():
    assert alignment.arpabet("t͡ʃɝt͡ʃ") == ["CH", "ER", "CH"]
    assert alignment.arpabet("ʃmɔɹgəl") == ["SH", "M", "AO", "R", "G", "AH", "L"]
    assert all(p in alignment.PHONES for v in alignment.IPA_TO_ARPABET.values() for p in v.split())


@pytest.fixture(scope="module")
def spoken_words(tmp_path_factory):
    """Two of the bundled sentences in a plain folder with texts, one of them a false one."""
    folder = tmp_path_factory.mktemp("words")
    corpus = vq.example_corpus()
    for key, text in {"kumo_036": None, "kumo_037": "zebras", "kumo_038": None}.items():
        audio.save_audio(folder / "kumo" / f"{key}.wav", corpus[key].load())
        text = corpus[key].text if text is None else text
        (folder / "kumo" / f"{key}.txt").write_text(text if key != "kumo_037" else "你好")
    return vq.prepare(vq.open_corpus(folder), progress=False)


def test_forced_alignment_finds_the_times_and_keeps_them(spoken_words, monkeypatch):
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("hama")
    numbers = {u.key.split("/")[-1]: n for n, u in enumerate(spoken_words.corpus)}
    found = alignment.phone_times(spoken_words, range(3))
    assert set(found) == {numbers["kumo_036"], numbers["kumo_038"]}  # not the one without words
    table = alignment.read_phones(ROOT / "data" / "mini" / "phones.tsv")
    for key in ("kumo_036", "kumo_038"):
        number = numbers[key]
        frames = int(spoken_words.lengths[number] / 160)
        mine = alignment.frame_phones(found[number], frames, 100.0)
        theirs = alignment._in_store(table[key], spoken_words, number)
        assert np.mean(mine == alignment.frame_phones(theirs, frames, 100.0)) > 0.9

    def forbidden(*arguments):
        raise AssertionError("aligned again")

    monkeypatch.setattr(alignment, "align", forbidden)
    again = alignment.phone_times(spoken_words, range(3))
    assert [p for *_, p in again[numbers["kumo_036"]]] == [
        p for *_, p in found[numbers["kumo_036"]]
    ]


def test_a_word_that_no_dictionary_has_is_spelt(rng):
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("hama")
    utterance = vq.example_corpus()["kumo_036"]
    text = utterance.text.replace("river", "rivvuh")
    phones = [phone for *_, phone in alignment.align(utterance.load(), text) if phone != "SIL"]
    assert phones[-5:-2] == ["R", "IH", "V"] or phones[-4:-1] == ["R", "IH", "V"]


def test_no_texts_are_said_so(store):
    with pytest.raises(NotMeasured, match="no texts"):
        alignment.phone_times(store, range(2))


def telling(waveform) -> SimpleNamespace:
    """A first stage whose decoder tells the true bands of a waveform, whoever speaks."""
    spectrum = LogMel(160)
    bands = np.array(spectrum(waveform[None, :, None])) / 20

    def decoder(z_q, speakers, training):
        return z_q

    decoder.spectrum = spectrum
    return SimpleNamespace(
        hop_length=160, decoder=decoder, speaker_ids=lambda voices: np.arange(len(voices)),
        compress=lambda batch, training: SimpleNamespace(z_q=bands),
    )  # fmt: skip


def test_true_bands_are_spoken_as_they_were():
    wave = tones(1.0, 220.0)
    spoken = speak_bands(telling(wave), wave, ["a", "b"], seed=3)
    assert spoken.shape == (2, 16_000)
    np.testing.assert_array_equal(*spoken)
    assert np.std(spoken[0]) == pytest.approx(np.std(wave), rel=0.1)
    true, again = (np.array(LogMel(160)(one[None, :, None]))[0, 3:-3] for one in (wave, spoken[0]))
    loud = true > true.max() - 30
    assert np.abs(again - true)[loud].mean() < 1.5  # dB
    np.testing.assert_array_equal(spoken, speak_bands(telling(wave), wave, ["a", "b"], seed=3))


def test_a_first_stage_is_judged_by_what_its_codes_carry(store, tmp_path):
    settings = {"steps": 1, "first_stage_steps": 3, "progress": False}
    train(store, "tiny", save=tmp_path / "weights", **settings)
    card = score_card(tmp_path / "first_stage", store, spoken=1, targets=1, progress=False)
    assert "bands" in card.skipped["likelihood"]
    assert "Griffin" in card.about["spoken by"]
    assert card["codes used"].value >= 1
    assert card["conversion given to the source"].n == 1
    assert [len(sound) % 64 for sound in list(card.sounds.values())[1:]] == [0, 0]
    assert card.save(tmp_path / "card")
