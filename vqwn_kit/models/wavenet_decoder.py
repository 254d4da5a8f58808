"""A WaveNet as the decoder of a VQ-VAE: codec, conditioner, network and distribution."""

import keras
from keras import ops

from vqwn_kit.models.codec import SampleCodec, Signal
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
    stage. Synthesis uses these. After [ExcitNet](https://arxiv.org/abs/1811.04769); with a closed
    loop, see `SampleCodec`, after [LPCNet](https://arxiv.org/abs/1810.11846).

    Args:
        conditioner: codes' vectors and speaker -> conditioning (B, N, C).
        codec: waveform <-> levels.
        distribution: of a level.
        network: past levels and conditioning -> outputs.
        hop_length: samples per frame.
        trained_filters: where there are LPC filters, those of training: "recording", of the
            recording's own bands, so that the residual has no colour; or "predicted", of the
            bands that synthesis will use.
        contrast: of the mel decoder's bands, see `MelDecoder`; filters are made without it.
        match_bands: the share, 0 to 1, of the difference in dB by which sampled sound is brought
            to these bands, see `vqwn_kit.sampling.band_matching`.
        pitch_postfilter: how much the neighbouring periods of sampled sound count, 0 to 1, see
            `vqwn_kit.sampling.pitch_postfilter`.

    Raises:
        ValueError: other `trained_filters`; `match_bands` or `pitch_postfilter` out of range;
            `match_bands` for frames as long as a window; it or `contrast` without an `lpc_order`.

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
        trained_filters: str = "recording",
        contrast: float = 0.0,
        match_bands: float = 0.0,
        pitch_postfilter: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if trained_filters not in ("recording", "predicted"):
            raise ValueError(
                f"trained_filters is {trained_filters!r}; expected 'recording' or 'predicted'"
            )
        shares = {"match_bands": match_bands, "pitch_postfilter": pitch_postfilter}
        for name, share in shares.items():
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} is {share}; expected 0, none, to 1")
        if (match_bands or contrast) and not codec.lpc_order:
            raise ValueError(
                f"match_bands is {match_bands} and contrast {contrast} with an lpc_order of 0; "
                "both are of predicted bands: expected 0 of each, or an lpc_order above 0"
            )
        self.match_bands = match_bands
        self.pitch_postfilter = pitch_postfilter
        self.trained_filters = trained_filters
        self.contrast = contrast
        self.conditioner = conditioner
        self.codec = codec
        self.distribution = distribution
        self.network = network
        self.hop_length = hop_length
        self.mel_decoder = None
        if codec.lpc_order:
            self.mel_decoder = MelDecoder(
                conditioner,
                hop_length,
                contrast=contrast,
                dtype=self.dtype_policy,
                name="mel_decoder",
            )
            self.mel_decoder.trainable = False
            window = self.mel_decoder.spectrum.window_length
            if match_bands and hop_length >= window:
                raise ValueError(
                    f"match_bands is {match_bands} with {hop_length} samples per frame; expected "
                    f"fewer than a window of {window}, or match_bands=0"
                )

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
        self.network.groups = self.conditioner.groups
        inputs = (None, None, self.codec.num_inputs)
        self.network.build(inputs, (None, None, self.conditioner.channels))
        self.network.out.bias.assign(self.distribution.initial_bias())

    def call(self, levels, conditioning, signal: Signal | None = None):
        """Return the network's outputs for each level, given the levels before it.

        A closed loop also reads a signal: by default that which the levels synthesise, outside a
        graph.
        """
        if signal is None and self.codec.closed_loop:
            signal = self.codec.signal_of(levels, self.filters(conditioning))
        inputs = self.codec.inputs(levels, signal, self.compute_dtype)
        return self.network(inputs, conditioning)

    def outputs_for(self, waveform, conditioning, training: bool | None = None):
        """Return the outputs (B, T, num_outputs) for a waveform (B, T, 1), teacher-forced.

        Returns:
            The outputs, the levels (B, T) that they predict, and the `Signal`.
        """
        own = training and self.trained_filters == "recording"
        filters = self.filters(conditioning, waveform if own else None)
        signal = self.codec.analyse(waveform, filters, training)
        levels = self.codec.to_levels(signal.residual)
        known = signal if self.codec.closed_loop else None
        return self(levels, conditioning, known), levels, signal

    def filters(self, conditioning, waveform=None):
        """Return the LPC filters of frames, or None where the codec has no `lpc_order`.

        Args:
            conditioning: (B, N, C), from which the mel bands are predicted.
            waveform: (B, T, 1), whose own bands are used instead, if it is given.
        """
        if self.mel_decoder is None:
            return None
        spectrum = self.mel_decoder.spectrum
        if waveform is None:
            bands = self.mel_decoder.plain_bands(conditioning)
        else:
            bands = spectrum(waveform)
        return [ops.stop_gradient(part) for part in self.codec.filters(bands, spectrum)]

    def levels_of(self, waveform, conditioning):
        """Return the levels, int32 (B, T), of a waveform (B, T, 1)."""
        return self.codec.encode(waveform, self.filters(conditioning))

    def nll(self, waveform, conditioning, training: bool | None = None):
        """Return the negative log-likelihood in nats, (B, T), of the samples of a waveform.

        It is that of the mu-law levels of the pre-emphasised waveform. With an `lpc_order` the
        levels of the residual are predicted; the density that they imply is integrated over each
        level of the sound, see `SampleCodec.sound_log_prob`, so that likelihoods compare whatever
        the filters. In training the levels of the residual are scored instead, and
        `log_step_ratio` is added, which is nearly the same; where its filters are the recording's
        own, their cost is not counted.
        """
        outputs, levels, signal = self.outputs_for(waveform, conditioning, training)
        if self.mel_decoder is None:
            return -self.distribution.log_prob(outputs, levels)
        if training:
            ratio = self.codec.log_step_ratio(signal)
            return ratio - self.distribution.log_prob(outputs, levels)
        return -self.codec.sound_log_prob(self.distribution(outputs), signal)

    def loss(self, waveform, conditioning, training: bool | None = None):
        """Return the mean negative log-likelihood per sample in nats."""
        return ops.mean(self.nll(waveform, conditioning, training))

    def compute_output_shape(self, levels_shape, conditioning_shape=None):
        """Return (B, T, num_outputs)."""
        return (*levels_shape[:2], self.distribution.num_outputs)
