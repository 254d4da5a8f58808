"""TensorFlow and Keras, imported without TensorFlow's start-up lines.

No environment variable turns those lines off: TensorFlow writes them to the file descriptor of
standard error before its own logging is set up. They are shown if the import fails.
"""

import importlib
import os
import sys
import tempfile


def import_tensorflow() -> None:
    """Import TensorFlow with its start-up lines swallowed; show them if the import fails."""
    if "tensorflow" in sys.modules:
        return
    with tempfile.TemporaryFile() as log:
        stderr = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            importlib.import_module("tensorflow")
        except BaseException:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


import_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

__all__ = ["keras", "tf"]
