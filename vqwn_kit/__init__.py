"""vqwn_kit: a workbench for VQ-VAE speech models with a WaveNet decoder.

Names are imported when they are first used: `import vqwn_kit` costs no TensorFlow.
"""

import importlib
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

__version__ = "0.1.0"

_HOME = {
    "InputError": "errors",
    "load": "audio",
    "save": "audio",
    "mu_law_encode": "audio",
    "mu_law_decode": "audio",
    "Utterance": "listing",
    "Corpus": "corpus",
    "open_corpus": "corpus",
    "example_corpus": "corpus",
    "results": "files",
    "set_seed": "quiet",
    "Store": "store",
    "prepare": "store",
    "Checkup": "doctor",
    "check": "doctor",
    "download_corpus": "download",
    "Segments": "segments",
    "IterableSegments": "segments",
    "LogMel": "features",
    "Mfcc": "features",
    "StridedConvEncoder": "encoders",
    "DilatedConvEncoder": "encoders",
    "GatedConvEncoder": "encoders",
    "ResidualConvEncoder": "encoders",
    "VectorQuantizer": "bottlenecks",
    "VectorQuantizerEMA": "bottlenecks",
    "SoftmaxBottleneck": "bottlenecks",
    "Identity": "bottlenecks",
    "reach": "probing",
    "listening_profile": "probing",
    "point_clouds": "toy",
    "follow_codebook": "toy",
    "codebook_pulls": "toy",
    "TimeJitter": "layers",
    "WaveNet": "wavenet",
    "FrameDecoder": "frame_decoder",
    "VQVAE": "vqvae",
    "TrainingConfig": "training_config",
    "load_preset": "config",
    "build_model": "config",
    "Run": "run",
    "load_run": "run",
    "train": "training",
    "validate": "validation",
    "Sampler": "sampler",
    "generate": "generation",
    "stream": "generation",
    "Interrupted": "generation",
    "reconstruct": "generation",
    "convert_voice": "generation",
    "convert_many": "generation",
    "audio_log": "generation",
    "voice_between": "generation",
    "NGram": "ngrams",
    "codes_of": "run_codes",
    "PriorConfig": "prior_config",
    "CodePrior": "prior",
    "load_prior": "prior_folder",
    "score_prior": "prior_scores",
    "train_prior": "prior_training",
    "dream": "dreams",
    "score_card": "scoring",
    "examine": "scoring",
    "facts_of_codes": "code_facts",
    "facts_of_frames": "code_facts",
    "ScoreCard": "cards",
    "phone_times": "alignment",
    "visualise": "projector",
    "open_projector": "projector_page",
    "export_projector": "projector_tables",
    "compare": "comparison",
    "Comparison": "comparison",
    "describe": "info",
    "run_main_job": "main_job",
    "run_benches": "bench",
    "listen": "report",
    "Player": "widgets.player",
    "Explorer": "widgets.explorer",
    "player_of": "explore",
    "explore_codebook": "explore",
    "explore_speakers": "explore",
    "explore_frames": "explore",
    "TrainingMonitor": "widgets.monitor",
    "train_monitor": "monitoring",
    "VoiceLab": "widgets.lab",
    "voice_lab": "voicing",
    "time_lapse": "voicing",
}
_ON_TENSORFLOW = set(
    "layers features encoders probing bottlenecks toy wavenet frame_decoder vqvae training "
    "validation sampler generation comparison scoring explore monitoring voicing main_job "
    "run_codes prior prior_folder prior_scores prior_training dreams code_facts "
    "projector_tables".split()
)
__all__ = ["__version__", *_HOME]


def __getattr__(name: str):
    """Import the module of a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'vqwn_kit' has no attribute {name!r}")
    if _HOME[name] in _ON_TENSORFLOW:
        importlib.import_module("vqwn_kit.quiet").import_tensorflow()
    value = getattr(importlib.import_module(f"vqwn_kit.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, for completion."""
    return sorted(__all__)
