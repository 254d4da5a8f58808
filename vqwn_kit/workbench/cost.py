"""What a preset costs on this machine: products, memory, and the time of a training step."""

import gc
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import Preset

SECONDS = 4.0  # for which steps are timed, after a first one, which compiles
FEWEST, MOST = 3, 30  # steps that are timed
KEPT = 2.5  # tensors that training keeps per output of a layer; measured 2 (mini) to 2.8 (paper)
FLOAT = 4  # bytes


@dataclass(frozen=True)
class StepCost:
    """What was measured of the training steps of one stage.

    Attributes:
        seconds: median of a step.
        samples: of a step, B T.
        steps: of the stage.
        memory: largest growth of the resident memory in bytes; None where the system does not say.
    """

    seconds: float
    samples: int
    steps: int
    memory: int | None

    @property
    def rate(self) -> float:
        """Samples per second of training."""
        return self.samples / self.seconds

    @property
    def minutes(self) -> float:
        """Minutes that all steps take, without validation and checkpoints."""
        return self.seconds * self.steps / 60.0


def stages_of(preset: Preset) -> dict[str, Preset]:
    """Return the preset of each stage of training by name: `training`, or a first and a second."""
    if not preset.training.first_stage_steps:
        return {"training": preset}
    second = preset.change(freeze=("encoder", "bottleneck"))
    return {"first stage": preset.change(freeze=()).first_stage(), "second stage": second}


def minutes_of_speech(preset: Preset) -> float:
    """Return the minutes of speech in all crops of a stage, counted at each visit."""
    config = preset.training
    return config.steps * config.batch_size * config.segment_length / SAMPLE_RATE / 60.0


def measure_step(preset: Preset) -> StepCost:
    """Time training steps of a stage on noise: forward, gradients, Adam and moving average.

    Steps are compiled as training does, and follow one that is not counted. Neither reading of
    speech nor validation is part of it.
    """
    from vqwn_kit.models.tensorflow import tf
    from vqwn_kit.training.trainer import Trainer

    config = preset.training
    gc.collect()  # a model that is not used any more is a reference cycle
    before = restart_peak()
    trainer = Trainer(preset, build_model(preset, []))
    rng = np.random.default_rng(0)
    shape = (config.batch_size, config.segment_length, 1)
    waveform = tf.constant(rng.uniform(-0.5, 0.5, shape), "float32")
    speaker = tf.zeros(config.batch_size, "int32")
    batch = [waveform, speaker]
    if preset.pitch_hop is not None:
        batch.append(tf.zeros((config.batch_size, config.segment_length // preset.pitch_hop)))
    seconds = _seconds_of(lambda: trainer.compiled_step(*batch))
    memory = None if before is None else max(0, process_memory("VmHWM") - before)
    return StepCost(seconds, config.batch_size * config.segment_length, config.steps, memory)


def measure_encoding(model) -> float:
    """Return the seconds in which a `VQVAE` encodes a second of noise, rounded to whole frames."""
    from vqwn_kit.models.tensorflow import tf

    length = -(-SAMPLE_RATE // model.hop_length) * model.hop_length
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, length, 1))
    waveform = tf.constant(noise, "float32")
    encode = tf.function(lambda: model.quantized(waveform, training=False).z_q)
    return _seconds_of(encode) * SAMPLE_RATE / length


def _seconds_of(call) -> float:
    """Return the median time of several calls, after a first one, which compiles."""
    call()
    seconds: list[float] = []
    while len(seconds) < FEWEST or (sum(seconds) < SECONDS and len(seconds) < MOST):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def multiply_adds(model) -> int:
    """Return the multiply-adds of a sample of synthesis, in the matrices of the decoder.

    The network runs once per sample; its projections of the conditioning, and the conditioner,
    once per frame, which counts as a share of a sample. Of one-hot inputs all rows are counted.
    """
    decoder = model.decoder
    per_frame = _matrices(decoder.conditioner)
    per_sample = 0
    if decoder.is_autoregressive:
        projections = (decoder.network.block_conditions, decoder.network.hidden_condition)
        projected = sum(map(_matrices, projections))
        per_sample = _matrices(decoder.network) - projected
        per_frame += projected
    return per_sample + round(per_frame / model.hop_length)


def _matrices(layer) -> int:
    """Return how many numbers the matrices and kernels of a layer hold, tables of vectors aside."""
    tables = ("speakers", "pitches")
    return _count(w for w in layer.weights if len(w.shape) > 1 and w.name not in tables)


def _count(weights) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def estimated_memory(preset: Preset, model) -> tuple[int, int]:
    """Estimate what a training step holds; return the bytes for weights, and for activations.

    Weights, their moving average, gradients and the two moments of Adam; and of the WaveNet
    `KEPT` tensors per output of a layer, for each sample of the batch. The encoder's activations
    are not in it: they depend on its strides.
    """
    config = preset.training
    kept = 2 if config.average_decay else 1
    numbers = kept * _count(model.weights) + 3 * _count(model.trainable_weights)
    if not model.is_autoregressive:
        return FLOAT * numbers, 0
    network = model.decoder.network
    channels = sum(w.shape[-1] for w in network.weights if w.name == "kernel")
    size = 2 if network.compute_dtype == "bfloat16" else FLOAT
    samples = config.batch_size * config.segment_length
    return FLOAT * numbers, round(size * KEPT * channels * samples)


def machine_memory() -> int | None:
    """Return the bytes of memory of this machine, or None where the system does not say."""
    if not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= set(getattr(os, "sysconf_names", {})):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def restart_peak() -> int | None:
    """Let Linux restart the peak of the resident memory; return the bytes in use, or None."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return process_memory("VmRSS")
    except OSError:  # another system, or not allowed
        return None


def process_memory(name: str) -> int:
    """Return a size in bytes from what Linux says of this process."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.partition(f"\n{name}:")[2].split()[0])
