"""Every layer: rebuilt from its config, in mixed precision; and what the layers share."""

import keras
import librosa
import numpy as np
import pytest
import scipy.fft
import tensorflow as tf

from tests.conftest import small_decoder
from vqwn_kit.data import audio
from vqwn_kit.models.bottleneck import Identity
from vqwn_kit.models.codec import level_to_scalar, mu_law_decode, mu_law_encode
from vqwn_kit.models.conditioning import Conditioner, SpeakerEmbedding
from vqwn_kit.models.encoders import (
    DilatedConvEncoder,
    GatedConvEncoder,
    ResidualConvEncoder,
    StridedConvEncoder,
)
from vqwn_kit.models.gated_block import GatedBlock
from vqwn_kit.models.layers import TimeJitter, add_frames
from vqwn_kit.models.mel import LogMel, Mfcc, hz_to_mel
from vqwn_kit.models.mel_decoder import MelDecoder
from vqwn_kit.models.scalar_quantizers import (
    BinarySphericalQuantizer,
    FiniteScalarQuantizer,
    LookupFreeQuantizer,
)
from vqwn_kit.models.softmax import SoftmaxBottleneck
from vqwn_kit.models.stacked_quantizers import ProductQuantizer, ResidualQuantizer
from vqwn_kit.models.vector_quantizers import (
    ClusteringQuantizer,
    SimVQ,
    VectorQuantizer,
    VectorQuantizerEMA,
)
from vqwn_kit.models.wavenet import Projection, WaveNet


def waveforms(rng) -> tuple:
    return (rng.uniform(-1, 1, (2, 640, 1)).astype("float32"),)


def frames(rng) -> tuple:
    return (rng.normal(size=(2, 8, 6)).astype("float32"),)


def teacher_forced(channels: int):
    """Return a function that draws levels and conditioning (2, 4, C) for `small_decoder`."""

    def draw(rng) -> tuple:
        conditioning = rng.normal(size=(2, 4, channels)).astype("float32")
        return rng.integers(0, 64, (2, 64)), conditioning

    return draw


LAYERS = {
    "64": (
        lambda **k: StridedConvEncoder(6, 5, 4, 3, batch_norm_momentum=0.7, **k),
        waveforms,
    ),
    "64 without normalisation": (
        lambda **k: StridedConvEncoder(6, 5, 3, 2, batch_norm=False, **k),
        waveforms,
    ),
    "Magenta": (lambda **k: DilatedConvEncoder(6, 5, 5, 2, 3, 16, **k), waveforms),
    "Magenta-gated": (lambda **k: GatedConvEncoder(6, 5, 3, (2, 1, 4), **k), waveforms),
    "Magenta-gated by means": (
        lambda **k: GatedConvEncoder(6, 5, 3, [2, 1], "mean", causal=False, **k),
        waveforms,
    ),
    "2019": (lambda **k: ResidualConvEncoder(6, 5, "mfcc", 0.7, **k), waveforms),
    "2019 on mel bands": (lambda **k: ResidualConvEncoder(6, 5, "log_mel", 0.7, **k), waveforms),
    "2019 at 100 Hz": (
        lambda **k: ResidualConvEncoder(6, 5, stride=1, warp=0.1, tilt=2.0, **k),
        waveforms,
    ),
    "mel bands": (
        lambda **k: LogMel(64, 20, 8000, 100, 50.0, 3000.0, 70.0, 0.1, 2.0, **k),
        waveforms,
    ),
    "cepstrum": (
        lambda **k: Mfcc(7, 64, 20, 8000, 100, 50.0, 3000.0, warp=0.1, tilt=2.0, **k),
        waveforms,
    ),
    "vector quantizer": (lambda **k: VectorQuantizer(7, 6, None, 0.5, "orthogonal", **k), frames),
    "joint vector quantizer": (
        lambda **k: VectorQuantizer(7, 6, None, 0.5, "uniform_unit_scaling", joint=True, **k),
        frames,
    ),
    "vector quantizer with all options": (
        lambda **k: VectorQuantizer(
            7,
            6,
            4,
            0.5,
            gradient="rotation",
            commitment_warm_up=9,
            batch_norm=True,
            unit_norm=True,
            kl_frame=0.1,
            kl_mean=0.2,
            **k,
        ),
        frames,
    ),
    "EMA vector quantizer": (
        lambda **k: VectorQuantizerEMA(7, 6, 4, 0.5, "orthogonal", decay=0.8, **k),
        frames,
    ),
    "DiVeQ": (lambda **k: VectorQuantizer(7, 6, gradient="diveq", **k), frames),
    "SimVQ": (lambda **k: SimVQ(7, 6, 4, 0.5, unit_norm=True, **k), frames),
    "online clustering": (lambda **k: ClusteringQuantizer(7, 6, decay=0.8, **k), frames),
    "finite scalars": (lambda **k: FiniteScalarQuantizer([3, 4], 6, **k), frames),
    "lookup-free": (lambda **k: LookupFreeQuantizer(3, 6, diversity=0.5, **k), frames),
    "binary spherical": (lambda **k: BinarySphericalQuantizer(3, 6, temperature=0.2, **k), frames),
    "residual": (
        lambda **k: ResidualQuantizer(3, 6, 0.7, quantizer=VectorQuantizerEMA(7, 9), **k),
        frames,
    ),
    "product": (
        lambda **k: ProductQuantizer(2, 6, quantizer=FiniteScalarQuantizer([3, 4]), **k),
        frames,
    ),
    "softmax": (
        lambda **k: SoftmaxBottleneck(7, 6, "orthogonal", True, kl_frame=0.1, kl_mean=0.2, **k),
        frames,
    ),
    "identity": (lambda **k: Identity(6, **k), frames),
    "jitter": (lambda **k: TimeJitter(0.4, **k), frames),
    "speakers": (
        lambda **k: SpeakerEmbedding(3, 5, learned_no_speaker=True, dropout=0.2, **k),
        lambda rng: (np.array([2, -1], "int32"),),
    ),
    "gated block": (
        lambda **k: GatedBlock(6, 5, 7, kernel_size=3, dilation=2, interpolate=True, **k),
        lambda rng: (
            rng.normal(size=(2, 16, 6)).astype("float32"),
            rng.normal(size=(2, 4, 10)).astype("float32"),
        ),
    ),
    "conditions": (
        lambda **k: Conditioner(3, 6, 5, 4, 0, 0.1, True, 0.2, **k),
        lambda rng: (*frames(rng), np.array([2, -1], "int32")),
    ),
    "conditions with layers": (
        lambda **k: Conditioner(3, 6, 5, local_layers=2, **k),
        lambda rng: (*frames(rng), np.array([2, -1], "int32")),
    ),
    "projection": (lambda **k: Projection(5, **k), frames),
    "network": (
        lambda **k: WaveNet(
            20, 1, 3, residual_channels=6, gate_channels=5, skip_channels=7, interpolate=True, **k
        ),
        lambda rng: (
            rng.normal(size=(2, 32, 3)).astype("float32"),
            rng.normal(size=(2, 4, 5)).astype("float32"),
        ),
    ),
    "decoder": (small_decoder, teacher_forced(7)),
    "decoder with all options": (
        lambda **k: small_decoder(
            dilations=None,
            num_cycles=2,
            num_cycle_layers=2,
            one_hot=True,
            interpolate=True,
            speaker_projection="own",
            local_channels=5,
            jitter=0.1,
            learned_no_speaker=True,
            speaker_dropout=0.1,
            num_components=3,
            num_levels=64,
            **k,
        ),
        teacher_forced(8),
    ),
    "mel decoder": (
        lambda **k: MelDecoder(Conditioner(3, 6, 5, 4, 2, **k), 16, 20, **k),
        lambda rng: (rng.normal(size=(2, 4, 4)).astype("float32"),),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_is_rebuilt_from_its_config_with_the_same_weights(name, rng):
    make, inputs = LAYERS[name]
    layer, data = make(), inputs(rng)
    first = tf.nest.flatten(layer(*data))
    config = keras.saving.serialize_keras_object(layer)
    twin = keras.saving.deserialize_keras_object(config)
    twin(*data)
    twin.set_weights(layer.get_weights())
    for one, two in zip(first, tf.nest.flatten(twin(*data)), strict=True):
        if one is not None:
            assert np.array_equal(one, two)


@pytest.mark.parametrize("name", [name for name in LAYERS if "decoder" not in name])
def test_layer_runs_in_mixed_precision_and_its_weights_get_a_gradient(name, rng):
    make, inputs = LAYERS[name]
    layer, data = make(dtype="mixed_bfloat16"), inputs(rng)
    with tf.GradientTape() as tape:
        outputs = [
            o for o in tf.nest.flatten(layer(*data)) if o is not None and o.dtype.is_floating
        ]
        loss = sum(tf.reduce_mean(tf.cast(output, "float32") ** 2) for output in outputs)
    assert np.isfinite(loss)
    variables = [variable.value for variable in layer.trainable_variables]
    gradients = tape.gradient(loss, variables)
    assert all(gradient is not None for gradient in gradients)
    assert all(variable.dtype == "float32" for variable in layer.trainable_variables)


def test_mu_law_in_the_graph_equals_numpy(rng):
    wave = np.concatenate([rng.uniform(-1, 1, 5000), mu_law_decode(np.arange(256))])
    wave = wave.astype("float32")
    apart = np.array(mu_law_encode(wave)) != audio.mu_law_encode(wave)
    assert apart.mean() < 1e-3
    assert np.array_equal(mu_law_encode(mu_law_decode(np.arange(256))), np.arange(256))


def test_level_scalars_span_minus_one_to_one():
    scalars = np.array(level_to_scalar(np.arange(256)))
    assert np.allclose(scalars, np.arange(256) / 127.5 - 1, atol=1e-6)


def test_adding_frames_equals_repeating_them(rng):
    samples, frames = rng.normal(size=(2, 12, 3)), rng.normal(size=(2, 4, 3))
    assert np.allclose(add_frames(samples, frames), samples + np.repeat(frames, 3, axis=1))


def test_gated_block_equals_numpy(rng):
    block = GatedBlock(2, 3, 4, kernel_size=3, dilation=2)
    x, condition = rng.normal(size=(1, 8, 2)), rng.normal(size=(1, 8, 6))
    block(x.astype("float32"), condition.astype("float32"))
    block.set_weights([rng.normal(size=w.shape) for w in block.get_weights()])
    kernel, bias, out, out_bias = block.get_weights()
    padded = np.pad(x[0], ((4, 0), (0, 0)))
    mixed = (
        sum(padded[2 * tap : 2 * tap + 8] @ kernel[tap] for tap in range(3)) + bias + condition[0]
    )
    gate = np.tanh(mixed[:, :3]) / (1 + np.exp(-mixed[:, 3:]))
    branch = gate @ out + out_bias
    residual, skip = block(x.astype("float32"), condition.astype("float32"))
    assert np.allclose(residual[0], x[0] + branch[:, :2], atol=1e-5)
    assert np.allclose(skip[0], branch[:, 2:], atol=1e-5)


def test_interpolated_frames_lie_on_lines_between_the_middles(rng):
    samples, frames = np.zeros((2, 20, 3)), rng.normal(size=(2, 4, 3))
    lines = np.array(add_frames(samples, frames, interpolate=True))
    middles = np.arange(4) * 5 + 2
    for b in range(2):
        for c in range(3):
            expected = np.interp(np.arange(20), middles, frames[b, :, c])
            assert np.allclose(lines[b, :, c], expected, atol=1e-6)


def count_jitter(probability: float, shape=(50, 400)) -> tuple[np.ndarray, np.ndarray]:
    """Return where each frame's content came from, relative to it, and the rows it came from."""
    batch, num_frames = shape
    place = np.broadcast_to(np.arange(num_frames), shape)
    row = np.broadcast_to(np.arange(batch)[:, None], shape)
    frames = np.stack([place, row], axis=-1).astype("float32")
    moved = np.array(TimeJitter(probability)(frames, training=True))
    return moved[..., 0] - place, moved[..., 1] - row


def test_jitter_takes_either_neighbour_at_half_its_probability():
    shift, row = count_jitter(0.12)
    inner = shift[:, 1:-1]
    assert set(np.unique(inner)) == {-1, 0, 1}
    for side in (-1, 1):  # 20,000 draws: a standard error of 0.0017
        assert np.mean(inner == side) == pytest.approx(0.06, abs=0.006)
    assert not row.any()  # never from another utterance


def test_jitter_stays_within_the_utterance_and_draws_for_each_of_them():
    shift, _ = count_jitter(1.0)
    place = shift + np.arange(400)
    assert place.min() == 0
    assert place.max() == 399
    assert (shift[:, 0] >= 0).all()
    assert (shift[:, -1] <= 0).all()
    assert not np.array_equal(shift[0], shift[1])


def test_jitter_leaves_frames_alone_outside_training(rng):
    (data,) = frames(rng)
    assert np.array_equal(TimeJitter(1.0)(data), data)
    assert np.array_equal(TimeJitter(1.0)(data, training=False), data)


def test_no_speaker_is_zeros_or_learned_and_never_a_row_of_the_table():
    speaker = np.array([-1, 0, 2], "int32")
    plain, learned = SpeakerEmbedding(3, 5), SpeakerEmbedding(3, 5, learned_no_speaker=True)
    assert not np.array(plain(speaker))[0].any()
    learned.build()
    learned.no_speaker.assign(np.full(5, 7.0))
    vectors = np.array(learned(speaker))
    assert np.array_equal(vectors[0], np.full(5, 7.0))
    assert np.array_equal(vectors[1:], learned.table.numpy()[[0, 2]])


def test_the_learned_no_speaker_learns_from_speaker_dropout():
    speakers = SpeakerEmbedding(3, 5, learned_no_speaker=True, dropout=0.5)
    ids = np.tile(np.arange(3, dtype="int32"), 200)
    vectors = np.array(speakers(ids, training=True))
    dropped = ~vectors.any(axis=1)  # it starts at zeros
    assert np.mean(dropped) == pytest.approx(0.5, abs=0.1)
    assert np.array(speakers(ids, training=False)).any(axis=1).all()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(speakers(ids, training=True) * 1.0)
    assert np.abs(tape.gradient(loss, speakers.no_speaker.value)).max() > 0


# features


def sounds(rng) -> np.ndarray:
    """Return a loud tone in a little noise, a quiet rough sound, a clip with digital silence."""
    time = np.arange(6400) / 16_000
    loud = 0.8 * np.sin(2 * np.pi * 440 * time) + 1e-3 * rng.normal(size=6400)
    quiet = 1e-3 * rng.normal(size=6400) * np.sin(2 * np.pi * 3 * time)
    gap = np.where((time > 0.1) & (time < 0.2), 0.0, 0.1 * rng.normal(size=6400))
    return np.stack([loud, quiet, gap]).astype("float32")


LIBROSA = {
    "sr": 16_000,
    "n_fft": 512,
    "win_length": 400,
    "hop_length": 160,
    "n_mels": 80,
    "fmin": 20,
    "fmax": 8000,
}


def librosas_bands(wave: np.ndarray, top_db) -> np.ndarray:
    power = librosa.feature.melspectrogram(y=wave.astype(float), **LIBROSA)
    return librosa.power_to_db(power, top_db=top_db)


@pytest.mark.parametrize("top_db", [None, 80.0])
def test_mel_bands_equal_librosas(rng, top_db):
    waves = sounds(rng)
    ours = np.array(LogMel(top_db=top_db)(waves[..., None]))
    assert ours.shape == (3, 40, 80)
    for wave, bands in zip(waves, ours, strict=True):
        assert np.abs(bands - librosas_bands(wave, top_db)[:, :40].T).max() < 1e-3


@pytest.mark.parametrize("top_db", [None, 80.0])
def test_cepstrum_and_deltas_equal_librosas(rng, top_db):
    waves = sounds(rng)
    ours = np.array(Mfcc(top_db=top_db)(waves[..., None]))
    assert ours.shape == (3, 40, 39)
    for wave, found in zip(waves, ours, strict=True):
        bands = librosas_bands(wave, top_db)[:, :40]
        cepstrum = librosa.feature.mfcc(S=bands, n_mfcc=13)
        deltas = [librosa.feature.delta(cepstrum, order=order) for order in (1, 2)]
        assert np.abs(found - np.concatenate([cepstrum, *deltas]).T).max() < 1e-3


@pytest.mark.parametrize("warp", [0.05, 0.3])
def test_frequencies_are_stretched_by_a_factor_of_each_clips_own_in_training_alone(rng, warp):
    layer = LogMel(warp=warp)
    tone = np.sin(2 * np.pi * 1500 * np.arange(3200) / 16_000).astype("float32")
    waves = np.stack([tone] * 64)[..., None]
    assert np.array_equal(layer(waves), LogMel()(waves))
    centres = librosa.mel_frequencies(82, fmin=20.0, fmax=8000.0)[1:-1]
    loudest = np.array(layer(waves, training=True)).mean(axis=1).argmax(axis=1)
    stretched = np.log(1500 / centres[loudest])
    assert np.abs(stretched).max() < warp + 0.04
    assert stretched.std() == pytest.approx(warp / np.sqrt(3), abs=0.25 * warp + 0.01)


def test_stretched_bands_are_those_of_the_stretched_frequencies(rng):
    layer = LogMel(warp=0.2, fmin=50.0, fmax=7000.0)
    hertz = np.linspace(10, 8000, 99, dtype="float32")
    assert np.allclose(hz_to_mel(hertz), librosa.hz_to_mel(hertz), atol=1e-4)
    keras.utils.set_random_seed(3)
    centres = librosa.mel_frequencies(82, fmin=50.0, fmax=7000.0)[1:-1]
    line = np.tile(librosa.hz_to_mel(centres).astype("float32"), (5, 3, 1))  # a band: its mel
    warped = librosa.mel_to_hz(np.array(layer.warped(line)))
    inside = (warped > centres[0] + 1) & (warped < centres[-1] - 1)
    factors = np.where(inside, warped / centres, np.nan)
    assert np.nanmax(np.nanstd(factors, axis=-1)) < 1e-3
    assert np.nanmean(factors, axis=-1).std() > 0.03


def test_spectra_are_coloured_by_slow_curves_of_each_clips_own_in_training_alone(rng):
    keras.utils.set_random_seed(3)
    waves = rng.normal(0, 0.1, (300, 640, 1)).astype("float32")
    plain = np.array(LogMel()(waves))
    layer = LogMel(tilt=3.0)
    assert np.array_equal(layer(waves), plain)
    added = np.array(layer(waves, training=True)) - plain
    assert np.abs(added - added[:, :1]).max() < 1e-3  # all frames of a clip alike
    heights = scipy.fft.dct(added[:, 0], axis=1, norm="ortho") / np.sqrt(40)
    assert np.abs(np.delete(heights, [1, 2, 3, 4], axis=1)).max() < 1e-3
    assert heights[:, 1:5].std(axis=0) == pytest.approx([3.0] * 4, rel=0.15)
    assert np.abs(np.corrcoef(heights[:, 1:5].T) - np.eye(4)).max() < 0.2


@pytest.mark.parametrize("layer", [LogMel(top_db=80.0), Mfcc(top_db=80.0), LogMel(), Mfcc()])
def test_a_quiet_clip_has_the_same_features_beside_a_loud_one(rng, layer):
    waves = sounds(rng)[..., None]
    alone = np.array(layer(waves[1:2]))
    together = np.array(layer(waves))[1:2]
    assert np.abs(alone - together).max() < 1e-4


@pytest.mark.parametrize("frames", [1, 2, 5, 9, 33])
def test_features_have_exactly_a_frame_a_hop(rng, frames):
    wave = rng.normal(size=(2, frames * 160, 1)).astype("float32")
    assert Mfcc()(wave).shape == (2, frames, 39)
    assert np.isfinite(np.array(Mfcc()(wave))).all()
