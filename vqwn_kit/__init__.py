"""vqwn_kit: a workbench for VQ-VAE speech models with a WaveNet decoder.

The public names stand in `__init__.pyi`. Each is imported when it is first used, so that `import
vqwn_kit` does not import TensorFlow.
"""

import atexit
import os
import shutil
import sys
import tempfile
from importlib import metadata, util

import lazy_loader

os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime sends its use to Microsoft
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if sys.stderr is None or not sys.stderr.isatty():  # bars in a file: at most a line per second
    os.environ.setdefault("TQDM_MININTERVAL", "1")


def _let_numba_write() -> None:
    """Give Numba a temporary folder where it can write neither beside librosa nor in the home.

    The imports of librosa and umap would fail.
    """
    cache = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = cache if os.path.exists(cache) else os.path.dirname(cache)
    librosa = util.find_spec("librosa")
    folders = [*(librosa.submodule_search_locations if librosa else []), home]
    if librosa and not any(os.access(folder, os.W_OK) for folder in folders):
        os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="numba-")
        atexit.register(shutil.rmtree, os.environ["NUMBA_CACHE_DIR"], ignore_errors=True)


if not os.environ.get("NUMBA_CACHE_DIR"):
    _let_numba_write()
__version__ = metadata.version("vqwn_kit")
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
