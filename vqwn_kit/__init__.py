"""vqwn_kit: a workbench for VQ-VAE speech models with a WaveNet decoder.

The public names stand in `__init__.pyi`. Each is imported when it is first used, so that `import
vqwn_kit` does not import TensorFlow.
"""

import os
import sys
from importlib import metadata

import lazy_loader

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if sys.stderr is None or not sys.stderr.isatty():  # bars in a file: at most a line per second
    os.environ.setdefault("TQDM_MININTERVAL", "1")

__version__ = metadata.version("vqwn_kit")
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
