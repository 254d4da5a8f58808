"""Pitch of a store: estimated once, relative to each speaker's mean, in step with the crops."""

import numpy as np
import pytest

from tests.conftest import make_folders, tones, zero_crossings
from vqwn_kit import InputError, Segments, open_corpus, prepare
from vqwn_kit.data import audio, pitch as pitch_module, sound_file
from vqwn_kit.data.arrays import save_arrays
from vqwn_kit.data.pitch import (
    PERIOD,
    frames_of,
    pitch_of,
    relative_pitch,
    speaker_pitch,
    tracks_of,
)
from vqwn_kit.data.segments import IterableSegments, Source

HOP = 64


@pytest.fixture
def estimated(monkeypatch) -> list[int]:
    """Lengths of the waveforms whose pitch is estimated from here on: 100 Hz and T / 100.

    The first value of each is unvoiced.
    """
    lengths = []

    def fake(waveform):
        lengths.append(len(waveform))
        track = np.full(max(1, len(waveform) // PERIOD), 100.0 + len(waveform) / 100)
        track[0] = np.nan
        return track

    monkeypatch.setattr(pitch_module, "pitch_of", fake)
    return lengths


def test_tracks_are_relative_to_the_mean_of_a_speakers_training_utterances(tmp_path, estimated):
    folder = make_folders(tmp_path / "own", {"ann": 200.0, "bob": 100.0}, 4)
    store = prepare(open_corpus(folder), progress=False)
    tracks = tracks_of(store, progress=False)
    assert tracks_of(store, progress=False) is tracks
    octaves = [np.log2(pitch_module.pitch_of(store.waveform(n)))[1:] for n in range(len(store))]
    assert len(store.numbers("train")) < len(store)
    for speaker in (0, 1):
        numbers = np.flatnonzero(store.speaker_ids == speaker)
        train = np.intersect1d(numbers, store.numbers("train"))
        assert 0 < len(train)
        mean = np.concatenate([octaves[n] for n in train]).mean()
        assert tracks.means[speaker] == pytest.approx(mean, abs=1e-6)
        for n in numbers:
            assert np.isnan(tracks.tracks[n][0])
            np.testing.assert_allclose(tracks.tracks[n][1:], 12 * (octaves[n] - mean), atol=1e-4)


def test_a_speaker_without_training_speech_is_relative_to_each_utterance(tmp_path, estimated):
    folder = make_folders(tmp_path / "own", {"ann": 200.0, "bob": 100.0}, 3)
    lines = ["path\tspeaker\tsplit"]
    for path in sorted(folder.rglob("*.wav")):
        split = "held_out" if path.parent.name == "bob" else "train"
        lines.append(f"{path.relative_to(folder)}\t{path.parent.name}\t{split}")
    (folder / "utterances.tsv").write_text("\n".join(lines) + "\n")
    store = prepare(open_corpus(folder), progress=False)
    tracks = tracks_of(store, progress=False)
    assert set(tracks.means) == {0}
    for n in np.flatnonzero(store.speaker_ids == 1):
        assert np.nanmax(np.abs(tracks.tracks[n])) < 1e-3
    assert max(np.nanmax(np.abs(tracks.tracks[n])) for n in (0, 1, 2)) > 0.5


def test_a_store_is_estimated_once_until_it_changes(tmp_path, estimated):
    folder = make_folders(tmp_path / "own", {"ann": 200.0}, 3)
    tracks = tracks_of(prepare(open_corpus(folder), progress=False), progress=False)
    assert len(estimated) == 3
    store = prepare(open_corpus(folder), progress=False)
    again = tracks_of(store, progress=False)
    assert len(estimated) == 3
    for one, two in zip(tracks.tracks, again.tracks, strict=True):
        assert np.array_equal(one, two, equal_nan=True)
    (file,) = store.folder.glob("pitch-*.npz")
    assert not list(store.folder.glob(".*"))
    whole = file.read_bytes()
    swapped = whole.replace(b"<f4", b"|O8")  # which NumPy refuses with an error of its own
    for damaged, count in ((whole[:100], 6), (swapped, 9), (b"", 12)):
        file.write_bytes(damaged)
        tracks_of(prepare(open_corpus(folder), progress=False), progress=False)
        assert len(estimated) == count
        assert file.read_bytes() == whole
    save_arrays(file, {"octaves": np.zeros(3), "ends": np.array(3)})
    tracks_of(prepare(open_corpus(folder), progress=False), progress=False)
    assert len(estimated) == 15
    audio.save_audio(folder / "ann" / "ann_000.wav", tones(0.4, 300.0))
    tracks_of(prepare(open_corpus(folder), progress=False), progress=False)
    assert len(estimated) == 18


def test_an_unvoiced_store_and_other_rates(tmp_path, monkeypatch):
    folder = make_folders(tmp_path / "own", {"ann": 200.0}, 2)
    monkeypatch.setattr(pitch_module, "pitch_of", lambda wave: np.full(3, np.nan))
    store = prepare(open_corpus(folder), progress=False)
    assert np.isnan(tracks_of(store, progress=False).frames(0, HOP)).all()
    assert np.isnan(relative_pitch([tones(0.1, 200.0)], HOP)).all()
    with pytest.raises(InputError, match="store has 8000 Hz"):
        tracks_of(prepare(open_corpus(folder), 8000, progress=False))


def test_the_pitch_of_a_speaker_is_relative_to_the_mean_of_all_recordings(monkeypatch):
    """The mean is over voiced values, so a longer recording counts more."""

    def level(waveform):
        track = np.full(len(waveform) // PERIOD, 2.0 ** waveform[0])
        return np.where(np.arange(len(track)) % 2, np.nan, track)

    monkeypatch.setattr(pitch_module, "pitch_of", level)
    waves = [np.full(length * PERIOD + 7, octave) for length, octave in ((20, 7.0), (60, 8.0))]
    track, hertz = speaker_pitch(waves, PERIOD)
    assert hertz == pytest.approx(2**7.75)
    assert len(track) == 21 + 61
    np.testing.assert_allclose(np.unique(track[~np.isnan(track)]), [-9.0, 3.0], atol=1e-5)
    assert np.isnan(track[:21]).any()
    monkeypatch.setattr(pitch_module, "pitch_of", lambda wave: np.full(3, np.nan))
    track, hertz = speaker_pitch(waves, PERIOD)
    assert hertz is None
    assert np.isnan(track).all()


def test_frames_take_the_nearest_value_and_are_unvoiced_outside(rng):
    track, length = rng.normal(size=11), 11 * PERIOD + 100
    for hop, begin in ((64, 0), (160, -333), (640, 77)):
        frames = frames_of(track, length, hop, 40, begin)
        assert frames.dtype == np.float32
        for n, value in enumerate(frames):
            middle = begin + n * hop + hop // 2
            if 0 <= middle < length:
                assert value == np.float32(track[np.abs(PERIOD * np.arange(11) - middle).argmin()])
            else:
                assert np.isnan(value)


@pytest.fixture
def ramps(tmp_path, monkeypatch):
    """A store whose sample s is s / 32768, and whose pitch at sample s is s / 1000 semitones."""
    for number in range(3):
        ramp = np.arange(8000 + 999 * number, dtype=np.float32) / 32768
        audio.save_audio(tmp_path / "ramps" / "ann" / f"{number}.wav", ramp)

    def fake(waveform):
        samples = waveform[::PERIOD][: len(waveform) // PERIOD].astype(float) * 32768
        return 2 ** (samples / 12_000)

    monkeypatch.setattr(pitch_module, "pitch_of", fake)
    monkeypatch.setattr(sound_file, "OFFSET", np.inf)  # a ramp has one
    return prepare(open_corpus(tmp_path / "ramps"), trim_db=None, progress=False)


@pytest.mark.parametrize("sampling", ["utterance", "duration"])
def test_crops_of_pitch_are_in_step_with_crops_of_sound(ramps, sampling):
    settings = {"shift": 1500, "sampling": sampling}
    segments = Segments(ramps, 3200, 4, **settings, pitch_hop=HOP)
    plain = Segments(ramps, 3200, 4, **settings)
    mean = 12 * tracks_of(ramps).means[0]
    outside = 0
    for step in range(10):
        waveform, speaker, pitch = segments.batch(step)
        assert np.array_equal(waveform, plain.batch(step)[0])
        assert np.array_equal(speaker, plain.batch(step)[1])
        assert (pitch.shape, pitch.dtype) == ((4, 50), np.float32)
        sample = waveform[:, HOP // 2 :: HOP, 0] * 32768  # of each frame's middle
        inside = ~np.isnan(pitch)
        assert np.array_equal(inside, sample > 0)
        outside += (~inside).sum()
        error = 1000 * (pitch + mean) - sample
        last = sample > 30.5 * PERIOD  # beyond the last value of the shortest
        assert np.abs(error[inside & ~last]).max() <= PERIOD // 2 + 1
    assert outside > 20


@pytest.mark.traced
def test_a_dataset_has_the_pitch_of_its_batches(ramps):
    segments = Segments(ramps, 1024, 2, pitch_hop=HOP)
    for step, batch in enumerate(segments.dataset(start=1).take(2), 1):
        for tensor, array in zip(batch, segments.batch(step), strict=True):
            assert np.array_equal(tensor, array, equal_nan=True)


def test_a_silent_crop_is_replaced_with_its_pitch(tmp_path, monkeypatch):
    ramp = np.zeros(40_000, np.float32)
    ramp[:3000] = np.arange(3000) / 32768 + 0.1
    audio.save_audio(tmp_path / "late" / "ann" / "0.wav", ramp)

    def fake(waveform):
        return np.where(waveform[::PERIOD] > 0, 100.0, np.nan)

    monkeypatch.setattr(pitch_module, "pitch_of", fake)
    store = prepare(open_corpus(tmp_path / "late"), trim_db=None, progress=False)
    for seed in range(8):
        waveform, _, pitch = Segments(store, 1600, 1, seed=seed, pitch_hop=HOP).batch(0)
        voiced = waveform[0, HOP // 2 :: HOP, 0] > 0
        assert voiced.any()
        assert (voiced != ~np.isnan(pitch[0])).sum() <= 2  # the nearest value is within 128 samples


def test_own_waveforms_need_their_pitch_and_are_cropped_with_it():
    wave = np.arange(3000, dtype=np.float32) / 32768
    track = np.arange(47, dtype=np.float32)
    items = [(wave, "ann", track), (wave[:500], 0, track[:8])]
    segments = IterableSegments(items, ["ann"], 1024, 2, pitch_hop=HOP)
    waveform, speaker, pitch = next(segments.batches())
    assert (waveform.shape, pitch.shape) == ((2, 1024, 1), (2, 16))
    middles = waveform[0, HOP // 2 :: HOP, 0] * 32768
    assert np.abs(pitch[0] * HOP + HOP // 2 - middles).max() <= HOP // 2
    assert np.array_equal(pitch[1, :8], track[:8])
    assert np.isnan(pitch[1, 8:]).all()
    batch = (np.zeros((2, 640), np.float32), [0, 0], np.ones((2, 10)))
    assert next(IterableSegments([batch], ["ann"], 9, 2, pitch_hop=HOP).batches())[2].shape == (
        2,
        10,
    )
    for item, message in (
        ((wave, 0), r"yields 2 things at once; expected \(waveform, speaker, pitch\)"),
        ((wave, 0, track[1:]), r"pitch of shape \(46,\) for a waveform of shape \(3000,\)"),
    ):
        with pytest.raises(InputError, match=message):
            next(IterableSegments([item], ["ann"], 64, 1, pitch_hop=HOP).batches())
    with pytest.raises(
        InputError, match=r"yields 3 things at once; expected \(waveform, speaker\)"
    ):
        next(Source(items, 64, 1, 0, ["ann"]).batches())


def test_the_pitch_of_a_long_recording_is_estimated_in_windows(monkeypatch):
    """A value depends on the samples around it only, so windows give what the whole gives."""
    sizes = []

    def estimate(wave):
        sizes.append(len(wave))
        return zero_crossings(wave)

    monkeypatch.setattr(pitch_module, "pitch_of", estimate)
    wave = np.concatenate([tones(1.0, hertz) for hertz in range(100, 300, 10)])
    whole = relative_pitch([wave], HOP)
    assert max(sizes) <= pitch_module.WINDOW + 2 * pitch_module.MARGIN
    octaves = np.log2(zero_crossings(wave))
    track = 12 * (octaves - np.nanmean(octaves))
    expected = frames_of(track, len(wave), HOP, -(-len(wave) // HOP))
    np.testing.assert_allclose(whole[:-8], expected[:-8], atol=1e-4)
    blocks = np.array_split(wave, 33)
    np.testing.assert_array_equal(whole, relative_pitch(blocks, HOP))


@pytest.mark.eval
def test_the_pitch_of_a_tone_of_200_hz():
    pitch_module._estimator.cache_clear()
    tone = tones(1.0, 200.0)
    track = pitch_of(tone)
    assert len(track) == 16_000 // PERIOD
    assert np.isfinite(track).mean() > 0.9
    assert np.nanmax(np.abs(12 * np.log2(track / 200.0))) < 0.2
    assert np.isnan(pitch_of(np.zeros(16_000))).all()
    halves = np.concatenate([tones(1.0, 150.0), np.zeros(8000, np.float32), tones(1.0, 300.0)])
    frames = relative_pitch([halves], 160)
    assert frames.shape == (250,)
    assert np.isnan(frames[110:140]).all()
    assert np.nanmedian(frames[:100]) == pytest.approx(-6, abs=0.3)
    assert np.nanmedian(frames[150:]) == pytest.approx(6, abs=0.3)
