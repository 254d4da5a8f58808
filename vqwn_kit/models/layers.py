"""What the parts of the model share: config, shifts in time, frames over samples, jitter."""

import inspect
from itertools import takewhile

import keras
from keras import ops

from vqwn_kit.models import workers

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Layer(keras.layers.Layer):
    """A layer whose config is its constructor's keywords, each kept under its own name.

    Keywords that are layers themselves are serialised with their own configs.

    Attributes:
        short_name: its name in presets, arguments and run folders, if it has one.
        part_names: keywords that are parts of their own, in the order in which they are built.
        part_defaults: settings of those parts that differ from the defaults of their classes.
        provides: by name, what the parts that are built after it are given.
        fixed: keywords of a base class that this class determines itself.
    """

    short_name: str | None = None
    part_names: tuple[str, ...] = ()
    part_defaults: dict[str, dict] = {}
    fixed: tuple[str, ...] = ()

    @property
    def provides(self) -> dict[str, int]:
        """Keywords of other parts that follow from this one; none by default."""
        return {}

    @classmethod
    def keywords(cls) -> list[str]:
        """Return the names of its settings: those of its constructor and of its base classes."""
        ours = takewhile(lambda base: base is not Layer, cls.__mro__)
        constructors = [vars(base)["__init__"] for base in ours if "__init__" in vars(base)]
        found = [p for init in constructors for p in inspect.signature(init).parameters.values()]
        names = dict.fromkeys(p.name for p in found if p.kind not in VARIADIC)
        return [name for name in names if name not in ("self", *cls.fixed)]

    def get_config(self) -> dict:
        """Return the settings, each under its own name."""
        own = {name: getattr(self, name) for name in self.keywords()}
        serialise = keras.saving.serialize_keras_object
        own = {k: serialise(v) if isinstance(v, Layer) else v for k, v in own.items()}
        return {**super().get_config(), **own}

    def get_build_config(self) -> None:
        """Return nothing: a layer that is loaded is built by the model that holds it."""

    @classmethod
    def from_config(cls, config: dict):
        """Build a layer from what `get_config` returned."""
        deserialise = keras.saving.deserialize_keras_object
        return cls(
            **{
                name: deserialise(value) if isinstance(value, dict) and "module" in value else value
                for name, value in config.items()
            }
        )


def shift_right(x, samples: int = 1):
    """Delay x (B, T, C) by some samples; zeros come first."""
    return ops.pad(x, ((0, 0), (samples, 0), (0, 0)))[:, : ops.shape(x)[1]]


def shift_left(x, samples: int = 1):
    """Bring x (B, T, C) forward by some samples; zeros come last."""
    return ops.pad(x, ((0, 0), (0, samples), (0, 0)))[:, samples:]


def interpolation_weights(hop_length, dtype: str = "float32"):
    """Return the weights (hop, 3) of the frame before, this one and the next, for its samples.

    Linear between the frames' middles: sample j stands at (j + 1/2) / hop - 1/2 from its frame's.
    """
    samples = ops.arange(hop_length, dtype="float32")
    place = (samples + 0.5) / ops.cast(hop_length, "float32") - 0.5
    weights = [ops.relu(-place), 1.0 - ops.abs(place), ops.relu(place)]
    return ops.cast(ops.stack(weights, axis=1), dtype)


def add_frames(samples, frames, interpolate: bool = False):
    """Add row n of `frames` (B, N, C) to each of the T / N rows of `samples` (B, T, C) under it.

    The same as repeating the frames T / N times, without making the repeated tensor; or, with
    `interpolate`, as drawing a line between the middles of neighbouring frames.
    """
    batch, num_frames, channels = ops.shape(frames)
    length = ops.shape(samples)[1]
    hop = length // num_frames
    grouped = ops.reshape(samples, (batch, num_frames, hop, channels))
    if interpolate:
        before, here, after = ops.split(interpolation_weights(hop, frames.dtype), 3, axis=1)
        earlier = ops.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
        later = ops.concatenate([frames[:, 1:], frames[:, -1:]], axis=1)
        grouped = grouped + before * earlier[:, :, None] + after * later[:, :, None]
        grouped = grouped + here * frames[:, :, None]
    else:
        grouped = grouped + frames[:, :, None]
    return ops.reshape(grouped, (batch, length, channels))


@keras.saving.register_keras_serializable("vqwn_kit")
class TimeJitter(Layer):
    """In training, replace the codes of some frames by a neighbour's, so that each code must last.

    [Chorowski 2019](https://arxiv.org/abs/1901.08810), section III-C, with 0.12. That number is
    read in two ways: as the probability in all that a frame is replaced, half of it by either
    neighbour, which is what `probability` means here; or as the probability for each side, which
    is `probability=0.24`. Each utterance draws its own; the ends of an utterance have one neighbour
    and keep their own code where the other would be needed.

    Args:
        probability: that a frame takes a neighbour's code, 0 to 1.

    Input and output shape: (B, N, D).
    """

    def __init__(self, probability: float = 0.12, **kwargs):
        super().__init__(**kwargs)
        self.probability = probability
        self.generator = keras.random.SeedGenerator()

    def call(self, frames, training: bool | None = None):
        """Return the frames, some of them replaced by a neighbour where `training`."""
        if not training or not self.probability:
            return frames
        batch, num_frames, _ = ops.shape(frames)
        drawn = workers.draw(keras.random.uniform, (batch, num_frames), seed=self.generator)
        shift = ops.cast(drawn < self.probability, "int32")
        shift = ops.where(drawn < self.probability / 2, -1, shift)
        place = ops.clip(ops.arange(num_frames) + shift, 0, num_frames - 1)
        return ops.take_along_axis(frames, place[..., None], axis=1)
