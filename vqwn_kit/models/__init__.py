"""models: waveform -> z_e -> codes -> distribution of the next sample.

Importing this folder imports TensorFlow, without its start-up lines.
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
