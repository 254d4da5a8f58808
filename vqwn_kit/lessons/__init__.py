"""lessons: experiments that the notebooks run and the rest of the package does not need.

Enters: an encoder or a bottleneck of `models`, and arrays: waveforms (T,), points (M, 2).
Leaves: measurements as arrays (receptive fields, codebooks step by step) and figures of them.
May import: `models`, `plots`, `evaluation.metrics`.

    receptive_field.py  an encoder -> the samples that a frame depends on, and how strongly
    codebook_2d.py      points and a vector quantizer -> its codebook after each training step
    exercises.py        the notebooks' exercises: an answer -> whether it is right, and a hint
    plots.py            those arrays -> matplotlib figures

To add a lesson: write functions that take arrays or layers and return arrays, in a file named after
what is measured; list its public names below; call them in a notebook as `vq.lessons.NAME`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["plots"],
    submod_attrs={
        "codebook_2d": ["codebook_gradients", "gaussian_clusters", "train_codebook_2d"],
        "exercises": ["check"],
        "receptive_field": ["measure_receptive_field", "occlusion_sensitivity"],
    },
)
