"""The Embedding Projector's files have the model's vectors; what it would misread is refused."""

import csv
import http.client
import importlib.util
import json
import shutil
import urllib.request
import webbrowser

import numpy as np
import pytest

from tests.conftest import make_folders
from vqwn_kit import InputError, export_projector, open_corpus, open_projector, prepare, train
from vqwn_kit.cli.main import main
from vqwn_kit.evaluation.code_usage import CodeStatistics
from vqwn_kit.evaluation.metrics.intervals import NotMeasured
from vqwn_kit.evaluation.phones import KIND_OF, SOUNDS
from vqwn_kit.projector.export import code_table, speaker_table
from vqwn_kit.projector.tables import MOST_POINTS, Table, speaker_rows, visualise, write_tables


def read_tsv(path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def read_meta(path) -> dict[str, list[str]]:
    """Return the columns of a table with a header by their names."""
    header, *rows = read_tsv(path)
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def exported(run, store, tmp_path_factory):
    """The folder of an export with twelve frames, of the 25 or so that are held out."""
    folder = tmp_path_factory.mktemp("embeddings")
    export_projector(run, folder, store, frames=12)
    return folder


def test_config_lists_three_tables_by_the_projectors_rules(exported):
    entries = json.loads((exported / "projector_config.json").read_text())["embeddings"]
    shapes = {entry["tensorName"]: entry["tensorShape"] for entry in entries}
    assert shapes == {"codebook": [32, 8], "speakers": [2, 4], "frames": [12, 8]}
    for entry in entries:
        vectors, labels = (
            read_tsv(exported / entry[key]) for key in ("tensorPath", "metadataPath")
        )
        assert np.array(vectors, float).shape == tuple(entry["tensorShape"])
        assert len(labels) == len(vectors) + 1  # several columns have a header
        assert len(exported.joinpath(entry["metadataPath"]).read_text().splitlines()) == len(labels)
    assert len(list(exported.iterdir())) == 7


def test_codes_are_counted_in_all_utterances(run, store, exported):
    vectors = np.array(read_tsv(exported / "codebook_vecs.tsv"), float)
    assert np.allclose(vectors, run.model.bottleneck.codebook.numpy(), rtol=1e-4, atol=1e-6)
    metadata = read_meta(exported / "codebook_meta.tsv")
    codes = [run.model.encode(store.waveform(n)).ravel() for n in range(len(store))]
    counts = np.bincount(np.concatenate(codes), minlength=32)
    assert metadata["uses"] == [str(count) for count in counts]
    assert np.allclose(np.array(metadata["percent"], float), 100 * counts / counts.sum(), atol=1e-3)
    owners = [utterance.speaker for utterance in store.corpus]
    code = int(counts.argmax())
    pairs = zip(codes, owners, strict=True)
    by_ann = sum((row == code).sum() for row, owner in pairs if owner == "ann")
    share = 100 * max(by_ann, counts[code] - by_ann) / counts[code]
    assert float(metadata["speaker percent"][code]) == pytest.approx(share, abs=0.06)
    assert "phone" not in metadata  # no phones are known


def test_several_codebooks_are_one_table(residual_run, store, tmp_path):
    export_projector(residual_run, tmp_path, store, frames=12)
    vectors = np.array(read_tsv(tmp_path / "codebook_vecs.tsv"), float)
    table = np.array(residual_run.model.bottleneck.vectors())
    assert np.allclose(vectors, table.reshape(24, 8), rtol=1e-4, atol=1e-6)
    metadata = read_meta(tmp_path / "codebook_meta.tsv")
    assert metadata["codebook"] == [str(q) for q in range(3) for _ in range(8)]
    assert metadata["code"] == [str(code) for code in range(8)] * 3
    assert metadata["label"][9] == "code 1:1"
    codes = np.concatenate([residual_run.model.encode(w)[0] for w in map(store.waveform, range(8))])
    counts = [np.bincount(column, minlength=8) for column in codes.T]
    assert metadata["uses"] == [str(count) for count in np.concatenate(counts)]
    assert sum(map(float, metadata["percent"])) == pytest.approx(300, abs=0.02)  # 100 % each
    frames = read_meta(tmp_path / "frames_meta.tsv")
    key, seconds = frames["utterance"][5], float(frames["seconds"][5])
    wave = store.waveform(store.corpus.utterances.index(store.corpus[key]))
    quantized, place = residual_run.model.vector_quantize(wave), round(seconds * 250)
    expected = [str(code) for code in np.array(quantized.codes)[0, place]]
    assert [frames[f"code {q}"][5] for q in range(3)] == expected
    error = np.linalg.norm(np.array(quantized.z_e - quantized.z_q)[0, place])
    assert float(frames["distance"][5]) == pytest.approx(error, rel=1e-2, abs=1e-4)


def test_frames_are_what_the_encoder_makes_of_that_moment(run, store, exported):
    vectors = np.array(read_tsv(exported / "frames_vecs.tsv"), float)
    metadata = read_meta(exported / "frames_meta.tsv")
    held_out = {store.corpus.utterances[n].key: n for n in store.numbers("held_out")}
    assert set(metadata["utterance"]) == set(held_out)
    codebook = run.model.bottleneck.codebook.numpy()
    for row in range(12):
        number = held_out[metadata["utterance"][row]]
        place = round(float(metadata["seconds"][row]) * 16_000 / run.model.hop_length)
        made = run.model.vector_quantize(store.waveform(number))
        assert np.allclose(vectors[row], made.z_e[0, place], rtol=1e-3, atol=1e-4)
        code = int(metadata["code"][row])
        assert code == int(made.codes[0, place])
        distance = np.linalg.norm(vectors[row] - codebook[code])
        assert float(metadata["distance"][row]) == pytest.approx(distance, rel=1e-2)
        assert metadata["speaker"][row] == store.corpus.utterances[number].speaker


def test_frames_are_evenly_spread_by_a_seed(run, store, exported, tmp_path):
    again, other = tmp_path / "again", tmp_path / "other"
    export_projector(run, again, store, frames=12)
    export_projector(run, other, store, frames=12, seed=1)
    assert contents(again) == contents(exported)
    assert (other / "frames_meta.tsv").read_bytes() != (again / "frames_meta.tsv").read_bytes()
    every = tmp_path / "every"
    export_projector(run, every, store, frames=MOST_POINTS)
    labels = read_meta(every / "frames_meta.tsv")["label"]
    assert len(set(labels)) == len(labels) > 20
    places = [labels.index(label) for label in read_meta(other / "frames_meta.tsv")["label"]]
    edges = np.linspace(0, len(labels), 13).round()
    assert all(a <= place < b for place, a, b in zip(places, edges, edges[1:], strict=False))
    export_projector(run, tmp_path / "none", store, frames=0)
    assert not (tmp_path / "none" / "frames_vecs.tsv").exists()


def test_phones_and_facts_are_written_where_they_are_known(run, tmp_path):
    folder = make_folders(tmp_path / "speech", {"ann": 200.0, "bob": 110.0})
    corpus = open_corpus(folder)
    lines = [f"{utterance.key}\t0\t9\tAE\n" for utterance in corpus]
    (folder / "phones.tsv").write_text("utterance\tstart\tend\tphone\n" + "".join(lines))
    (folder / "speakers.tsv").write_text("speaker\tsex\nann\tF\nbob\tM\n")
    store = prepare(corpus, progress=False)
    export_projector(run, tmp_path / "out", store, frames=20)
    codes, frames = (
        read_meta(tmp_path / f"out/{name}_meta.tsv") for name in ("codebook", "frames")
    )
    used = np.array(codes["uses"], int) > 0
    assert codes["phone"] == ["AE" if use else "-" for use in used]
    shares = np.array(codes["phone percent"], float)
    assert (shares[used] > 90).all()  # what is padded behind the end is silence
    assert not shares[~used].any()
    assert frames["phone kind"][0] == "front vowel"
    assert frames["label"][0].startswith("AE ")
    assert "sex" not in frames  # the corpus of the run does not say


def test_codes_are_labelled_by_their_commonest_phone():
    counts = np.array([10, 0])
    phones = np.zeros((2, len(SOUNDS)), int)
    phones[0, [SOUNDS.index("S"), SOUNDS.index("SIL")]] = 4, 6
    facts = CodeStatistics(np.eye(2), counts, phones, np.array([[1, 9], [0, 0]]))
    _, columns, rows = code_table(facts, ["ann", "bob"])
    used, unused = (dict(zip(columns, row, strict=True)) for row in rows)
    assert (used["label"], used["phone"], used["phone kind"]) == ("0 SIL", "SIL", KIND_OF["SIL"])
    assert [used[name] for name in ("phone percent", "speaker")] == ["60.0", "bob"]
    assert used["speaker percent"] == "90.0"
    assert (unused["label"], unused["phone"], unused["speaker"]) == ("1", "-", "-")
    numbers = ("code", "uses", "percent", "log10 uses", "phone percent", "speaker percent")
    assert all(np.isfinite(float(unused[name])) for name in numbers)  # a gap would end the colours
    facts = CodeStatistics(np.eye(2), counts, NotMeasured("no texts"), facts.voices)
    assert code_table(facts, ["ann", "bob"]).rows[0][0] == "code 0"


def test_speakers_have_their_facts_and_minutes(store):
    speakers = {"ann": {"sex": "F", "accent": "Irish\tEnglish"}, "bob": {"age": "30"}}
    _, columns, rows = speaker_table(np.eye(2), speakers, store)
    assert columns == ["speaker", "age", "sex", "accent", "minutes", "utterances"]
    minutes = store.lengths[:4].sum() / 16_000 / 60
    assert rows[0] == ("ann", "-", "F", "Irish English", f"{minutes:.2f}", "4")
    assert speaker_table(np.eye(2), {"ann": {}, "bob": {}}).columns == ["speaker"]


def test_without_the_corpus_there_are_the_vectors_of_the_run(run, tmp_path, monkeypatch):
    monkeypatch.setattr("vqwn_kit.projector.export.knows_corpus", lambda run: False)
    export_projector(run, tmp_path)
    names = {path.name.partition("_")[0] for path in tmp_path.iterdir()}
    assert names == {"codebook", "speakers", "projector"}
    assert read_tsv(tmp_path / "codebook_meta.tsv") == [[str(code)] for code in range(32)]
    assert read_tsv(tmp_path / "speakers_meta.tsv") == [["ann"], ["bob"]]


def test_without_the_corpus_several_codebooks_have_their_numbers(
    residual_run, tmp_path, monkeypatch
):
    monkeypatch.setattr("vqwn_kit.projector.export.knows_corpus", lambda run: False)
    copy = shutil.copytree(residual_run.folder, tmp_path / "run")
    export_projector(copy, tmp_path / "export", frames=0)
    metadata = read_meta(tmp_path / "export" / "codebook_meta.tsv")
    assert metadata["codebook"][7:9] == ["0", "1"]
    assert metadata["code"][7:9] == ["7", "0"]


def test_no_codebook_and_one_speaker_leave_tables_out(tmp_path):
    folder = make_folders(tmp_path / "speech", {"ann": 200.0}, 1)  # nothing can be held out
    store = prepare(open_corpus(folder), progress=False)
    assert not len(store.numbers("held_out"))
    settings = {"steps": 1, "save": tmp_path / "run/weights", "progress": False}
    export_projector(train(store, "tiny", bottleneck="ae", **settings), tmp_path / "out", store)
    stems = {path.stem for path in (tmp_path / "out").iterdir()}
    assert stems == {"frames_vecs", "frames_meta", "projector_config"}
    assert "code" not in read_meta(tmp_path / "out/frames_meta.tsv")


def test_numbers_out_of_range_are_refused(run, store, tmp_path):
    for name, value in {"frames": -1, "utterances": 0, "train": -1, "seed": -1}.items():
        with pytest.raises(InputError, match=f"{name}={value}: expected"):
            export_projector(run, tmp_path / "out", store, **{name: value})
    with pytest.raises(InputError, match=f"frames={MOST_POINTS + 1}: expected 0 to 100,000"):
        export_projector(run, tmp_path / "out", store, frames=MOST_POINTS + 1)
    assert not list(tmp_path.iterdir())


# what the projector would misread

GOOD = Table(np.arange(6.0).reshape(3, 2), ["name", "use"], [["a", "1"], ["b", "2"], ["c", "3"]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": np.zeros((3, 1))}, r"vectors \(3, 1\); expected \(M, D\), at least 2"),
        ({"vectors": np.zeros(3)}, r"vectors \(3,\)"),
        ({"vectors": np.zeros((3, 2, 2))}, r"vectors \(3, 2, 2\)"),
        ({"vectors": np.zeros((1, 2)), "rows": [["a", "1"]]}, "at least 2 vectors"),
        ({"vectors": np.zeros((0, 2)), "rows": []}, "at least 2 vectors"),
        ({"vectors": np.zeros((MOST_POINTS + 1, 2))}, "at most 100,000"),
        ({"vectors": np.array([["x", "y"]] * 3)}, "expected numbers"),
        ({"vectors": np.array([[0, 1], [np.nan, 0], [0, 0]])}, "1 of 3 .* not finite, such as 1"),
        ({"vectors": np.array([[0, 1], [0, 0], [0, np.inf]])}, "are not finite"),
        ({"vectors": np.array([[0, 1], [0, 0], [0, 1e39]])}, "are not finite"),  # in float32
        ({"columns": []}, "columns"),
        ({"columns": ["name", "name"]}, "each once"),
        ({"columns": ["name", ""]}, "names of the columns: an empty label"),
        ({"columns": ["name", "u\tse"]}, "names of the columns: .* has a tab"),
        ({"rows": [["a", "1"]] * 2}, "2 labels for 3"),
        ({"rows": [["name", "use"], *GOOD.rows]}, "4 labels for 3 vectors; .* without a header"),
        ({"rows": [["a", "1"], ["b"], ["c", "3"]]}, "row 1: 1 cells for 2 columns"),
        ({"rows": [["a", "1"], ["b", "2"], ["c", ""]]}, "row 2: an empty label"),
        ({"rows": [["a", "1"], [" ", "2"], ["c", "3"]]}, "row 1: an empty label"),
        ({"rows": [["a", "1"], [None, "2"], ["c", "3"]]}, "row 1: an empty label"),
        ({"rows": [["a", "1"], ["b\tb", "2"], ["c", "3"]]}, "row 1: .* has a tab"),
        ({"rows": [["a", "1"], ["b\nb", "2"], ["c", "3"]]}, "line break"),
    ],
)
def test_what_would_be_misread_is_refused_and_nothing_is_touched(tmp_path, change, message):
    bad = GOOD._replace(**change)
    with pytest.raises(InputError, match=message):
        write_tables(tmp_path / "new", {"good": GOOD, "bad": bad})
    assert not list(tmp_path.iterdir())
    write_tables(tmp_path, {"good": GOOD, "bad": GOOD})
    before = contents(tmp_path)
    other = GOOD._replace(vectors=GOOD.vectors + 1)
    with pytest.raises(InputError, match=message):
        write_tables(tmp_path, {"good": other, "bad": bad})
    assert contents(tmp_path) == before


def test_an_export_that_breaks_off_leaves_what_was_there(tmp_path, monkeypatch):
    write_tables(tmp_path, {"one": GOOD, "two": GOOD})
    before, save, calls = contents(tmp_path), np.savetxt, []

    def full_disk(path, *rest, **settings):
        calls.append(path)
        if len(calls) == 2:
            raise OSError("no space left on device")
        save(path, *rest, **settings)

    monkeypatch.setattr(np, "savetxt", full_disk)
    other = GOOD._replace(vectors=GOOD.vectors + 1)
    with pytest.raises(OSError, match="no space"):
        write_tables(tmp_path, {"one": other, "two": other})
    assert contents(tmp_path) == before
    with pytest.raises(InputError, match="no table"):
        write_tables(tmp_path, {})


def test_one_column_of_labels_has_no_header(tmp_path):
    names = Table(GOOD.vectors, ["name"], [["a"], ["b"], ["c"]])
    write_tables(tmp_path, {"names": names, "more": GOOD})
    assert read_tsv(tmp_path / "names_meta.tsv") == [["a"], ["b"], ["c"]]
    assert read_tsv(tmp_path / "more_meta.tsv")[0] == ["name", "use"]


# visualise


def test_the_first_column_of_speakers_joins_their_facts():
    facts = {"age": "23", "sex": "F", "accent": "English", "region": "Southern England"}
    columns, rows = speaker_rows({"p225": facts, "kumo": {"sex": "M"}, "x": {}})
    assert columns[:2] == ["facts", "speaker"]
    joined = "23#F#English#Southern#England"
    assert [row[0] for row in rows] == [joined, "-#M#-#-", "-#-#-#-"]
    assert rows[0] == [joined, "p225", "23", "F", "English", "Southern England"]


def test_visualise_writes_beside_the_names_of_the_files(run, tmp_path):
    paths = [run.folder / "embedding_20.npy", run.folder / "speaker_embedding_20.npy"]
    written = visualise(tmp_path, *paths)
    assert written[-1] == tmp_path / "projector_config.json"
    assert len(read_tsv(tmp_path / "embedding_20_vecs.tsv")) == 32
    assert len(read_tsv(tmp_path / "embedding_20_meta.tsv")) == 32
    assert read_tsv(tmp_path / "speaker_embedding_20_meta.tsv")[1][1] == "ann"


def test_speakers_without_a_config_are_numbered(tmp_path):
    np.save(tmp_path / "s.npy", np.eye(3))
    visualise(tmp_path / "out", speaker=tmp_path / "s.npy")
    assert read_tsv(tmp_path / "out" / "s_meta.tsv") == [["0"], ["1"], ["2"]]


def test_files_that_are_no_tables_are_refused(tmp_path):
    (tmp_path / "x.npy").write_text("no table")
    np.save(tmp_path / "one.npy", np.float32(3))
    (tmp_path / "again").mkdir()
    np.save(tmp_path / "s.npy", np.eye(3))
    shutil.copy(tmp_path / "s.npy", tmp_path / "again")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="no .npy"):
        visualise(tmp_path, tmp_path / "x.npy")
    with pytest.raises(InputError, match="no such file"):
        visualise(tmp_path, tmp_path / "y.npy")
    with pytest.raises(InputError, match=r"vectors \(1,\)"):
        visualise(tmp_path, tmp_path / "one.npy")
    (tmp_path / "config.json").write_text('{"preset": {}, "speakers": 5, "corpus": "x"}')
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"config.json is damaged.*'speakers' is 5"):
        visualise(tmp_path, speaker=tmp_path / "s.npy")
    with pytest.raises(InputError, match="two files are named s"):
        visualise(tmp_path, tmp_path / "s.npy", tmp_path / "again/s.npy")
    with pytest.raises(InputError, match="nothing to visualise"):
        visualise(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


# the page


def get(page, path: str, host: str | None = None) -> tuple[int, dict, bytes]:
    """Ask for a path as it stands, without tidying it."""
    port = int(page.url.rstrip("/").rpartition(":")[2])
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    link.request("GET", path, headers={"Host": host} if host else {})
    answer = link.getresponse()
    found = answer.status, dict(answer.headers), answer.read()
    link.close()
    return found


def test_page_serves_the_export_and_nothing_else(exported, tmp_path):
    folder = tmp_path / "embeddings"
    shutil.copytree(exported, folder)
    (tmp_path / "secret.json").write_text("{}")
    (folder / "notes.txt").write_text("private")
    (folder / ".hidden.json").write_text("{}")
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    with open_projector(folder) as page:
        assert page.url in page._repr_html_()
        status, headers, body = get(page, "/")
        assert status == 200
        assert b"vz-projector-app" in body
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "http" not in headers["Content-Security-Policy"]
        for path in exported.iterdir():
            assert get(page, f"/{path.name}")[2] == path.read_bytes()
        assert len(get(page, "/projector_binary.js")[2]) > 1_000_000
        hidden = ("/notes.txt", "/../secret.json", "/%2e%2e/secret.json", "//etc/hosts", "/x.tsv")
        hidden = (*hidden, "/.hidden.json", "/link.json")
        for path in hidden:
            assert get(page, path)[0] == 404, path
        assert get(page, "/", "elsewhere.example")[0] == 403
        (folder / "codebook_vecs.tsv").write_text("1\t2\n3\t4\n")
        assert get(page, "/codebook_vecs.tsv")[2] == b"1\t2\n3\t4\n"  # what is exported anew
    page.close()  # a second time does nothing
    with pytest.raises(ConnectionRefusedError):
        get(page, "/")


def test_folders_without_a_whole_export_are_not_opened(exported, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="has no projector_config.json"):
        open_projector(tmp_path)
    config = tmp_path / "projector_config.json"
    unnamed = '{"embeddings": [{"tensorPath": 5, "metadataPath": "x"}]}'
    for broken in ("{", "[]", '{"embeddings": [{"tensorName": "x"}]}', unnamed):
        config.write_text(broken)
        with pytest.raises(InputError, match="is damaged|is not a list of tables"):
            open_projector(tmp_path)
    config.write_text('{"embeddings": []}')
    with pytest.raises(InputError, match="names no table"):
        open_projector(tmp_path)
    shutil.copy(exported / config.name, config)
    with pytest.raises(InputError, match="codebook_vecs.tsv.*is missing: export again"):
        open_projector(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        open_projector(exported)


def test_command_line_exports_and_opens(run, folder, tmp_path, monkeypatch, capsys):
    seen = []

    def look(url):
        with urllib.request.urlopen(url, timeout=10) as page:
            seen.append(page.read())
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", lambda url: seen.append(url))
    monkeypatch.setattr("vqwn_kit.projector.server.ProjectorPage.wait", lambda page: look(page.url))
    line = f"visualise --run {run.folder} --save {tmp_path}/a --frames 12"
    assert main([*line.split(), "--data", str(folder), "--open"]) == 0
    assert len(read_tsv(tmp_path / "a/frames_vecs.tsv")) == 12
    assert seen[0].startswith("http://127.0.0.1:")
    assert b"vz-projector-app" in seen[1]
    assert main(["visualise", "--save", f"{tmp_path}/a", "--open"]) == 0
    assert len(seen) == 4
    assert "is not available" not in capsys.readouterr().err
    monkeypatch.setattr("vqwn_kit.projector.export.knows_corpus", lambda run: False)
    assert main(f"visualise --run {run.folder} --save {tmp_path}/b".split()) == 0
    complaint = capsys.readouterr().err
    assert "is not available" in complaint
    assert "give --data FOLDER" in complaint
    assert main(["visualise", "--save", f"{tmp_path}/none", "--open"]) == 2
    assert main(["visualise", "--frames", "3"]) == 2
    assert "need a run" in capsys.readouterr().err
