"""The model: an encoder, a bottleneck and a decoder, and the step that trains them."""

from collections.abc import Callable
from functools import cached_property

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.models.codebook import CodeUsage, RecentFrames

PARTS = ("encoder", "bottleneck", "decoder")


@keras.saving.register_keras_serializable("vqwn_kit")
class VQVAE(keras.Model):
    """A VQ-VAE for speech, [van den Oord 2017](https://arxiv.org/abs/1711.00937).

    Args:
        encoder: waveform (B, T, 1) -> z_e (B, N, D).
        bottleneck: z_e -> `Quantized`.
        decoder: a `WaveNetDecoder`, or for a first stage a `MelDecoder`.
        speaker_names: names of the S speakers, in the order of their numbers.

    Attributes:
        synthesise: codes and speakers -> waveforms, for `decode`: `vqwn_kit.sampling.generate`,
            which `build_model` sets.

    Example:
        codes = model.encode(waveform)                          # (T,) -> (1, N) int32
        waveform = model.decode(codes, ["alpha"])               # (1, T) float32
        outputs = model((waveforms, speakers))                  # (B, T, 1), (B,) -> (B, T, 256)
        model.compile("adam"); model.fit(batches)               # batches of (waveform, speaker)
    """

    synthesise: Callable[..., np.ndarray] | None = None

    def __init__(self, encoder, bottleneck, decoder, speaker_names: tuple[str, ...] = (), **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.bottleneck = bottleneck
        self.decoder = decoder
        self.speaker_names = [str(name) for name in speaker_names]
        if decoder.hop_length != encoder.hop_length:
            raise ValueError(
                f"the decoder has {decoder.hop_length} samples per frame, the encoder "
                f"{encoder.hop_length}; expected the same hop_length"
            )
        names = ("loss", decoder.loss_name, *bottleneck.loss_names, "vq/z_e_rms", "vq/code_rms")
        self.trackers = {name: keras.metrics.Mean(name) for name in names}
        size = bottleneck.num_embeddings
        self.code_usage = CodeUsage(size) if size else None  # since the metrics were reset
        dim = bottleneck.embedding_dim
        self.recent = RecentFrames(size, dim) if size else None  # to reset dead codes from

    @property
    def hop_length(self) -> int:
        """Samples per code."""
        return self.encoder.hop_length

    @property
    def bits_per_code(self) -> float:
        """Nominal information of a code, log2 K; infinite without a codebook."""
        size = self.bottleneck.num_embeddings
        return float(np.log2(size)) if size else float("inf")

    @property
    def is_autoregressive(self) -> bool:
        """Whether the decoder predicts samples; a `MelDecoder` does not."""
        return self.decoder.is_autoregressive

    def count_learned(self) -> int:
        """Return how many numbers are learned: trainable weights, and codebooks by EMA."""
        codebook = self.bottleneck.codebook if self.bottleneck.num_embeddings else None
        by_average = codebook is not None and not codebook.trainable
        learned = [*self.trainable_weights, *([codebook] if by_average else [])]
        return sum(int(np.prod(weight.shape)) for weight in learned)

    def build(self, input_shape=None):
        """Build the three parts; their shapes follow from their keywords alone."""
        frames = (None, None, self.bottleneck.embedding_dim)
        shapes = {self.encoder: (None, None, 1), self.bottleneck: frames, self.decoder: None}
        for part, shape in shapes.items():
            if not part.built:
                part.build(shape)
        self.built = True

    def build_from_config(self, config: dict) -> None:
        """Build the parts when Keras loads a saved model; see `build`."""
        self.build()

    def call(self, inputs, training: bool | None = None):
        """Return the decoder's outputs for (waveform (B, T, 1), speaker (B,)), teacher-forced.

        Of a `WaveNetDecoder` (B, T, num_outputs), of a `MelDecoder` mel bands (B, N, n_mels).
        """
        waveform, speaker = inputs
        z_q = self.quantized(waveform, training).z_q
        conditioning = self.decoder.conditioner(z_q, speaker, training=training)
        if not self.is_autoregressive:
            return self.decoder(conditioning)
        return self.decoder(self.decoder.levels_of(waveform, conditioning), conditioning)

    def quantized(self, waveform, training: bool | None = None):
        """Return `Quantized` for a batch (B, T, 1), also in a graph.

        Frozen parts run in inference mode.
        """
        z_e = self.encoder(waveform, training=training and self.encoder.trainable)
        return self.bottleneck(z_e, training=training and self.bottleneck.trainable)

    def vector_quantize(self, waveform):
        """Return `Quantized` for a waveform (T,) or batch (B, T, 1), in inference mode.

        A length that is no multiple of `hop_length` is padded with zeros at its end.
        """
        return self.quantized(as_batch(waveform, self.hop_length), training=False)

    def encode(self, waveform) -> np.ndarray:
        """Return codes, int32 (B, N), for a waveform (T,) or batch (B, T, 1) in [-1, 1].

        Raises:
            InputError: the model has no codebook.
        """
        codes = self.vector_quantize(waveform).codes
        if codes is None:
            raise InputError(
                "this model has no codebook (an autoencoder): use vector_quantize(...).z_q"
            )
        return ops.convert_to_numpy(codes)

    def decode(self, codes, speakers, **settings) -> np.ndarray:
        """Return the waveforms of codes in the voices of speakers, float32 (S', N * hop_length).

        Args:
            codes: int (N,), (1, N) or (S', N).
            speakers: names or numbers of S' speakers, or vectors of voices; None is 'no speaker'.
            **settings: mode, temperature, seed and the others of `vqwn_kit.generate`.

        Raises:
            InputError: no such speaker, codes out of range, or a decoder that cannot synthesise.
        """
        if self.synthesise is None:
            raise InputError(
                "this model was put together by hand and has no way to synthesise: call "
                "vqwn_kit.generate(model, codes, speakers), or build it with build_model"
            )
        return self.synthesise(self, codes, speakers, **settings)

    def log_probs(self, levels, z_q, speaker):
        """Return log-probabilities of all levels in nats, (B, T, L), each given the levels before.

        Args:
            levels: int (B, T). With an `lpc_order` they are levels of the residual, whose steps
                differ from those of the sound: `bits` measures the likelihood of the sound.
            z_q: (B, N, D).
            speaker: int32 (B,).

        Raises:
            InputError: the model is a first stage.
        """
        self._need_samples()
        conditioning = self.decoder.conditioner(z_q, speaker)
        return self.decoder.distribution(self.decoder(levels, conditioning))

    def bits(self, waveform, z_q=None, speaker=None) -> np.ndarray:
        """Return the bits of each sample of a waveform (T,) or (B, T, 1), float32 (B, T).

        Each sample is predicted from the true samples before it, from z_q (B, N, D), by default
        that of the waveform, and from speaker (B,), by default 'no speaker'. Bits are of the
        pre-emphasised sound, if the codec has a `pre_emphasis`; see `WaveNetDecoder.nll`.

        Raises:
            InputError: the model is a first stage.
        """
        self._need_samples()
        length = np.shape(waveform)[-1 if np.ndim(waveform) == 1 else 1]
        waveform = as_batch(waveform, self.hop_length)
        nats = self.decoder.nll(waveform, self._conditioning(waveform, z_q, speaker))
        return ops.convert_to_numpy(nats)[:, :length] / np.float32(np.log(2))

    def levels_of(self, waveform, z_q=None, speaker=None):
        """Return the levels, int32 (B, T), of a waveform (B, T, 1), as the decoder predicts them.

        With an `lpc_order` they depend on z_q (B, N, D), by default that of the waveform, and on
        speaker (B,), by default 'no speaker'.
        """
        return self.decoder.levels_of(waveform, self._conditioning(waveform, z_q, speaker))

    def _need_samples(self) -> None:
        if not self.is_autoregressive:
            raise InputError(
                "this is a first-stage model (mel decoder only); it cannot compute likelihoods of "
                "samples: use a model with a WaveNetDecoder"
            )

    def _conditioning(self, waveform, z_q, speaker):
        if z_q is None:
            z_q = self.quantized(waveform, training=False).z_q
        no_speaker = ops.full((ops.shape(waveform)[0],), -1, "int32")
        return self.decoder.conditioner(z_q, no_speaker if speaker is None else speaker)

    def speaker_ids(self, speakers) -> np.ndarray:
        """Return numbers, int32 (S',), of names or numbers of speakers; None is 'no speaker'.

        Raises:
            InputError: no such speaker; the message lists the nearest names.
        """
        return np.array([self._speaker_id(speaker) for speaker in speakers], np.int32)

    def speaker_vectors(self, speakers) -> np.ndarray:
        """Return the vectors, float32 (S', speaker_dim), that the decoder has of speakers.

        Args:
            speakers: as in `speaker_ids`; what is a vector (speaker_dim,) already stays as it is.

        Raises:
            InputError: no such speaker, or a vector of another size or not finite.
        """
        size = self.decoder.speakers.shape[1]
        rows = np.zeros((len(speakers), size), np.float32)
        for row, speaker in zip(rows, speakers, strict=True):
            if np.ndim(speaker):
                vector = np.asarray(speaker, np.float32)
                if vector.shape != (size,) or not np.isfinite(vector).all():
                    raise InputError(
                        f"a voice of shape {vector.shape}; expected a name, a number, or a vector "
                        f"of {size} finite numbers"
                    )
                row[:] = vector
            else:
                number = self.speaker_ids([speaker])
                row[:] = ops.convert_to_numpy(self.decoder.conditioner.speakers(number))[0]
        return rows

    def _speaker_id(self, speaker: str | int | None) -> int:
        if speaker is None:
            return -1
        if isinstance(speaker, str):
            if speaker not in self.speaker_names:
                raise one_of("speaker", speaker, self.speaker_names)
            return self.speaker_names.index(speaker)
        if int(speaker) != speaker:
            raise InputError(f"no speaker {speaker}; expected a name or a whole number")
        if not -1 <= int(speaker) < self.decoder.num_speakers:
            raise InputError(
                f"no speaker {speaker}: the numbers are 0..{self.decoder.num_speakers - 1}, "
                "and -1 for no speaker"
            )
        return int(speaker)

    def losses_of(self, waveform, speaker, training: bool):
        """Return the losses by name, the sizes of z_e and codes by name, and `Quantized`.

        The sum of the losses is what training minimises.
        """
        quantized = self.quantized(waveform, training)
        conditioning = self.decoder.conditioner(quantized.z_q, speaker, training=training)
        losses = {self.decoder.loss_name: self.decoder.loss(waveform, conditioning, training)}
        sizes = {
            "vq/z_e_rms": root_mean_square(quantized.z_e),
            "vq/code_rms": root_mean_square(quantized.z_q),
        }
        return {**losses, **quantized.losses}, sizes, quantized

    def train_step(self, data) -> dict:
        """Take one step on a batch (waveform (B, T, 1), speaker (B,)); return the metrics."""
        waveform, speaker = data[:2]
        with tf.GradientTape() as tape:
            losses, sizes, quantized = self.losses_of(waveform, speaker, training=True)
            loss = sum(losses.values())
            scaled = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled, variables)
        # Of looked-up rows TensorFlow gives a gradient for each lookup; Adam would square each of
        # them instead of their sum, and move codes that are taken often too far.
        gradients = [tf.convert_to_tensor(g) if g is not None else None for g in gradients]
        self.optimizer.apply(gradients, variables)
        if quantized.codes is not None:
            self.recent.update(quantized.z_e, quantized.codes)
        return self._track(loss, losses | sizes, quantized.codes)

    def test_step(self, data) -> dict:
        """Measure a batch (waveform (B, T, 1), speaker (B,)); return the metrics."""
        waveform, speaker = data[:2]
        losses, sizes, quantized = self.losses_of(waveform, speaker, training=False)
        return self._track(sum(losses.values()), losses | sizes, quantized.codes)

    @cached_property
    def measure(self):
        """Losses and sizes by name, and codes, of one utterance as a graph; no metric is updated.

        (1, T, 1), (1,) -> dict of scalars, int32 (1, N); of any length T.
        """

        def measured(waveform, speaker):
            losses, sizes, quantized = self.losses_of(waveform, speaker, training=False)
            return losses | sizes, quantized.codes

        signature = [tf.TensorSpec((1, None, 1)), tf.TensorSpec((1,), tf.int32)]
        return tf.function(measured, input_signature=signature)

    def _track(self, loss, values: dict, codes) -> dict:
        for name, value in {"loss": loss, **values}.items():
            self.trackers[name].update_state(value)
        if codes is not None:
            self.code_usage.update_state(codes)
        return self.get_metrics_result()

    @property
    def metrics(self) -> list:
        """Return the means of the losses, and the usage of the codes."""
        return [*self.trackers.values(), *([self.code_usage] if self.code_usage else [])]

    def get_config(self) -> dict:
        """Return the constructor's keywords, the parts serialized."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            **{name: serialize(getattr(self, name)) for name in PARTS},
            "speaker_names": self.speaker_names,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects=None) -> "VQVAE":
        """Build a model from what `get_config` returned."""
        config = dict(config)
        for name in PARTS:
            config[name] = keras.saving.deserialize_keras_object(config[name], custom_objects)
        return cls(**config)


def root_mean_square(x):
    """Return the root of the mean square of x, in float32."""
    return ops.sqrt(ops.mean(ops.cast(x, "float32") ** 2))


def as_floats(waveform) -> np.ndarray:
    """Return a waveform of any shape as float32.

    Raises:
        InputError: whole numbers, which are likely to be 16-bit samples.
    """
    waveform = np.asarray(waveform)
    if waveform.dtype.kind in "iub":
        raise InputError(
            f"a waveform of whole numbers ({waveform.dtype}); expected floats in [-1, 1]: divide "
            "by 32768 if they are 16-bit samples"
        )
    return waveform.astype(np.float32)


def as_batch(waveform, hop_length: int) -> np.ndarray:
    """Turn (T,), (B, T) or (B, T, 1) into float32 (B, T', 1), T' a multiple of `hop_length`.

    Raises:
        InputError: another shape, no samples, or whole numbers.
    """
    waveform = as_floats(waveform)
    if waveform.ndim == 1:
        waveform = waveform[None, :, None]
    elif waveform.ndim == 2:
        waveform = waveform[..., None]
    if waveform.ndim != 3 or waveform.shape[2] != 1 or not waveform.shape[1]:
        raise InputError(
            f"a waveform of shape {waveform.shape}; expected (T,), (B, T) or (B, T, 1) with T > 0"
        )
    missing = -waveform.shape[1] % hop_length
    return np.pad(waveform, ((0, 0), (0, missing), (0, 0)))
