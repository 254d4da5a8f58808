"""Workers: processes that train one model together, each on its own rows of the same batch.

What a step computes of a whole batch (gradients, statistics of a normalisation, sums of an EMA
codebook, counts of codes, random numbers) is the same on all workers, and that of one process with
the same batch: sums go over all workers by collective operations of TensorFlow, and random numbers
are drawn for the whole batch, of which each worker takes its rows. So every worker makes the same
update. This holds within `share`; outside, and in a process alone, all functions of this file
return what they are given. `training.workers` makes the workers.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

GROUP = 7_919  # the group of all workers; those of TensorFlow itself count from 1

LOST = (  # what an operation of all workers raises where one of them is gone
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class WorkerLost(ConnectionError):
    """Another worker does not answer any more."""


class Workers:
    """The workers, as one of them knows them.

    Args:
        addresses: host:port of each.
        index: number of this one, from 0. The first, 0, writes files and shows progress.
        strategy: a `MultiWorkerMirroredStrategy`, which connects them; None for a process alone.
    """

    def __init__(self, addresses=("",), index: int = 0, strategy=None):
        self.addresses, self.index, self.strategy = tuple(addresses), index, strategy
        self.count, self.is_first = len(self.addresses), index == 0
        self.sharing = False  # whether a step is being taken, see `share`
        self._hint = "nccl" if strategy and tf.config.get_visible_devices("GPU") else "ring"
        self._operations = 0
        self._keys = {}  # of sums of numbers, by shape

    def rows(self, size: int) -> slice:
        """Return the rows of a batch of `size` that are this worker's."""
        share = size // self.count
        return slice(self.index * share, (self.index + 1) * share)

    def add(self, x):
        """Return the sum of x over all workers, also outside `share`; all must call it."""
        if self.count == 1:
            return x
        self._operations += 1  # numbers the operation; all workers make the same ones
        return self._add(x, GROUP, self._operations, self._hint)

    def _add(self, x, group: int, key: int, hint: str):
        return tf.raw_ops.CollectiveReduceV2(
            input=x,
            group_size=self.count,
            group_key=group,
            instance_key=key,
            ordering_token=[],
            merge_op="Add",
            final_op="Id",
            communication_hint=hint,
        )

    def _add_numbers(self, x) -> np.ndarray:
        if self.count == 1:
            return np.asarray(x, np.float64)
        # TensorFlow keeps what it knows of each key, so a new one per step would fill the memory.
        key = self._keys.setdefault(x.shape, len(self._keys) + 1)
        try:
            with tf.device("CPU:0"):  # whatever the device of the model
                return self._add(tf.cast(x, tf.float64), GROUP + 1, key, "ring").numpy()
        except LOST as error:
            text = " ".join(str(error).split())[:300]
            raise WorkerLost(f"another worker is gone: {text}") from error

    def collect(self, numbers) -> np.ndarray:
        """Return the numbers (n,) of each worker, float64 (workers, n); all must call it.

        Raises:
            WorkerLost: one of them is gone.
        """
        numbers = np.asarray(numbers, np.float64)
        table = np.zeros((self.count, len(numbers)))
        table[self.index] = numbers
        return self._add_numbers(table)

    def wait(self) -> None:
        """Return when all workers are here."""
        self.collect([0])

    def text_of_first(self, text: str) -> str:
        """Return the text of the first worker, of at most 4096 bytes; all must call it."""
        if self.count == 1:
            return text
        content = np.frombuffer(text.encode(), np.uint8)
        row = self.collect(np.pad(content, (0, 4096 - len(content))))[0]
        return row.astype(np.uint8).tobytes().rstrip(b"\0").decode()

    def set_as_first(self, variables) -> None:
        """Set variables to those of the first worker; all must call it."""
        for variable in variables if self.count > 1 else ():
            value = variable.numpy().astype(np.float64)
            variable.assign(self._add_numbers(value if self.is_first else np.zeros_like(value)))


_current = Workers()


def become(workers: Workers) -> None:
    """Make this process one of several workers; see `training.workers`."""
    global _current
    _current = workers


def current() -> Workers:
    """Return the workers that this process is one of; itself alone by default."""
    return _current


def share(function, *inputs):
    """Call a function of rows of a batch, in which the functions below are those of all rows."""
    current().sharing = current().count > 1
    try:
        return function(*inputs)
    finally:
        current().sharing = False


@tf.custom_gradient
def _added(x):
    return current().add(x), lambda gradient: current().add(gradient)


def total(x):
    """Return the sum of x over the workers; its gradient is that of the sum of their losses."""
    return _added(ops.convert_to_tensor(x)) if current().sharing else x


def mean(x):
    """Return the mean of x over the workers, such as a mean over the rows of each."""
    return total(x) / current().count if current().sharing else x


def means(tensors: list) -> list:
    """Return the means over the workers of float32 tensors, in one operation; None stays None."""
    if not current().sharing:
        return tensors
    given = [ops.cast(x, "float32") for x in tensors if x is not None]
    sizes = [int(np.prod(x.shape)) for x in given]
    parts = iter(tf.split(mean(ops.concatenate([ops.reshape(x, (-1,)) for x in given])), sizes))
    shapes = iter([x.shape for x in given])
    return [x if x is None else ops.reshape(next(parts), next(shapes)) for x in tensors]


def gather(x):
    """Return the rows x (B', ...) of all workers as those of the whole batch, (B, ...)."""
    if not current().sharing:
        return x
    parts = [ops.zeros_like(x)] * current().count
    parts[current().index] = x
    return total(ops.concatenate(parts))


def draw(distribution, shape, *args, seed=None):
    """Return random numbers of a shape (B', ...): this worker's rows of those of the whole batch.

    Args:
        distribution: of `keras.random`, or another function of a shape.
        shape: rows first.
        *args: of the distribution.
        seed: a seed generator; None where the function has its own.
    """
    own = {} if seed is None else {"seed": seed}
    if not current().sharing:
        return distribution(shape, *args, **own)
    drawn = distribution((shape[0] * current().count, *shape[1:]), *args, **own)
    first = current().index * shape[0]
    return drawn[first : first + shape[0]]


def drop(layer: keras.layers.Dropout, x, training: bool | None = None):
    """Return x (B', ...) with units dropped, by the layer's random numbers for the whole batch."""
    if not (training and current().sharing):
        return layer(x, training=training)
    return x * draw(lambda shape: layer(ops.ones(shape, x.dtype), training=True), ops.shape(x))


class BatchNormalization(keras.layers.BatchNormalization):
    """The batch normalisation of Keras, by mean and variance of the whole batch in training."""

    def _moments(self, inputs, mask):
        mean_here, variance = super()._moments(inputs, mask)
        if not current().sharing:
            return mean_here, variance
        means_of, variances = ops.unstack(gather(ops.stack([mean_here, variance])[None]), axis=1)
        whole = ops.mean(means_of, axis=0)
        return whole, ops.mean(variances + (means_of - whole) ** 2, axis=0)
