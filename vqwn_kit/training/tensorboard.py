"""Callbacks of `train` that write for TensorBoard: scalars and code usage, or audio."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.errors import InputError
from vqwn_kit.models.tensorflow import tf
from vqwn_kit.models.vqvae import VQVAE
from vqwn_kit.sampling.generate import Speaker, convert_many


def scalar_log(log_dir: str | Path) -> Callable[[dict, VQVAE], None]:
    """Return a callback that writes each line of the history, and a histogram of the codes.

    Raises:
        InputError: the folder cannot be created.
    """
    try:
        Path(log_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot create the folder {log_dir} for logs ({error.strerror}): give another (--log)"
        ) from error
    writer = tf.summary.create_file_writer(str(log_dir))

    def write(record: dict, model: VQVAE) -> None:
        with writer.as_default(step=record["step"]):
            for name, value in record.items():
                if not isinstance(value, str):  # such as why it ended
                    tf.summary.scalar(name, value)
            if model.code_usage is not None:
                counts = model.code_usage.counts.numpy().astype(int).ravel()  # of all codebooks
                codes = np.repeat(np.arange(len(counts)), counts)
                tf.summary.histogram("vq/codes", codes, buckets=min(64, len(counts)))
        writer.flush()

    return write


def audio_log(
    log_dir: str | Path, waveforms: dict[str, np.ndarray], speaker: Speaker = None, **settings
) -> Callable[[dict, VQVAE], None]:
    """Return a callback that writes reconstructions by the averaged weights at each validation.

    Args:
        log_dir: folder of the logs.
        waveforms: by name, (T,) each.
        speaker: the voice.
        **settings: as in `generate`.
    """
    writer = tf.summary.create_file_writer(str(log_dir))

    def write(record: dict, model: VQVAE) -> None:
        if "held_out/bits" not in record:
            return
        speakers = [[speaker]] * len(waveforms)
        sounds = convert_many(model, list(waveforms.values()), speakers, **settings)
        with writer.as_default(step=record["step"]):
            for name, sound in zip(waveforms, sounds, strict=True):
                tf.summary.audio(name, sound[:, :, None], SAMPLE_RATE)
        writer.flush()

    return write
