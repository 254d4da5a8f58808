"""Speed of training: presets -> milliseconds per step and samples per second."""

import time

import numpy as np

from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import load_preset
from vqwn_kit.presets.training_config import multiplies_bfloat16

SPEAKERS = 109
SECONDS = 12.0  # for which a setting is measured, after a first step
MAX_STEPS = 20


def bench_training() -> dict[str, float]:
    """Measure whole training steps on noise: forward, gradients, Adam, moving average.

    Returns:
        `NAME_milliseconds` per step (the median), `NAME_samples_per_second`, and `NAME_gflops` of
        the decoder's matrix products alone, forward and backward. NAME is `original` in bfloat16
        (if the processor multiplies it), `original_float32` and `paper`.
    """
    settings = {"original_float32": ("original", {"precision": "float32"}), "paper": ("paper", {})}
    if multiplies_bfloat16():
        settings = {"original": ("original", {"precision": "mixed_bfloat16"}), **settings}
    figures = {}
    for name, (preset, changes) in settings.items():
        seconds, samples, weights = time_step(preset, **changes)
        figures[f"{name}_milliseconds"] = 1000 * seconds
        figures[f"{name}_samples_per_second"] = samples / seconds
        figures[f"{name}_gflops"] = 6e-9 * weights * samples / seconds
    return figures


def time_step(preset: str, **changes) -> tuple[float, int, int]:
    """Return the median seconds of a step, samples per batch, the decoder's products per sample."""
    import keras
    from keras import ops

    from vqwn_kit.training.trainer import Trainer

    preset = load_preset(preset).change(**changes)
    model = build_model(preset, [f"speaker {number}" for number in range(SPEAKERS)])
    trainer = Trainer(preset, model)
    shape = (preset.training.batch_size, preset.training.segment_length, 1)
    rng = np.random.default_rng(0)
    waveform = ops.convert_to_tensor(rng.uniform(-0.5, 0.5, shape), "float32")
    speaker = ops.convert_to_tensor(rng.integers(0, SPEAKERS, shape[0]), "int32")
    seconds = []
    while len(seconds) < 2 or (sum(seconds[1:]) < SECONDS and len(seconds) <= MAX_STEPS):
        start = time.perf_counter()
        trainer.compiled_step(waveform, speaker)
        seconds.append(time.perf_counter() - start)
    network = model.decoder.network
    layers = [network.input_conv, network.input_skip, network.hidden, network.out]
    layers += [layer for block in network.blocks for layer in (block.conv, block.out)]
    weights = sum(int(np.prod(layer.kernel.shape)) for layer in layers)
    keras.backend.clear_session()
    return float(np.median(seconds[1:])), shape[0] * shape[1], weights
