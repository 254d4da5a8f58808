"""A WaveNet as the decoder of a VQ-VAE: codec, conditioner, network and distribution."""

import keras
from keras import ops

from vqwn_kit.models.codec import SampleCodec
from vqwn_kit.models.conditioning import Conditioner
from vqwn_kit.models.decoder import Decoder
from vqwn_kit.models.distributions import Distribution
from vqwn_kit.models.mel_decoder import MelDecoder
from vqwn_kit.models.wavenet import WaveNet


@keras.saving.register_keras_serializable("vqwn_kit")
class WaveNetDecoder(Decoder):
    """Predicts each sample from those before it, given codes' vectors and a speaker.

    [van den Oord 2017](https://arxiv.org/abs/1711.00937): the codes of each frame are the local
    condition and a learned vector for the speaker the global one.

    Where the codec has an `lpc_order`, the filters of a frame follow from its mel bands, which a
    frozen `MelDecoder` predicts from the conditioning: it and the conditioner are those of a first
    stage. In training the filters are those of the recording's own bands, so that the residual has
    no colour; synthesis uses the predicted bands. After
    [ExcitNet](https://arxiv.org/abs/1811.04769).

    Args:
        conditioner: codes' vectors and speaker -> conditioning (B, N, C).
        codec: waveform <-> levels.
        distribution: of a level.
        network: past levels and conditioning -> outputs.
        hop_length: samples per frame.

    Input shape: levels (B, T) int32, conditioning (B, N, C), N = T / hop_length.
    Output shape: (B, T, num_outputs), of each level given those before it.
    """

    short_name = "wavenet"
    loss_name = "wavenet/nll"
    is_autoregressive = True
    part_names = ("conditioner", "codec", "distribution", "network")

    def __init__(
        self,
        conditioner: Conditioner,
        codec: SampleCodec,
        distribution: Distribution,
        network: WaveNet,
        hop_length: int,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.conditioner = conditioner
        self.codec = codec
        self.distribution = distribution
        self.network = network
        self.hop_length = hop_length
        self.mel_decoder = None
        if codec.lpc_order:
            self.mel_decoder = MelDecoder(
                conditioner, hop_length, dtype=self.dtype_policy, name="mel_decoder"
            )
            self.mel_decoder.trainable = False

    def get_mel_decoder(self) -> MelDecoder | None:
        """Return the mel decoder whose bands make the LPC filters, if there is one."""
        return self.mel_decoder

    @property
    def receptive_field(self) -> int:
        """Past samples that the next one can depend on."""
        return self.network.receptive_field

    def build(self, levels_shape=None, conditioning_shape=None):
        """Build all layers; their shapes follow from the constructors' keywords alone."""
        self.conditioner.build()
        if self.mel_decoder is not None:
            self.mel_decoder.build()
        inputs, frames = (
            (None, None, self.codec.num_inputs),
            (None, None, self.conditioner.channels),
        )
        self.network.groups = self.conditioner.groups
        self.network.build(inputs, frames)
        self.network.out.bias.assign(self.distribution.initial_bias())

    def call(self, levels, conditioning):
        """Return the network's outputs for each level, given the levels before it."""
        return self.network(self.codec.inputs(levels, self.compute_dtype), conditioning)

    def filters(self, conditioning, waveform=None):
        """Return the LPC filters of frames, or None where the codec has no `lpc_order`.

        Args:
            conditioning: (B, N, C), from which the mel bands are predicted.
            waveform: (B, T, 1), whose own bands are used instead, if it is given.
        """
        if self.mel_decoder is None:
            return None
        spectrum = self.mel_decoder.spectrum
        bands = self.mel_decoder.bands(conditioning) if waveform is None else spectrum(waveform)
        return [ops.stop_gradient(part) for part in self.codec.filters(bands, spectrum)]

    def levels_of(self, waveform, conditioning):
        """Return the levels, int32 (B, T), of a waveform (B, T, 1)."""
        return self.codec.encode(waveform, self.filters(conditioning))

    def nll(self, waveform, conditioning, training: bool | None = None):
        """Return the negative log-likelihood in nats, (B, T), of the levels of a waveform.

        They are the mu-law levels of the pre-emphasised waveform. Of an LPC residual,
        `log_step_ratio` is added, so that the likelihood of the same sound is compared whatever the
        filters; and outside training no sample costs less than 0. In training the filters are the
        recording's own, whose cost is not counted.
        """
        filters = self.filters(conditioning, waveform if training else None)
        signal = self.codec.analyse(waveform, filters)
        levels = self.codec.to_levels(signal.residual)
        nll = -self.distribution.log_prob(self(levels, conditioning), levels)
        if filters is not None:
            nll = nll + self.codec.log_step_ratio(signal)
            nll = nll if training else ops.maximum(nll, 0.0)
        return nll

    def loss(self, waveform, conditioning, training: bool | None = None):
        """Return the mean negative log-likelihood per sample in nats."""
        return ops.mean(self.nll(waveform, conditioning, training))

    def compute_output_shape(self, levels_shape, conditioning_shape=None):
        """Return (B, T, num_outputs)."""
        return (*levels_shape[:2], self.distribution.num_outputs)
