"""The demonstration."""

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from vqwn_kit import example_corpus
from vqwn_kit.data.audio import load_audio
from vqwn_kit.workbench import demo
from vqwn_kit.workbench.demo import make_demo


def test_a_demo_says_what_to_hear_of_sounds_that_are_there(run, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "MOST_SECONDS", 0.1)  # the longest, if there is none so short
    sentences = list(example_corpus().split("held_out"))
    monkeypatch.setattr(demo, "example_corpus", lambda: _Corpus(sentences[:2]))
    about = make_demo(run, tmp_path, progress=False)
    recording, first, second = about
    assert "held out" in about[recording]
    assert "as ann" in about[first]  # the run does not know the speaker
    assert "in the voice of bob" in about[second]
    assert soundfile.info(first).frames == len(load_audio(recording))
    levels = [np.sqrt(np.mean(load_audio(path) ** 2)) for path in (recording, second)]
    assert levels[0] == pytest.approx(levels[1], rel=0.05)


@pytest.mark.parametrize("known", [False, True])
def test_a_run_of_one_voice_has_a_demo_too(run, tmp_path, monkeypatch, known):
    sentence = demo._sentence()
    voice = sentence.speaker if known else "ann"
    one = SimpleNamespace(speakers={voice: {}}, model=run.model)
    monkeypatch.setattr(demo, "load_run", lambda given: one)
    calls = []
    monkeypatch.setattr(demo, "convert_files", lambda *given, **settings: calls.append(given))
    recording, made = make_demo("one", tmp_path, progress=False)
    assert recording == str(sentence.path)
    assert made.endswith(f"_as_{voice}.wav")
    assert calls[0][2] == [voice]


class _Corpus(list):
    def split(self, name):
        return list(self)
