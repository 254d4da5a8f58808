"""The settings of the classes of parts as their source says them, beside the classes themselves."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import vqwn_kit.models
from tests.conftest import ROOT
from vqwn_kit import InputError, load_preset
from vqwn_kit.models.layers import Layer
from vqwn_kit.presets.signatures import signature, signatures


def test_the_source_says_of_every_class_what_the_class_says():
    classes = set()
    for module in pkgutil.iter_modules(vqwn_kit.models.__path__):
        imported = importlib.import_module(f"vqwn_kit.models.{module.name}")
        for _, member in inspect.getmembers(imported, inspect.isclass):
            if issubclass(member, Layer) and member.short_name:
                classes.add(member)
    assert {found.name for found in signatures()} == {cls.__name__ for cls in classes}
    for cls in classes:
        (found,) = (s for s in signatures() if s.name == cls.__name__)
        assert list(found.keywords) == cls.keywords(), cls
        assert found.part_names == cls.part_names
        assert (found.short_name, found.module) == (cls.short_name, cls.__module__.split(".")[-1])


def test_a_class_is_found_by_either_name_and_a_wrong_one_is_named():
    assert signature("bottleneck", "ema") is signature("bottleneck", "VectorQuantizerEMA")
    with pytest.raises(InputError, match="no encoder class 'ema'"):
        signature("encoder", "ema")


def test_presets_are_changed_and_checked_without_tensorflow():
    code = (
        "import sys; from vqwn_kit.presets.preset import load_preset, preset_names\n"
        "for name in preset_names(): load_preset(name).change(K=9, seed=3, bottleneck='residual')\n"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_k_and_d_stand_for_the_sizes_of_the_codebook():
    preset = load_preset("tiny").change(K=9, D=6)
    assert preset.bottleneck["config"]["num_embeddings"] == 9
    assert preset.bottleneck["config"]["embedding_dim"] == 6
    assert preset.encoder["config"]["embedding_dim"] == 6
    several = preset.change(bottleneck="residual", K=5)
    assert several.bottleneck["config"]["quantizer"]["config"]["num_embeddings"] == 5
    with pytest.raises(InputError, match="K=9: the codes of FiniteScalarQuantizer follow from"):
        preset.change(bottleneck="fsq", K=9)


def test_a_setting_without_its_part_is_named_with_it():
    with pytest.raises(InputError, match=r"give decoder\.network\.skip_channels=9"):
        load_preset("tiny").change(skip_channels=9)
    with pytest.raises(
        InputError, match=r"encoder\.embedding_dim=9 or bottleneck\.embedding_dim=9"
    ):
        load_preset("tiny").change(embedding_dim=9)
