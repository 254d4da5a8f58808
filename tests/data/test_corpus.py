"""Folders, corpora, splits, stores and crops."""

import csv
import itertools
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import ROOT, make_folders, make_vctk, tones
from vqwn_kit import InputError, Segments, example_corpus, open_corpus, prepare
from vqwn_kit.data import audio
from vqwn_kit.data.segments import IterableSegments


def test_plain_folders_are_recognised(folder):
    corpus = open_corpus(folder)
    assert corpus.layout == "folders"
    assert list(corpus.speakers) == ["ann", "bob"]
    assert len(corpus.split("train")) + len(corpus.split("held_out")) == len(corpus) == 8
    assert len(corpus.split("held_out")) >= 1


def test_a_layout_can_be_asked_for_and_unknown_ones_are_refused(folder):
    with pytest.raises(InputError, match="did you mean 'folders'"):
        open_corpus(folder, layout="folder")
    with pytest.raises(InputError, match="no recordings"):
        open_corpus(folder, layout="vctk")


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "no such folder"), ("", "no recordings")]
)
def test_folders_without_sound_are_refused(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        open_corpus(tmp_path / name)


def test_a_corpus_that_was_not_downloaded_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match="VCTK-Corpus"):
        open_corpus("VCTK")


def test_a_missing_utterance_names_the_nearest(folder):
    with pytest.raises(InputError, match="ann_003"):
        open_corpus(folder)["ann/ann_033"]


def numbered(count: int) -> str:
    rows = [f"a{n}.wav\tann\tu{n:04d}\tsentence {n}" for n in range(count)]
    return "\n".join(["path\tspeaker\tutterance\ttext", *rows])


def test_held_out_sentences_stay_so_when_recordings_are_added(tmp_path):
    table = tmp_path / "utterances.tsv"
    table.write_text(numbered(300))
    before = {u.key: u.split for u in open_corpus(tmp_path)}
    table.write_text(numbered(400))
    after = {u.key: u.split for u in open_corpus(tmp_path)}
    assert before.items() <= after.items()
    assert 0.02 < sum(split == "held_out" for split in after.values()) / 400 < 0.09


def test_splits_of_a_table_are_kept_and_their_other_names_understood(tmp_path):
    table = tmp_path / "utterances.tsv"
    rows = "a.wav\tann\ttest\nb.wav\tann\ttrain\nc.wav\tann\theld_out\nd.wav\tann\t\n"
    table.write_text("path\tspeaker\tsplit\n" + rows)
    splits = {u.key: u.split for u in open_corpus(tmp_path)}
    assert splits["a"] == splits["c"] == "held_out"
    assert splits["b"] == "train"
    table.write_text("path\tspeaker\tsplit\na.wav\tann\ttrian\n")
    with pytest.raises(InputError, match=r"line 2.*did you mean 'train'"):
        open_corpus(tmp_path)


def test_every_speaker_keeps_something_to_train_on(tmp_path):
    for number in range(40):
        audio.save_audio(tmp_path / f"speaker{number}" / "one.wav", tones(0.1, 200.0))
    assert len(open_corpus(tmp_path).split("held_out")) == 0


def test_tables_and_texts_from_windows_are_read(tmp_path):
    folder = make_folders(tmp_path / "own", {"ann": 200.0, "bob": 100.0}, 2)
    (folder / "ann" / "ann_000.txt").write_bytes("caf\xe9".encode("cp1252"))
    (folder / "ann" / "ann_001.lab").write_text("From an aligner")
    (folder / "bob" / "bob_000.lab").write_text("0 500000 sil\n500000 900000 ah\n")
    assert open_corpus(folder)["ann/ann_000"].text == "caf\xe9"
    assert open_corpus(folder)["ann/ann_001"].text == "From an aligner"
    assert open_corpus(folder)["bob/bob_000"].text == ""
    table = "path\tspeaker\nann/ann_000.wav\tann\nann/ann_001.wav\tann\nlost.wav\tann\n"
    (folder / "utterances.tsv").write_bytes(table.encode("utf-8-sig"))
    store = prepare(open_corpus(folder), progress=False)
    assert len(store) == 2
    assert "no such recording" in store.skipped["lost"]
    (folder / "utterances.tsv").write_text("path\tspeaker\nann/ann_000.wav\n")
    with pytest.raises(InputError, match="line 2"):
        open_corpus(folder)


def test_linked_folders_are_followed_once_and_names_may_be_in_any_script(tmp_path):
    folder = make_folders(tmp_path / "far", {"\u0430\u043d\u043d\u0430": 200.0}, 2)
    (name,) = (path.name for path in folder.iterdir())
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / name).symlink_to(folder / name)
    (tmp_path / "own" / "loop").symlink_to(tmp_path / "own")
    corpus = open_corpus(tmp_path / "own")
    assert [u.key for u in corpus] == [f"{name}/{name}_000", f"{name}/{name}_001"]


def test_a_folder_too_many_is_named(tmp_path):
    make_folders(tmp_path / "nest" / "studio", {"ann": 200.0, "bob": 100.0}, 1)
    with pytest.raises(InputError, match="if those are the speakers"):
        open_corpus(tmp_path / "nest")


def test_held_out_sentences_are_held_out_for_all(tmp_path):
    folder = make_vctk(tmp_path / "VCTK-Corpus")
    before = {u.key: u.split for u in open_corpus(folder)}
    splits = {}
    for utterance in open_corpus(folder):
        splits.setdefault(utterance.text, set()).add(utterance.split)
    assert all(len(found) == 1 for found in splits.values())
    assert set(before.values()) == {"train", "held_out"}


def test_two_recordings_of_one_name_are_refused(tmp_path):
    folder = make_folders(tmp_path, {"ann": 200.0}, 1)
    table = "path\tspeaker\tutterance\nann/ann_000.wav\tann\tx\nann/ann_000.wav\tann\tx\n"
    (folder / "utterances.tsv").write_text(table)
    with pytest.raises(InputError, match="two recordings"):
        open_corpus(folder)


def test_a_table_without_its_columns_is_refused(tmp_path):
    (tmp_path / "utterances.tsv").write_text("file\ttext\na.wav\thello\n")
    with pytest.raises(InputError, match="speaker"):
        open_corpus(tmp_path)


# the bundled corpus


def words(text: str) -> str:
    return re.sub(r"[^a-z ]", "", text.lower())


def test_bundled_corpus_is_parallel_and_holds_out_whole_sentences():
    corpus = example_corpus()
    assert len(corpus.speakers) >= 5
    assert {facts["sex"] for facts in corpus.speakers.values()} == {"F", "M"}
    texts = {name: set() for name in corpus.speakers}
    for utterance in corpus:
        texts[utterance.speaker].add(words(utterance.text))
    assert len({frozenset(own) for own in texts.values()}) == 1
    assert len(next(iter(texts.values()))) == 60
    trained = {words(u.text) for u in corpus.split("train")}
    held_out = {words(u.text) for u in corpus.split("held_out")}
    assert (len(trained), len(held_out)) == (35, 25)
    assert not trained & held_out


def test_bundled_recordings_are_what_the_table_says():
    total = 0
    with (ROOT / "data/mini/utterances.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            import soundfile

            facts = soundfile.info(ROOT / "data/mini" / row["path"])
            assert (facts.samplerate, facts.channels, facts.subtype) == (16_000, 1, "PCM_16")
            assert facts.duration == pytest.approx(float(row["seconds"]), abs=6e-4)
            total += facts.duration
    assert 900 <= total <= 1000
    size = sum(path.stat().st_size for path in (ROOT / "data/mini").rglob("*") if path.is_file())
    assert size <= 20e6


def test_bundled_phone_times_cover_each_utterance_without_gaps():
    corpus = example_corpus()
    spans = {}
    with (ROOT / "data/mini/phones.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            spans.setdefault(row["utterance"], []).append(row)
    assert set(spans) == {utterance.key for utterance in corpus}
    with (ROOT / "data/mini/utterances.tsv").open(encoding="utf-8") as file:
        seconds = {
            row["utterance"]: float(row["seconds"]) for row in csv.DictReader(file, delimiter="\t")
        }
    for key, rows in spans.items():
        times = [(float(row["start"]), float(row["end"])) for row in rows]
        assert times[0][0] == 0
        assert times[-1][1] == pytest.approx(seconds[key], abs=2e-3)
        assert all(start < end for start, end in times)
        assert all(one[1] == two[0] for one, two in itertools.pairwise(times))
    phones = Counter(row["phone"] for rows in spans.values() for row in rows)
    assert len(set(phones) - {"SIL"}) == 39


# store


def test_store_holds_the_samples_of_the_recordings(folder, store):
    for number, utterance in enumerate(store.corpus):
        whole = utterance.load()
        start = store.offsets[number]
        kept = whole[start : start + store.lengths[number]]
        assert np.abs(store.waveform(number) - kept).max() <= 1 / 32768


# segments


def test_batches_are_a_function_of_seed_and_step(store):
    one, two = Segments(store, 1024, 3, seed=5), Segments(store, 1024, 3, seed=5)
    later = next(itertools.islice(one.batches(0), 7, None))
    direct = two.batch(7)
    assert np.array_equal(later[0], direct[0])
    assert np.array_equal(later[1], direct[1])
    assert not np.array_equal(Segments(store, 1024, 3, seed=6).batch(7)[0], direct[0])


def test_an_epoch_visits_each_training_utterance_once(store):
    segments = Segments(store, 512, 1)
    steps = segments.steps_per_epoch()
    for epoch in range(2):
        seen = [segments._utterance(epoch * steps + step) for step in range(steps)]
        assert sorted(seen) == sorted(store.numbers("train"))


def test_crops_come_from_one_utterance_of_the_right_speaker(store):
    waveform, speaker = Segments(store, 700, 4).batch(3)
    assert waveform.shape == (4, 700, 1)
    for crop, name in zip(waveform[..., 0], speaker, strict=True):
        homes = [
            number
            for number in store.numbers("train")
            if any(
                np.array_equal(window, crop)
                for window in np.lib.stride_tricks.sliding_window_view(store.waveform(number), 700)
            )
        ]
        assert [store.speaker_ids[number] for number in homes] == [name]


def test_short_utterances_are_padded_with_zeros_at_the_end(store):
    waveform, _ = Segments(store, 16_000, 4).batch(0)
    assert np.abs(waveform[:, :2000]).max() > 0.1
    assert not waveform[:, -4000:].any()


def batches_of(store, **settings) -> list[np.ndarray]:
    segments = Segments(store, 1024, 3, seed=5, **settings)
    return [segments.batch(step)[0] for step in range(6)]


def test_default_batches_are_those_of_the_first_release(store):
    """What a resumed run would have seen: order by epoch, crops by step, one generator each."""
    members = store.numbers("train")
    for step in range(4):
        rng = np.random.default_rng([5, 1, step])
        for row in range(3):
            epoch, place = divmod(3 * step + row, len(members))
            order = np.random.default_rng([5, 0, epoch]).permutation(len(members))
            whole = store.waveform(members[order[place]])
            first = rng.integers(0, max(1, len(whole) - 1024 + 1))
            crop = Segments(store, 1024, 3, seed=5).batch(step)[0][row, :, 0]
            assert np.array_equal(crop, whole[first : first + 1024])


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_share_the_rows_of_each_batch(store, estimator, workers):
    settings = {"seed": 5, "gain_db": 6.0, "shift": 200, "silence_db": -11.0, "pitch_hop": 64}
    alone = Segments(store, 1024, 6, **settings)
    plain = Segments(store, 1024, 6, **settings | {"silence_db": -80.0})
    shared = [
        Segments(store, 1024, 6, worker=w, workers=workers, **settings) for w in range(workers)
    ]
    drawn_again = 0
    for step in range(3):
        parts = zip(*(segments.batch(step) for segments in shared), strict=True)
        for part, expected in zip(parts, alone.batch(step), strict=True):
            assert np.array_equal(np.concatenate(part), expected, equal_nan=True)
        drawn_again += not np.array_equal(alone.batch(step)[0], plain.batch(step)[0])
    assert drawn_again  # crops that count as silent here
    assert {segments.steps_per_epoch(10) for segments in shared} == {alone.steps_per_epoch(10)}


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        ("duration", [1 / 10, 9 / 10]),
        ("speaker", [1 / 2, 1 / 2]),
        ("root", [1 / 4, 3 / 4]),
    ],
)
def test_speakers_are_sampled_by_duration_evenly_or_by_its_root(tmp_path, sampling, expected):
    """Nine times as much speech: nine times as often, as often, or three times as often."""
    audio.save_audio(tmp_path / "a" / "one.wav", tones(0.3, 200.0))
    audio.save_audio(tmp_path / "b" / "one.wav", tones(0.3 * 7, 200.0))
    audio.save_audio(tmp_path / "b" / "two.wav", tones(0.3 * 2, 200.0))
    corpus = replace(open_corpus(tmp_path), name="sampling")
    corpus = replace(corpus, utterances=tuple(replace(u, split="train") for u in corpus))
    store = prepare(corpus, trim_db=None, progress=False)
    segments = Segments(store, 256, 50, sampling=sampling)
    numbers = np.concatenate([segments._utterances(step) for step in range(200)])
    shares = np.bincount(store.speaker_ids[numbers], minlength=2) / len(numbers)
    assert shares == pytest.approx(expected, abs=0.02)
    long, short = (numbers == 1).sum(), (numbers == 2).sum()
    assert long / short == pytest.approx(7 / 2, rel=0.1)
    assert np.array_equal(
        segments.batch(9)[0], Segments(store, 256, 50, sampling=sampling).batch(9)[0]
    )


def test_a_silent_crop_is_replaced(tmp_path):
    pause = np.zeros(60_000, np.float32)
    sound = np.concatenate([tones(0.1, 200.0), pause, tones(0.1, 300.0)])
    audio.save_audio(tmp_path / "ann" / "a.wav", sound)
    store = prepare(open_corpus(tmp_path), progress=False)
    segments = Segments(store, 1600, 4)
    waveforms = np.concatenate([segments.batch(step)[0] for step in range(25)])
    assert (np.abs(waveforms).max(axis=(1, 2)) > 0.001).all()
    assert np.array_equal(segments.batch(7)[0], Segments(store, 1600, 4).batch(7)[0])
    loose = Segments(store, 1600, 4, silence_db=-np.inf)
    silent = [not row.any() for step in range(25) for row in loose.batch(step)[0]]
    assert sum(silent) > 50


def test_gain_changes_the_loudness_of_each_crop_within_its_bounds(store):
    plain, louder = batches_of(store), batches_of(store, gain_db=6.0)
    peaks = [
        np.abs(batch).max(axis=(1, 2)) for batch in (np.concatenate(plain), np.concatenate(louder))
    ]
    decibels = 20 * np.log10(peaks[1] / peaks[0])
    assert np.abs(decibels).max() <= 6.0
    assert decibels.std() > 1.0
    scaled = plain[0] * (peaks[1] / peaks[0])[:3, None, None]
    assert louder[0] == pytest.approx(scaled, abs=1e-5)
    assert max(np.abs(batch).max() for batch in batches_of(store, gain_db=40.0)) == 1.0


def test_shift_lets_crops_reach_over_the_ends_and_fills_with_zeros(store):
    segments = Segments(store, 3000, 4, shift=1500)
    begins = ends = 0
    for step in range(20):
        waveform, speaker = segments.batch(step)
        for crop, name in zip(waveform[..., 0], speaker, strict=True):
            inside = np.flatnonzero(crop)
            begins += inside[0] > 20
            ends += inside[-1] < 3000 - 20
            kept = crop[inside[0] : inside[-1] + 1]
            wholes = [store.waveform(n) for n in np.flatnonzero(store.speaker_ids == name)]
            assert any(kept.tobytes() in whole.tobytes() for whole in wholes)
    assert begins > 5
    assert ends > 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampling": "durations"}, "did you mean 'duration'"),
        ({"gain_db": -1.0}, "gain_db is -1"),
        ({"shift": 1024}, "shift is 1024"),
        ({"worker": 2, "workers": 2}, "worker is 2"),
        ({"workers": 0}, "workers is 0"),
        ({"workers": 2, "batch_size": 3}, "batch_size is 3 with 2 workers"),
        ({"length": 0}, "length is 0"),
        ({"length": 1024.5}, r"length is 1024\.5"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"split": "held-out"}, "did you mean 'held_out'"),
    ],
)
def test_settings_of_crops_that_cannot_be_are_refused(store, settings, message):
    with pytest.raises(InputError, match=message):
        Segments(store, **{"length": 1024, "batch_size": 3, **settings})


@pytest.mark.traced
def test_a_dataset_for_fit_has_the_same_batches(store):
    segments = Segments(store, 1024, 3, seed=5)
    taken = list(segments.dataset(start=2).take(3))
    for step, (waveform, speaker) in enumerate(taken, 2):
        expected = segments.batch(step)
        assert np.array_equal(waveform, expected[0])
        assert np.array_equal(speaker, expected[1])
        assert waveform.shape == (3, 1024, 1)


def test_own_waveforms_and_own_batches_can_be_trained_on():
    waves = [(tones(0.2, 200.0), "ann"), (tones(0.05, 100.0), 1), (tones(0.2, 100.0), "bob")]
    batches = IterableSegments(waves, ["ann", "bob"], 1024, 2).batches()
    first, second = next(batches), next(batches)
    assert first[0].shape == (2, 1024, 1)
    assert first[1].tolist() == [0, 1]
    assert second[1].tolist() == [1, 0]
    assert not first[0][1, 800:].any()
    whole = [(np.zeros((2, 640), np.float32), ["ann", "bob"])]
    waveform, speaker = next(IterableSegments(whole, ["ann", "bob"], 1024, 2).batches())
    assert waveform.shape == (2, 640, 1)
    assert speaker.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("speaker", "message"), [("anne", "did you mean 'ann'"), (2, "out of range")]
)
def test_own_speakers_must_be_known(speaker, message):
    segments = IterableSegments([(tones(0.2, 200.0), speaker)], ["ann", "bob"], 1024, 1)
    with pytest.raises(InputError, match=message):
        next(segments.batches())


def first_crop(waveform) -> np.ndarray:
    (crops, _) = next(IterableSegments([(waveform, "ann")], ["ann"], 1024, 1).batches())
    return crops[0, :, 0]


def test_own_waveforms_of_16_bits_or_two_channels_give_the_crops_of_their_sound():
    wave = tones(0.2, 200.0)
    expected = first_crop(wave)
    sixteen = np.round(wave * 32768)
    for given in (sixteen.astype(np.int16), sixteen, np.stack([wave, wave], 1), wave[None]):
        assert first_crop(given) == pytest.approx(expected, abs=1 / 32768)
    batch = [(np.stack([sixteen, sixteen]).astype(np.int16), ["ann", "bob"])]
    waveform, _ = next(IterableSegments(batch, ["ann", "bob"], 1024, 2).batches())
    assert waveform[1, :, 0] == pytest.approx(wave, abs=1 / 32768)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        ([0.1, np.nan] * 600, "waveform 0 of the iterable: some samples are not finite"),
        (np.zeros((2, 1200)), r"waveform 0 of the iterable: a waveform of shape \(2, 1200\)"),
        (np.full(1200, 1e6), "waveform 0 of the iterable: samples of up to"),
    ],
)
def test_own_waveforms_that_are_none_are_refused_by_number(waveform, message):
    with pytest.raises(InputError, match=message):
        first_crop(waveform)


def test_an_iterable_that_ends_too_early_says_so():
    source = iter([(tones(0.2, 200.0), 0)])
    batches = IterableSegments(source, ["ann"], 1024, 1).batches()
    next(batches)
    with pytest.raises(InputError, match="ended before"):
        next(batches)
