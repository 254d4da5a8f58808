"""What a folder of speech is taken for, what is left out of it, and what is refused."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import (
    ROOT,
    make_aishell,
    make_folders,
    make_libri,
    make_vctk,
    make_vctk_092,
    tones,
)
from vqwn_kit import Corpus, InputError, open_corpus
from vqwn_kit.data import audio
from vqwn_kit.data.folders import compile_pattern, read_folders
from vqwn_kit.data.layouts import LAYOUTS
from vqwn_kit.data.scan import Choices, Tree


def test_vctk_080_with_texts_and_facts(tmp_path):
    corpus = Corpus.open(make_vctk(tmp_path / "VCTK-Corpus"))
    assert corpus.layout == "vctk"
    assert "wav48" in corpus.reason
    assert len(corpus) == 12
    assert repr(corpus).startswith("<Corpus ")
    assert repr(corpus).endswith(": vctk (it has wav48/, as VCTK 0.80), 12 utterances, 3 speakers>")
    assert corpus["p225_001"].text == "Sentence number 1."
    facts = {"age": "23", "sex": "F", "accent": "English", "region": "Southern England"}
    assert corpus.speakers["p225"] == facts
    assert corpus.speakers["p243"] == {}


@pytest.mark.parametrize(
    ("microphone", "pitch", "note"),
    [("mic1", 220, "microphone mic1"), ("mic2", 440, "mic1 where there is no other: p280")],
)
def test_vctk_092_takes_one_microphone_and_says_which(tmp_path, microphone, pitch, note):
    folder = make_vctk_092(tmp_path / "VCTK-Corpus-0.92")
    corpus = open_corpus(folder, microphone=microphone)
    assert corpus.layout == "vctk-0.92"
    assert note in corpus.reason
    assert [u.key for u in corpus] == ["p225_001", "p225_002", "p280_001", "p280_002"]
    assert corpus["p225_002"].text == "Sentence number 2."
    facts = {"age": "25", "sex": "F", "accent": "Unknown", "region": "France"}
    assert corpus.speakers["p280"] == facts
    assert corpus["p225_001"].path.name == f"p225_001_{microphone}.flac"
    assert corpus["p280_001"].path.name == "p280_001_mic1.flac"
    assert not corpus.left_out
    with pytest.raises(InputError, match="did you mean 'mic2'"):
        open_corpus(folder, microphone="mic3")


def test_librispeech_subsets_beside_each_other(tmp_path):
    folder = make_libri(tmp_path / "LibriSpeech")
    make_libri(folder, "dev-clean", "84")
    audio.save_audio(folder / "dev-clean" / "noise.flac", tones(0.3, 100.0))
    corpus = open_corpus(folder)
    assert corpus.layout == "librispeech"
    assert "subsets dev-clean, test-other" in corpus.reason
    assert corpus["367-130732-0002"].text == "WORDS 2"
    assert corpus.speakers["84"] == {"sex": "M", "name": "A | Reader"}
    assert "SPEAKER-CHAPTER-NUMBER" in corpus.left_out["dev-clean/noise.flac"]
    one = open_corpus(folder / "dev-clean")
    assert list(one.speakers.items()) == [("84", {"sex": "M", "name": "A | Reader"})]


def test_a_linked_subset_is_seen(tmp_path):
    far = make_libri(tmp_path / "far")
    (tmp_path / "LibriSpeech").mkdir()
    (tmp_path / "LibriSpeech" / "test-other").symlink_to(far / "test-other")
    corpus = open_corpus(tmp_path / "LibriSpeech")
    assert corpus.layout == "librispeech"
    assert len(corpus) == 3


def test_aishell_with_texts_and_facts(tmp_path):
    folder = make_aishell(tmp_path / "data_aishell")
    (folder / "wav" / "S0900.tar.gz").write_bytes(b"")
    corpus = open_corpus(folder)
    assert corpus.layout == "aishell"
    speakers = [("S0002", {"sex": "F"}), ("S0724", {"sex": "M"}), ("S0764", {})]
    assert list(corpus.speakers.items()) == speakers
    assert corpus["BAC009S0002W0122"].text == "\u800c \u5bf9 122"
    assert "unpack it" in corpus.left_out["wav/S0900.tar.gz"]


def test_aishell_that_is_still_packed_says_what_to_do(tmp_path):
    (tmp_path / "wav").mkdir()
    (tmp_path / "wav" / "S0002.tar.gz").write_bytes(b"")
    with pytest.raises(InputError, match=r"S0002.tar.gz: it is packed: unpack it"):
        open_corpus(tmp_path)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("utterances.tsv", "path\tspeaker\ttext\na/x.wav\tann\tHi, you\n"),
        ("utterances.csv", 'path,speaker,text\na/x.wav,ann,"Hi, you"\n'),
        ("utterances.csv", 'path;speaker;text\na/x.wav;ann;"Hi, you"\n'),
    ],
)
def test_tables_by_tabs_commas_and_semicolons(tmp_path, name, lines):
    audio.save_audio(tmp_path / "a" / "x.wav", tones(0.3, 200.0))
    audio.save_audio(tmp_path / "b" / "y.wav", tones(0.3, 200.0))
    (tmp_path / name).write_text(lines)
    corpus = open_corpus(tmp_path)
    assert corpus.layout == "table"
    assert corpus["x"].text == "Hi, you"
    assert corpus.left_out == {"b/y.wav": f"it is not in {name}"}


def test_a_flat_folder_is_read_by_a_pattern_and_asks_for_it(tmp_path):
    for name in ("ann_F_001", "ann_F_002", "bob_M_001", "noise"):
        audio.save_audio(tmp_path / f"{name}.wav", tones(0.3, 200.0))
    (tmp_path / "bob_M_001.txt").write_text("What Bob says.")
    corpus = open_corpus(tmp_path, pattern="{speaker}_{sex}_{}")
    assert corpus.layout == "pattern"
    assert "{speaker}_{sex}_{}" in corpus.reason
    assert corpus.speakers == {"ann": {"sex": "F"}, "bob": {"sex": "M"}}
    assert corpus["bob_M_001"].text == "What Bob says."
    assert list(corpus.left_out) == ["noise.wav"]
    (tmp_path / "noise.wav").unlink()
    with pytest.raises(InputError, match=r"--pattern '\{speaker\}_\{\}'"):
        open_corpus(tmp_path)
    with pytest.raises(InputError, match="needs a pattern"):
        open_corpus(tmp_path, layout="pattern")
    with pytest.raises(InputError, match="belongs to the layout 'pattern'"):
        open_corpus(tmp_path, layout="folders", pattern="{speaker}_{}")


def test_a_pattern_takes_little_and_may_name_folders():
    match = compile_pattern("{sex}/{speaker}/{}").fullmatch
    assert match("F/ann/001").groupdict() == {"sex": "F", "speaker": "ann"}
    assert not match("F/ann/more/001")
    assert compile_pattern("{speaker}-{}").fullmatch("p225-a-b")["speaker"] == "p225"
    assert not compile_pattern("{speaker}.{}").fullmatch("p225_a")  # a dot is a dot
    with pytest.raises(InputError, match="did you mean 'speaker'"):
        compile_pattern("{speker}_{}")
    with pytest.raises(InputError, match="no {speaker}"):
        compile_pattern("{sex}_{}")


def test_facts_about_the_speakers_of_any_layout_come_from_a_table(tmp_path):
    folder = make_folders(tmp_path, {"ann": 200.0, "bob": 110.0}, 1)
    (folder / "speakers.csv").write_text("speaker,sex,accent\nann,F,Scottish\ncarol,F,Welsh\n")
    assert open_corpus(folder).speakers == {"ann": {"sex": "F", "accent": "Scottish"}, "bob": {}}


@pytest.mark.parametrize(
    ("folders", "used"),
    [
        (("audio1", "audio2"), ["audio1", "audio2"]),  # sessions
        (("data-3", "data-12"), ["data-12", "data-3"]),
        (("wav16", "wav48"), ["wav16"]),  # rates
        (("wav_22050", "wav_44100"), ["wav_22050"]),
    ],
)
def test_numbered_folders_are_versions_only_where_the_number_is_a_rate(tmp_path, folders, used):
    names = tuple(f"{voice}/{folder}/001.wav" for voice in ("ann", "bob") for folder in folders)
    listing = read_folders(Tree(tmp_path, names, names, {}), Choices())
    keys = [f"{voice}/{folder}/001" for voice in ("ann", "bob") for folder in used]
    assert sorted(utterance.key for utterance in listing.utterances) == keys
    assert len(listing.left_out) == len(names) - len(keys)


def test_what_is_no_part_of_the_corpus_is_named(tmp_path):
    folder = make_folders(tmp_path, {"ann": 200.0}, 2)
    audio.save_audio(folder / "loose.wav", tones(0.3, 200.0))
    audio.save_audio(folder / "ann" / "ann_001.flac", tones(0.3, 200.0))
    (folder / "ann" / "memo.M4A").write_bytes(b"")
    (folder / "ann" / "notes.pdf").write_bytes(b"")
    corpus = open_corpus(folder)
    assert [u.key for u in corpus] == ["ann/ann_000", "ann/ann_001"]
    assert corpus.left_out == {
        "ann/ann_001.wav": "ann_001.flac has the same name",
        "ann/memo.M4A": ".m4a cannot be read: convert it to .wav or .flac",
        "loose.wav": "it lies beside the speakers' folders: put it into one",
    }


def test_a_folder_of_nothing_but_m4a_says_so(tmp_path):
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "memo.m4a").write_bytes(b"")
    with pytest.raises(InputError, match=r"ann/memo.m4a: .m4a cannot be read: convert"):
        open_corpus(tmp_path)


def test_names_that_are_no_text_are_left_out_and_can_be_printed(tmp_path):
    folder = make_folders(tmp_path, {"\u0430\u043d\u043d\u0430": 200.0}, 1)
    odd = os.fsencode(folder) + b"/\xd0\xb0\xd0\xbd\xd0\xbd\xd0\xb0/\xff.wav"
    with open(odd, "wb"):
        pass
    corpus = open_corpus(folder)
    assert len(corpus) == 1
    ((name, reason),) = corpus.left_out.items()
    assert name.encode("utf-8").endswith(rb"\udcff.wav")
    assert "UTF-8" in reason


def test_a_run_a_store_and_a_folder_of_corpora_are_no_corpora(run, store, tmp_path):
    copied = shutil.copytree(run.folder, tmp_path / "results" / "copied")
    audio.save_audio(copied / "audio" / "a.wav", tones(0.3, 200.0))
    for folder, message in (
        (copied, "folder of a run"),
        (copied.parent, "folder of a run"),
        (store.folder, "prepared store"),
    ):
        with pytest.raises(InputError, match=message):
            open_corpus(folder)
    data = tmp_path / "data"
    make_vctk(data / "VCTK-Corpus")
    make_folders(data / "own", {"ann": 200.0}, 1)
    make_libri(data / "LibriSpeech")
    with pytest.raises(InputError, match=r"corpora \(LibriSpeech, VCTK-Corpus\): give one of them"):
        open_corpus(data)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_that_was_asked_for_is_used_or_refused_clearly(tmp_path, layout):
    folder = make_vctk(tmp_path / "VCTK-Corpus")
    if layout == "vctk":
        assert "wav48" in open_corpus(folder, layout=layout).reason
    elif layout in ("folders", "single"):
        speakers = ["p225", "p226", "p243"] if layout == "folders" else ["VCTK-Corpus"]
        assert list(open_corpus(folder, layout=layout).speakers) == speakers
    else:
        with pytest.raises(InputError, match="no recordings|needs a pattern|no layout"):
            open_corpus(folder, layout=layout)


# held-out voices


def voices(tmp_path, names) -> Corpus:
    rows = [f"{name}{take}.wav\t{name}\t{name}-{take}" for name in names for take in range(2)]
    (tmp_path / "utterances.tsv").write_text("\n".join(["path\tspeaker\tutterance", *rows]) + "\n")
    return open_corpus(tmp_path, hold_out="speakers")


def test_whole_voices_are_held_out_and_stay_so_when_others_come(tmp_path):
    before = voices(tmp_path, [f"s{number}" for number in range(100)])
    after = voices(tmp_path, [f"s{number}" for number in range(150)])
    held = {u.speaker for u in before.split("held_out")}
    assert 2 <= len(held) <= 25
    assert not held & {u.speaker for u in before.split("train")}
    assert held <= {u.speaker for u in after.split("held_out")}
    assert list(before.speakers) == sorted(f"s{number}" for number in range(100))


def test_of_two_voices_one_is_held_out_and_of_one_none_can_be(tmp_path):
    splits = {u.speaker: u.split for u in voices(tmp_path, ["ann", "bob"])}
    assert sorted(splits.values()) == ["held_out", "train"]
    with pytest.raises(InputError, match="one speaker, ann"):
        voices(tmp_path, ["ann"])
    with pytest.raises(InputError, match="did you mean 'speakers'"):
        open_corpus(tmp_path, hold_out="speaker")


def test_a_text_that_leads_nowhere_is_named_and_its_recording_used(tmp_path):
    folder = make_folders(tmp_path / "own", {"ann": 220.0}, 2)
    (folder / "ann" / "ann_000.txt").symlink_to(tmp_path / "nowhere.txt")
    (folder / "ann" / "ann_001.txt").write_text("Good morning.")
    corpus = open_corpus(folder)
    assert [utterance.text for utterance in corpus] == ["", "Good morning."]
    assert list(corpus.left_out) == ["ann/ann_000.txt"]
    assert "no text" in corpus.left_out["ann/ann_000.txt"]


def test_tables_as_sheets_on_windows_save_them(tmp_path):
    folder = make_folders(tmp_path / "own", {"ann": 220.0, "bob": 110.0}, 1)
    table = " Path\tSpeaker \tText\nann\\ann_000.wav\tann\tna\u00efve\nbob/bob_000.wav\tbob\thi\n"
    for encoding in ("utf-8", "utf-16", "utf-16-be"):
        mark = "\ufeff" if encoding == "utf-16-be" else ""
        (folder / "utterances.tsv").write_bytes((mark + table).encode(encoding))
        corpus = open_corpus(folder)
        assert corpus["ann_000"].text == "na\u00efve"
        assert corpus["ann_000"].path.is_file()
        assert corpus.left_out == {}


def test_files_of_one_name_in_several_folders_are_distinguished_in_a_table(tmp_path):
    for name in ("ann/1.wav", "bob/1.wav", "bob/2.wav"):
        audio.save_audio(tmp_path / name, tones(0.3, 200.0))
    (tmp_path / "utterances.csv").write_text(
        "path,speaker\n./ann/1.wav,ann\nbob/1.wav,bob\nbob/2.wav,bob\n"
    )
    assert [u.key for u in open_corpus(tmp_path)] == ["2", "ann/1", "bob/1"]


def test_the_inside_of_a_corpus_names_the_folder_above(tmp_path):
    top = make_vctk_092(tmp_path / "VCTK-Corpus-0.92")
    with pytest.raises(InputError, match=r"VCTK 0\.92\): give .*VCTK-Corpus-0\.92;"):
        open_corpus(top / "wav48_silence_trimmed")
    assert open_corpus(top / "wav48_silence_trimmed", "folders").layout == "folders"
    top = make_aishell(tmp_path / "data_aishell")
    with pytest.raises(InputError, match=r"Aishell-1\): give .*data_aishell;"):
        open_corpus(top / "wav")
    assert open_corpus(top / "wav" / "train").layout == "folders"


def test_names_in_other_letters_of_the_same_look_are_found(tmp_path):
    """A Mac writes names decomposed; tables are typed composed, or the other way round."""
    for name, on_disk in (("Zo\u00eb", "Zoe\u0308"), ("Ren\u00e9", "Ren\u00e9")):
        audio.save_audio(tmp_path / on_disk / f"{on_disk}.wav", tones(0.3, 200.0))
        assert open_corpus(tmp_path)[f"{name}/{name}"].speaker == name
    (tmp_path / "utterances.csv").write_text(
        "path,speaker\nZo\u00eb/Zo\u00eb.wav,Zo\u00eb\nRene\u0301/Rene\u0301.wav,Rene\u0301\n",
        encoding="utf-8",
    )
    (tmp_path / "speakers.csv").write_text("speaker,sex\nZoe\u0308,F\n", encoding="utf-8")
    corpus = open_corpus(tmp_path)
    assert corpus.left_out == {}
    assert corpus.speakers == {"Ren\u00e9": {}, "Zo\u00eb": {"sex": "F"}}
    assert all(utterance.path.is_file() for utterance in corpus)


@pytest.mark.parametrize("link", [False, True])
def test_absolute_paths_of_a_table_are_those_of_the_folder(tmp_path, link):
    folder = make_folders(tmp_path / "own", {"ann": 220.0}, 2)
    rows = f"path,speaker\n{folder}/ann/ann_000.wav,ann\n{folder}/ann/../ann/ann_001.wav,ann\n"
    (folder / "utterances.csv").write_text(rows)
    if link:
        (tmp_path / "link").symlink_to(folder)
    corpus = open_corpus(tmp_path / "link" if link else folder)
    assert [u.key for u in corpus] == ["ann_000", "ann_001"]
    assert corpus.left_out == {}


def test_files_without_an_ending_are_called_by_their_name(tmp_path):
    folder = make_folders(tmp_path, {"ann": 220.0}, 2)
    for number in (0, 1):
        (folder / "ann" / f"ann_00{number}.wav").rename(folder / "ann" / f"one{number}")
    (folder / "utterances.csv").write_text("path,speaker\nann/one0,ann\nann/one1,ann\n")
    corpus = open_corpus(folder)
    assert [u.key for u in corpus] == ["one0", "one1"]
    assert len(corpus["one0"].load()) > 1000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("name", ["speaker-info.txt", "wav48/p225/p225_001.wav", "utterances.tsv"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path, name):
    folder = make_vctk(tmp_path / "VCTK-Corpus")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    corpus = open_corpus(folder, layout="vctk")
    assert len(corpus) == 12
    if name.startswith("wav48"):
        with pytest.raises(InputError, match="pipe or a device"):
            corpus["p225_001"].load()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b'path,speaker,text\na.wav,ann,"open ' + b"x\n" * 90_000, "quotation mark left open"),
        (b"path,speaker\na\0.wav,ann\n", "zero bytes"),
    ],
)
def test_tables_that_cannot_be_read_are_refused_by_name(tmp_path, table, message):
    (tmp_path / "utterances.csv").write_bytes(table)
    with pytest.raises(InputError, match=rf"utterances\.csv.*{message}"):
        open_corpus(tmp_path)


def test_spaces_around_the_cells_of_a_table_and_paths_that_cannot_be(tmp_path):
    long = "a" * 5000
    (tmp_path / "utterances.csv").write_text(f"path, speaker\na.wav, ann \n{long}.wav,ann\n")
    corpus = open_corpus(tmp_path)
    assert set(corpus.speakers) == {"ann"}
    assert [u.key for u in corpus] == ["a", long]


def test_a_folder_that_cannot_be_seen_into_is_named(tmp_path, monkeypatch):
    folder = make_folders(tmp_path / "own", {"ann": 220.0, "bob": 110.0}, 2)
    real = os.scandir

    def refuse(path):  # simulated, since root may see everything
        if os.path.basename(path) == "bob":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    corpus = open_corpus(folder)
    assert list(corpus.speakers) == ["ann"]
    assert "Permission denied" in corpus.left_out["bob"]


def test_excerpts_become_one_corpus_with_the_last_two_of_each_speaker_held_out(tmp_path):
    folders = [make_vctk(tmp_path / "VCTK"), make_libri(tmp_path / "LibriSpeech")]
    made = tmp_path / "both"
    command = [sys.executable, ROOT / "scripts" / "make_vctk_libri.py", *folders, "--save", made]
    subprocess.run(command, check=True, capture_output=True)
    corpus = open_corpus(made)
    assert list(corpus.speakers) == ["367", "p225", "p226", "p243"]
    assert corpus.speakers["p225"]["accent"] == "English"
    held_out = [one.key for one in corpus.split("held_out")]
    assert held_out[:4] == ["367-130732-0001", "367-130732-0002", "p225_003", "p225_004"]
    assert len(held_out) == 8
    for one in corpus:
        assert len(one.load()) > 1000
        assert one.text
