"""A model's encoder and codebook on a recording of any length, in parts, in constant memory.

A part is encoded with `margin` frames of its neighbours on both sides, at least as many samples as
the encoder's receptive field, and these frames are dropped: padding at the borders of a part, and
the parabolas that deltas are fitted to there, do not reach the frames that are kept. Batch
normalisation is in inference mode. An encoder with a floor under the loudest cell of a recording
(`top_db`) reads the recording twice.
"""

import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE, stream_audio
from vqwn_kit.data.long_audio import windows
from vqwn_kit.data.scan import printable, text_of
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.runs.codes import need_codebook
from vqwn_kit.runs.run import Run
from vqwn_kit.runs.units import Units

VECTORS = ("z_e", "z_q")
NUMBERS = 2**24  # in the widest layer for one part: 64 MiB in float32
LONGEST_PART = 30.0  # seconds; longer parts are not faster


class UnitEncoder:
    """The encoder and codebook of a run, for recordings of any length.

    Args:
        run: a run with a codebook.
        vectors: return z_e or z_q of each frame, too: "z_e", as the codebook receives it, or "z_q".
        part: seconds of sound that are encoded at a time; by default up to 30, fewer for a wide
            encoder.

    Attributes:
        model: the model.
        digest: see `encoder_digest`.
        period: seconds per frame.
        frames: kept frames of a part.
        margin: frames on each side of a part that are encoded and dropped.

    Raises:
        InputError: the run has no codebook, other `vectors`, or a part that is not positive.
    """

    def __init__(self, run: Run, vectors: str | None = None, part: float | None = None):
        from vqwn_kit.models.tensorflow import graph_of, tf

        if vectors not in (None, *VECTORS):
            raise one_of("kind of vectors", str(vectors), VECTORS)
        if part is not None and not 0 < part < math.inf:
            raise InputError(f"part is {part}; expected a positive number of seconds")
        need_codebook(run)
        self.model, self.digest, self.vectors = run.model, encoder_digest(run), vectors
        encoder, hop = run.model.encoder, run.model.hop_length
        self.period = hop / SAMPLE_RATE
        self.margin = -(-encoder.receptive_field // hop) + 1
        most = min(NUMBERS / encoder.width / SAMPLE_RATE, LONGEST_PART) if part is None else part
        self.frames = max(round(most / self.period), self.margin)
        signature = [tf.TensorSpec((None, None, 1)), tf.TensorSpec(())]
        self._quantize = graph_of(self._quantized, signature)

    def _quantized(self, waveform, loudest):
        """Return codes (1, N[, Q]) and vectors (1, N, D) of a part; no vectors are (1, N, 0)."""
        floor = loudest if self.model.encoder.has_floor else None
        quantized = self.model.quantized(waveform, False, floor)
        none = quantized.z_e[:, :, :0]
        return quantized.codes, getattr(quantized, self.vectors) if self.vectors else none

    def parts(
        self, path: Path, tick: Callable[[float], object] = lambda seconds: None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        """Yield codes int32 (n[, Q]), vectors float32 (n, D) and seconds of parts of a recording.

        Args:
            path: the recording.
            tick: called with the seconds of each part.

        Raises:
            InputError: see `stream_audio`.
        """
        from vqwn_kit.sampling.codes import loudest_cell

        hop = self.model.hop_length

        def blocks() -> Iterator[np.ndarray]:
            return stream_audio(path, SAMPLE_RATE, self.frames * self.period)

        loudest = np.float32(loudest_cell(self.model.encoder, blocks(), self.frames) or 0.0)
        for waveform, begin, end in windows(blocks(), self.frames * hop, self.margin * hop):
            padded = np.pad(waveform, (0, -len(waveform) % hop))[None, :, None]
            codes, vectors = self._quantize(padded, loudest)
            kept = slice(begin // hop, -(-end // hop))
            seconds = (end - begin) / SAMPLE_RATE
            tick(seconds)
            yield codes.numpy()[0, kept], vectors.numpy()[0, kept], seconds

    def encode(
        self,
        path: str | Path,
        scratch: Path | None = None,
        tick: Callable[[float], object] = lambda seconds: None,
    ) -> Units:
        """Return the units of a recording.

        Args:
            path: the recording, at any rate.
            scratch: a folder for the vectors, which are then mapped from an unnamed file in it
                instead of held in memory.
            tick: see `parts`.

        Raises:
            InputError: see `stream_audio`.
        """
        codes, rows, seconds, width = [], [], 0.0, 0
        with tempfile.TemporaryFile(dir=scratch) if scratch else nullcontext() as spool:
            for part, vectors, length in self.parts(Path(path), tick):
                codes.append(part)
                seconds, width = seconds + length, vectors.shape[1]
                if spool:
                    vectors.tofile(spool)
                else:
                    rows.append(vectors)
            joined, table = np.concatenate(codes), None
            if spool:
                spool.flush()
                table = np.memmap(spool, np.float32, "r", shape=(len(joined), width))
            elif self.vectors:
                table = np.concatenate(rows)
        return Units(source_of(path), joined, self.period, seconds, self.digest, table)


def source_of(path: str | Path) -> str:
    """Return the name of a recording in files of units: in UTF-8, whatever the locale."""
    return printable(text_of(str(path)))


def encoder_digest(run: Run) -> str:
    """Return a hash of a run's encoder and codebook: equal digests give the same units.

    A run that was trained in two stages has that of its first stage, since the second one leaves
    both as they are.
    """
    model = run.model
    parts = json.dumps([run.preset.encoder, run.preset.bottleneck], sort_keys=True)
    digest = hashlib.sha256(parts.encode())
    for weight in (*model.encoder.weights, *model.bottleneck.weights):
        digest.update(np.asarray(weight.numpy()).tobytes())
    return digest.hexdigest()[:12]
