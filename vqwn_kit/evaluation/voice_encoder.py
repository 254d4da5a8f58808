"""An independent speaker embedding: a waveform -> a vector by a network that knows no run of ours.

The network is that of [Wan 2018](https://arxiv.org/abs/1710.10467), three LSTM layers on mel bands,
with the weights of Resemblyzer 0.1.4 (Apache-2.0), in half precision; see data/README.md.
"""

from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import expit

from vqwn_kit.evaluation.metrics import NotMeasured, mel_power

FILE = Path(__file__).parents[2] / "data" / "voice-encoder" / "weights.npz"
RATE, HOP, WINDOW, BANDS = 16_000, 160, 400, 40
PIECE = 160  # frames that the network reads at once, 1.6 s
STEP = 77  # frames between two pieces
LEVEL = 10.0 ** (-30 / 20)  # RMS of the sounds that it was trained on
LAYERS, LSTM = 3, ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@cache
def _weights() -> dict[str, np.ndarray]:
    if not FILE.is_file():
        raise NotMeasured(f"{FILE} is missing: it is part of the repository, not of the package")
    with np.load(FILE, allow_pickle=False) as content:
        return {name: array.astype(np.float32) for name, array in content.items()}


def voice_embedding(waveform: np.ndarray) -> np.ndarray:
    """Return the embedding of the voice in a waveform (T,) at 16 kHz, float32 (256,) of norm 1.

    The mean over pieces of 1.6 s. The cosine of two embeddings measures how alike two voices are.

    Raises:
        NotMeasured: the weights are not there.
    """
    weights = _weights()
    waveform = np.asarray(waveform, np.float32)
    level = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))) + 1e-9
    frames = 1 + len(waveform) // HOP
    starts = np.arange(0, max(1, frames - PIECE + STEP), STEP)
    if len(starts) > 1 and frames - starts[-1] < 0.75 * PIECE:
        starts = starts[:-1]  # too little of it is sound
    missing = max(0, (starts[-1] + PIECE) * HOP - len(waveform))
    padded = np.pad(waveform * (LEVEL / level), (0, missing))
    mel = mel_power(padded, RATE, WINDOW, HOP, BANDS)
    inputs = np.stack([mel.T[start : start + PIECE] for start in starts]).astype(np.float32)
    for layer in range(LAYERS):
        inputs = _lstm(inputs, *(weights[f"{name}_l{layer}"] for name in LSTM))
    last = inputs[:, -1] @ weights["linear.weight"].T + weights["linear.bias"]
    vectors = np.maximum(last, 0.0)
    mean = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).mean(axis=0)
    return mean / np.linalg.norm(mean)


def _lstm(inputs, input_kernel, recurrent_kernel, input_bias, recurrent_bias) -> np.ndarray:
    """Return the outputs of an LSTM layer, (B, N, units), for inputs (B, N, channels)."""
    units = recurrent_kernel.shape[1]
    output = np.zeros((len(inputs), units), np.float32)
    cell, outputs = output, []
    given = inputs @ input_kernel.T + (input_bias + recurrent_bias)
    for frame in given.swapaxes(0, 1):
        gates = frame + output @ recurrent_kernel.T
        entry, forget, candidate, out = np.split(gates, 4, axis=1)
        cell = expit(forget) * cell + expit(entry) * np.tanh(candidate)
        output = expit(out) * np.tanh(cell)
        outputs.append(output)
    return np.stack(outputs, axis=1)
