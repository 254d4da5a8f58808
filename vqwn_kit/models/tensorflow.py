"""TensorFlow and Keras, imported without TensorFlow's start-up lines, and set as is needed here.

No environment variable turns those lines off: TensorFlow writes them to the file descriptor of
standard error before its own logging is set up. They are shown if the import fails.
"""

import importlib.util
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial

from vqwn_kit.errors import InputError


def import_tensorflow() -> None:
    """Import TensorFlow with its start-up lines swallowed; show them if the import fails.

    A first product is computed, too, since some processors have lines of their own for that.
    """
    if "tensorflow" in sys.modules:
        return
    if importlib.util.find_spec("tensorflow") is None:
        raise InputError("TensorFlow is not installed: pip install 'tensorflow>=2.21,<2.22'")
    with tempfile.TemporaryFile() as log:
        stderr = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            tensorflow = importlib.import_module("tensorflow")
            tensorflow.linalg.matmul(tensorflow.ones((8, 8)), tensorflow.ones((8, 8)))
        except BaseException:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def check_backend(backend: str | None, cure: str) -> None:
    """Raise InputError with the cure where the backend of Keras is another than TensorFlow."""
    if backend not in (None, "", "tensorflow"):
        raise InputError(
            f"the backend of Keras is {backend!r}, and vqwn_kit needs TensorFlow: {cure}"
        )


SET = "set KERAS_BACKEND=tensorflow before Python starts"
check_backend(os.environ.get("KERAS_BACKEND"), SET)
import_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import ops  # noqa: E402

check_backend(keras.backend.backend(), f"{SET}, or import vqwn_kit before keras")
if (keras.config.image_data_format(), keras.config.floatx()) != ("channels_last", "float32"):
    warnings.warn(
        "the settings of Keras (~/.keras/keras.json) are changed for this process: all layers here "
        "have their channels last and numbers in float32",
        stacklevel=2,
    )
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")


def graph_of(function: Callable, signature: Sequence):
    """Return a function of one model as a graph, for inputs of given shapes and types.

    TensorFlow counts graphs by the code of a function, and warns of retracing after those of a few
    models; a `partial` has a count of its own.

    Args:
        function: of tensors.
        signature: a `tf.TensorSpec` for each.
    """
    return tf.function(partial(function), input_signature=signature)


__all__ = ["graph_of", "keras", "ops", "tf"]
