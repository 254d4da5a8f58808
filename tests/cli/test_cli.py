"""The command line: the original VQ-VAE-WaveNet's options, and those of this package."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests.conftest import ROOT, make_folders, make_vctk, tones
from vqwn_kit import convert_voice, load_audio, load_run, open_corpus, save_audio
from vqwn_kit.cli.main import COMMANDS, main
from vqwn_kit.data.audio import read, resample
from vqwn_kit.presets.preset import PRESETS
from vqwn_kit.runs.added_voices import AddedVoice, save_voice
from vqwn_kit.sampling.pitch import waveform_pitch
from vqwn_kit.sampling.sampler import Sampler


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


def test_the_original_distinguishes_several_recordings_by_their_names(
    project, trained, monkeypatch
):
    monkeypatch.chdir(project)
    folder = "data/VCTK-Corpus/wav48/p225"
    line = f"generate -restore saved_model/weights-{trained} -speakers p226 -save several -audio"
    assert main([*line.split(), f"{folder}/p225_001.wav", f"{folder}/p225_002.wav"]) == 0
    names = sorted(path.name for path in (project / "several").iterdir())
    assert names == [f"{trained}_p225_001_p226.wav", f"{trained}_p225_002_p226.wav"]


def test_generate_writes_at_the_rate_and_level_of_the_recording(run, tmp_path, capsys):
    recording = tmp_path / "a.wav"
    save_audio(recording, resample(tones(0.2, 200.0) / 8, 16_000, 22_050), 22_050)
    line = f"generate --run {run.folder} --audio {recording} --speakers bob --save {tmp_path}"
    assert main([*line.split(), "--rate", "input", "--level", "input"]) == 0
    made, given = read(tmp_path / "a_as_bob.wav"), read(recording)
    assert (made.sample_rate, len(made.waveform)) == (22_050, len(given.waveform))
    levels = [np.sqrt(np.mean(sound.waveform**2)) for sound in (made, given)]
    assert levels[0] == pytest.approx(levels[1], rel=0.02)
    for option in ("--rate high", "--rate 3", "--level loud"):
        assert main([*line.split(), *option.split()]) == 2
        assert "expected" in capsys.readouterr().err


def test_runs_are_compared_on_a_page(run, residual_run, folder, tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.html"
    runs = [str(run.folder), str(residual_run.folder)]
    more = ["--data", str(folder), "--utterances", "1", "--no-maps", "--save", str(page)]
    assert main(["compare-runs", *runs, *more]) == 0
    assert capsys.readouterr().out.endswith(f"{page}\n")
    assert page.read_text().count('<div id="widget-') == 1
    assert main(["compare-runs", runs[0], *more]) == 2
    assert "1 runs; a comparison takes 2 to 8 runs" in capsys.readouterr().err
    monkeypatch.setattr(
        "vqwn_kit.compare_runs", pytest.fail
    )  # what takes long comes after the checks
    assert main(["compare-runs", *runs, "--save", "page.txt"]) == 2
    assert (
        "page.txt: cannot write a page: give a name that ends in .html" in capsys.readouterr().err
    )


def test_ctrl_c_is_status_130_and_says_what_is_kept(run, folder, tmp_path, monkeypatch, capsys):
    original = Sampler.stream

    def interrupted(self, *args, **settings):
        yield next(original(self, *args, **settings))
        raise KeyboardInterrupt

    monkeypatch.setattr("vqwn_kit.sampling.sampler.Sampler.stream", interrupted)
    recording = folder / "ann/ann_000.wav"
    line = f"generate --run {run.folder} --audio {recording} --speakers bob --save {tmp_path}"
    assert main(line.split()) == 130
    shown = capsys.readouterr()
    assert "the sound so far is kept" in shown.err
    assert 0 < soundfile.info(shown.out.strip()).frames < soundfile.info(recording).frames


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
    assert names == ["ann_000_as_bob.wav", "bob_001_as_bob.wav"]
    assert main("visualise --run results/small --save exported".split()) == 0
    assert (tmp_path / "exported/projector_config.json").is_file()


def test_recordings_are_converted_from_the_first_codebooks(residual_run, folder, tmp_path):
    recording = folder / "ann/ann_000.wav"
    line = f"generate --run {residual_run.folder} --audio {recording} --speakers bob --codebooks 1"
    assert main([*line.split(), "--save", str(tmp_path)]) == 0
    saved, _ = soundfile.read(tmp_path / "ann_000_as_bob.wav")
    wave = load_audio(recording)
    (expected,) = convert_voice(residual_run.model, wave, ["bob"], codebooks=1)
    np.testing.assert_allclose(saved, expected, atol=1e-4)
    (every,) = convert_voice(residual_run.model, wave, ["bob"])
    assert np.abs(saved - every).max() > 1e-3


def test_voices_are_added_listed_used_and_removed(run, folder, tmp_path, monkeypatch, capsys):
    def fitted(fit, ends, show):
        fit.errors["bits per sample"] = (4.0, "bob", 3.5)
        return np.ones(4, np.float32)

    monkeypatch.setattr("vqwn_kit.training.add_voice.VoiceFit.run", fitted)
    shutil.copytree(run.folder, tmp_path / "results" / "own")
    monkeypatch.setenv("VQWN_RESULTS", str(tmp_path / "results"))  # so `own` is the name of a run
    copy, speech = "own", tmp_path / "speech"
    for number in range(3):
        save_audio(speech / f"{number}.wav", tones(2.0, 100.0 + 20 * number))
    assert main(["add-voice", copy, str(speech), "--name", "Eve 2"]) == 0
    printed = capsys.readouterr().out
    assert "Eve 2: 6.0 s of speech, bits per sample 3.500 (bob: 4.000)" in printed
    assert "Eve 2.npz" in printed
    save_voice(load_run(copy).folder, AddedVoice("old", np.zeros(4), 10))
    assert main(["add-voice", copy, "--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed[0].startswith("Eve 2: 6.0 s of speech")
    assert "of step 10, while the run is at 20: add it again" in listed[1]
    audio = str(folder / "ann" / "ann_000.wav")
    line = shlex.split(printed.splitlines()[-1].removeprefix("next: vqwn "))
    line = [audio if word == "FILE" else word for word in line] + ["--save", str(tmp_path / "made")]
    assert main(line) == 0
    sound = load_audio(tmp_path / "made" / "ann_000_as_Eve 2.wav")
    expected = convert_voice(load_run(copy).model, load_audio(audio), ["Eve 2"])[0]
    np.testing.assert_allclose(sound, expected, atol=1e-4)
    assert main(["add-voice", copy, "--remove", "Eve 2"]) == 0
    assert "removed" in capsys.readouterr().out
    assert main(line) == 2
    assert "no speaker 'Eve 2'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "give one of: sounds and --name, --list, or --remove NAME"),
        (["--list", "--name", "eve"], "give one of"),
        (["--name", "eve"], "a new voice needs sounds, a folder or files"),
        (["a.wav"], "a new voice needs a name: --name ann"),
        (["nowhere.wav", "--name", "eve"], "no such recording: nowhere.wav"),
        (["nowhere.wav", "--name", "ann"], "has a voice 'ann' already"),
        (["--remove", "eve"], "no voice was added to"),
    ],
)
def test_a_voice_that_cannot_be_added_gives_status_2(run, capsys, more, message):
    assert main(["add-voice", str(run.folder), *more]) == 2
    assert message in capsys.readouterr().err


def test_a_seed_of_a_new_voice_below_0_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["add-voice", "RUN", "a.wav", "--name", "eve", "--seed", "-1"])
    assert ended.value.code == 2
    assert "'-1': expected a whole number from 0 on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train x --restore own --preset mini", "uses the run's own preset"),
        ("prior own --score --restore", "--score trains nothing"),
        ("evaluate own --sampled -1 --data {folder}", "sampled=-1"),
        ("generate --run own --from-prior --speakers ann", "own has no prior"),
    ],
)
def test_commands_take_the_name_of_a_run(line, message, run, folder, tmp_path, monkeypatch, capsys):
    shutil.copytree(run.folder, tmp_path / "results" / "own")
    monkeypatch.setenv("VQWN_RESULTS", str(tmp_path / "results"))
    assert main(line.format(folder=folder).split()) == 2
    assert message in capsys.readouterr().err


def test_restoring_a_run_by_its_name_resumes_it(run, folder, tmp_path, monkeypatch):
    given = {}
    shutil.copytree(run.folder, tmp_path / "results" / "own")
    monkeypatch.setenv("VQWN_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr("vqwn_kit.train", lambda *_, **named: given.update(named) or run)
    assert main(["train", str(folder), "--restore", "own", "--steps", "3"]) == 0
    opened = load_run(given["restore"])
    assert (opened.folder, opened.newest) == (tmp_path / "results" / "own", 20)
    assert given["steps"] == 23


def test_prepare_prints_the_layout(folder, capsys):
    assert main(["prepare", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "folders (it has one subfolder per speaker; ann, bob)" in out
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
    assert "at step 4000, of the pre-emphasised waveform (0.85)" in capsys.readouterr().out


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
        (
            "generate -restore {run} -audio {wav} -speakers ann --codebooks 2",
            "codebooks=2; expected 1",
        ),
        ("evaluate {run} --links --targets 1", "--links and --targets exclude each other"),
        ("evaluate {run} --links --no-originals", "--links and --originals exclude each other"),
        ("visualise -embedding {none}.npy", "no such file"),
        ("visualise", "nothing to visualise"),
        ("info {none}", "no run"),
        ("info mnii", "did you mean 'mini'"),
        ("prepare {none}", "no such folder"),
        ("train {folder} --epochs nan", "--epochs nan: expected a number above 0"),
        ("train {folder} --epochs inf", "--epochs inf: expected a number above 0"),
        ("train {folder} --set learning_rate=NaN", "learning_rate is nan"),
        ("train {folder} --set learning_rate=-1", "learning_rate is -1"),
        ("train {folder} --set freeze=5", "freeze is 5"),
        ("train {folder} --set first_stage=5", "first_stage is 5"),
        ("train {folder} --set decoder.config=5", "decoder.config is 5"),
        ("train {folder} --set batch_size=1000000000", "at most 268,435,456 samples"),
        ("train {folder} --set num_embeddings=9", "give bottleneck.num_embeddings=9"),
        ("train {folder} --set num_embedings=9", "did you mean 'bottleneck.num_embeddings'"),
        ("train {folder} --set K=-5", "num_embeddings is -5"),
        ("train {folder} --set K=1000000000000", "at most 16,777,216"),
        ("train {folder} --set bottleneck.num_embedings=9", "did you mean 'num_embeddings'"),
        ("train {folder} --set bottleneck=fsq K=9", "K=9: the codes of FiniteScalarQuantizer"),
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


@pytest.mark.parametrize("command", ["generate --restore r --speakers a", "train x", "run"])
@pytest.mark.parametrize("seed", ["-1", "1.5", "x", "9" * 5000])
def test_a_seed_is_a_whole_number(command, seed, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([*command.split(), "--seed", seed])
    assert "expected a whole number from 0 on" in capsys.readouterr().err


def vqwn(*arguments: str, **settings) -> subprocess.CompletedProcess:
    """Run the command in a process of its own."""
    environment = os.environ | settings.pop("env", {})
    command = [sys.executable, "-X", "importtime", "-m", "vqwn_kit", *map(str, arguments)]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | settings
    return subprocess.run(command, cwd=ROOT, env=environment, **settings)


def messages(done: subprocess.CompletedProcess) -> list[str]:
    """Return the lines that a process wrote, without those of `-X importtime`."""
    return [line for line in done.stderr.splitlines() if not line.startswith("import time:")]


def test_a_wrong_setting_is_refused_before_tensorflow_loads(folder):
    done = vqwn("train", folder, "--set", "decoder.network.kernel=3")
    assert done.returncode == 2
    assert "did you mean 'kernel_size'" in messages(done)[-1]
    assert "| tensorflow" not in done.stderr


def test_a_reader_that_ends_early_ends_the_command_quietly():
    read, write = os.pipe()
    os.close(read)
    done = vqwn("download", stdout=write)
    os.close(write)
    assert done.returncode == 141
    assert messages(done) == []


@pytest.mark.parametrize("backend", ["jax", "torch", "numpy"])
def test_another_backend_is_named_with_what_to_do(backend):
    done = vqwn("info", "tiny", env={"KERAS_BACKEND": backend})
    assert done.returncode == 2
    assert messages(done)[-1].startswith(f"vqwn: the backend of Keras is '{backend}'")
    assert "KERAS_BACKEND=tensorflow" in messages(done)[-1]
    assert "| tensorflow" not in done.stderr


def test_a_missing_tensorflow_is_named_with_what_to_install():
    code = (
        "import importlib.util as util, sys\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'tensorflow' else find(name, *rest)\n"
        "from vqwn_kit.cli.main import main\n"
        "sys.exit(main(['info', 'tiny']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "vqwn: TensorFlow is not installed: pip install 'tensorflow" in done.stderr


def test_no_backend_and_an_old_keras_for_other_projects_are_no_hindrance(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    keras_of_others = {"KERAS_HOME": str(tmp_path), "TF_USE_LEGACY_KERAS": "1"}
    done = vqwn("info", "tiny", env={"KERAS_BACKEND": ""} | keras_of_others)
    assert done.returncode == 0, done.stderr
    assert messages(done) == []


def test_nothing_but_the_temporary_folder_has_to_be_writable(tmp_path):
    """Numba caches the functions of librosa there; onnxruntime keeps no number of the user."""
    code = (
        "import os, sys, time\n"
        "make, room = os.makedirs, sys.argv[1]\n"
        "def refuse(path, *args, **settings):\n"
        "    if not str(path).startswith(room):\n"
        "        raise PermissionError(13, 'read-only', path)\n"
        "    make(path, *args, **settings)\n"
        "os.makedirs, os.access = refuse, lambda path, mode, **_: str(path).startswith(room)\n"
        "import vqwn_kit, librosa, swift_f0\n"
        "librosa.note_to_hz('A4')\n"
        "swift_f0.SwiftF0()\n"
        "assert os.environ['NUMBA_CACHE_DIR'].startswith(room)\n"
        "time.sleep(1)  # onnxruntime's own thread\n"
    )
    home = {"HOME": "/proc/none", "TMPDIR": str(tmp_path), "MPLCONFIGDIR": str(tmp_path / "mpl")}
    environment = os.environ | home | {"NUMBA_CACHE_DIR": ""}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(tmp_path.glob("numba-*"))  # it is removed at the end


def test_a_keras_with_channels_first_works_and_nothing_but_that_is_said(tmp_path):
    """No start-up line of TensorFlow reaches the user either."""
    (tmp_path / "keras.json").write_text('{"image_data_format": "channels_first"}')
    done = vqwn("info", "tiny", env={"KERAS_HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "32 codes of 8" in done.stdout
    (line,) = messages(done)
    assert line.startswith("note: the settings of Keras")


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


@pytest.mark.usefixtures("estimator")
def test_generate_transposes_a_run_with_pitch_and_no_other(pitch_run, run, tmp_path, capsys):
    audio = tmp_path / "tone.wav"
    save_audio(audio, tones(0.2, 200.0))
    line = f"--audio {audio} --speakers bob --mode greedy --save {tmp_path / 'made'}".split()
    for more in ([], ["--transpose", "3"]):
        assert main(["generate", "--restore", str(pitch_run.folder), *line, *more]) == 0
    plain, higher = (soundfile.read(file)[0] for file in capsys.readouterr().out.split())
    wave = load_audio(audio)
    pitch = waveform_pitch(pitch_run.model, wave)
    for made, track in ((plain, pitch), (higher, pitch + 3)):
        expected = convert_voice(pitch_run.model, wave, ["bob"], mode="greedy", pitch=track)[0]
        assert np.abs(made - expected).max() < 1e-4
    assert not np.array_equal(plain, higher)
    assert main(["generate", "--restore", str(run.folder), *line, "--transpose", "3"]) == 2
    assert "not conditioned on pitch" in capsys.readouterr().err
