"""Encoders: a waveform (B, T, 1) -> z_e (B, N, D), with N = T / hop_length exactly."""

import keras
from keras import ops

from vqwn_kit.models import workers
from vqwn_kit.models.codec import level_to_scalar, mu_law_encode
from vqwn_kit.models.layers import Layer, shift_right
from vqwn_kit.models.mel import DELTA_WIDTH, LogMel, Mfcc

FEATURE_HOP = 160  # samples between two frames of features, 10 ms
NOISE_RANGE = 30.0  # dB between the least and the greatest signal-to-noise ratio in training


class Encoder(Layer):
    """Base class of the encoders.

    Waveform and z_e are float32, also where what lies between is computed in bfloat16: mu-law
    levels, mel bands and nearest codes need its precision. Layers have fixed names: TensorFlow may
    order a sum by names, and a second model of a process would be rounded differently.

    Attributes:
        embedding_dim: D, channels of z_e.
        hop_length: samples per frame.
        receptive_field: samples that one frame of z_e can depend on.
        width: numbers per sample in its widest layer, which its memory follows from.
        short_name: its name in presets, arguments and run folders.
        has_floor: whether it depends on the loudest cell of the whole recording, which parts of one
            are called with: `loudest`.
    """

    has_floor = False
    embedding_dim: int
    hop_length: int
    receptive_field: int
    width: float = 1024.0

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    @property
    def provides(self) -> dict[str, int]:
        """What a decoder is built with."""
        return {"hop_length": self.hop_length}

    def compute_output_shape(self, input_shape):
        """Return (B, N, D)."""
        length = input_shape[1]
        frames = None if length is None else length // self.hop_length
        return (input_shape[0], frames, self.embedding_dim)


@keras.saving.register_keras_serializable("vqwn_kit")
class StridedConvEncoder(Encoder):
    """Encoder `64`: strided convolutions, each halving the rate.

    Six of them make one frame of 64 samples, [van den Oord 2017](https://arxiv.org/abs/1711.00937),
    section 4.3. Each convolution is followed by ReLU and batch normalisation; a 1x1 convolution
    leads to the embedding space and a last batch normalisation keeps z_e at the codebook's scale.

    Args:
        embedding_dim: D, channels of z_e.
        filters: channels of each strided convolution.
        kernel_size: taps of each; 4 in the paper, 5 in the original VQ-VAE-WaveNet.
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
        self.hop_length = 2**num_layers
        policy = self.dtype_policy
        self.convs = [
            keras.layers.Conv1D(
                filters,
                kernel_size,
                strides=2,
                padding="same",
                activation="relu",
                dtype=policy,
                name=f"conv_{number:02d}",
            )
            for number in range(num_layers)
        ]
        self.project = keras.layers.Conv1D(embedding_dim, 1, dtype="float32", name="project")
        self.norms = [
            workers.BatchNormalization(
                momentum=batch_norm_momentum,
                dtype=policy if number < num_layers else "float32",
                name=f"norm_{number:02d}",
            )
            for number in range(num_layers + 1 if batch_norm else 0)
        ]

    @property
    def receptive_field(self) -> int:
        """Samples that one frame of z_e can depend on."""
        return 1 + sum((self.kernel_size - 1) * 2**layer for layer in range(self.num_layers))

    @property
    def width(self) -> float:
        """Numbers per sample in its widest layer."""
        return self.filters / 2

    def build(self, input_shape=None):
        """Build all convolutions and normalisations."""
        channels = 1
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


@keras.saving.register_keras_serializable("vqwn_kit")
class DilatedConvEncoder(Encoder):
    """Encoder `Magenta`: the temporal encoder of NSynth.

    [Engel 2017](https://arxiv.org/abs/1704.01279), section 2.1: on the mu-law waveform, residual
    blocks of a non-causal dilated convolution and a 1x1 convolution, each after ReLU;
    a 1x1 convolution to the embedding space; the mean over each hop.

    Args:
        embedding_dim: D, channels of z_e; 16 in the paper.
        filters: channels between the blocks.
        kernel_size: taps of each dilated convolution, odd.
        num_cycles: how often the dilations 1, 2, 4 … are repeated.
        num_cycle_layers: blocks per cycle.
        hop_length: samples per frame.

    Raises:
        ValueError: an even `kernel_size`; symmetric padding needs an odd one.

    Input shape: (B, T, 1), T a multiple of `hop_length`. Output shape: (B, T / hop_length, D).
    """

    short_name = "Magenta"

    def __init__(
        self,
        embedding_dim: int = 64,
        filters: int = 128,
        kernel_size: int = 3,
        num_cycles: int = 3,
        num_cycle_layers: int = 10,
        hop_length: int = 512,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; expected an odd number of taps")
        self.embedding_dim = embedding_dim
        self.filters = filters
        self.kernel_size = kernel_size
        self.num_cycles = num_cycles
        self.num_cycle_layers = num_cycle_layers
        self.hop_length = hop_length
        self.dilations = [2**i for i in range(num_cycle_layers)] * num_cycles
        conv = {"padding": "same", "dtype": self.dtype_policy}
        self.first = keras.layers.Conv1D(filters, kernel_size, name="first", **conv)
        self.convs = [
            keras.layers.Conv1D(
                filters, kernel_size, dilation_rate=dilation, name=f"conv_{number:02d}", **conv
            )
            for number, dilation in enumerate(self.dilations)
        ]
        self.outs = [
            keras.layers.Conv1D(filters, 1, name=f"out_{number:02d}", **conv)
            for number in range(len(self.dilations))
        ]
        self.project = keras.layers.Dense(embedding_dim, dtype="float32", name="project")

    @property
    def receptive_field(self) -> int:
        """Samples that one frame of z_e can depend on."""
        return self.hop_length + (self.kernel_size - 1) * (1 + sum(self.dilations))

    @property
    def width(self) -> float:
        """Numbers per sample in its widest layer."""
        return self.filters

    def build(self, input_shape=None):
        """Build all convolutions."""
        self.first.build((None, None, 1))
        for layer in (*self.convs, *self.outs, self.project):
            layer.build((None, None, self.filters))

    def call(self, waveform, training: bool | None = None):
        """Return z_e (B, N, D)."""
        x = self.first(level_to_scalar(mu_law_encode(waveform)))
        for conv, out in zip(self.convs, self.outs, strict=True):
            x = x + out(ops.relu(conv(ops.relu(x))))
        return mean_over(self.project(x), self.hop_length)


@keras.saving.register_keras_serializable("vqwn_kit")
class GatedConvEncoder(Encoder):
    """Encoder `Magenta-gated`: the gated encoders of the original VQ-VAE-WaveNet.

    On the mu-law waveform, a first convolution and then layers that each halve the rate. With
    `downsample="stride"` a 1x1 convolution of stride 2 comes first in a layer, with "mean" the
    mean of two samples last:

        x + W (tanh(F * x) sigmoid(G * x))

    Where it is causal, z_e at frame n depends only on samples before frame n.

    Args:
        embedding_dim: D, channels of z_e.
        filters: channels of each layer.
        kernel_size: taps of each convolution; odd, where it is not causal.
        dilations: of the layers, in samples of their own rate; the hop is 2 ** len(dilations).
        downsample: "stride" or "mean".
        causal: depend only on the past.

    Raises:
        ValueError: another `downsample`, or an even `kernel_size` without `causal`.

    Input shape: (B, T, 1), T a multiple of `hop_length`. Output shape: (B, T / hop_length, D).
    """

    short_name = "Magenta-gated"

    def __init__(
        self,
        embedding_dim: int = 64,
        filters: int = 128,
        kernel_size: int = 5,
        dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 16),
        downsample: str = "stride",
        causal: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if downsample not in ("stride", "mean"):
            raise ValueError(f"downsample is {downsample!r}; expected 'stride' or 'mean'")
        if not causal and kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; expected an odd number of taps")
        self.embedding_dim = embedding_dim
        self.filters = filters
        self.kernel_size = kernel_size
        self.dilations = list(dilations)
        self.downsample = downsample
        self.causal = causal
        self.hop_length = 2 ** len(self.dilations)
        policy = self.dtype_policy
        conv = {"padding": "causal" if causal else "same", "dtype": policy}
        self.first = keras.layers.Conv1D(filters, kernel_size, name="first", **conv)
        self.downs = [
            keras.layers.Conv1D(filters, 1, strides=2, dtype=policy, name=f"down_{number:02d}")
            for number in range(len(self.dilations) if downsample == "stride" else 0)
        ]
        self.gates = [
            keras.layers.Conv1D(
                2 * filters, kernel_size, dilation_rate=dilation, name=f"gate_{number:02d}", **conv
            )
            for number, dilation in enumerate(self.dilations)
        ]
        self.outs = [
            keras.layers.Dense(filters, dtype=policy, name=f"out_{number:02d}")
            for number in range(len(self.dilations))
        ]
        self.project = keras.layers.Dense(embedding_dim, dtype="float32", name="project")

    @property
    def receptive_field(self) -> int:
        """Samples that one frame of z_e can depend on."""
        seen = self.kernel_size
        for layer, dilation in enumerate(self.dilations):
            rate = 2 ** (layer + 1) if self.downsample == "stride" else 2**layer
            seen += (self.kernel_size - 1) * dilation * rate
            seen += 0 if self.downsample == "stride" else rate
        return seen

    @property
    def width(self) -> float:
        """Numbers per sample in its widest layer."""
        return self.filters if self.downs else 2 * self.filters

    def build(self, input_shape=None):
        """Build all convolutions."""
        self.first.build((None, None, 1))
        for layer in (*self.downs, *self.gates, *self.outs, self.project):
            layer.build((None, None, self.filters))

    def call(self, waveform, training: bool | None = None):
        """Return z_e (B, N, D)."""
        x = level_to_scalar(mu_law_encode(waveform))
        x = self.first(shift_right(x) if self.causal else x)
        for number, (gate, out) in enumerate(zip(self.gates, self.outs, strict=True)):
            if self.downs:
                x = self.downs[number](x)
            filtered, opened = ops.split(gate(x), 2, axis=-1)
            x = x + out(ops.tanh(filtered) * ops.sigmoid(opened))
            if not self.downs:
                x = mean_over(x, 2)
        return self.project(x)


@keras.saving.register_keras_serializable("vqwn_kit")
class ResidualConvEncoder(Encoder):
    """Encoder `2019`: cepstrum or mel bands through residual convolutions, 50 frames per second.

    [Chorowski 2019](https://arxiv.org/abs/1901.08810), section III-A: 13 MFCC with deltas and
    second deltas, 25 ms windows every 10 ms; two convolutions of width 3, the second residual; one
    of width 4 and stride 2; two residual ones of width 3; four residual ReLU layers; a linear
    layer to the embedding space. The features, whose sizes differ by hundreds, are normalised
    first, with statistics learned as batch normalisation's.

    Args:
        embedding_dim: D, channels of z_e.
        filters: units of each layer.
        features: "mfcc" or "log_mel".
        batch_norm_momentum: of the features' moving statistics, used outside training.
        stride: of the one strided convolution; 1 for 100 frames per second.
        warp: vocal-tract-length perturbation in training, see `LogMel`: codes carry less of the
            voice.
        tilt: spectral-tilt augmentation in training, see `LogMel`: they carry less still.
        noise: least signal-to-noise ratio in dB of white noise that is added to the encoder's input
            in training, see `add_noise`: codes of noisy speech stay those of clean speech, which
            the decoder is trained on. None for none.
        top_db: floor of the bands, in dB under the loudest cell of a clip, see `LogMel`: what noise
            fills up is not seen. None for none.

    Raises:
        ValueError: other `features`.

    Input shape: (B, T, 1), T a multiple of 160 strides. Output shape: (B, T / (160 stride), D).
    """

    short_name = "2019"

    def __init__(
        self,
        embedding_dim: int = 64,
        filters: int = 768,
        features: str = "mfcc",
        batch_norm_momentum: float = 0.99,
        stride: int = 2,
        warp: float = 0.0,
        tilt: float = 0.0,
        noise: float | None = None,
        top_db: float | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if features not in ("mfcc", "log_mel"):
            raise ValueError(f"features is {features!r}; expected 'mfcc' or 'log_mel'")
        self.embedding_dim = embedding_dim
        self.filters = filters
        self.features = features
        self.stride = stride
        self.warp = warp
        self.tilt = tilt
        self.noise = noise
        self.top_db = top_db
        self.generator = keras.random.SeedGenerator()
        self.batch_norm_momentum = batch_norm_momentum
        self.hop_length = FEATURE_HOP * stride
        spectrum = Mfcc if features == "mfcc" else LogMel
        self.spectrum = spectrum(
            hop_length=FEATURE_HOP, top_db=top_db, warp=warp, tilt=tilt, name="spectrum"
        )
        conv = {"padding": "same", "activation": "relu", "dtype": self.dtype_policy}
        self.norm = workers.BatchNormalization(
            momentum=batch_norm_momentum, dtype="float32", name="norm"
        )
        self.first = keras.layers.Conv1D(filters, 3, name="first", **conv)
        self.second = keras.layers.Conv1D(filters, 3, name="second", **conv)
        self.down = keras.layers.Conv1D(filters, 4, strides=stride, name="down", **conv)
        self.residuals = [
            keras.layers.Conv1D(filters, width, name=f"residual_{number}", **conv)
            for number, width in enumerate((3, 3, 1, 1, 1, 1))
        ]
        self.project = keras.layers.Dense(embedding_dim, dtype="float32", name="project")

    @property
    def receptive_field(self) -> int:
        """Samples that one frame of z_e can depend on.

        A Hann window's first sample has no weight.
        """
        deltas = DELTA_WIDTH - 1 if self.features == "mfcc" else 0
        frames = 1 + deltas + 2 + 2 + 3 + self.stride * (2 + 2)
        return self.spectrum.window_length - 1 + (frames - 1) * FEATURE_HOP

    @property
    def has_floor(self) -> bool:
        """Whether there is a `top_db`."""
        return self.top_db is not None

    @property
    def width(self) -> float:
        """Numbers per sample in its widest layer."""
        return max(2 * self.spectrum.n_fft, self.filters) / FEATURE_HOP

    def build(self, input_shape=None):
        """Build the spectrum, the normalisation and all convolutions."""
        self.spectrum.build((None, None, 1))
        self.norm.build((None, None, self.spectrum.channels))
        self.first.build((None, None, self.spectrum.channels))
        for layer in (self.second, self.down, *self.residuals, self.project):
            layer.build((None, None, self.filters))

    def call(self, waveform, training: bool | None = None, loudest=None):
        """Return z_e (B, N, D); for `loudest` see `LogMel.call`."""
        if training and self.noise is not None:
            waveform = add_noise(waveform, self.noise, self.generator)
        features = self.spectrum(waveform, training=training, loudest=loudest)
        x = self.first(self.norm(features, training=training))
        x = x + self.second(x)
        x = self.down(x)
        for layer in self.residuals:
            x = x + layer(x)
        return self.project(x)


def add_noise(waveform, least: float, seed: keras.random.SeedGenerator):
    """Return waveforms (B, T, 1), half of them with white noise at a ratio in dB that they draw.

    The ratio of mean powers is uniform between `least` and `least` + 30 dB. The other half stays
    clean: an encoder that only receives noise has no codes for clean speech.
    """
    draws = (ops.shape(waveform)[0], 1, 1)
    ratio = workers.draw(keras.random.uniform, draws, least, least + NOISE_RANGE, seed=seed)
    noisy = ops.cast(workers.draw(keras.random.uniform, draws, seed=seed) < 0.5, "float32")
    power = ops.mean(waveform**2, axis=1, keepdims=True)
    size = noisy * ops.sqrt(power * 10.0 ** (-ratio / 10.0))
    noise = workers.draw(keras.random.normal, ops.shape(waveform), seed=seed)
    return waveform + size * noise


def mean_over(x, count: int):
    """Return the means (B, T / count, C) of each `count` samples of x (B, T, C)."""
    batch, length, channels = ops.shape(x)
    return ops.mean(ops.reshape(x, (batch, length // count, count, channels)), axis=2)
