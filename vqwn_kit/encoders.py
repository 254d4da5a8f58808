"""Encoders: a waveform (B, T, 1) -> z_e (B, N, D), with N = T / hop_length exactly."""

import keras


@keras.saving.register_keras_serializable("vqwn_kit")
class StridedConvEncoder(keras.layers.Layer):
    """Encoder `64`: strided convolutions, each halving the rate.

    Six of them make one frame of 64 samples, [van den Oord 2017](https://arxiv.org/abs/1711.00937),
    section 4.3. Each convolution is followed by ReLU and batch normalisation; a 1x1 convolution
    leads to the embedding space and a last batch normalisation keeps z_e at the codebook's scale.

    Args:
        embedding_dim: D, channels of z_e.
        filters: channels of each strided convolution.
        kernel_size: taps of each; 4 in the paper, 5 in the predecessor.
        num_layers: strided convolutions; the hop is 2 ** num_layers samples.
        batch_norm: normalise after each convolution and at the end.
        batch_norm_momentum: of the moving statistics that are used outside training.

    Input shape: (B, T, 1), T a multiple of `hop_length`. Output shape: (B, T / hop_length, D).

    Example:
        StridedConvEncoder(embedding_dim=64)(waveform)     # (B, 5120, 1) -> (B, 80, 64)
    """

    short_name = "64"

    def __init__(
        self,
        embedding_dim: int = 64,
        filters: int = 768,
        kernel_size: int = 5,
        num_layers: int = 6,
        batch_norm: bool = True,
        batch_norm_momentum: float = 0.99,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.embedding_dim = embedding_dim
        self.filters = filters
        self.kernel_size = kernel_size
        self.num_layers = num_layers
        self.batch_norm = batch_norm
        self.batch_norm_momentum = batch_norm_momentum
        policy = self.dtype_policy
        self.convs = [
            keras.layers.Conv1D(
                filters, kernel_size, strides=2, padding="same", activation="relu", dtype=policy
            )
            for _ in range(num_layers)
        ]
        self.project = keras.layers.Conv1D(embedding_dim, 1, dtype=policy, name="project")
        self.norms = [
            keras.layers.BatchNormalization(momentum=batch_norm_momentum, dtype=policy)
            for _ in range(num_layers + 1 if batch_norm else 0)
        ]

    @property
    def hop_length(self) -> int:
        """Samples a frame."""
        return 2**self.num_layers

    @property
    def receptive_field(self) -> int:
        """Samples that one frame of z_e can depend on."""
        return 1 + sum((self.kernel_size - 1) * 2**layer for layer in range(self.num_layers))

    def build(self, input_shape):
        """Build all convolutions and normalisations for (B, T, 1)."""
        channels = input_shape[-1]
        for conv in self.convs:
            conv.build((None, None, channels))
            channels = self.filters
        self.project.build((None, None, channels))
        widths = [self.filters] * self.num_layers + [self.embedding_dim]
        for norm, width in zip(self.norms, widths, strict=False):
            norm.build((None, None, width))

    def call(self, waveform, training: bool | None = None):
        """Return z_e (B, N, D)."""
        x = waveform
        for number, layer in enumerate([*self.convs, self.project]):
            x = layer(x)
            if self.batch_norm:
                x = self.norms[number](x, training=training)
        return x

    def compute_output_shape(self, input_shape):
        """Return (B, N, D)."""
        length = input_shape[1]
        frames = None if length is None else length // self.hop_length
        return (input_shape[0], frames, self.embedding_dim)

    def get_config(self) -> dict:
        """Return the constructor's keywords."""
        return {
            **super().get_config(),
            "embedding_dim": self.embedding_dim,
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "num_layers": self.num_layers,
            "batch_norm": self.batch_norm,
            "batch_norm_momentum": self.batch_norm_momentum,
        }
