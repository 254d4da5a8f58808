"""House rules: who imports whom, what is shipped, what stands in the committed files."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from vqwn_kit import load_run

PACKAGE = ROOT / "vqwn_kit"
# Folders in the order of the data. Each imports from those before it only; the first three take
# plain arrays, so that any other folder may use them.
FLOW = (
    "evaluation.metrics plots widgets data models sampling presets runs training evaluation prior "
    "projector workbench lessons cli"
).split()
ROOT_FILES = {"__init__", "__main__", "errors", "files", "waveforms"}
MAY_IMPORT = {  # folders that take less than all before them; the files at the top aside
    "evaluation.metrics": set(),
    "plots": {"evaluation.metrics"},
    "widgets": {"evaluation.metrics", "plots"},
    "data": {"plots"},
    "models": set(),
    "lessons": {"models", "plots", "evaluation.metrics"},
}


SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}  # of the changelog


def folder_of(module: str) -> str:
    """Return the folder of FLOW that a module, written with dots, is in."""
    inside = [name for name in FLOW if f"{module}.".startswith(f"{name}.")]
    return max(inside, key=len) if inside else module.partition(".")[0]


def modules() -> dict[str, Path]:
    paths = PACKAGE.rglob("*.py")
    return {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in paths}


def imported_by(path: Path) -> set[str]:
    """Return the modules of the package that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vqwn_kit"):
            _, _, inside = node.module.partition(".")
            found |= {f"{inside}.{alias.name}".strip(".") for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("vqwn_kit.")]
            found |= {name.partition(".")[2] for name in names}
    return found


def test_a_newcomer_sees_twenty_entries_at_most():
    unseen = {"__pycache__", "py.typed"}  # the second is an empty mark for type checkers
    seen = [path.name for path in PACKAGE.iterdir() if path.name not in unseen]
    assert len(seen) <= 20, sorted(seen)


def test_the_flow_names_every_folder():
    folders = {folder_of(module) for module in modules()} - ROOT_FILES
    assert folders == set(FLOW)
    assert {module for module in modules() if "." not in module} == ROOT_FILES


@pytest.mark.parametrize("folder", FLOW)
def test_a_folder_imports_only_from_those_before_it(folder):
    allowed = MAY_IMPORT.get(folder, set(FLOW[: FLOW.index(folder)]))
    for module, path in modules().items():
        if folder_of(module) == folder:
            used = {folder_of(name) for name in imported_by(path)} - ROOT_FILES - {folder}
            assert used <= allowed, f"{module} imports {sorted(used - allowed)}"


@pytest.mark.parametrize("folder", FLOW)
def test_there_is_no_circle_within_a_folder(folder):
    graph = TopologicalSorter()
    for module, path in modules().items():
        if folder_of(module) == folder:
            used = imported_by(path) | {name.rpartition(".")[0] for name in imported_by(path)}
            graph.add(module, *(used & modules().keys() - {module}))
    graph.prepare()  # raises CycleError


def test_models_know_keras_and_errors_only():
    known = {"functools", "inspect", "keras", "librosa", "math", "numpy", "scipy", "tensorflow"}
    for path in (PACKAGE / "models").glob("*.py"):
        if path.stem in ("__init__", "tensorflow"):
            continue
        assert not {name for name in imported_by(path) if name.startswith("files")}, path.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert {name.partition(".")[0] for name in names} <= known, path.name


def test_functions_fit_on_a_screen_and_constructors_of_models_are_narrow():
    """At most 60 lines; at most 10 arguments of a model's constructor, 12 of a quantizer's."""
    for module, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            where = f"{module}.{node.name}, line {node.lineno}"
            assert node.end_lineno - node.lineno < 60, where
            if module.startswith("models") and node.name == "__init__":
                most = 12 if module.endswith("quantizers") else 10
                assert len(node.args.args) - 1 <= most, where


@pytest.mark.parametrize("folder", FLOW)
def test_a_folder_says_what_it_is(folder):
    """What enters, what leaves, what it may import, how to add one."""
    text = ast.get_docstring(
        ast.parse((PACKAGE / folder.replace(".", "/") / "__init__.py").read_text())
    )
    for word in ("Enters:", "Leaves:", "May import:", "To add"):
        assert word in text, f"{folder}: no {word!r}"
    assert 6 <= len(text.splitlines()) <= 25


def test_tests_mirror_the_package():
    folders = {name.replace(".", "/") for name in FLOW} | {
        ".",
        "benchmarks",
        "scripts",
        "notebooks",
    }
    for path in (ROOT / "tests").rglob("test_*.py"):
        assert str(path.parent.relative_to(ROOT / "tests")) in folders, path


def ends_well(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_data_code_and_help_import_no_tensorflow():
    code = (
        "import sys, vqwn_kit, vqwn_kit.data.store, vqwn_kit.data.segments\n"
        "import vqwn_kit.presets.preset, vqwn_kit.runs.run, vqwn_kit.evaluation.score_card\n"
        "import vqwn_kit.projector.server, vqwn_kit.plots\n"
        "import vqwn_kit.evaluation.metrics.listening_test\n"
        "from vqwn_kit.cli.main import main\n"
        "vqwn_kit.example_corpus()\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'tensorflow', 'keras', 'umap', 'matplotlib', 'librosa', 'anywidget'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    ends_well(code)


def test_public_names_can_be_imported():
    import vqwn_kit

    folders = {name.partition(".")[0] for name in FLOW}
    assert len(set(vqwn_kit.__all__) - folders) <= 45
    for name in vqwn_kit.__all__:
        assert getattr(vqwn_kit, name) is not None
    with pytest.raises(AttributeError, match="attribute nonsense"):
        vqwn_kit.nonsense  # noqa: B018


def requirement(line: str) -> str:
    return re.split(r"[\s<>=!~;\[]", line.strip(), maxsplit=1)[0].lower().replace("_", "-")


def test_environment_for_conda_is_in_step_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    *conda, pip = environment["dependencies"]
    assert environment["name"] == project["name"]
    assert [requirement(line) for line in conda] == ["python", "pip"]
    assert conda[0] == f"python{project['requires-python']}"
    (install,) = pip["pip"]
    extras = set(re.fullmatch(r"-e \.\[(.+)\]", install)[1].split(","))
    assert extras == {"cpu", "lab", "eval", "test"} <= set(project["optional-dependencies"])


def test_lock_holds_every_requirement_and_no_address():
    lock = (ROOT / "requirements.lock").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = {requirement(line) for line in lock.splitlines() if "==" in line}
    wanted = list(project["dependencies"])
    for extra in ("cpu", "lab", "eval", "test", "dev"):
        wanted += project["optional-dependencies"][extra]
    assert {requirement(line) for line in wanted} <= locked
    assert "://" not in lock


def test_what_is_imported_without_a_choice_is_always_installed():
    """TensorFlow aside, which has an extra for each kind of processor."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {"IPython": "ipython", "sklearn": "scikit-learn", "umap": "umap-learn"}
    here = {requirement(line) for line in project["dependencies"]} | {"vqwn-kit", "tensorflow"}
    for module, path in modules().items():
        used = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                used |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used.add((node.module or "").partition(".")[0])
        used = {names.get(name, name).replace("_", "-") for name in used - sys.stdlib_module_names}
        assert used <= here, (module, used - here)


def test_tensorboard_starts_and_shows_what_a_training_logs(tmp_path):
    code = (
        "import json, urllib.request\n"
        "from vqwn_kit.models.tensorflow import tf\n"
        f"folder = {str(tmp_path)!r}\n"
        "with tf.summary.create_file_writer(folder).as_default():\n"
        "    tf.summary.scalar('loss', 0.5, step=3)\n"
        "from tensorboard import default, program\n"
        "server = program.TensorBoard(plugins=default.get_plugins())\n"
        "server.configure(argv=[None, '--logdir', folder, '--port', '0'])\n"
        "url = server.launch() + 'data/plugin/scalars/scalars?run=.&tag=loss'\n"
        "((_, step, loss),) = json.load(urllib.request.urlopen(url))\n"
        "assert (step, loss) == (3, 0.5)\n"
    )
    ends_well(code)


def test_citation_and_changelog_are_of_this_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    headings = [line for line in lines if line.startswith("#")]
    assert headings[1].startswith(f"## [{version}]")
    assert {line[4:] for line in headings if line.startswith("### ")} <= SECTIONS
    assert max(map(len, lines)) <= 100


def committed() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("this copy has no git folder, so what is committed is not known")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_committed_notebooks_are_executed_lean_and_clean():
    notebooks = [path for path in committed() if path.suffix == ".ipynb"]
    assert notebooks
    for path in notebooks:
        assert path.stat().st_size < 1_000_000, path.name
        content = json.loads(path.read_text(encoding="utf-8"))
        assert "widgets" not in content["metadata"], path.name
        code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
        assert 25 <= len(content["cells"]) <= 45, path.name
        assert all(len("".join(cell["source"]).splitlines()) <= 12 for cell in code), path.name
        assert all(cell["execution_count"] for cell in code), path.name
        outputs = [output for cell in code for output in cell["outputs"]]
        assert any("image/png" in output.get("data", {}) for output in outputs), path.name
        assert not any(output["output_type"] == "error" for output in outputs), path.name
        assert str(Path.home()) not in json.dumps(outputs), path.name
        assert "absl::" not in json.dumps(outputs), f"{path.name}: start-up lines of TensorFlow"
        sources = ["".join(cell["source"]) for cell in content["cells"]]
        assert sources[0].startswith(f"# {path.name[:2]} · "), path.name
        assert {"## Setup", "## What we learned", "## Try it"} <= set(
            "\n".join(sources).split("\n")
        )
        assert any('environ.get("VQWN_PRESET"' in source for source in sources), path.name
        for cell in code:
            for node in ast.walk(ast.parse("".join(cell["source"]))):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    assert node.end_lineno - node.lineno < 8, f"{path.name}: {node.name}"


def test_widgets_import_no_tensorflow():
    code = (
        "import sys, numpy as np, vqwn_kit as vq\n"
        "vq.Player({'a': np.zeros(800, 'f4')}).figure()\n"
        "vq.Explorer({'PCA': np.eye(2)}, ['a', 'b']).figure()\n"
        "import vqwn_kit.widgets.lab\n"
        "from vqwn_kit.widgets.monitor import TrainingMonitor\n"
        "TrainingMonitor(lambda monitor: None).start().wait()\n"
        "sys.exit('TensorFlow came along' if 'tensorflow' in sys.modules else 0)"
    )
    ends_well(code)


def test_wheel_would_contain_the_presets_and_what_browsers_run():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["vqwn_kit"]
    shipped = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    kinds = ("py.typed", "*.pyi", "**/*.json", "**/*.html", "**/*.js", "**/*.css")
    assert shipped == {path for kind in kinds for path in PACKAGE.glob(kind)}
    assert {path.name for path in shipped} >= {"mini.json", "player.js", "explorer.js", "style.css"}


def test_readme_example_runs(tmp_path, monkeypatch):
    """The Python example as it stands, with the smallest preset and two steps."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(code.strip().splitlines()) <= 10
    small = code.replace('"mini", minutes=4', '"tiny", steps=2')
    small = small.replace('"data/mini', f'"{ROOT}/data/mini')
    assert small.count("steps=2)") == 1
    monkeypatch.setenv("VQWN_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(small, names)
    assert names["audio"].shape == (2, names["codes"].shape[1] * 160)
    assert (tmp_path / "as_joe.wav").is_file()
    assert names["own"].newest == 2


def test_readme_and_guides_name_every_command_preset_notebook_and_layout():
    from vqwn_kit.cli.main import _parser
    from vqwn_kit.data.layouts import LAYOUTS
    from vqwn_kit.presets.preset import preset_names

    guides = ("commands", "presets", "your-data")
    texts = [(ROOT / f"site/guides/{name}.md").read_text(encoding="utf-8") for name in guides]
    (commands,) = _parser()._subparsers._group_actions
    assert set(re.findall(r"\| `vqwn ([\w-]+)", texts[0])) == set(commands.choices) - {"visualize"}
    assert [name for name in preset_names() if f"| `{name}` |" not in texts[1]] == []
    readable = [name for name, layout in LAYOUTS.items() if not layout.refusal]
    assert [name for name in readable if f"`{name}`" not in texts[2]] == []
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    notebooks = [path.name for path in (ROOT / "notebooks").glob("*.ipynb")]
    assert [name for name in notebooks if f"(notebooks/{name})" not in readme] == []


def test_bars_write_a_line_per_second_at_most_where_there_is_no_terminal():
    code = (
        "import vqwn_kit, sys; from tqdm import tqdm\n"
        "sys.exit(0 if tqdm(range(3), file=sys.stdout).mininterval == 1.0 else 1)"
    )
    ends_well(code)


def test_the_wheel_holds_the_bundled_corpus_and_its_run():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["data-files"]
    held = {path for globs in patterns.values() for glob in globs for path in ROOT.glob(glob)}
    assert {path for path in (ROOT / "data/mini").rglob("*") if path.is_file()} <= held
    run, prior = load_run("mini"), ROOT / "results/mini/prior"
    needed = [
        run.weights_file(run.newest),
        run.folder / "config.json",
        run.folder / "history.jsonl",
    ]
    assert {path.resolve() for path in needed} | set(prior.glob("*.*")) <= held
    for folder, globs in patterns.items():
        assert all(folder == f"share/vqwn_kit/{Path(glob).parent.as_posix()}" for glob in globs)


def test_tensorflow_is_imported_by_the_module_that_swallows_its_start_up_lines():
    """Beyond `models`, whose first import is that module; `data` may not import `models`."""
    first = re.compile(r"^(import (keras|tensorflow)|from (keras|tensorflow)\b)", re.MULTILINE)
    paths = set((ROOT / "vqwn_kit").rglob("*.py")) - set((ROOT / "vqwn_kit/models").glob("*.py"))
    assert [path for path in paths if first.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_installs_from_scratch_where_the_environment_is_of_another_folder_or_python(tmp_path):
    """In a folder with a space in its name."""
    folder = tmp_path / "my speech"
    commands = folder / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    another = tmp_path / "python9"
    another.write_text("#!/bin/sh\necho '(3, 99)'\n")
    another.chmod(0o755)
    vqwn = commands / "vqwn"
    (commands / "python").symlink_to(sys.executable)
    vqwn.write_text(f"#!{commands}/python\n")
    (commands / "pip").touch()
    (folder / ".venv" / "install-seconds").write_text("1\n")

    def installs(*settings: str) -> bool:
        line = ["make", "-C", folder, "--no-print-directory", "-n", "run", *settings]
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHON", "MAKEFLAGS")}
        done = subprocess.run(line, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-2].startswith(".venv/bin/vqwn run")
        return "-m venv --clear .venv" in done.stdout

    assert not installs()
    assert not installs(f"PYTHON={sys.executable}")
    assert installs(f"PYTHON={another}")
    vqwn.write_text("#!/elsewhere/.venv/bin/python\n")
    assert installs()
    vqwn.write_text(f"#!{commands}/python\n")
    (commands / "pip").unlink()  # as where an installation was interrupted
    assert installs()
    vqwn.write_text(f"#!{commands}/python\n")
    (commands / "python").unlink()
    assert installs()
