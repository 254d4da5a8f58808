"""The command line: the original VQ-VAE-WaveNet's options, and those of this package."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from tests.conftest import ROOT, make_folders, make_vctk
from vqwn_kit import load_run, open_corpus
from vqwn_kit.cli.main import COMMANDS, main
from vqwn_kit.presets.preset import PRESETS


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder of the original's users: data/VCTK-Corpus and small parameter files."""
    folder = tmp_path_factory.mktemp("project")
    make_vctk(folder / "data" / "VCTK-Corpus")
    model = json.loads((PRESETS / "model_parameters.json").read_text())
    model |= {"k": 32, "latent_dim": 8, "speaker_embedding": 4}
    wavenet = json.loads((PRESETS / "wavenet_parameters.json").read_text())
    wavenet |= {"num_cycles": 2, "num_cycle_layers": 2, "dilation_rates": [1, 2, 1, 2]}
    wavenet |= {"dilation_filters": 8, "skip_filters": 8, "residual_filters": 8}
    wavenet |= {"preprocess": {"kernel_size": 8, "filters": 8}}
    (folder / "model_parameters.json").write_text(json.dumps(model))
    (folder / "wavenet_parameters.json").write_text(json.dumps(wavenet))
    return folder


@pytest.fixture(scope="module")
def trained(project):
    """The last step of the original's training command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        line = "train VCTK -m 0 -l 1024 -b 4 -e 1 -params model_parameters.json -log logs"
        assert main([*line.split(), "-interval", "1", "-save", "saved_model/weights"]) == 0
    return load_run(project / "saved_model").newest


def test_the_originals_training_writes_checkpoints_and_embeddings(project, trained):
    names = {path.name for path in (project / "saved_model").iterdir()}
    tables = {f"embedding_{trained}.npy", f"speaker_embedding_{trained}.npy"}
    assert {f"weights-{trained}.weights.h5", "config.json"} | tables <= names
    config = json.loads((project / "saved_model" / "config.json").read_text())
    assert list(config["speakers"]) == ["p225", "p226", "p243"]
    assert config["preset"]["bottleneck"]["config"]["num_embeddings"] == 32
    assert list((project / "logs").glob("events*"))
    train = len(open_corpus(project / "data" / "VCTK-Corpus").split("train"))
    assert trained == -(-train // 4)


def test_the_originals_generation_writes_a_file_per_speaker(project, trained, monkeypatch, capsys):
    monkeypatch.chdir(project)
    restore = f"saved_model/weights-{trained}"
    line = f"generate -restore {restore} -audio data/VCTK-Corpus/wav48/p225/p225_001.wav"
    line += " -speakers p225 p243 p226 -mode sample -save generated"
    assert main(line.split()) == 0
    files = [project / f"generated/{trained}_{name}.wav" for name in ("p225", "p243", "p226")]
    for file in files:
        facts = soundfile.info(file)
        assert (facts.samplerate, facts.channels, facts.subtype) == (16_000, 1, "PCM_16")
        assert facts.frames == 4800
    assert len({file.read_bytes() for file in files}) == 3
    assert capsys.readouterr().out.split() == [str(file.relative_to(project)) for file in files]


def test_generated_files_are_not_overwritten(project, trained, monkeypatch):
    monkeypatch.chdir(project)
    line = f"generate -restore saved_model/weights-{trained} -speakers p226 -save twice -audio"
    for number in (1, 2):
        assert main([*line.split(), f"data/VCTK-Corpus/wav48/p226/p226_00{number}.wav"]) == 0
    names = sorted(path.name for path in (project / "twice").iterdir())
    assert names == [f"{trained}_p226-2.wav", f"{trained}_p226.wav"]


def test_the_originals_visualisation_writes_vectors_and_metadata(project, trained, monkeypatch):
    monkeypatch.chdir(project)
    for name in ("embedding", "speaker_embedding"):
        shutil.copy(f"saved_model/{name}_{trained}.npy", f"saved_model/{name}_copy.npy")
    line = f"visualise -embedding saved_model/embedding_{trained}.npy"
    line += f" -speaker saved_model/speaker_embedding_{trained}.npy -save embeddings"
    assert main(line.split()) == 0
    meta = (project / f"embeddings/speaker_embedding_{trained}_meta.tsv").read_text()
    assert "23#F#English#Southern#England" in meta
    assert meta.count("#F#") == 1
    vectors = np.loadtxt(project / f"embeddings/embedding_{trained}_vecs.tsv")
    assert vectors.shape == (32, 8)
    lines = (project / f"embeddings/embedding_{trained}_meta.tsv").read_text().split()
    assert lines == [str(code) for code in range(32)]


def test_restore_continues_for_another_epoch(project, trained, monkeypatch):
    monkeypatch.chdir(project)
    shutil.copytree("saved_model", "again")
    line = f"train VCTK -m 1 -e 1 -restore again/weights-{trained} -params model_parameters.json"
    assert main(line.split()) == 0
    assert load_run("again").newest == 2 * trained


def test_train_generate_and_visualise_a_run(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = f"train --data {folder} --preset tiny --steps 4 --length 512 --batch-size 2 --seed 3"
    assert main([*line.split(), "--run", "results/small"]) == 0
    run = load_run("results/small")
    assert run.steps == [4]
    assert run.preset.training.segment_length == 512
    assert run.preset.training.seed == 3
    audio = [str(folder / name) for name in ("ann/ann_000.wav", "bob/bob_001.wav")]
    options = "--speakers bob --mode greedy --temperature 0.9 --save generated".split()
    assert main(["generate", "--run", "results/small", "--audio", *audio, *options]) == 0
    names = sorted(path.name for path in (tmp_path / "generated").iterdir())
    assert names == ["4_ann_000_bob.wav", "4_bob_001_bob.wav"]
    assert main("visualise --run results/small --save exported".split()) == 0
    assert (tmp_path / "exported/projector_config.json").is_file()


def test_prepare_prints_the_layout(folder, capsys):
    assert main(["prepare", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "folders (it has one subfolder per speaker)" in out
    assert "2 speakers" in out


def test_prepare_lists_skipped_and_short_recordings(tmp_path, capsys):
    speech = make_folders(tmp_path / "speech", {"ann": 200.0, "bob": 100.0}, 2)
    (speech / "ann" / "memo.m4a").write_bytes(b"")
    (speech / "ann" / "broken.wav").write_text("words")
    assert main(["prepare", str(speech), "--level", "-30", "--hold-out", "speakers"]) == 0
    out = capsys.readouterr().out
    assert "left out ann/memo.m4a: .m4a cannot be read" in out
    assert "skipped ann/broken: " in out
    assert "padded with zeros in crops: ann/ann_000, ann/ann_001, bob/bob_000, bob/bob_001" in out
    assert "held_out: 2 utterances" in out


def test_commands_accept_the_short_names_of_corpora(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    for command in ("info", "check", "prepare"):
        assert main([command, "VCTK"]) == 0
        assert "VCTK 0.80" in capsys.readouterr().out
    assert main(["info", "LibriSpeech"]) == 2
    assert "vqwn download" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("what", "expected"), [("original", "2250 bits per second"), ("tiny", "32 codes of 8")]
)
def test_info_describes_presets(what, expected, capsys):
    assert main(["info", what]) == 0
    assert expected in capsys.readouterr().out


def test_info_describes_runs_and_corpora(run, folder, capsys):
    assert main(["info", str(run.folder)]) == 0
    assert "checkpoints              10, 20" in capsys.readouterr().out
    assert main(["info", str(folder)]) == 0
    assert "2: ann, bob" in capsys.readouterr().out
    assert main(["info", str(ROOT / "results" / "mini")]) == 0
    assert "at step 4500, with pre-emphasis 0.85" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train {none}", "no such folder"),
        ("train", "no DATASET"),
        ("train {folder} --preset minni", "did you mean 'mini'"),
        ("train {folder} --preset tiny --steps 0", "steps is 0"),
        ("train {folder} --preset tiny -b 0", "batch_size is 0"),
        ("train {folder} --preset tiny --steps 1 --save {text}/w/w", "create the folder"),
        ("train {folder} --preset tiny --steps 1 --minutes -1 --save {none}/w", "minutes is -1"),
        ("run --data {folder} --preset tiny --steps 0", "steps is 0"),
        ("train {folder} --preset tiny -l 1000", "multiple of the encoder's hop"),
        ("train {folder} --restore {run} --preset mini", "uses the run's own preset"),
        ("generate -restore {none} -audio {wav} -speakers ann", "no run at"),
        ("generate -restore {run} -audio {none} -speakers ann", "no such recording"),
        ("generate -restore {run} -audio {text} -speakers ann", "is no sound"),
        ("generate -restore {run} -audio {wav} -speakers anna", "did you mean 'ann'"),
        ("generate -restore {run} -audio {wav} -speakers ann --temperature 0", "above 0"),
        ("visualise -embedding {none}.npy", "no such file"),
        ("visualise", "nothing to visualise"),
        ("info {none}", "no run"),
        ("info mnii", "did you mean 'mini'"),
        ("prepare {none}", "no such folder"),
    ],
)
def test_bad_input_gives_status_2_and_a_message(line, message, run, folder, tmp_path, capsys):
    (tmp_path / "text.wav").write_text("words")
    names = {"none": tmp_path / "none", "folder": folder, "run": run.folder}
    names |= {"wav": folder / "ann/ann_000.wav", "text": tmp_path / "text.wav"}
    assert main(line.format(**names).split()) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("vqwn: ")
    assert message in error


def test_a_tensorflow_1_checkpoint_is_refused(folder, tmp_path, capsys):
    (tmp_path / "weights-110640.index").write_bytes(b"")
    line = f"generate -restore {tmp_path / 'weights-110640'} -audio {folder / 'ann/ann_000.wav'}"
    assert main([*line.split(), "-speakers", "p225"]) == 2
    assert "TensorFlow 1 checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train {folder} --preset tiny --steps 2 --epochs 1", "--steps and --epochs"),
        ("train {folder} --preset tiny --save a/w --run b", "--save and --run"),
        ("visualise --run a --embedding b.npy", "--run and --embedding"),
        ("train {folder} --preset tiny --log-audio --steps 2", "--log FOLDER"),
        ("train {folder} --preset tiny --set steps", "NAME=VALUE"),
        ("train {folder} --preset tiny --freeze encodr", "did you mean 'encoder'"),
    ],
)
def test_contradictory_options_are_refused(folder, tmp_path, monkeypatch, capsys, line, message):
    monkeypatch.chdir(tmp_path)
    assert main(line.format(folder=folder).split()) == 2
    assert message in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*.h5")]


def test_parts_are_changed_loaded_and_frozen(folder, run, tmp_path):
    mixture = "decoder.distribution=logistic-mixture"
    line = f"train {folder} --preset tiny --steps 2 --set {mixture} sampling=duration"
    options = f"--parts encoder={run.folder} bottleneck={run.folder} --freeze encoder bottleneck"
    log = f"--log {tmp_path}/logs --log-audio --run {tmp_path}/new"
    assert main([*line.split(), *options.split(), *log.split()]) == 0
    new = load_run(tmp_path / "new")
    assert new.preset.training.freeze == ("encoder", "bottleneck")
    assert new.preset.training.sampling == "duration"
    assert new.model.decoder.distribution.num_components == 10
    before, after = (r.model.encoder.get_weights() for r in (run, new))
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "bench"])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    out = capsys.readouterr().out
    assert out.startswith(f"usage: vqwn {command}")
    assert COMMANDS[command][1].__doc__.split()[0] in out


def test_bench_runs_the_benchmarks_with_all_its_arguments(tmp_path, monkeypatch, capfd):
    benchmarks = tmp_path / "benchmarks"
    benchmarks.mkdir()
    (benchmarks / "__init__.py").touch()
    (benchmarks / "__main__.py").write_text("import sys\nprint(sys.argv[1:])\nsys.exit(3)")
    monkeypatch.setattr("vqwn_kit.cli.main.project_root", lambda: tmp_path)
    assert main(["bench", "--json", "x.json", "data", "--help"]) == 3
    assert "['--json', 'x.json', 'data', '--help']" in capfd.readouterr().out


def test_bench_without_a_checkout_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vqwn_kit.cli.main.project_root", lambda: tmp_path)
    assert main(["bench"]) == 2
    assert "run this command in a checkout" in capsys.readouterr().err
