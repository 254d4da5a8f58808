"""The encoders: frames exactly, receptive fields, and what each of them does."""

import numpy as np
import pytest
import tensorflow as tf

from vqwn_kit.models.encoders import (
    DilatedConvEncoder,
    GatedConvEncoder,
    ResidualConvEncoder,
    StridedConvEncoder,
)

ENCODERS = {
    "64": lambda: StridedConvEncoder(4, 3, 5, 6),
    "64, kernel 4": lambda: StridedConvEncoder(4, 3, 4, 6),
    "64, three layers": lambda: StridedConvEncoder(4, 3, 4, 3, batch_norm=False),
    "Magenta": lambda: DilatedConvEncoder(4, 3, 3, 2, 3, 48),
    "Magenta-gated": lambda: GatedConvEncoder(4, 3, 5, (1, 2, 4)),
    "Magenta-gated, both sides": lambda: GatedConvEncoder(4, 3, 3, (2, 1, 1), causal=False),
    "Magenta-gated, means": lambda: GatedConvEncoder(4, 3, 3, (1, 2), "mean", causal=False),
    "2019": lambda: ResidualConvEncoder(4, 3, batch_norm_momentum=0.5),
    "2019, mel bands": lambda: ResidualConvEncoder(4, 3, "log_mel"),
    "2019, 100 frames per second": lambda: ResidualConvEncoder(4, 3, "log_mel", stride=1),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_gives_exactly_one_frame_a_hop(name):
    encoder = ENCODERS[name]()
    for frames in (1, 2, 3, 7, 16):
        wave = np.zeros((1, frames * encoder.hop_length, 1), "float32")
        assert encoder(wave).shape == (1, frames, 4)
        assert encoder.compute_output_shape(wave.shape) == (1, frames, 4)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.traced
def test_an_encoder_takes_any_length_in_a_graph(name):
    encoder = ENCODERS[name]()
    signature = [tf.TensorSpec((None, None, 1))]
    graph = tf.function(lambda wave: encoder(wave), input_signature=signature)
    for frames in (1, 12):
        wave = np.linspace(-0.5, 0.5, frames * encoder.hop_length, dtype="float32")[None, :, None]
        assert np.allclose(graph(wave), encoder(wave), atol=1e-4)


def even_weights(encoder, rng) -> None:
    """Give an encoder positive kernels that turn no ReLU off and saturate no gate."""
    for weight in encoder.weights:
        if len(weight.shape) > 1:
            weight.assign((0.5 + rng.random(weight.shape)) / np.prod(weight.shape[:-1]))
    if isinstance(encoder, ResidualConvEncoder):
        encoder.norm.moving_mean.assign(np.full(encoder.spectrum.channels, -1000.0))


@pytest.mark.parametrize("name", [name for name in ENCODERS if "Magenta" in name])
def test_receptive_field_by_perturbation(name, rng):
    encoder = ENCODERS[name]()
    frame = encoder.receptive_field // encoder.hop_length + 1
    wave = rng.uniform(0.1, 0.2, (1, (2 * frame + 1) * encoder.hop_length, 1)).astype("float32")
    encoder(wave)
    even_weights(encoder, rng)
    others = np.repeat(wave, wave.shape[1], axis=0)
    others[np.arange(wave.shape[1]), np.arange(wave.shape[1]), 0] = 0.9
    before = np.array(encoder(wave))[0, frame]
    (touched,) = np.nonzero(np.abs(np.array(encoder(others))[:, frame] - before).max(axis=1))
    assert touched[-1] - touched[0] + 1 == encoder.receptive_field


@pytest.mark.parametrize(
    "name", ["64, three layers", "2019", "2019, mel bands", "2019, 100 frames per second"]
)
def test_receptive_field_by_gradient(name, rng):
    encoder = ENCODERS[name]()
    frame = encoder.receptive_field // encoder.hop_length + 1
    shape = (1, (2 * frame + 1) * encoder.hop_length, 1)
    wave = tf.constant(rng.uniform(0.1, 0.2, shape), "float32")
    encoder(wave)
    even_weights(encoder, rng)
    with tf.GradientTape() as tape:
        tape.watch(wave)
        value = tf.reduce_sum(encoder(wave)[0, frame])
    (touched,) = np.nonzero(np.array(tape.gradient(value, wave))[0, :, 0])
    assert touched[-1] - touched[0] + 1 == encoder.receptive_field


@pytest.mark.parametrize("name", ["64", "Magenta", "Magenta-gated", "2019"])
def test_mixed_precision_rounds_neither_the_waveform_nor_z_e(name, rng):
    """Mu-law levels, the cepstrum and nearest codes need float32: bfloat16 has three digits."""
    make = {
        "64": StridedConvEncoder,
        "Magenta": DilatedConvEncoder,
        "Magenta-gated": GatedConvEncoder,
        "2019": ResidualConvEncoder,
    }
    heard = []
    encoder = make[name](4, 3, dtype="mixed_bfloat16")
    call = encoder.call
    encoder.call = lambda waveform, training=None: (heard.append(waveform), call(waveform))[1]
    wave = rng.uniform(-0.5, 0.5, (1, 2 * encoder.hop_length, 1)).astype("float32")
    z_e = encoder(wave)
    assert np.array_equal(heard[0], wave)
    assert z_e.dtype == "float32"
    assert not np.array_equal(z_e, tf.cast(tf.cast(z_e, "bfloat16"), "float32"))


def test_a_causal_encoder_knows_nothing_of_the_samples_it_conditions(rng):
    encoder = GatedConvEncoder(4, 3, 5, (1, 2, 4))
    wave = rng.uniform(-0.5, 0.5, (1, 80, 1)).astype("float32")
    before = np.array(encoder(wave))
    wave[0, 40:] *= -1
    after = np.array(encoder(wave))
    assert np.array_equal(before[0, :6], after[0, :6])  # frame 5 conditions samples 40 to 47
    assert not np.allclose(before[0, 6:], after[0, 6:])


def test_residual_layers_of_2019_add_their_branch_once(rng):
    encoder = ResidualConvEncoder(4, 3)
    wave = rng.normal(size=(1, 3200, 1)).astype("float32")
    encoder(wave)
    for layer in (encoder.second, *encoder.residuals):
        layer.set_weights([np.zeros(w.shape) for w in layer.get_weights()])
    down = encoder.down(encoder.first(encoder.norm(encoder.spectrum(wave))))
    assert np.allclose(encoder(wave), encoder.project(down), atol=1e-5)


def test_2019_equals_numpy(rng):
    encoder = ResidualConvEncoder(4, 3)
    wave = rng.normal(size=(1, 3200, 1)).astype("float32")
    encoder(wave)
    encoder.set_weights([0.3 * rng.random(w.shape) for w in encoder.get_weights()])

    def conv(x, layer, stride=1):
        kernel, bias = layer.get_weights()
        width = len(kernel)
        left = (width - 1) // 2
        padded = np.pad(x, ((left, width - 1 - left), (0, 0)))
        rows = range(0, len(x), stride)
        out = [np.einsum("kc,kcd->d", padded[n : n + width], kernel) + bias for n in rows]
        return np.maximum(np.stack(out), 0)

    x = np.array(encoder.norm(encoder.spectrum(wave)))[0]
    x = conv(x, encoder.first)
    x = x + conv(x, encoder.second)
    x = conv(x, encoder.down, 2)
    for layer in encoder.residuals:
        x = x + conv(x, layer)
    kernel, bias = encoder.project.get_weights()
    assert np.allclose(encoder(wave)[0], x @ kernel + bias, rtol=1e-3)


def test_magenta_equals_numpy(rng):
    encoder = DilatedConvEncoder(2, 3, 3, 1, 3, 8)
    wave = rng.uniform(-1, 1, (1, 32, 1)).astype("float32")
    encoder(wave)
    encoder.set_weights([rng.normal(size=w.shape) for w in encoder.get_weights()])

    def conv(x, layer, dilation=1):
        kernel, bias = layer.get_weights()
        reach = dilation * (len(kernel) // 2)
        padded = np.pad(x, ((reach, reach), (0, 0)))
        taps = [padded[t * dilation :][: len(x)] @ kernel[t] for t in range(len(kernel))]
        return sum(taps) + bias

    levels = np.floor(
        (np.sign(wave) * np.log1p(255 * np.abs(wave)) / np.log(256) + 1) / 2 * 255 + 0.5
    )
    x = conv(levels[0] / 127.5 - 1, encoder.first)
    for layer, out, dilation in zip(encoder.convs, encoder.outs, (1, 2, 4), strict=True):
        x = x + conv(np.maximum(conv(np.maximum(x, 0), layer, dilation), 0), out)
    kernel, bias = encoder.project.get_weights()
    x = (x @ kernel + bias).reshape(4, 8, 2).mean(1)
    assert np.allclose(encoder(wave)[0], x, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DilatedConvEncoder(kernel_size=4), "odd"),
        (lambda: GatedConvEncoder(kernel_size=4, causal=False), "odd"),
        (lambda: GatedConvEncoder(downsample="max"), "'stride' or 'mean'"),
        (lambda: ResidualConvEncoder(features="fft"), "'mfcc' or 'log_mel'"),
    ],
)
def test_impossible_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_batch_normalisation_learns_its_statistics(rng):
    encoder = StridedConvEncoder(4, 3, 4, 2, batch_norm_momentum=0.5)
    wave = rng.uniform(-1, 1, (4, 256, 1)).astype("float32")
    encoder(wave)
    start = [norm.moving_variance.numpy() for norm in encoder.norms]
    for _ in range(30):
        trained = encoder(wave, training=True)
    moved = [norm.moving_variance.numpy() for norm in encoder.norms]
    assert all(np.abs(one - two).max() > 1e-4 for one, two in zip(start, moved, strict=True))
    assert np.allclose(trained, encoder(wave, training=False), atol=2e-2)
