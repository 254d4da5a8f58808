"""A prior one code at a time, in NumPy: a token and a state -> logits of the next code."""

import numpy as np
from scipy.special import expit, softmax

from vqwn_kit.models.tensorflow import ops


class Recurrence:
    """The recurrent network of a prior, one code at a time; its state summarises all codes so far.

    Args:
        prior: a `CodePrior`.
        speakers: int (B,), -1 for no speaker.
    """

    def __init__(self, prior, speakers: np.ndarray):
        inputs, outputs = (np.asarray(ops.convert_to_numpy(t), float) for t in prior.tables())
        kernel, self.kernel, (bias, self.bias) = (
            weight.numpy().astype(float) for weight in prior.recurrent.cell.weights
        )
        self.inputs = inputs @ kernel + bias  # the product with each code is looked up
        self.conditioning = np.zeros((len(speakers), 1))
        if prior.speaker_names:
            vectors = prior.speakers.numpy().astype(float)[np.maximum(speakers, 0)] @ kernel
            self.conditioning = np.where((speakers >= 0)[:, None], vectors, 0.0)
        head, head_bias = (weight.numpy().astype(float) for weight in prior.head.weights)
        self.head = head @ outputs.T
        self.head_bias = head_bias @ outputs.T + prior.bias.numpy()
        self.units = prior.units
        self.codebook_after = prior.codebook_after
        self.sizes = (prior.num_codebooks, prior.num_embeddings)

    def step(
        self, tokens: np.ndarray, state: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (B, K) of the codes after `tokens` (B,), and the new state (B, units).

        The K codes are those of the codebook that comes after a token.

        Args:
            tokens: 0..Q K - 1, or Q K for the beginning; see `flatten_codes`.
            state: from the step before; None at the first.
        """
        if state is None:
            state = np.zeros((len(tokens), self.units))
        update, reset, new = np.split(self.inputs[tokens] + self.conditioning, 3, axis=1)
        past = np.split(state @ self.kernel + self.bias, 3, axis=1)
        update, reset = expit(update + past[0]), expit(reset + past[1])
        state = update * state + (1.0 - update) * np.tanh(new + reset * past[2])
        logits = (state @ self.head + self.head_bias).reshape(len(tokens), *self.sizes)
        return logits[np.arange(len(tokens)), self.codebook_after[tokens]], state


def draw_codes(logits: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return codes, int (B,), drawn from logits (B, K) by numbers (B,) uniform in [0, 1)."""
    sums = np.cumsum(softmax(logits, axis=1), axis=1)
    return (sums <= (uniform * sums[:, -1])[:, None]).sum(axis=1)
