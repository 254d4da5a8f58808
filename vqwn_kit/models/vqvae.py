"""The model: an encoder, a bottleneck and a decoder, and the step that trains them."""

from collections.abc import Callable, Mapping
from functools import cached_property

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.models import workers
from vqwn_kit.models.codebook import CodeUsage, RecentFrames
from vqwn_kit.models.pitch import pitch_to_levels
from vqwn_kit.models.tensorflow import graph_of
from vqwn_kit.waveforms import as_waveforms

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

    Where the decoder's conditioner has `pitch_levels`, the pitch of each frame may be an input too,
    `pitch`, float32 (B, N), in semitones relative to the speaker's mean, NaN where unvoiced. It is
    transposed by addition, and converted to another voice as it is: the decoder learns the mean
    pitch of a speaker with the speaker's vector. Without it the decoder chooses the pitch, as a
    decoder without `pitch_levels` does.

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
        self._added_names: tuple[str, ...] = ()
        if decoder.hop_length != encoder.hop_length:
            raise ValueError(
                f"the decoder has {decoder.hop_length} samples per frame, the encoder "
                f"{encoder.hop_length}; expected the same hop_length"
            )
        names = ("loss", decoder.loss_name, *bottleneck.loss_names, "vq/z_e_rms", "vq/code_rms")
        self.trackers = {name: keras.metrics.Mean(name) for name in names}
        shape = (bottleneck.num_codebooks, bottleneck.num_embeddings)
        self.code_usage = CodeUsage(*shape[::-1]) if shape[1] else None  # since metrics were reset
        dim = bottleneck.lookup_dim
        movable = bool(bottleneck.get_codebooks())
        self.recent = RecentFrames(*shape, dim) if movable else None  # to reset dead codes from

    @property
    def voice_names(self) -> list[str]:
        """Names of the S speakers, and of the voices that were added, by number."""
        return [*self.speaker_names, *self._added_names]

    def set_added_voices(self, voices: Mapping[str, np.ndarray]) -> None:
        """Give names and vectors to voices beside the trained speakers, instead of those before.

        They are no weights: what is trained and saved stays as it is.

        Args:
            voices: vectors of voices by name, (speaker_dim,) or (speaker_dim + offset_channels,),
                see `Conditioner`.
        """
        width = max([len(vector) for vector in voices.values()], default=self._speaker_dim)
        rows = [np.pad(vector, (0, width - len(vector))) for vector in voices.values()]
        self.decoder.conditioner.speakers.set_added(np.reshape(rows, (-1, width)))
        self._added_names = tuple(voices)
        self.__dict__.pop("measure", None)  # a graph of the voices before

    @property
    def _speaker_dim(self) -> int:
        return self.decoder.conditioner.speaker_dim

    @property
    def hop_length(self) -> int:
        """Samples per code."""
        return self.encoder.hop_length

    @property
    def bits_per_frame(self) -> float:
        """Nominal information of a frame's codes, Q log2 K; infinite without a codebook."""
        size = self.bottleneck.num_embeddings
        return self.bottleneck.num_codebooks * float(np.log2(size)) if size else float("inf")

    @property
    def pitch_levels(self) -> int:
        """Levels of the pitch that the decoder is conditioned on; 0 for no pitch."""
        return self.decoder.conditioner.pitch_levels

    @property
    def is_autoregressive(self) -> bool:
        """Whether the decoder predicts samples; a `MelDecoder` does not."""
        return self.decoder.is_autoregressive

    def count_learned(self) -> int:
        """Return how many numbers are learned: trainable weights, and codebooks by EMA."""
        codebooks = [part.codebook for part in self.bottleneck.get_codebooks()]
        learned = [*self.trainable_weights, *(x for x in codebooks if not x.trainable)]
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

        With `pitch_levels` the inputs are (waveform, speaker, pitch (B, N)).
        Of a `WaveNetDecoder` (B, T, num_outputs), of a `MelDecoder` mel bands (B, N, n_mels).
        """
        waveform, speaker, *pitch = inputs
        z_q = self.quantized(waveform, training).z_q
        conditioning = self.condition(z_q, speaker, *pitch, training=training)
        if not self.is_autoregressive:
            return self.decoder(conditioning)
        return self.decoder.outputs_for(waveform, conditioning)[0]

    def quantized(self, waveform, training: bool | None = None, loudest=None):
        """Return `Quantized` for a batch (B, T, 1), also in a graph.

        Frozen parts run in inference mode. Of a part of a recording, `loudest` is what
        `loudest_cell` returns for the recording.
        """
        floor = {} if loudest is None else {"loudest": loudest}
        z_e = self.encoder(waveform, training=training and self.encoder.trainable, **floor)
        return self.bottleneck(z_e, training=training and self.bottleneck.trainable)

    def condition(self, z_q, speaker, pitch=None, training: bool | None = None):
        """Return the conditioning of the decoder, (B, N, C).

        Args:
            z_q: (B, N, D).
            speaker: int32 (B,), or vectors of voices, (B, speaker_dim).
            pitch: (B, N), in semitones relative to the speaker's mean, NaN where unvoiced; of a
                model with `pitch_levels`, and of no other. None: the decoder chooses it.
            training: whether in training.

        Raises:
            InputError: pitch of another length, or not an input of this model.
        """
        if pitch is None:
            return self.decoder.conditioner(z_q, speaker, training=training)
        if not self.pitch_levels:
            raise InputError(
                "pitch was given to a model that is not conditioned on it: leave it out, or train "
                "a model with decoder.conditioner.pitch_levels=50"
            )
        if len(pitch.shape) != 2 or pitch.shape[1] not in (None, z_q.shape[1] or pitch.shape[1]):
            raise InputError(
                f"pitch of shape {tuple(pitch.shape)} for codes of {z_q.shape[1]} frames; expected "
                "(B, N), one value per frame"
            )
        levels = pitch_to_levels(pitch, self.pitch_levels)
        return self.decoder.conditioner(z_q, speaker, levels, training=training)

    def vector_quantize(self, waveform, loudest: float | None = None):
        """Return `Quantized` for a waveform (T,) or batch (B, T, 1), in inference mode.

        A length that is no multiple of `hop_length` is padded with zeros at its end. For `loudest`
        see `quantized`.

        Raises:
            InputError: another shape, or outputs of the encoder that are not finite.
        """
        quantized = self.quantized(as_batch(waveform, self.hop_length), False, loudest)
        if not np.isfinite(ops.convert_to_numpy(ops.cast(quantized.z_e, "float32"))).all():
            raise InputError(
                "the encoder's outputs are not finite (NaN): so are the samples of the waveform, "
                "or the weights of a training that diverged"
            )
        return quantized

    def encode(self, waveform) -> np.ndarray:
        """Return codes of a waveform (T,) or batch (B, T, 1) in [-1, 1], int32 (B, N).

        Of several codebooks per frame (B, N, Q). 16-bit samples are scaled, and channels (T, C) are
        mixed, see `vqwn_kit.waveforms`.

        Raises:
            InputError: the model has no codebook, or this is no waveform.
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
            **settings: pitch, mode, temperature, seed and the others of `vqwn_kit.generate`.

        Raises:
            InputError: no such speaker, codes out of range, pitch that is no input of this model,
                or a decoder that cannot synthesise.
        """
        if self.synthesise is None:
            raise InputError(
                "this model was put together by hand and has no way to synthesise: call "
                "vqwn_kit.generate(model, codes, speakers), or build it with build_model"
            )
        return self.synthesise(self, codes, speakers, **settings)

    def log_probs(self, levels, z_q, speaker, pitch=None):
        """Return log-probabilities of all levels in nats, (B, T, L), each given the levels before.

        Args:
            levels: int (B, T). With an `lpc_order` they are levels of the residual, whose steps
                differ from those of the sound: `bits` measures the likelihood of the sound.
            z_q: (B, N, D).
            speaker: int32 (B,).
            pitch: (B, N), see `condition`.

        Raises:
            InputError: the model is a first stage; or see `condition`.
        """
        self._need_samples()
        conditioning = self.condition(z_q, speaker, pitch)
        return self.decoder.distribution(self.decoder(levels, conditioning))

    def bits(self, waveform, z_q=None, speaker=None, pitch=None) -> np.ndarray:
        """Return the bits of each sample of a waveform (T,) or (B, T, 1), float32 (B, T).

        Each sample is predicted from the true samples before it, from z_q (B, N, D), by default
        that of the waveform, from speaker (B,), by default 'no speaker', and from pitch (B, N), see
        `condition`. Bits are of the pre-emphasised sound, if the codec has a `pre_emphasis`; see
        `WaveNetDecoder.nll`.

        Raises:
            InputError: the model is a first stage; or see `condition`.
        """
        self._need_samples()
        waveform = as_waveforms(waveform)
        length = waveform.shape[1]
        waveform = as_batch(waveform, self.hop_length)
        nats = self.decoder.nll(waveform, self._conditioning(waveform, z_q, speaker, pitch))
        return ops.convert_to_numpy(nats)[:, :length] / np.float32(np.log(2))

    def levels_of(self, waveform, z_q=None, speaker=None, pitch=None):
        """Return the levels, int32 (B, T), of a waveform (B, T, 1), as the decoder predicts them.

        With an `lpc_order` they depend on z_q (B, N, D), by default that of the waveform, on
        speaker (B,), by default 'no speaker', and on pitch (B, N), see `condition`.
        """
        return self.decoder.levels_of(waveform, self._conditioning(waveform, z_q, speaker, pitch))

    def _need_samples(self) -> None:
        if not self.is_autoregressive:
            raise InputError(
                "this is a first-stage model (mel decoder only); it cannot compute likelihoods of "
                "samples: use a model with a WaveNetDecoder"
            )

    def _conditioning(self, waveform, z_q, speaker, pitch):
        if z_q is None:
            z_q = self.quantized(waveform, training=False).z_q
        no_speaker = ops.full((ops.shape(waveform)[0],), -1, "int32")
        return self.condition(z_q, no_speaker if speaker is None else speaker, pitch)

    def speaker_ids(self, speakers) -> np.ndarray:
        """Return numbers, int32 (S',), of names or numbers of speakers; None is 'no speaker'.

        Raises:
            InputError: no such speaker; the message lists the nearest names.
        """
        return np.array([self._speaker_id(speaker) for speaker in speakers], np.int32)

    def speaker_vectors(self, speakers) -> np.ndarray:
        """Return the vectors that the decoder has of speakers, float32 (S', speaker_dim).

        With the biases of `Conditioner.offset_channels`, if one of the voices has them.

        Args:
            speakers: as in `speaker_ids`; what is a vector already stays as it is.

        Raises:
            InputError: no such speaker, or a vector of another size or not finite.
        """
        size, more = self._speaker_dim, self.decoder.conditioner.offset_channels
        rows = np.zeros((len(speakers), size + more), np.float32)
        for row, speaker in zip(rows, speakers, strict=True):
            if np.ndim(speaker):
                vector = np.asarray(speaker, np.float32)
                fits = vector.shape in ((size,), (size + more,))
                if not fits or not np.isfinite(vector).all():
                    raise InputError(
                        f"a voice of shape {vector.shape}; expected a name, a number, or a vector "
                        f"of {size} finite numbers, or {size + more} of a voice with biases"
                    )
            else:
                number = self.speaker_ids([speaker])
                vector = ops.convert_to_numpy(self.decoder.conditioner.speakers(number))[0]
            row[: len(vector)] = vector
        return rows if rows[:, size:].any() else rows[:, :size]

    def _speaker_id(self, speaker: str | int | None) -> int:
        if speaker is None:
            return -1
        if isinstance(speaker, str):
            if speaker not in self.voice_names:
                raise one_of("speaker", speaker, self.voice_names)
            if speaker in self.speaker_names:
                return self.speaker_names.index(speaker)
            return self.decoder.num_speakers + self._added_names.index(speaker)
        if int(speaker) != speaker:
            raise InputError(f"no speaker {speaker}; expected a name or a whole number")
        last = self.decoder.num_speakers + len(self._added_names) - 1
        if not -1 <= int(speaker) <= last:
            raise InputError(
                f"no speaker {speaker}: the numbers are 0..{last}, and -1 for no speaker"
            )
        return int(speaker)

    def losses_of(self, waveform, speaker, training: bool, pitch=None):
        """Return the losses by name, the sizes of z_e and codes by name, and `Quantized`.

        The sum of the losses is what training minimises.
        """
        quantized = self.quantized(waveform, training)
        conditioning = self.condition(quantized.z_q, speaker, pitch, training)
        losses = {self.decoder.loss_name: self.decoder.loss(waveform, conditioning, training)}
        sizes = {
            "vq/z_e_rms": root_mean_square(quantized.z_e),
            "vq/code_rms": root_mean_square(quantized.z_q),
        }
        return {**losses, **quantized.losses}, sizes, quantized

    def train_step(self, data) -> dict:
        """Take one step on a batch (waveform (B, T, 1), speaker (B,)); return the metrics.

        With `pitch_levels` it is (waveform, speaker, pitch (B, N)).
        """
        self.learn(data)
        return self.get_metrics_result()

    def learn(self, data):
        """Take one step on a batch, see `train_step`; return its loss."""
        waveform, speaker, pitch = self._inputs(data)
        with tf.GradientTape() as tape:
            losses, sizes, quantized = self.losses_of(waveform, speaker, True, pitch)
            loss = sum(losses.values())
            scaled = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled, variables)
        # Of looked-up rows TensorFlow gives a gradient for each lookup; Adam would square each of
        # them instead of their sum, and move codes that are taken often too far.
        gradients = [tf.convert_to_tensor(g) if g is not None else None for g in gradients]
        named = {"loss": loss, **losses, **sizes}
        shared = workers.means([*gradients, *named.values()])
        self.optimizer.apply(shared[: len(variables)], variables)
        if quantized.inputs is not None:
            self.recent.update(quantized.inputs, quantized.codes)
        named = dict(zip(named, shared[len(variables) :], strict=True))
        self._track(named, quantized.codes)
        return named["loss"]

    def test_step(self, data) -> dict:
        """Measure a batch as in `train_step`; return the metrics."""
        waveform, speaker, pitch = self._inputs(data)
        losses, sizes, quantized = self.losses_of(waveform, speaker, False, pitch)
        self._track({"loss": sum(losses.values()), **losses, **sizes}, quantized.codes)
        return self.get_metrics_result()

    def _inputs(self, data) -> tuple:
        """Return waveform, speaker, and pitch or None, of a batch."""
        pitch = data[2] if self.pitch_levels and len(data) > 2 else None
        return (*data[:2], pitch)

    @cached_property
    def measure(self):
        """Losses and sizes by name, and codes, of one utterance as a graph; no metric is updated.

        (1, T, 1), (1,) -> dict of scalars, int32 (1, N); of any length T. With `pitch_levels` a
        third input is the pitch (1, N).
        """

        def measured(waveform, speaker, pitch=None):
            losses, sizes, quantized = self.losses_of(waveform, speaker, False, pitch)
            return losses | sizes, quantized.codes

        signature = [tf.TensorSpec((1, None, 1)), tf.TensorSpec((1,), tf.int32)]
        signature += [tf.TensorSpec((1, None))] if self.pitch_levels else []
        return graph_of(measured, signature)

    def _track(self, values: dict, codes) -> None:
        for name, value in values.items():
            self.trackers[name].update_state(value)
        if codes is not None:
            self.code_usage.update_state(codes)

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
    return ops.sqrt(workers.mean(ops.mean(ops.cast(x, "float32") ** 2)))


def as_batch(waveform, hop_length: int) -> np.ndarray:
    """Turn (T,), (B, T), (B, T, 1) or channels (T, C) into (B, T', 1), see `as_waveforms`.

    T' is a multiple of `hop_length`.

    Raises:
        InputError: another shape, no samples, values that are not finite, or no sound.
    """
    waveform = as_waveforms(waveform)
    missing = -waveform.shape[1] % hop_length
    return np.pad(waveform, ((0, 0), (0, missing)))[..., None]
