"""What a `VQVAE` asks of its decoder."""

from vqwn_kit.models.layers import Layer


class Decoder(Layer):
    """Base class: codes' vectors and a speaker -> a loss, against the waveform.

    Attributes:
        conditioner: a `Conditioner`: codes' vectors (B, N, D), speaker (B,) -> (B, N, C).
        loss_name: name of its loss.
        is_autoregressive: whether it predicts samples, given those before them.
        receptive_field: past samples that the next one can depend on.
        short_name: its name in presets, arguments and run folders.
        part_names: the parts that it is composed of, in the order in which they are built.
    """

    loss_name: str
    is_autoregressive = False
    receptive_field = 0
    part_names: tuple[str, ...] = ("conditioner",)

    @property
    def num_speakers(self) -> int:
        """S."""
        return self.conditioner.num_speakers

    @property
    def condition_dim(self) -> int:
        """D, channels of the local condition."""
        return self.conditioner.condition_dim

    @property
    def speakers(self):
        """The table of the speakers' vectors, (S, speaker_dim)."""
        return self.conditioner.speakers.table

    def get_mel_decoder(self):
        """Return the `MelDecoder` in this decoder, or itself; None where there is none."""
        return None

    def loss(self, waveform, conditioning, training: bool | None = None):
        """Return a scalar: how far the decoder is from a waveform (B, T, 1).

        Args:
            waveform: (B, T, 1).
            conditioning: (B, N, C), as the conditioner gives it.
            training: whether in training.
        """
        raise NotImplementedError
