"""A training step timed: presets -> milliseconds a step and samples a second."""

import time

import numpy as np

from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import load_preset
from vqwn_kit.presets.training_config import multiplies_bfloat16

SPEAKERS = 109
SECONDS = 12.0  # that a setting is measured for, after a first step
MOST_STEPS = 20


def bench_training(folder=None) -> dict[str, float]:
    """Measure whole training steps, on noise: forward, gradients, Adam, moving average.

    Args:
        folder: as other benchmarks take it; what is learned makes no difference to the time.

    Returns:
        `NAME_milliseconds` of a step, a median, and `NAME_samples_a_second`, where NAME is `original`
        in bfloat16, only if the processor multiplies it, `original_float32`, and `mini`; and
        `NAME_gflops`, the decoder's matrix products alone, there and back.
    """
    settings = {"original_float32": ("original", {"precision": "float32"}), "mini": ("mini", {})}
    if multiplies_bfloat16():
        settings = {"original": ("original", {"precision": "mixed_bfloat16"}), **settings}
    found = {}
    for name, (preset, changes) in settings.items():
        seconds, samples, weights = time_step(preset, **changes)
        found[f"{name}_milliseconds"] = 1000 * seconds
        found[f"{name}_samples_a_second"] = samples / seconds
        found[f"{name}_gflops"] = 6e-9 * weights * samples / seconds
    return found


def time_step(preset: str, **changes) -> tuple[float, int, int]:
    """Return the median seconds of a step, a batch's samples, and the decoder's products each."""
    import keras
    from keras import ops

    from vqwn_kit.training.trainer import Trainer

    preset = load_preset(preset).change(**changes)
    model = build_model(preset, [f"speaker {number}" for number in range(SPEAKERS)])
    trainer = Trainer(preset, model, None)
    shape = (preset.training.batch_size, preset.training.segment_length, 1)
    rng = np.random.default_rng(0)
    waveform = ops.convert_to_tensor(rng.uniform(-0.5, 0.5, shape), "float32")
    speaker = ops.convert_to_tensor(rng.integers(0, SPEAKERS, shape[0]), "int32")
    seconds = []
    while len(seconds) < 2 or (sum(seconds[1:]) < SECONDS and len(seconds) <= MOST_STEPS):
        began = time.perf_counter()
        trainer.step_on(waveform, speaker)
        seconds.append(time.perf_counter() - began)
    decoder = model.decoder
    network = decoder.network
    layers = [network.input_conv, network.input_skip, network.hidden, network.out]
    layers += [layer for block in network.blocks for layer in (block.conv, block.out)]
    weights = sum(int(np.prod(layer.kernel.shape)) for layer in layers)
    keras.backend.clear_session()
    return float(np.median(seconds[1:])), shape[0] * shape[1], weights
