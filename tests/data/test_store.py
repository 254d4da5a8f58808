"""The store: made once, completed after a kill, aware of changes, safe to share."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import ROOT, make_folders, make_vctk, tones
from vqwn_kit import InputError, example_corpus, open_corpus, prepare
from vqwn_kit.cli.main import main
from vqwn_kit.data import audio, decode as conversion_module, store as store_module
from vqwn_kit.data.decode import Settings, convert


@pytest.fixture
def own(tmp_path) -> Path:
    return make_folders(tmp_path / "own", {"ann": 200.0, "bob": 100.0}, 3)


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """Names of the files that are decoded from here on."""
    names, real = [], conversion_module.convert

    def counted(path, settings, span):
        names.append(path.name)
        return real(path, settings, span)

    monkeypatch.setattr(conversion_module, "convert", counted)
    return names


def test_a_store_is_made_once_and_then_only_read(own, decoded):
    first = prepare(open_corpus(own), progress=False)
    assert len(decoded) == 6
    content = (first.folder / "audio.int16").read_bytes()
    again = prepare(open_corpus(own), progress=False)
    assert len(decoded) == 6
    assert again.folder == first.folder
    assert again.identity == first.identity
    assert (again.folder / "audio.int16").read_bytes() == content


def test_what_changed_or_came_is_converted_and_nothing_else(own, decoded, capsys):
    first = prepare(open_corpus(own), progress=False)
    assert not capsys.readouterr().err
    decoded.clear()
    audio.save_audio(own / "ann" / "ann_000.wav", tones(0.4, 300.0))
    audio.save_audio(own / "bob" / "bob_003.wav", tones(0.4, 100.0))
    (own / "bob" / "bob_002.wav").unlink()
    second = prepare(open_corpus(own), progress=False)
    printed = capsys.readouterr().err
    assert "own: 2 of 6 recordings are not in its store yet, or have changed" in printed
    assert str(second.folder) in printed
    assert sorted(decoded) == ["ann_000.wav", "bob_003.wav"]
    assert second.identity != first.identity
    for number, utterance in enumerate(second.corpus):
        whole = utterance.load()
        start = second.offsets[number]
        kept = whole[start : start + second.lengths[number]]
        assert np.abs(second.waveform(number) - kept).max() <= 1 / 32768
    assert len(first.waveform(0)) == first.lengths[0]  # what was opened before still reads


def test_a_file_that_was_only_touched_is_known_by_its_content(own, decoded):
    first = prepare(open_corpus(own), progress=False)
    os.utime(own / "ann" / "ann_000.wav", (0, 0))
    decoded.clear()
    lines = (first.folder / "index.jsonl").read_text().count("\n")
    again = prepare(open_corpus(own), progress=False)
    assert not decoded
    assert again.identity == first.identity
    assert (first.folder / "index.jsonl").read_text().count("\n") == lines + 1
    prepare(open_corpus(own), progress=False)
    assert (first.folder / "index.jsonl").read_text().count("\n") == lines + 1


def test_the_identity_of_the_bundled_corpus_is_that_of_the_runs_that_were_trained_on_it():
    written = json.loads((ROOT / "results/mini/prior/config.json").read_text())["store"]
    assert prepare(example_corpus(), progress=False).identity == written


def test_what_was_mended_is_in_the_identity_and_survives_a_touch(own, decoded):
    before = prepare(open_corpus(own), progress=False).identity
    path = own / "ann" / "ann_000.wav"
    wave = audio.load_audio(path)
    soundfile.write(path, np.stack([wave, -wave], 1), 16_000)
    stereo = prepare(open_corpus(own), progress=False)
    entry = store_module._read_index(stereo.folder)["ann/ann_000.wav"]
    assert entry.digest.endswith(" channels cancel")
    assert stereo.identity != before
    os.utime(path, (0, 0))
    decoded.clear()
    assert prepare(open_corpus(own), progress=False).identity == stereo.identity
    assert not decoded


def test_a_speaker_whose_files_are_all_silent_is_left_out(own, capsys):
    audio.save_audio(own / "aba" / "1.wav", np.zeros(16_000))
    store = prepare(open_corpus(own), progress=False)
    assert list(store.corpus.speakers) == ["ann", "bob"]
    assert store.silent_speakers == ["aba"]
    assert sorted(set(store.speaker_ids)) == [0, 1]
    assert [store.corpus.utterances[n].speaker for n in (0, 5)] == ["ann", "bob"]
    assert main(["prepare", str(own)]) == 0
    printed = capsys.readouterr().out
    assert "speakers left out, since none of their recordings can be used: aba" in printed
    assert "\n2 speakers; store" in printed


def test_spans_of_one_file_are_utterances_of_their_own(tmp_path, decoded):
    talk = np.concatenate([tones(1.0, 200.0), tones(1.0, 400.0)])
    audio.save_audio(tmp_path / "talk.wav", talk)
    for name, text in {
        "wav.scp": "talk talk.wav\n",
        "utt2spk": "a ann\nb ann\n",
        "segments": "a talk 0.1 0.5\nb talk 1.2 1.8\n",
    }.items():
        (tmp_path / name).write_text(text)
    store = prepare(open_corpus(tmp_path), trim_db=None, progress=False)
    assert store.lengths.tolist() == [6400, 9600]
    assert store.waveform(1) == pytest.approx(talk[19_200:28_800], abs=1 / 32768)
    assert store.corpus["b"].load() == pytest.approx(store.waveform(1), abs=1 / 32768)
    prepare(open_corpus(tmp_path), trim_db=None, progress=False)
    assert len(decoded) == 2
    (tmp_path / "segments").write_text("a talk 0.1 0.5\nb talk 1.3 1.8\n")
    other = prepare(open_corpus(tmp_path), trim_db=None, progress=False)
    assert len(decoded) == 3
    assert other.identity != store.identity


def test_the_same_size_and_other_content_is_noticed(own, decoded):
    first = prepare(open_corpus(own), progress=False)
    path = own / "ann" / "ann_000.wav"
    size = path.stat().st_size
    audio.save_audio(path, tones(0.25, 333.0))
    assert path.stat().st_size == size
    decoded.clear()
    assert prepare(open_corpus(own), progress=False).identity != first.identity
    assert decoded == ["ann_000.wav"]


@pytest.mark.parametrize("change", [{"trim_db": None}, {"level_db": -30.0}, {"sample_rate": 8000}])
def test_another_setting_makes_another_store(own, change):
    usual = prepare(open_corpus(own), progress=False)
    other = prepare(open_corpus(own), progress=False, **change)
    assert other.folder != usual.folder
    assert other.identity != usual.identity
    assert other.sample_rate == change.get("sample_rate", 16_000)
    if "level_db" in change:
        rms = np.sqrt(np.mean(np.square(other.waveform(0))))
        assert 20 * np.log10(rms) == pytest.approx(-30, abs=0.1)


KILLED = """
import os, pathlib, sys, time
import vqwn_kit as vq
from vqwn_kit.data import decode, store
store.GROUP = 2
real, done = decode.convert, []
def convert(path, settings, span):
    done.append(path)
    while len(done) > 3:
        (index,) = pathlib.Path(os.environ["VQWN_STORES"]).glob("killed-*/index.jsonl")
        if index.read_text().count("\\n") == 2:
            os._exit(9)
        time.sleep(0.01)
    return real(path, settings, span)
decode.convert = convert
vq.prepare(vq.open_corpus(sys.argv[1]), progress=False, workers=1)
"""


def test_after_a_kill_only_what_is_missing_is_converted(tmp_path, decoded):
    folder = make_folders(tmp_path / "killed", {"ann": 200.0, "bob": 100.0}, 3)
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, check=False)
    assert done.returncode == 9
    whole = prepare(open_corpus(folder), progress=False)
    assert sorted(decoded) == ["ann_002.wav", "bob_000.wav", "bob_001.wav", "bob_002.wav"]
    assert len(whole) == 6
    for number, utterance in enumerate(whole.corpus):
        kept = utterance.load()[whole.offsets[number] :][: whole.lengths[number]]
        assert np.abs(whole.waveform(number) - kept).max() <= 1 / 32768


def test_a_store_that_was_cut_off_anywhere_is_mended(own, decoded):
    """Samples without a line, half a line, lines without samples: as a kill leaves them."""
    good = prepare(open_corpus(own), progress=False)
    samples = np.concatenate([good.waveform(number) for number in range(len(good))])
    sound, index = good.folder / "audio.int16", good.folder / "index.jsonl"
    whole_sound, whole_index = sound.read_bytes(), index.read_bytes()
    lines = whole_index.splitlines(keepends=True)
    for kept_sound, kept_index, missing in (
        (whole_sound, b"".join(lines[:4]), 2),
        (whole_sound, b"".join(lines[:4]) + lines[4][:20], 2),
        (whole_sound[: 2 * good.lengths[:3].sum() + 1], b"".join(lines[:3]), 3),
        (whole_sound[: 2 * good.lengths[:3].sum()], whole_index, 3),
        (b"", b"", 6),
    ):
        sound.write_bytes(kept_sound)
        index.write_bytes(kept_index)
        decoded.clear()
        mended = prepare(open_corpus(own), progress=False)
        assert len(decoded) == missing
        found = np.concatenate([mended.waveform(number) for number in range(len(mended))])
        assert np.array_equal(found, samples)
        assert mended.identity == good.identity


def test_a_damaged_index_is_named(own):
    good = prepare(open_corpus(own), progress=False)
    (good.folder / "index.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"own-\w+ is damaged .*delete it"):
        prepare(open_corpus(own), progress=False)


PREPARED = """
import sys
import vqwn_kit as vq
store = vq.prepare(vq.open_corpus(sys.argv[1]), progress=False)
print(store.identity, int(store.samples.astype(int).sum()), len(store))
"""


def test_processes_that_prepare_one_corpus_at_once_get_one_store(tmp_path):
    folder = make_folders(tmp_path / "shared", {"ann": 200.0, "bob": 100.0}, 20)
    together = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARED, str(folder)], cwd=ROOT, stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    said = {process.communicate()[0] for process in together}
    assert all(process.returncode == 0 for process in together)
    assert len(said) == 1
    assert b" 40\n" in said.pop()
    store = prepare(open_corpus(folder), progress=False)
    lines = (store.folder / "index.jsonl").read_text().splitlines()
    assert len({json.loads(line)[0] for line in lines}) == len(lines) == 40


def test_workers_make_no_difference(own, monkeypatch, tmp_path):
    contents = []
    for workers in (1, 3):
        monkeypatch.setenv("VQWN_STORES", str(tmp_path / f"stores{workers}"))
        store = prepare(open_corpus(own), progress=False, workers=workers)
        contents.append((store.folder / "audio.int16").read_bytes())
    assert contents[0] == contents[1]


def test_in_memory_holds_this_corpus_alone(own):
    mapped = prepare(open_corpus(own), progress=False)
    shutil.rmtree(own / "ann")
    held = prepare(open_corpus(own), progress=False, in_memory=True)
    assert not isinstance(held.samples, np.memmap)
    assert len(held.samples) == held.lengths.sum() == mapped.lengths[3:].sum()
    for number in range(3):
        assert np.array_equal(held.waveform(number), mapped.waveform(number + 3))


def test_nothing_usable_is_refused_and_a_mended_file_is_taken(tmp_path):
    folder = tmp_path / "silence"
    audio.save_audio(folder / "ann" / "a.wav", np.zeros(4000))
    for _ in range(2):
        with pytest.raises(InputError, match=r"can be used.*silent"):
            prepare(open_corpus(folder), progress=False)
    audio.save_audio(folder / "ann" / "a.wav", tones(0.3, 200.0))
    assert len(prepare(open_corpus(folder), progress=False)) == 1


def test_a_file_that_could_not_be_opened_is_tried_again(own, monkeypatch):
    """Root may read everything, so the refusal is simulated."""
    real = soundfile.SoundFile

    def refused(path, *args, **kwargs):
        if Path(path).name == "ann_000.wav":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    real_open = Path.open

    def refused_open(self, *args, **kwargs):
        if self.name == "ann_000.wav":
            raise PermissionError(13, "Permission denied", str(self))
        return real_open(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(soundfile, "SoundFile", refused)
        patch.setattr(Path, "open", refused_open)
        store = prepare(open_corpus(own), progress=False)
        assert "Permission denied" in store.skipped["ann/ann_000"]
        assert len(store) == 5
    assert len(prepare(open_corpus(own), progress=False)) == 6


def test_short_utterances_are_named(store):
    names = store.shorter_than(5600)
    assert names == ["ann/ann_000", "ann/ann_001", "bob/bob_000", "bob/bob_001"]
    assert store.shorter_than(10) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"trim_db": 0.0}, "trim_db is 0"),
        ({"level_db": 3.0}, "level_db is 3"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Settings(**settings)


def test_conversion_trims_and_says_how_much(tmp_path):
    wave = np.concatenate([np.zeros(8000), tones(0.5, 200.0), np.zeros(4000)])
    converted = convert(audio.save_audio(tmp_path / "a.wav", wave), Settings())
    assert abs(converted.offset - 8000) <= 1024
    whole = convert(tmp_path / "a.wav", Settings(trim_db=None))
    kept = whole.samples[converted.offset : converted.offset + len(converted.samples)]
    assert np.array_equal(converted.samples, kept)
    assert len(whole.samples) == len(wave)


def test_what_waits_to_be_written_does_not_hold_the_whole_recording(own):
    utterance = open_corpus(own).utterances[0]
    converted = convert(utterance.path, Settings(trim_db=None))
    assert converted.recording.seconds == pytest.approx(len(converted.samples) / 16_000)
    assert converted.recording.waveform.nbytes == 0
    assert converted.recording.waveform.base is None


@pytest.mark.parametrize("damage", ["garbage", '{"a": 1}', None])
def test_damaged_settings_are_written_again(own, decoded, damage):
    store = prepare(open_corpus(own), progress=False)
    decoded.clear()
    file = store.folder / "settings.json"
    before = file.read_text()
    file.unlink() if damage is None else file.write_text(damage)
    assert prepare(open_corpus(own), progress=False).identity == store.identity
    assert file.read_text() == before
    assert decoded == []


@pytest.mark.parametrize("workers", [0, -3])
def test_less_than_one_worker_is_refused(own, workers):
    with pytest.raises(InputError, match=f"workers is {workers}"):
        prepare(open_corpus(own), progress=False, workers=workers)


def test_long_recordings_are_written_one_by_one(own, monkeypatch):
    monkeypatch.setattr(store_module, "GROUP_SAMPLES", 1000, raising=False)
    corpus, seen = open_corpus(own), []

    def fail(path, settings, span):
        seen.append(path)
        if len(seen) == 3:
            raise KeyboardInterrupt  # as a kill: what was written until here must be found
        return convert(path, settings, span)

    monkeypatch.setattr(conversion_module, "convert", fail)
    with pytest.raises(KeyboardInterrupt):
        prepare(corpus, progress=False, workers=1)
    index = store_module._folder(corpus, Settings()) / "index.jsonl"
    assert len(index.read_text().splitlines()) == 2


def test_a_cut_store_has_the_beginning_of_longer_utterances_without_their_texts(tmp_path):
    corpus = open_corpus(make_vctk(tmp_path / "VCTK-Corpus"))
    whole = prepare(corpus, progress=False)
    assert whole.cut(10.0) is whole
    whole.lengths[::3] -= 500  # all are equally long
    longest = int(whole.lengths.max())
    store = whole.cut((longest - 1) / whole.sample_rate)
    assert store.shortened == np.sum(whole.lengths == longest) < len(store)
    assert (whole.shortened, int(whole.lengths.max())) == (0, longest)
    assert store.identity != whole.identity
    for number, utterance in enumerate(store.corpus):
        cut = whole.lengths[number] == longest
        wave = whole.waveform(number)[: longest - 1]
        np.testing.assert_array_equal(store.waveform(number), wave)
        assert utterance.text == ("" if cut else whole.corpus.utterances[number].text)
