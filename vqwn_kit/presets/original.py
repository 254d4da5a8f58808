"""The two JSON files of the original VQ-VAE-WaveNet -> a preset.

The program is https://github.com/DongyaoZhu/VQ-VAE-WaveNet (2019), and its files are
`model_parameters.json` and the `wavenet_parameters.json` that it names.
"""

from collections.abc import Iterable
from pathlib import Path

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.presets.training_config import TrainingConfig, check_keys, check_whole

MODEL_KEYS = (
    "encoder use_vq speaker_embedding k latent_dim beta learning_rate_schedule wavenet_parameters "
    "verbose"
).split()
WAVENET_KEYS = (
    "quantization_channels num_cycles num_cycle_layers dilation_rates kernel_size "
    "dilation_filters skip_filters residual_filters preprocess verbose"
).split()
KINDS = {  # of values that are no whole numbers
    "encoder": str,
    "use_vq": bool | int,
    "beta": float | int,
    "learning_rate_schedule": dict | float | int,
    "wavenet_parameters": str,
    "dilation_rates": list,
    "preprocess": dict,
}


def read_original(model: dict, path: Path, read_json) -> dict:
    """Return the parts and training of a preset, as in our JSON files.

    Args:
        model: what stands in `model_parameters.json`.
        path: of that file; the WaveNet's file is beside it.
        read_json: reads a JSON file.

    Raises:
        InputError: an unknown or missing key, no such file, or values that contradict each other.
    """
    _check(model, MODEL_KEYS, path)
    wavenet_path = path.parent / model["wavenet_parameters"]
    if not wavenet_path.is_file():
        raise InputError(f"{path} names {wavenet_path}, which does not exist")
    wavenet = read_json(wavenet_path)
    _check(wavenet, WAVENET_KEYS, wavenet_path)
    _check(wavenet["preprocess"], ("filters", "kernel_size"), wavenet_path)
    dim = model["latent_dim"]
    bottleneck = {"class_name": "Identity", "config": {"embedding_dim": dim}}
    if model["use_vq"]:
        sizes = {"num_embeddings": model["k"], "embedding_dim": dim}
        sizes["commitment_cost"] = model["beta"]
        bottleneck = {"class_name": "VectorQuantizer", "config": sizes}
    parts = {
        "codec": ("SampleCodec", {"num_levels": wavenet["quantization_channels"]}),
        "conditioner": ("Conditioner", {"speaker_dim": model["speaker_embedding"]}),
        "distribution": ("Categorical", {}),
        "network": ("WaveNet", _network(wavenet, wavenet_path)),
    }
    parts = {name: {"class_name": kind, "config": config} for name, (kind, config) in parts.items()}
    training = {"learning_rate": model["learning_rate_schedule"], "average_decay": 0.999}
    return {
        "encoder": _encoder(model["encoder"], dim),
        "bottleneck": bottleneck,
        "decoder": {"class_name": "WaveNetDecoder", "config": parts},
        "training": TrainingConfig(**training),
    }


def _check(content: dict, keys: Iterable[str], file: Path) -> None:
    """Raise InputError for unknown or missing keys, and for values of another type."""
    check_keys(content, list(keys), f"key of {file.name}")
    missing = [key for key in keys if key not in content and key != "verbose"]
    if missing:
        raise InputError(f"{file} lacks {', '.join(missing)}")
    for key in keys:
        kind = KINDS.get(key)
        if kind is None and key != "verbose":
            check_whole(f"{key} of {file}", content[key])
        elif kind is not None and not isinstance(content[key], kind):
            raise InputError(f"{key} of {file} is {content[key]!r:.80}; expected another type")


def _network(wavenet: dict, path: Path) -> dict:
    """Return the keywords of a `WaveNet`."""
    cycles, layers = wavenet["num_cycles"], wavenet["num_cycle_layers"]
    dilations = wavenet["dilation_rates"]
    if len(dilations) != cycles * layers:
        raise InputError(
            f"{path}: {len(dilations)} dilation_rates, but num_cycles * num_cycle_layers "
            f"is {cycles} * {layers}"
        )
    if wavenet["preprocess"]["filters"] != wavenet["residual_filters"]:
        raise InputError(f"{path}: preprocess.filters differs from residual_filters")
    keywords = {
        "num_cycles": cycles,
        "num_cycle_layers": layers,
        "kernel_size": wavenet["kernel_size"],
        "first_kernel_size": wavenet["preprocess"]["kernel_size"],
        "residual_channels": wavenet["residual_filters"],
        "gate_channels": wavenet["dilation_filters"],
        "skip_channels": wavenet["skip_filters"],
    }
    if list(dilations) != [2**layer for layer in range(layers)] * cycles:
        keywords["dilations"] = dilations
    return keywords


def _encoder(name: str, dim: int) -> dict:
    """Return the encoder of a name in the original; its `Magenta` is of the gated kind."""
    classes = {
        "64": "StridedConvEncoder",
        "Magenta": "GatedConvEncoder",
        "2019": "ResidualConvEncoder",
    }
    if name not in classes:
        raise one_of("encoder", name, classes)
    return {"class_name": classes[name], "config": {"embedding_dim": dim}}
