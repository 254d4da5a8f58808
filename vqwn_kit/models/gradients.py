"""How the decoder's gradient passes a quantizer: z_e (..., d) and its codes' vectors e (..., d)."""

import keras
from keras import ops

from vqwn_kit.models import workers

TINY = 1e-12  # a squared length; below it there is no direction


def pass_gradient(z_e, e, name: str, noise=None):
    """Return e (..., d), with a gradient towards z_e by one of `GRADIENTS`.

    Args:
        z_e: (..., d), the encoder's output.
        e: (..., d), the nearest codes.
        name: a key of `GRADIENTS`.
        noise: (..., d), of the direction, for `diveq` in training.
    """
    return GRADIENTS[name](z_e, e, noise)


def straight_through(z_e, e, noise=None):
    """Return z_e + sg(e - z_e): dz_q / dz_e is the identity.

    [van den Oord 2017](https://arxiv.org/abs/1711.00937), section 3.2.
    """
    return z_e + ops.stop_gradient(e - z_e)


def rotate(z_e, e, noise=None):
    """Return e as z_e, rotated and scaled: the rotation trick.

    [Fifty 2024](https://arxiv.org/abs/2410.06424), section 4:

        z_q = sg(|e| / |z_e| R) z_e,    R = I - 2 r r^T + 2 e^ z^^T

    with the directions z^ and e^ of z_e and e, and r that of z^ + e^. R turns z^ into e^ within
    their plane, so that the angle between gradient and code stays as it was between gradient and
    z_q. It needs a code that is near by angle: with codes drawn at random the angle can be near
    180 degrees, where r has no direction and training diverges. Codes are the nearest ones here.
    """
    start, end = ops.stop_gradient(unit(z_e)), ops.stop_gradient(unit(e))
    axis = unit(start + end)
    rotated = z_e - 2.0 * dot(z_e, axis) * axis + 2.0 * dot(z_e, start) * end
    return ops.stop_gradient(length(e) / length(z_e)) * rotated


def reparameterise(z_e, e, noise=None):
    """Return z_e + |e - z_e| sg(v / |v|), v = e - z_e + noise: DiVeQ.

    [Vali 2025](https://arxiv.org/abs/2509.26469). The length of the error has gradients towards z_e
    and towards the code, so that the decoder's loss trains both and no other loss is needed.
    Without noise the result is e.
    """
    error = e - z_e
    direction = ops.stop_gradient(unit(error if noise is None else error + noise))
    return z_e + length(error) * direction


def dot(x, y):
    """Return the inner products of vectors (..., d), (..., 1)."""
    return ops.sum(x * y, axis=-1, keepdims=True)


def length(x):
    """Return the lengths of vectors (..., d), (..., 1); at 0 the gradient is 0."""
    return ops.sqrt(ops.maximum(dot(x, x), TINY))


def unit(x):
    """Return vectors (..., d) divided by their lengths."""
    return x / length(x)


def noise_like(x, deviation: float, seed: keras.random.SeedGenerator):
    """Return normal noise of the shape of x."""
    return deviation * workers.draw(keras.random.normal, ops.shape(x), seed=seed)


GRADIENTS = {
    "straight_through": straight_through,
    "rotation": rotate,
    "diveq": reparameterise,
}
