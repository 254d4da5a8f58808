"""models: waveform -> z_e -> codes -> distribution of the next sample.

    encoders -> bottlenecks -> decoder = conditioner + codec + network + distribution -> VQVAE

Letters in all docstrings: B batch, T samples, N frames = T / hop_length, D embedding_dim, K codes,
S speakers, C channels of the conditioning, L levels.

Enters: waveform (B, T, 1) float32 in [-1, 1]; speaker (B,) int32, -1 is 'no speaker'.
Leaves: codes (B, N) int32, z_q (B, N, D), outputs (B, T, num_outputs), losses by name.
May import: keras, numpy, scipy, librosa, and of this package `errors` only.
To add an encoder, subclass `Encoder` in encoders.py: `short_name`, `hop_length`,
    `receptive_field`, `call`. A quantizer: subclass `Codebook` in bottlenecks.py and return
    `Quantized`. A distribution: subclass `Distribution`. Presets find them by `short_name`.

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
        "bottlenecks": ["Identity", "SoftmaxBottleneck", "VectorQuantizer", "VectorQuantizerEMA"],
        "wavenet": ["WaveNet"],
        "wavenet_decoder": ["WaveNetDecoder"],
        "codec": ["SampleCodec", "mu_law_decode", "mu_law_encode"],
        "conditioning": ["Conditioner"],
        "distributions": ["Categorical", "LogisticMixture"],
        "mel_decoder": ["MelDecoder"],
        "vqvae": ["VQVAE"],
    },
)
