"""Audio elements in a notebook."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile

from tests.conftest import tones
from vqwn_kit import InputError, listen


def test_audio_elements_contain_the_sound_at_its_loudness():
    wave = 0.1 * tones(0.1, 200.0)
    page = listen({"a <b>": wave}).data
    assert "a &lt;b&gt;" in page
    data = base64.b64decode(re.search(r"base64,([^\"]+)", page)[1])
    sound, rate = soundfile.read(io.BytesIO(data))
    assert rate == 16_000
    assert np.abs(sound - wave).max() <= 1 / 32768


def test_every_form_of_a_waveform_is_its_sound_and_nan_is_refused():
    wave = tones(0.1, 200.0)
    expected = listen({"a": wave}).data
    assert listen({"a": np.round(wave * 32768).astype(np.int16)}).data == expected
    assert listen({"a": wave[None]}).data == expected
    with pytest.raises(InputError, match="a: some samples are not finite"):
        listen({"a": np.array([0.1, np.nan])})
