"""models: waveform -> z_e -> codes -> distribution of the next sample.

    encoders -> bottleneck -> decoder = conditioner + codec + network + distribution -> VQVAE

Letters in all docstrings: B batch, T samples, N frames = T / hop_length, D embedding_dim, K codes,
S speakers, C channels of the conditioning, L levels; a docstring that needs others says so.

Enters: waveform (B, T, 1) float32 in [-1, 1]; speaker (B,) int32, -1 is 'no speaker'; pitch (B, N)
    of a model with `pitch_levels`.
Leaves: codes (B, N) int32, or (B, N, Q) of several codebooks; z_q (B, N, D); outputs (B, T,
    num_outputs); losses by name.
May import: keras, numpy, scipy, librosa, and of this package `errors` only.
To add an encoder, subclass `Encoder` in encoders.py: `short_name`, `embedding_dim`, `hop_length`,
    `receptive_field`, `build`, `call`. A quantizer: subclass `Codebook` (vector_quantizers.py) or
    `GridQuantizer` (scalar_quantizers.py) and return `Quantized`. A way to pass the gradient: a
    function in gradients.py. A distribution: subclass `Distribution`. Presets find all of them by
    `short_name`.

Read first: wavenet.py, codec.py, wavenet_decoder.py, vqvae.py. Importing this folder imports
TensorFlow, without its start-up lines.
"""

import lazy_loader

import vqwn_kit.models.tensorflow  # noqa: F401

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "layers": ["TimeJitter"],
        "mel": ["LogMel", "Mfcc"],
        "encoders": [
            "DilatedConvEncoder",
            "GatedConvEncoder",
            "ResidualConvEncoder",
            "StridedConvEncoder",
        ],
        "bottleneck": ["Identity"],
        "vector_quantizers": [
            "ClusteringQuantizer",
            "SimVQ",
            "VectorQuantizer",
            "VectorQuantizerEMA",
        ],
        "scalar_quantizers": [
            "BinarySphericalQuantizer",
            "FiniteScalarQuantizer",
            "LookupFreeQuantizer",
        ],
        "stacked_quantizers": ["ProductQuantizer", "ResidualQuantizer"],
        "softmax": ["SoftmaxBottleneck"],
        "wavenet": ["WaveNet"],
        "wavenet_decoder": ["WaveNetDecoder"],
        "codec": ["SampleCodec", "mu_law_decode", "mu_law_encode"],
        "conditioning": ["Conditioner"],
        "distributions": ["Categorical", "LogisticMixture"],
        "mel_decoder": ["MelDecoder"],
        "vqvae": ["VQVAE"],
    },
)
