"""Import TensorFlow without its start-up lines, which no environment variable turns off."""

import importlib
import os
import sys
import tempfile


def import_tensorflow() -> None:
    """Import TensorFlow, its start-up lines swallowed; they are shown if the import fails.

    They are written to the file descriptor before TensorFlow's own logging is set up.
    """
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


def set_seed(seed: int) -> None:
    """Make random weights the same each time: seed Python, NumPy and Keras."""
    import_tensorflow()
    import keras

    keras.utils.set_random_seed(seed)
