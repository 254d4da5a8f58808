"""A prior one code at a time, in NumPy: a code and a state -> logits of the next, and a draw."""

import numpy as np
from keras import ops


class Recurrence:
    """A prior one code at a time, in NumPy: what came before is a state of a few hundred numbers.

    Args:
        prior: a `CodePrior`.
        speakers: int (B,), -1 where it isn't told who speaks.
    """

    def __init__(self, prior, speakers: np.ndarray):
        entering, leaving = (np.asarray(ops.convert_to_numpy(t), float) for t in prior.tables())
        kernel, self.kernel, (bias, self.bias) = (
            weight.numpy().astype(float) for weight in prior.recurrent.cell.weights
        )
        self.inputs = entering @ kernel + bias  # a code's share of the gates is looked up
        self.told = np.zeros((len(speakers), 1))
        if prior.speaker_names:
            told = prior.speakers.numpy().astype(float)[np.maximum(speakers, 0)] @ kernel
            self.told = np.where((speakers >= 0)[:, None], told, 0.0)
        head, head_bias = (weight.numpy().astype(float) for weight in prior.head.weights)
        self.head = head @ leaving.T
        self.head_bias = head_bias @ leaving.T + prior.bias.numpy()
        self.units = prior.units

    def step(
        self, codes: np.ndarray, state: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (B, K) of what follows codes (B,), and the state (B, units) after them.

        Args:
            codes: 0..K-1, or K for the beginning.
            state: after the codes before; None where there are none.
        """
        if state is None:
            state = np.zeros((len(codes), self.units))
        update, reset, new = np.split(self.inputs[codes] + self.told, 3, axis=1)
        past = np.split(state @ self.kernel + self.bias, 3, axis=1)
        update, reset = sigmoid(update + past[0]), sigmoid(reset + past[1])
        state = update * state + (1.0 - update) * np.tanh(new + reset * past[2])
        return state @ self.head + self.head_bias, state


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities, in nats, of logits (..., K)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def drawn(logits: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the code that each draw from [0, 1) stands for, int (B,), of logits (B, K)."""
    sums = np.cumsum(np.exp(log_softmax(logits)), axis=1)
    below = sums <= (draws * sums[:, -1])[:, None]
    return below.sum(axis=1)
