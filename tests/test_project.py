"""House rules: who imports whom, what is shipped, what stands in the committed files."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

PACKAGE = ROOT / "vqwn_kit"
ORDER = (
    "errors files quiet audio listing published readers corpus conversion store segments layers "
    "blocks features encoders probing codebook bottlenecks toy conditions logistics "
    "frame_decoder prediction wavenet training_config vqvae config run run_codes optimization "
    "validation trainer "
    "training kernels packing plain_sampler sampler generation evaluation ngrams recurrence "
    "prior_config prior prior_folder dreams hearing alignment projector projector_page views "
    "code_views part_views toy_views doctor comparison cards prior_scores prior_training subject "
    "code_facts code_scores sound_scores scoring projector_tables report listening widgets explore "
    "monitoring voicing info main_job download sampling_bench training_bench bench data_cli "
    "training_cli prior_cli cli"
).split()
# the modules of the folder
WIDGETS = "points base blind figures player explorer monitor strip voices lab".split()


def imports_of(module: str) -> set[str]:
    """Return the modules of the package that a module imports, inside functions too."""
    return {name.partition(".")[0] for name in _imported(PACKAGE / f"{module}.py")} & set(ORDER)


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vqwn_kit"):
            _, _, inside = node.module.partition(".")
            found |= {inside} if inside else {alias.name for alias in node.names}
    return found


def test_the_order_of_the_modules_is_complete():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    files = {path.stem for path in PACKAGE.glob("*.py")}
    assert set(ORDER) | {"__init__", "__main__"} == files | folders
    assert {*WIDGETS, "__init__"} == {path.stem for path in (PACKAGE / "widgets").glob("*.py")}


@pytest.mark.parametrize("module", sorted(set(ORDER) - {"widgets"}))
def test_a_module_imports_only_from_those_before_it(module):
    later = {name for name in imports_of(module) if ORDER.index(name) >= ORDER.index(module)}
    assert not later


@pytest.mark.parametrize("module", WIDGETS)
def test_widgets_take_arrays(module):
    """They know figures, answers and files, and no model, corpus or run."""
    before = {f"widgets.{name}" for name in WIDGETS[: WIDGETS.index(module)]}
    known = {"errors", "files", "views", "listening"} | before
    assert _imported(PACKAGE / "widgets" / f"{module}.py") <= known


SHARED = set(
    "layers blocks features codebook conditions logistics frame_decoder prediction".split()
)


@pytest.mark.parametrize("module", ["encoders", "bottlenecks", "wavenet", *sorted(SHARED)])
def test_parts_of_the_model_know_only_keras_and_what_they_share(module):
    assert imports_of(module) <= SHARED
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    names = [n.names[0].name for n in ast.walk(tree) if isinstance(n, ast.Import)]
    assert set(names) <= {"inspect", "keras", "librosa", "math", "numpy"}


@pytest.mark.parametrize("module", ["evaluation", "views", "code_views", "part_views", "toy_views"])
def test_measures_and_figures_take_arrays(module):
    assert imports_of(module) <= {"evaluation", "views"}


def ends_well(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_data_code_and_help_import_no_tensorflow():
    code = (
        "import sys, vqwn_kit, vqwn_kit.store, vqwn_kit.segments, vqwn_kit.config, vqwn_kit.run\n"
        "import vqwn_kit.projector_page, vqwn_kit.views, vqwn_kit.report, vqwn_kit.listening\n"
        "from vqwn_kit.cli import main\n"
        "vqwn_kit.example_corpus()\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'tensorflow', 'keras', 'umap', 'matplotlib', 'librosa', 'anywidget'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    ends_well(code)


def test_public_names_can_be_imported():
    import vqwn_kit

    assert not set(vqwn_kit.__all__) & set(ORDER)  # a module would hide its own function
    for name in vqwn_kit.__all__:
        assert getattr(vqwn_kit, name) is not None
    with pytest.raises(AttributeError, match="no attribute"):
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
    assert extras == {"cpu", "lab", "test"} <= set(project["optional-dependencies"])


def test_lock_holds_every_requirement_and_no_address():
    lock = (ROOT / "requirements.lock").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = {requirement(line) for line in lock.splitlines() if "==" in line}
    wanted = list(project["dependencies"])
    for extra in ("cpu", "lab", "test"):
        wanted += project["optional-dependencies"][extra]
    assert {requirement(line) for line in wanted} <= locked
    assert "://" not in lock


def committed() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("this copy has no git folder, so what is committed isn't known")
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
        "vq.VoiceLab\n"
        "vq.TrainingMonitor(lambda monitor: None).start().wait()\n"
        "sys.exit('TensorFlow came along' if 'tensorflow' in sys.modules else 0)"
    )
    ends_well(code)


def test_wheel_would_contain_the_presets_and_what_browsers_run():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["vqwn_kit"]
    shipped = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    kinds = ("presets/*", "**/*.js", "**/*.css")
    assert shipped == {path for kind in kinds for path in PACKAGE.glob(kind)}
    assert {path.name for path in shipped} >= {"mini.json", "player.js", "explorer.js", "style.css"}


def test_readme_example_runs(tmp_path, monkeypatch):
    """The Python example as it stands, with the smallest preset and two steps."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(code.strip().splitlines()) <= 10
    small = code.replace("steps=2000", "steps=2").replace('preset="mini"', 'preset="tiny"')
    assert small.count("tiny") == small.count("steps=2)") == 1
    monkeypatch.setenv("VQWN_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(ROOT)
    names = {}
    exec(small.replace('"embeddings"', repr(str(tmp_path))), names)
    assert names["audio"].shape == (2, names["codes"].shape[1] * 64)
    assert (tmp_path / "codebook_vecs.tsv").is_file()


def test_readme_names_every_command_preset_and_notebook():
    from vqwn_kit.cli import _parser
    from vqwn_kit.config import preset_names

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (commands,) = _parser()._subparsers._group_actions
    assert set(re.findall(r"\| `vqwn (\w+)", text)) == set(commands.choices) - {"visualize"}
    assert all(f"| `{name}` |" in text for name in preset_names())
    assert all(f"`notebooks/{path.name}`" in text for path in (ROOT / "notebooks").glob("*.ipynb"))
