"""The model: an encoder, a bottleneck and a decoder, and the one step that trains them."""

from functools import cached_property

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from vqwn_kit.bottlenecks import CodeUsage
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.layers import level_to_scalar, mu_law_encode


@keras.saving.register_keras_serializable("vqwn_kit")
class VQVAE(keras.Model):
    """A VQ-VAE for speech, [van den Oord 2017](https://arxiv.org/abs/1711.00937).

    Args:
        encoder: waveform (B, T, 1) -> z_e (B, N, D).
        bottleneck: z_e -> `Quantized`.
        decoder: a `WaveNet`.
        speaker_names: names of the S speakers, in the order of their numbers.

    Example:
        codes = model.encode(waveform)                          # (T,) -> (1, N) int32
        logits = model((waveforms, speakers))                   # (B, T, 1), (B,) -> (B, T, 256)
        model.compile("adam"); model.fit(batches)               # batches of (waveform, speaker)
    """

    def __init__(self, encoder, bottleneck, decoder, speaker_names: tuple[str, ...] = (), **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.bottleneck = bottleneck
        self.decoder = decoder
        self.speaker_names = [str(name) for name in speaker_names]
        names = ("loss", "wavenet/nll", *bottleneck.loss_names, "vq/z_e_rms", "vq/code_rms")
        self.trackers = {name: keras.metrics.Mean(name) for name in names}
        size = bottleneck.num_embeddings
        self.code_usage = CodeUsage(size) if size else None  # since the metrics were reset
        self.recent_codes = CodeUsage(size) if size else None  # since dead codes were revived

    @property
    def hop_length(self) -> int:
        """Samples a code."""
        return self.encoder.hop_length

    @property
    def bits_per_code(self) -> float:
        """Nominal information of a code, log2 K; infinite without a codebook."""
        size = self.bottleneck.num_embeddings
        return float(np.log2(size)) if size else float("inf")

    def build(self, input_shape=None):
        """Build the three parts; their shapes follow from their keywords alone."""
        frames = (None, None, self.bottleneck.embedding_dim)
        shapes = {self.encoder: (None, None, 1), self.bottleneck: frames, self.decoder: None}
        for part, shape in shapes.items():
            if not part.built:
                part.build(shape)
                part.built = True
        self.built = True

    def build_from_config(self, config: dict) -> None:
        """Build the parts when Keras loads a saved model; see `build`."""
        self.build()

    def call(self, inputs, training: bool | None = None):
        """Return logits (B, T, 256) for (waveform (B, T, 1), speaker (B,)), teacher-forced."""
        waveform, speaker = inputs
        quantized = self.bottleneck(self.encoder(waveform, training=training), training=training)
        return self.decode(quantized.z_q, speaker, self.targets(waveform))

    def targets(self, waveform):
        """Return the mu-law levels, int32 (B, T), of a waveform (B, T, 1)."""
        return mu_law_encode(waveform[..., 0], self.decoder.levels)

    def latents(self, waveform):
        """Return `Quantized` for a waveform (T,) or batch (B, T, 1), outside training.

        A length that is no multiple of `hop_length` is padded with zeros at its end.
        """
        z_e = self.encoder(as_batch(waveform, self.hop_length), training=False)
        return self.bottleneck(z_e, training=False)

    def encode(self, waveform) -> np.ndarray:
        """Return codes, int32 (B, N), for a waveform (T,) or batch (B, T, 1) in [-1, 1].

        Raises:
            InputError: the model has no codebook.
        """
        codes = self.latents(waveform).codes
        if codes is None:
            raise InputError("this model has no codebook (an autoencoder): use latents(...).z_q")
        return ops.convert_to_numpy(codes)

    def decode(self, z_q, speaker, targets):
        """Return logits (B, T, 256) of `targets` (B, T), each given the true levels before it."""
        scalar = level_to_scalar(targets, self.decoder.levels)[..., None]
        previous = ops.pad(scalar[:, :-1], ((0, 0), (1, 0), (0, 0)))
        return self.decoder(previous, z_q, speaker)

    def speaker_ids(self, speakers) -> np.ndarray:
        """Return numbers, int32 (S',), for names or numbers of speakers; None is 'no speaker'.

        Raises:
            InputError: no such speaker; the message lists the nearest names.
        """
        return np.array([self._speaker_id(speaker) for speaker in speakers], np.int32)

    def _speaker_id(self, speaker: str | int | None) -> int:
        if speaker is None:
            return -1
        if isinstance(speaker, str):
            if speaker not in self.speaker_names:
                raise one_of("speaker", speaker, self.speaker_names)
            return self.speaker_names.index(speaker)
        if not -1 <= int(speaker) < self.decoder.num_speakers:
            raise InputError(
                f"no speaker {speaker}: the numbers are 0..{self.decoder.num_speakers - 1}, "
                "and -1 for no speaker"
            )
        return int(speaker)

    def losses_of(self, waveform, speaker, training: bool):
        """Return the losses by name and `Quantized`; their sum is what training minimises."""
        targets = self.targets(waveform)
        z_e = self.encoder(waveform, training=training)
        quantized = self.bottleneck(z_e, training=training)
        logits = self.decode(quantized.z_q, speaker, targets)
        nll = keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
        norms = {
            "vq/z_e_rms": ops.sqrt(ops.mean(ops.cast(z_e, "float32") ** 2)),
            "vq/code_rms": ops.sqrt(ops.mean(quantized.z_q**2)),
        }
        return {"wavenet/nll": ops.mean(nll), **quantized.losses}, norms, quantized.codes

    def train_step(self, data) -> dict:
        """Take one step on a batch (waveform (B, T, 1), speaker (B,)); return the metrics."""
        waveform, speaker = data[:2]
        with tf.GradientTape() as tape:
            losses, norms, codes = self.losses_of(waveform, speaker, training=True)
            loss = sum(losses.values())
            scaled = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        if codes is not None:
            self.recent_codes.update_state(codes)
        return self._track(loss, losses | norms, codes)

    def test_step(self, data) -> dict:
        """Measure a batch (waveform (B, T, 1), speaker (B,)); return the metrics."""
        waveform, speaker = data[:2]
        losses, norms, codes = self.losses_of(waveform, speaker, training=False)
        return self._track(sum(losses.values()), losses | norms, codes)

    @cached_property
    def measure(self):
        """`test_step` as a graph for one utterance of any length: (1, T, 1), (1,) -> metrics."""
        signature = [tf.TensorSpec((1, None, 1)), tf.TensorSpec((1,), tf.int32)]
        return tf.function(lambda *batch: self.test_step(batch), input_signature=signature)

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
        parts = {"encoder": self.encoder, "bottleneck": self.bottleneck, "decoder": self.decoder}
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            **{name: serialize(part) for name, part in parts.items()},
            "speaker_names": self.speaker_names,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects=None) -> "VQVAE":
        """Build a model from what `get_config` returned."""
        config = dict(config)
        for name in ("encoder", "bottleneck", "decoder"):
            config[name] = keras.saving.deserialize_keras_object(config[name], custom_objects)
        return cls(**config)


def as_batch(waveform, hop_length: int) -> np.ndarray:
    """Turn (T,), (B, T) or (B, T, 1) into float32 (B, T', 1), T' a multiple of `hop_length`.

    Raises:
        InputError: another shape, or no samples.
    """
    waveform = np.asarray(waveform, np.float32)
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
