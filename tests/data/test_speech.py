"""Speech of one person, from folders, files and arrays."""

import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit import InputError
from vqwn_kit.data import audio
from vqwn_kit.data.speech import active_seconds, read_speech


def test_speech_is_read_from_folders_files_and_arrays_up_to_a_length(tmp_path):
    for number, name in enumerate("bac"):
        audio.save_audio(tmp_path / f"{name}.wav", tones(1.0, 100.0 * (number + 1)))
    (tmp_path / "d.wav").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no sound")
    waves = read_speech(tmp_path, most=2.5)
    assert [len(wave) for wave in waves] == [16_000, 16_000, 8_000]
    np.testing.assert_allclose(waves[0], tones(1.0, 200.0), atol=1e-4)  # a.wav comes first
    waves = read_speech([tmp_path / "b.wav", tones(1.0, 300.0)], most=60)
    np.testing.assert_array_equal(waves[1], tones(1.0, 300.0))
    assert active_seconds(waves) == pytest.approx(2.0, abs=0.05)
    with pytest.raises(InputError, match=r"d\.wav"):
        read_speech([tmp_path / "d.wav"], most=60)


def test_an_array_is_one_sound_in_the_forms_of_all_waveforms():
    wave = tones(1.0, 200.0)
    stereo = np.stack([wave, wave], axis=1)
    for sound in (stereo, (stereo * 32767).astype(np.int16), [stereo]):
        (read,) = read_speech(sound, most=60)
        np.testing.assert_allclose(read, wave, atol=1e-3)
    with pytest.raises(InputError, match=r"the speech: a waveform of shape \(1, 2, 9000\)"):
        read_speech(np.zeros((1, 2, 9000), np.float32), most=60)
