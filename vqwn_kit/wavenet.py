"""WaveNet: the past waveform, codes and a speaker -> logits of the next sample's mu-law level."""

import keras
from keras import ops

from vqwn_kit.layers import GatedBlock, add_frames


@keras.saving.register_keras_serializable("vqwn_kit")
class WaveNet(keras.layers.Layer):
    """Autoregressive decoder of dilated causal convolutions.

    [van den Oord 2016](https://arxiv.org/abs/1609.03499), as the decoder of a VQ-VAE: the codes of
    each frame are the local condition and a learned vector for the speaker the global one. Both are
    projected, without bias, once a frame and added in every block and after the first output
    layer. Speaker -1 is 'no speaker': a vector of zeros.

    Args:
        num_speakers: S.
        condition_dim: D, channels of the local condition.
        dilations: one gated block for each, in samples.
        kernel_size: taps of each block's convolution.
        residual_channels: channels between the blocks.
        gate_channels: channels of each half of the gate.
        skip_channels: channels of the sum that the output layers read.
        first_kernel_size: taps of the convolution over the input samples.
        speaker_dim: channels of the vector of a speaker.
        levels: mu-law levels.

    Raises:
        ValueError: fewer than 2 taps, or no dilations.

    Input shape: previous samples (B, T, 1), companded, in [-1, 1]; local condition (B, N, D), N a
        divisor of T; speaker (B,) int32, -1..S-1.
    Output shape: (B, T, levels) float32.
    """

    def __init__(
        self,
        num_speakers: int,
        condition_dim: int = 64,
        dilations: tuple[int, ...] = tuple(2**i for i in range(10)) * 3,
        kernel_size: int = 3,
        residual_channels: int = 256,
        gate_channels: int = 256,
        skip_channels: int = 512,
        first_kernel_size: int = 32,
        speaker_dim: int = 64,
        levels: int = 256,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if kernel_size < 2 or not dilations:
            raise ValueError(
                f"kernel_size is {kernel_size} with {len(dilations)} dilations; expected at least "
                "2 taps and one dilation, or the model can't see its past"
            )
        self.num_speakers = num_speakers
        self.condition_dim = condition_dim
        self.dilations = tuple(dilations)
        self.kernel_size = kernel_size
        self.residual_channels = residual_channels
        self.gate_channels = gate_channels
        self.skip_channels = skip_channels
        self.first_kernel_size = first_kernel_size
        self.speaker_dim = speaker_dim
        self.levels = levels
        policy = self.dtype_policy
        dense = keras.layers.Dense
        self.first = keras.layers.Conv1D(
            residual_channels, first_kernel_size, padding="causal", dtype=policy, name="first"
        )
        self.first_skip = dense(skip_channels, dtype=policy, name="first_skip")
        self.conditions = dense(
            2 * gate_channels * len(self.dilations), use_bias=False, dtype=policy, name="conditions"
        )
        self.blocks = [
            GatedBlock(
                residual_channels, gate_channels, skip_channels, kernel_size, dilation, dtype=policy
            )
            for dilation in self.dilations
        ]
        self.post = dense(skip_channels, dtype=policy, name="post")
        self.post_condition = dense(
            skip_channels, use_bias=False, dtype=policy, name="post_condition"
        )
        self.logits = dense(levels, dtype="float32", name="logits")

    @property
    def receptive_field(self) -> int:
        """Past samples that the next one can depend on."""
        return self.first_kernel_size + (self.kernel_size - 1) * sum(self.dilations)

    def build(self, previous_shape=None, local_condition_shape=None, speaker_shape=None):
        """Build all layers; their shapes follow from the constructor's keywords alone."""
        self.speakers = self.add_weight(
            shape=(self.num_speakers, self.speaker_dim),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="speakers",
        )
        frames = (None, None, self.condition_dim + self.speaker_dim)
        self.first.build((None, None, 1))
        self.first_skip.build((None, None, self.residual_channels))
        self.conditions.build(frames)
        for block in self.blocks:
            block.build((None, None, self.residual_channels))
        self.post.build((None, None, self.skip_channels))
        self.post_condition.build(frames)
        self.logits.build((None, None, self.skip_channels))

    def speaker_vectors(self, speaker):
        """Return the vectors (B, speaker_dim) of speakers (B,); zeros where the speaker is -1."""
        vectors = ops.take(self.speakers, ops.maximum(speaker, 0), axis=0)
        return vectors * ops.cast(speaker[:, None] >= 0, vectors.dtype)

    def frames(self, local_condition, speaker):
        """Return what conditions each frame, (B, N, D + speaker_dim): the code and the speaker."""
        vectors = self.speaker_vectors(speaker)[:, None]
        num_frames = ops.shape(local_condition)[1]
        repeated = ops.repeat(ops.cast(vectors, local_condition.dtype), num_frames, axis=1)
        return ops.concatenate([local_condition, repeated], axis=-1)

    def call(self, previous, local_condition, speaker):
        """Return logits (B, T, levels) of sample t from the samples before t."""
        frames = self.frames(local_condition, speaker)
        conditions = ops.split(self.conditions(frames), len(self.blocks), axis=-1)
        x = self.first(previous)
        total = self.first_skip(x)
        for block, condition in zip(self.blocks, conditions, strict=True):
            x, skip = block(x, condition)
            total = total + skip
        x = add_frames(self.post(ops.relu(total)), self.post_condition(frames))
        return self.logits(ops.relu(x))

    def compute_output_shape(self, previous_shape, local_condition_shape=None, speaker_shape=None):
        """Return (B, T, levels)."""
        return (*previous_shape[:2], self.levels)

    def get_config(self) -> dict:
        """Return the constructor's keywords."""
        return {
            **super().get_config(),
            "num_speakers": self.num_speakers,
            "condition_dim": self.condition_dim,
            "dilations": list(self.dilations),
            "kernel_size": self.kernel_size,
            "residual_channels": self.residual_channels,
            "gate_channels": self.gate_channels,
            "skip_channels": self.skip_channels,
            "first_kernel_size": self.first_kernel_size,
            "speaker_dim": self.speaker_dim,
            "levels": self.levels,
        }
