"""WaveNet: past levels, codes' vectors and a speaker -> the distribution of the next level."""

import keras
from keras import ops

from vqwn_kit.models import distributions as logistics
from vqwn_kit.models import lpc as prediction
from vqwn_kit.models.conditioning import Conditioner
from vqwn_kit.models.gated_block import GatedBlock
from vqwn_kit.models.layers import (
    Layer,
    add_frames,
    level_to_scalar,
    mu_law_encode,
    mu_law_step,
    shift_right,
)
from vqwn_kit.models.mel_decoder import DECIBELS, MelDecoder


@keras.saving.register_keras_serializable("vqwn_kit")
class WaveNet(Layer):
    """Autoregressive decoder of dilated causal convolutions.

    [van den Oord 2016](https://arxiv.org/abs/1609.03499), as the decoder of a VQ-VAE: the codes of
    each frame are the local condition and a learned vector for the speaker the global one. Both are
    projected, without bias, once a frame and added in every block and after the first output
    layer. One projection of the two side by side, or one for each, whose sum is added: the same
    functions, which start at different sizes.

    Args:
        num_speakers: S.
        condition_dim: D, channels of the local condition.
        num_cycles: how often the dilations 1, 2, 4 … are gone through.
        num_cycle_layers: gated blocks a cycle.
        dilations: of the blocks, in samples, instead of cycles.
        kernel_size: taps of each block's convolution.
        residual_channels: channels between the blocks.
        gate_channels: channels of each half of the gate.
        skip_channels: channels of the sum that the output layers read.
        first_kernel_size: taps of the convolution over the input samples.
        speaker_dim: channels of the vector of a speaker.
        levels: mu-law levels.
        one_hot: hear the past as one of `levels` channels a sample, instead of as one number.
        interpolate: draw lines between the conditions of frames, instead of repeating them.
        speaker_projection: "shared" with the codes, or "own".
        local_channels: as in `Conditioner`, like the four that follow.
        jitter: probability that a frame takes a neighbour's code, in training.
        learned_no_speaker: learn the vector of 'no speaker', which is zeros otherwise.
        speaker_dropout: probability that the speaker isn't told, in training.
        local_layers: residual convolutions over the frames of codes and speaker.
        mixtures: logistic components of the output; 0 is a softmax over the levels.
        emphasis: a of the emphasis x[t] - a x[t - 1], 0 to under 1, of the sound whose levels these
            are. It lifts high frequencies over the noise that rounding to few levels makes, and
            that of sampling; what is spoken has it undone. 0.85 in
            [LPCNet](https://arxiv.org/abs/1810.11846).
        prediction_order: past samples from which a linear filter tells each sample first, so that
            the levels are those of what it leaves; 0 for no filter. The filter of a frame follows
            from mel bands, which the `MelDecoder` of a first stage tells; it is taken over,
            with its conditions, and doesn't learn. In training the filters are those of the
            recording's own bands: so what they leave has no colour, and none is drawn by chance
            when the decoder speaks, through filters of the bands that are told. After
            [ExcitNet](https://arxiv.org/abs/1811.04769); 20 to 32 are usual.
        postfilter: how much what is spoken has the peaks of those spectra raised, 0 to under 1;
            see `prediction.Synthesis`.
        hop_length: samples a frame, for these bands.

    Raises:
        ValueError: fewer than 2 taps, no dilations, or another `speaker_projection`; or one of its
            own with `local_layers`, which mix speaker and codes; or an emphasis, a
            `prediction_order` or a `postfilter` out of range.

    Input shape: levels (B, T) int32; local condition (B, N, D), N a divisor of T; speaker (B,)
        int32, -1..S-1.
    Output shape: (B, T, levels) float32 logits, or (B, T, 3 mixtures) parameters, of each level
        given those before it; see `nll` and `log_probabilities`.
    """

    short_name = "wavenet"
    loss_names = ("wavenet/nll",)

    def __init__(
        self,
        num_speakers: int,
        condition_dim: int = 64,
        num_cycles: int = 3,
        num_cycle_layers: int = 10,
        dilations: tuple[int, ...] | None = None,
        kernel_size: int = 3,
        residual_channels: int = 256,
        gate_channels: int = 256,
        skip_channels: int = 512,
        first_kernel_size: int = 32,
        speaker_dim: int = 64,
        levels: int = 256,
        one_hot: bool = False,
        interpolate: bool = False,
        speaker_projection: str = "shared",
        local_channels: int | None = None,
        jitter: float = 0.0,
        learned_no_speaker: bool = False,
        speaker_dropout: float = 0.0,
        local_layers: int = 0,
        mixtures: int = 0,
        emphasis: float = 0.0,
        prediction_order: int = 0,
        postfilter: float = 0.0,
        hop_length: int = 160,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if dilations is None:
            dilations = [2**layer for layer in range(num_cycle_layers)] * num_cycles
        if kernel_size < 2 or not dilations:
            raise ValueError(
                f"kernel_size is {kernel_size} with {len(dilations)} dilations; expected at least "
                "2 taps and one dilation, or the model can't see its past"
            )
        if speaker_projection not in ("shared", "own"):
            raise ValueError(
                f"speaker_projection is {speaker_projection!r}; expected 'shared' or 'own'"
            )
        if local_layers and speaker_projection == "own":
            raise ValueError(
                "speaker_projection is 'own' with local_layers, which mix speaker and codes; "
                "expected 'shared', or local_layers=0"
            )
        if not 0.0 <= emphasis < 1.0:
            raise ValueError(
                f"emphasis is {emphasis}; expected 0, none, up to less than 1, such as 0.85"
            )
        if not 0 <= prediction_order <= 32:
            raise ValueError(
                f"prediction_order is {prediction_order}; expected 0, none, to 32 past samples, "
                "such as 20"
            )
        if not 0.0 <= postfilter < 1.0 or postfilter and not prediction_order:
            raise ValueError(
                f"postfilter is {postfilter} with a prediction_order of {prediction_order}; "
                "expected 0, none, up to less than 1, such as 0.8, and filters that it is made of"
            )
        self.num_speakers = num_speakers
        self.condition_dim = condition_dim
        self.num_cycles = num_cycles
        self.num_cycle_layers = num_cycle_layers
        self.dilations = list(dilations)
        self.kernel_size = kernel_size
        self.residual_channels = residual_channels
        self.gate_channels = gate_channels
        self.skip_channels = skip_channels
        self.first_kernel_size = first_kernel_size
        self.speaker_dim = speaker_dim
        self.levels = levels
        self.one_hot = one_hot
        self.interpolate = interpolate
        self.speaker_projection = speaker_projection
        self.local_channels = local_channels
        self.jitter = jitter
        self.learned_no_speaker = learned_no_speaker
        self.speaker_dropout = speaker_dropout
        self.local_layers = local_layers
        self.mixtures = mixtures
        self.emphasis = emphasis
        self.prediction_order = prediction_order
        self.postfilter = postfilter
        self.hop_length = hop_length
        policy = self.dtype_policy
        dense = keras.layers.Dense
        told = {
            "condition_dim": condition_dim, "speaker_dim": speaker_dim,
            "local_channels": local_channels, "jitter": jitter,
            "learned_no_speaker": learned_no_speaker, "speaker_dropout": speaker_dropout,
            "local_layers": local_layers, "dtype": policy,
        }  # fmt: skip
        if prediction_order:
            self.envelope = MelDecoder(num_speakers, hop_length, **told, name="envelope")
            self.envelope.trainable = False
            self.frames = self.envelope.frames
        else:
            self.frames = Conditioner(num_speakers, **told, name="frames")
        self.first = keras.layers.Conv1D(
            residual_channels, first_kernel_size, padding="causal", dtype=policy, name="first"
        )
        self.first_skip = dense(skip_channels, dtype=policy, name="first_skip")
        widths = {"conditions": 2 * gate_channels * len(dilations), "post_condition": skip_channels}
        self.conditions, self.post_condition = [
            Projection(width, self._parts(), dtype=policy, name=name)
            for name, width in widths.items()
        ]
        self.blocks = [
            GatedBlock(
                residual_channels, gate_channels, skip_channels, kernel_size, dilation, interpolate,
                dtype=policy, name=f"block_{number:02d}",
            )
            for number, dilation in enumerate(dilations)
        ]  # fmt: skip
        self.post = dense(skip_channels, dtype=policy, name="post")
        bias = logistics.SpreadMeans() if mixtures else "zeros"
        self.out = dense(3 * mixtures or levels, bias_initializer=bias, dtype="float32", name="out")

    def _parts(self) -> list[int]:
        """Return the channels of a frame that have a projection of their own."""
        if self.speaker_projection == "own":
            return [self.local_channels or self.condition_dim, self.speaker_dim]
        return [self.frames.channels]

    @property
    def receptive_field(self) -> int:
        """Past samples that the next one can depend on."""
        return self.first_kernel_size + (self.kernel_size - 1) * sum(self.dilations)

    @property
    def speakers(self):
        """The table of the speakers' vectors, (S, speaker_dim)."""
        return self.frames.speakers.table

    def build(self, levels_shape=None, local_condition_shape=None, speaker_shape=None):
        """Build all layers; their shapes follow from the constructor's keywords alone."""
        (self.envelope if self.prediction_order else self.frames).build()
        self.first.build((None, None, self.levels if self.one_hot else 1))
        self.first_skip.build((None, None, self.residual_channels))
        self.conditions.build()
        for block in self.blocks:
            block.build((None, None, self.residual_channels))
        self.post.build((None, None, self.skip_channels))
        self.post_condition.build()
        self.out.build((None, None, self.skip_channels))

    def hear(self, levels):
        """Return what the first convolution reads, (B, T, 1 or levels): each level a sample late.

        Before the first level stands silence: 0, or none of the channels.
        """
        if self.one_hot:
            return shift_right(ops.one_hot(levels, self.levels, dtype=self.compute_dtype))
        return shift_right(level_to_scalar(levels, self.levels)[..., None])

    def call(self, levels, local_condition, speaker, training: bool | None = None):
        """Return logits, or parameters of the mixture, of each level given those before it."""
        return self.tell(levels, self.frames(local_condition, speaker, training=training))

    def tell(self, levels, frames):
        """Return what `call` does, given what conditions each frame, (B, N, C)."""
        conditions = ops.split(self.conditions(frames), len(self.blocks), axis=-1)
        x = self.first(self.hear(levels))
        total = self.first_skip(x)
        for block, condition in zip(self.blocks, conditions, strict=True):
            x, skip = block(x, condition)
            total = total + skip
        after = add_frames(
            self.post(ops.relu(total)), self.post_condition(frames), self.interpolate
        )
        return self.out(ops.relu(after))

    def nll(self, levels, outputs):
        """Return the negative log-likelihood in nats, (B, T), of levels given `call`'s outputs."""
        if self.mixtures:
            return -logistics.log_probability(outputs, levels, self.levels)
        return keras.losses.sparse_categorical_crossentropy(levels, outputs, from_logits=True)

    def log_probabilities(self, outputs):
        """Return the log-probabilities of all levels, (B, T, levels), given `call`'s outputs."""
        if self.mixtures:
            return logistics.log_probabilities(outputs, self.levels)
        return ops.log_softmax(outputs)

    def filters(self, frames, waveform=None):
        """Return the filters, (B, N, P) and (B, N), of frames (B, N, C); see `prediction`.

        Or of the bands of a waveform (B, T, 1) itself, if it is given.
        """
        if waveform is None:
            bands = DECIBELS * self.envelope.out(frames)
        else:
            bands = self.envelope.spectrum(waveform)
        order, spectrum = self.prediction_order, self.envelope.spectrum
        told = prediction.filters(bands, order, spectrum, self.emphasis)
        return [ops.stop_gradient(part) for part in told]

    def targets(self, waveform, frames=None):
        """Return the mu-law levels, int32 (B, T), that are told of a waveform (B, T, 1).

        Of what is left of the emphasised sound by the filters of the frames, (B, N, C), if there
        is a `prediction_order`.

        Raises:
            ValueError: there is one, and no frames.
        """
        return mu_law_encode(self._told(waveform, frames)[-1], self.levels)

    def _told(self, waveform, frames, training: bool = False):
        """Return the emphasised sound (B, T), the scale of what is told of it, and that."""
        sound = (waveform - self.emphasis * shift_right(waveform))[..., 0]
        if not self.prediction_order:
            return sound, 1.0, sound
        if frames is None:
            raise ValueError("targets without frames; expected (B, N, C), which make the filters")
        coefficients, scale = self.filters(frames, waveform if training else None)
        left = prediction.remainder(sound, coefficients, scale)
        hop = ops.shape(sound)[1] // ops.shape(scale)[1]
        return sound, prediction.RANGE * ops.repeat(scale, hop, axis=1), left

    def losses_of(self, waveform, z_q, speaker, training: bool) -> dict:
        """Return the mean negative log-likelihood of a waveform's levels in nats, by its name."""
        frames = self.frames(z_q, speaker, training=training)
        return {"wavenet/nll": ops.mean(self.nll_of(waveform, frames, training))}

    def nll_of(self, waveform, frames, training: bool = False):
        """Return the negative log-likelihood in nats, (B, T), of the levels of a waveform.

        They are the mu-law levels of the emphasised sound. Where those of a remainder are told,
        what is added is the logarithm of how much wider their steps are at that place, so that the
        likelihood of the same sound is compared whatever the filters: beyond the last level the
        steps grow with the square of the distance, and outside training no sample costs less than
        nothing. In training the filters are the recording's own, which nobody pays for.
        """
        sound, scale, told = self._told(waveform, frames, training)
        levels = mu_law_encode(told, self.levels)
        nll = self.nll(levels, self.tell(levels, frames))
        if self.prediction_order:
            wider = scale * mu_law_step(told, self.levels) / mu_law_step(sound, self.levels)
            outside = ops.maximum(1.0, ops.abs(told))
            nll = nll + ops.log(wider) + 2.0 * ops.log(outside)
            nll = nll if training else ops.maximum(nll, 0.0)
        return nll

    def compute_output_shape(self, levels_shape, local_condition_shape=None, speaker_shape=None):
        """Return (B, T, levels), or (B, T, 3 mixtures)."""
        return (*levels_shape[:2], 3 * self.mixtures or self.levels)


@keras.saving.register_keras_serializable("vqwn_kit")
class Projection(Layer):
    """A linear map of frames (B, N, sum of parts) to (B, N, width), without bias.

    Args:
        width: channels of the output.
        parts: channels that share a start: each part's weights are drawn for its own number of
            inputs, as if it had a layer of its own whose output is added.
    """

    def __init__(self, width: int, parts: list[int], **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.parts = list(parts)

    def build(self, input_shape=None):
        """Create one kernel for each part."""
        self.kernels = [
            self.add_weight(shape=(part, self.width), initializer="glorot_uniform", name=f"part{i}")
            for i, part in enumerate(self.parts)
        ]

    @property
    def kernel(self):
        """The kernels of all parts as one, (sum of parts, width)."""
        return ops.concatenate([ops.convert_to_tensor(kernel) for kernel in self.kernels])

    def call(self, frames):
        """Return the projected frames."""
        return ops.matmul(frames, self.kernel)
