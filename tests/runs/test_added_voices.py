"""Voices that were added to a run: their files, and that they can be used as speakers are."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from vqwn_kit import InputError, Run, convert_voice, describe, generate, interpolate_voices
from vqwn_kit.data.arrays import save_arrays
from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.projector.export import speaker_table
from vqwn_kit.runs.added_voices import (
    AddedVoice,
    read_voice,
    remove_voice,
    save_voice,
    voice_file,
    voice_files,
)
from vqwn_kit.runs.codes import _digest, codes_of
from vqwn_kit.training.train import resume_run

CODES = np.array([3, 1, 4, 1, 5])
VECTOR = np.array([0.5, -1.0, 2.0, 0.0], np.float32)


@pytest.fixture
def copy(run, tmp_path) -> Run:
    """A copy of the run, with a voice that has biases and one that has none."""
    folder = shutil.copytree(run.folder, tmp_path / "run")
    more = run.model.decoder.conditioner.offset_channels
    wide = np.concatenate([VECTOR[::-1], np.full(more, 0.25, np.float32)])
    about = {"seconds": 31.4, "errors": {"bits per sample": [4.0, "bob", 3.5]}}
    save_voice(folder, AddedVoice("eve", VECTOR, run.newest, about))
    save_voice(folder, AddedVoice("zoe", wide, run.newest, {"seconds": 12.0}))
    save_voice(folder, AddedVoice("old", VECTOR, 10, {"seconds": 12.0}))
    return Run(folder)


def test_a_file_holds_what_was_saved(tmp_path):
    voice = AddedVoice("Zoë B.2", VECTOR, 7, {"seconds": 30.0, "hertz": 210.0})
    file = save_voice(tmp_path, voice)
    assert file == tmp_path / "voices" / "Zoë B.2.npz"
    assert file.stat().st_size < 2000
    found = read_voice(file)
    assert (found.name, found.step, found.about) == ("Zoë B.2", 7, voice.about)
    np.testing.assert_array_equal(found.vector, VECTOR)
    assert "mean pitch 210 Hz" in str(found)
    assert [path.name for path in (tmp_path / "voices").iterdir()] == [file.name]


@pytest.mark.parametrize("name", ["", ".x", "a/b", "..", "a" * 41, "no speaker", "a\n", "x "])
def test_a_name_must_be_one_of_a_file(name, tmp_path):
    with pytest.raises(InputError, match="expected 1 to 40 letters"):
        voice_file(tmp_path, name)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"no archive"])
def test_a_damaged_file_is_named_with_its_cure(copy, content):
    voice_file(copy.folder, "eve").write_bytes(content)
    with pytest.raises(InputError, match=r"eve\.npz is damaged.*--remove 'eve'"):
        _ = Run(copy.folder).speakers
    remove_voice(copy.folder, "eve")
    assert list(Run(copy.folder).speakers) == ["ann", "bob", "zoe"]


@pytest.mark.parametrize(
    "about",
    [
        3,
        [],
        {},
        {"step": float("inf")},
        {"step": "20"},
        {"step": 20, "seconds": "x"},
        {"step": 20, "hertz": 10**400},
        {"step": 20, "errors": 3},
        {"step": 20, "errors": {"bits": [1.0, 2.0, 3.0]}},
        {"step": 20, "errors": {"bits": [1.0, "bob"]}},
        {"step": 20, "errors": {"bits": [None, "bob", 1.0]}},
    ],
)
def test_facts_of_other_types_are_named_with_their_cure(tmp_path, about):
    content = np.frombuffer(json.dumps(about).encode(), np.uint8)
    file = tmp_path / "voices" / "eve.npz"
    file.parent.mkdir()
    save_arrays(file, {"vector": VECTOR, "about": content})
    with pytest.raises(InputError, match=r"eve\.npz is damaged.*--remove 'eve'"):
        read_voice(file)


def test_a_file_of_another_name_can_be_removed(tmp_path):
    file = save_voice(tmp_path, AddedVoice("ann", VECTOR, 20)).rename(
        tmp_path / "voices" / "ann (1).npz"
    )
    assert remove_voice(tmp_path, "ann (1)") == file
    assert voice_files(tmp_path) == []


def test_values_that_are_not_finite_or_of_another_run_are_refused(copy):
    save_voice(copy.folder, AddedVoice("eve", VECTOR * np.nan, copy.newest))
    with pytest.raises(InputError, match="damaged"):
        read_voice(voice_file(copy.folder, "eve"))
    save_voice(copy.folder, AddedVoice("eve", VECTOR[:3], copy.newest))
    with pytest.raises(InputError, match="has 3 numbers; expected 4 or"):
        _ = Run(copy.folder).model


def test_what_is_not_there_cannot_be_removed(copy, tmp_path):
    with pytest.raises(InputError, match="did you mean 'eve'"):
        remove_voice(copy.folder, "eva")
    with pytest.raises(InputError, match="no voice was added"):
        remove_voice(tmp_path, "eve")
    assert [file.stem for file in voice_files(copy.folder)] == ["eve", "old", "zoe"]


def test_an_added_voice_is_used_by_its_name(copy, run):
    """Its sound is that of its vector, whatever other voices there are."""
    assert list(copy.speakers) == ["ann", "bob", "eve", "zoe"]
    assert list(copy.trained_speakers) == ["ann", "bob"]
    model, plain = copy.model, run.model
    wide = copy.added_voices["zoe"].vector
    settings = {"temperature": 0.8, "seed": 2}
    named = generate(model, CODES, ["ann", "eve", "zoe", None], **settings)
    narrow = generate(plain, CODES, ["ann", VECTOR], **settings)
    np.testing.assert_array_equal(named[:2], narrow)
    np.testing.assert_array_equal(
        named, generate(plain, CODES, ["ann", VECTOR, wide, None], **settings)
    )
    assert not np.array_equal(named[1], named[2])
    middle = interpolate_voices(model, "ann", "zoe", 0.5)
    table = plain.decoder.speakers.numpy()
    np.testing.assert_allclose(middle[:4], (table[0] + VECTOR[::-1]) / 2, rtol=1e-6)
    np.testing.assert_allclose(middle[4:], 0.125)
    sound = np.zeros(640, np.float32)
    numbers = model.speaker_ids(["eve", "zoe"])
    assert numbers.tolist() == [2, 3]
    np.testing.assert_array_equal(
        convert_voice(model, sound, ["zoe"]), convert_voice(model, sound, [int(numbers[1])])
    )
    bits = [model.bits(sound, speaker=np.array([n])) for n in (0, 3)]
    assert not np.allclose(*bits)
    np.testing.assert_array_equal(bits[0], plain.bits(sound, speaker=np.array([0])))


def test_a_voice_belongs_to_the_weights_of_its_step(copy):
    assert copy.load_model(10).voice_names == ["ann", "bob", "old"]
    assert Run(copy.folder / "weights-10").speakers.keys() == {"ann", "bob", "old"}
    with pytest.raises(InputError, match="no speaker 'old'"):
        copy.model.speaker_ids(["old"])


@pytest.fixture
def grown(copy):
    """The copy, opened when step 10 was its newest, and step 20 comes after what is called."""
    newest, aside = copy.weights_file(20), copy.folder / "aside"
    newest.rename(aside)
    opened = Run(copy.folder)
    return opened, lambda: aside.rename(newest)


def test_a_loaded_model_stays_that_of_its_step_when_training_continues(grown, store):
    opened, train = grown
    table = opened.model.decoder.speakers.numpy()
    train()
    opened.reload_voices()
    assert (opened.newest, opened.model_step) == (20, 10)
    assert list(opened.speakers) == opened.model.voice_names == ["ann", "bob", "old"]
    np.testing.assert_array_equal(opened.speaker_embedding(), [*table, VECTOR])
    digests = [_digest(Run(opened.folder / f"weights-{step}"), store, 1) for step in (10, 20)]
    assert _digest(opened, store, 1) == digests[0] != digests[1]
    opened.weights_file(10).unlink()
    with pytest.raises(InputError, match="step 10 were loaded.*removed.*open the run again"):
        _digest(opened, store, 1)


def test_the_voices_are_those_of_the_model_even_if_they_were_listed_before(grown):
    opened, train = grown
    assert list(opened.speakers) == ["ann", "bob", "old"]
    train()
    assert opened.model.voice_names == list(opened.speakers) == ["ann", "bob", "eve", "zoe"]


def test_tables_show_the_added_voices(copy):
    vectors = copy.speaker_embedding()
    np.testing.assert_array_equal(vectors[2:], [VECTOR, VECTOR[::-1]])
    table = speaker_table(vectors, copy.speakers)
    column = [row[table.columns.index("voice")] for row in table.rows]
    assert column == [
        "trained",
        "trained",
        *["added from 31 s of speech", "added from 12 s of speech"],
    ]
    facts = describe(copy.folder)
    assert "eve: 31.4 s of speech, bits per sample 3.500 (bob: 4.000)" in facts["added voices"]
    assert facts["speakers"] == "2: ann, bob"


def test_conversions_to_measure_go_to_voices_that_judges_know(copy, store, monkeypatch):
    context = EvaluationContext(copy, store, store.numbers("held_out"), store.numbers("train"))
    number = int(context.held_out[0])
    others = {"ann", "bob"} - {context.speaker(number)}
    assert set(context.other_speakers(number)) == others
    for known in ({"eve"}, {context.speaker(number)}):  # one, or none but its own speaker
        corpus = replace(store.corpus, speakers=dict.fromkeys(known, {}))
        monkeypatch.setattr(store, "corpus", corpus)
        assert set(context.other_speakers(number)) == (known if "eve" in known else others)


def test_training_and_codes_know_trained_speakers_only(copy, store, run):
    known, plain = (codes_of(r, store, encodings=1, progress=False) for r in (copy, run))
    np.testing.assert_array_equal(known.speakers, plain.speakers)
    trainer = resume_run(store, copy.folder, steps=21)
    assert trainer.model.voice_names == ["ann", "bob"]
    assert list(Run(copy.folder).config["speakers"]) == ["ann", "bob"]
