"""A run's encoder and codebooks as plain arrays, for programs without Keras.

The file is a `.npz` of arrays alone; `numpy_encoder.py`, which is copied beside it, is a reader in
NumPy. Batch normalisations are folded into a scale and a shift.

hop_length                      samples per frame; sample_rate is 16000
basis, mel, dct, deltas, step   the front end of `2019`: the windowed Fourier basis, mel filters,
                                DCT and filters of the deltas of MFCC, samples between two frames
top_db, feature_scale, _shift   the floor (infinite for none), the normalisation of the features
layers                          (L, 3): stride, whether a ReLU follows, whether the input is added
kernel_n, bias_n                (taps, in, out), (out,) of layer n; scale_n, shift_n follow it
code_kernel_q, code_bias_q      what leads to the space of codebook q: channels, projection, norm
codewords_q, vectors_q          (K, d) codes in that space; (K, D) what each adds to z_q
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing
from vqwn_kit.runs import numpy_encoder
from vqwn_kit.runs.codes import code_vectors, need_codebook
from vqwn_kit.runs.run import Run, load_run

if TYPE_CHECKING:
    from vqwn_kit.models.vqvae import VQVAE


def export_encoder(run: Run | str | Path, path: str | Path) -> list[Path]:
    """Write a run's encoder and codebooks as arrays, and a reader in NumPy beside them.

    Args:
        run: a run with the encoder `2019` or `64` and a vector quantizer, or several (residual or
            product).
        path: a file that ends in .npz.

    Returns:
        The two files.

    Raises:
        InputError: another encoder or quantizer, or another ending.

    Example:
        export_encoder("mini", "encoder.npz")     # then: python encoder.py encoder.npz FILE.wav
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise InputError(f"cannot export an encoder as {path.name}: give a name that ends in .npz")
    run = load_run(run)
    need_codebook(run)
    arrays: dict[str, Any] = encoder_arrays(run.model) | codebook_arrays(run.model)
    with replacing(path) as scratch, scratch.open("wb") as output:
        np.savez(output, **arrays)
    reader = path.with_suffix(".py")
    with replacing(reader) as scratch:
        shutil.copyfile(str(numpy_encoder.__file__), scratch)
    return [path, reader]


def encoder_arrays(model: "VQVAE") -> dict[str, np.ndarray]:
    """Return the arrays of a model's encoder by name.

    Raises:
        InputError: an encoder that cannot be exported.
    """
    from vqwn_kit.models.encoders import ResidualConvEncoder, StridedConvEncoder

    encoder = model.encoder
    arrays = {"hop_length": encoder.hop_length, "sample_rate": SAMPLE_RATE}
    if isinstance(encoder, ResidualConvEncoder):
        arrays |= _features(encoder)
        convs = [encoder.first, encoder.second, encoder.down, *encoder.residuals, encoder.project]
        added = [False, True, False, *[True] * len(encoder.residuals), False]
        norms = [None] * len(convs)
    elif isinstance(encoder, StridedConvEncoder):
        convs = [*encoder.convs, encoder.project]
        added, norms = [False] * len(convs), encoder.norms or [None] * len(convs)
    else:
        raise InputError(
            f"the encoder {encoder.short_name} ({type(encoder).__name__}) cannot be exported; "
            "expected 2019 or 64"
        )
    layers = []
    for number, (conv, residual, norm) in enumerate(zip(convs, added, norms, strict=True)):
        kernel, bias = [np.asarray(weight.numpy(), np.float32) for weight in conv.weights]
        kernel = kernel if kernel.ndim == 3 else kernel[None]  # a dense layer has one tap
        layers.append([getattr(conv, "strides", (1,))[0], number < len(convs) - 1, residual])
        scale, shift = folded(norm, len(bias))
        arrays |= {f"kernel_{number}": kernel, f"bias_{number}": bias}
        arrays |= {f"scale_{number}": scale, f"shift_{number}": shift}
    return {name: np.asarray(value) for name, value in {**arrays, "layers": layers}.items()}


def _features(encoder) -> dict:
    """Return the arrays of the features of the encoder `2019`."""
    spectrum = encoder.spectrum
    arrays = {"basis": spectrum.basis[:, 0], "mel": spectrum.mel, "step": spectrum.hop_length}
    arrays["top_db"] = np.float32(np.inf if encoder.top_db is None else encoder.top_db)
    if encoder.features == "mfcc":
        arrays |= {"dct": spectrum.dct, "deltas": spectrum.filters[:, 0]}
    scale, shift = folded(encoder.norm, spectrum.channels)
    return arrays | {"feature_scale": scale, "feature_shift": shift}


def folded(norm, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and shift, float32 (C,), of a batch normalisation; 1 and 0 without one."""
    if norm is None:
        return np.ones(channels, np.float32), np.zeros(channels, np.float32)
    deviation = np.sqrt(norm.moving_variance.numpy().astype(np.float64) + norm.epsilon)
    scale = norm.gamma.numpy() / deviation
    shift = norm.beta.numpy() - norm.moving_mean.numpy() * scale
    return scale.astype(np.float32), shift.astype(np.float32)


def codebook_arrays(model: "VQVAE") -> dict[str, np.ndarray]:
    """Return the arrays of a model's codebooks by name.

    Product codes are residual codes whose codebooks read and change channels of their own alone.

    Raises:
        InputError: a quantizer that cannot be exported.
    """
    from vqwn_kit.models.stacked_quantizers import ProductQuantizer, StackedQuantizer
    from vqwn_kit.models.vector_quantizers import VectorQuantizer

    bottleneck, size = model.bottleneck, model.bottleneck.embedding_dim
    parts = bottleneck.quantizers if isinstance(bottleneck, StackedQuantizer) else [bottleneck]
    if not isinstance(parts[0], VectorQuantizer):
        raise InputError(
            f"the quantizer {parts[0].short_name} ({type(parts[0]).__name__}) cannot be exported; "
            "expected vq, ema, simvq or cvq, or residual or product of one of these"
        )
    vectors = code_vectors(bottleneck).reshape(len(parts), -1, size)
    arrays = {"num_codebooks": len(parts), "unit_norm": parts[0].unit_norm}
    for number, part in enumerate(parts):
        first = number * part.embedding_dim if isinstance(bottleneck, ProductQuantizer) else 0
        kernel = np.eye(size, dtype=np.float32)[:, first : first + part.embedding_dim]
        bias = np.zeros(part.embedding_dim, np.float32)
        if part.code_dim is not None:
            projection, bias = (weight.numpy() for weight in part.project_in.weights)
            kernel = kernel @ projection
        scale, shift = folded(part.norm if part.batch_norm else None, len(bias))
        arrays |= {f"code_kernel_{number}": kernel * scale}
        arrays |= {f"code_bias_{number}": bias * scale + shift}
        arrays |= {f"codewords_{number}": np.asarray(part.codewords())}
        arrays |= {f"vectors_{number}": vectors[number]}
    return {name: np.asarray(value) for name, value in arrays.items()}
