"""The sampler against the full pass, in every precision, on any number of threads."""

import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numba
import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

import vqwn_kit
from vqwn_kit import InputError
from vqwn_kit.models.distributions import log_probabilities
from vqwn_kit.models.wavenet import WaveNet
from vqwn_kit.sampling.compiled import kernels
from vqwn_kit.sampling.compiled.weights import pack
from vqwn_kit.sampling.reference import PlainEngine
from vqwn_kit.sampling.sampler import Sampler, _engine


def random_wavenet(rng, **changes) -> WaveNet:
    keywords = {
        "num_speakers": 3, "condition_dim": 4, "dilations": (1, 2, 4, 8), "kernel_size": 3,
        "residual_channels": 6, "gate_channels": 5, "skip_channels": 7, "first_kernel_size": 5,
        "speaker_dim": 3,
    }  # fmt: skip
    wavenet = WaveNet(**keywords | changes)
    wavenet.build()
    wavenet.built = True
    shapes = [weight.shape for weight in wavenet.get_weights()]
    wavenet.set_weights([rng.normal(0, size(shape), shape) for shape in shapes])
    return wavenet


def size(shape: tuple[int, ...]) -> float:
    """Return how large weights may be for logits of a few units."""
    return 0.5 / max(1.0, (np.prod(shape[:-1]) / 16) ** 0.5)


def full_pass(wavenet: WaveNet, levels, local, speaker) -> np.ndarray:
    return np.array(wavenet(levels, local, speaker))


DECODERS = {
    "plain": {},
    "kernel 2": {"kernel_size": 2},
    "first kernel 1": {"first_kernel_size": 1},
    "cycles": {"dilations": None, "num_cycles": 2, "num_cycle_layers": 3},
    "one-hot": {"one_hot": True, "first_kernel_size": 2},
    "interpolated": {"interpolate": True},
    "own projections": {"speaker_projection": "own", "learned_no_speaker": True},
    "convolved codes": {"local_channels": 6, "jitter": 0.5},
    "layers over the codes": {"local_channels": 6, "local_layers": 2},
    "mixture": {"mixtures": 3},
    "several panels": {"residual_channels": 40, "gate_channels": 36, "skip_channels": 70},
    "odd dilations": {"dilations": (1, 3, 20, 48), "kernel_size": 4},
    "all": {"mixtures": 2, "one_hot": True, "interpolate": True, "local_channels": 3},
}


@pytest.mark.parametrize("changes", DECODERS.values(), ids=DECODERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sampler_equals_the_full_pass_over_more_than_the_receptive_field(rng, changes, dtype):
    wavenet = random_wavenet(rng, **changes)
    levels = rng.integers(0, 256, (3, 400))
    local = rng.normal(size=(3, 25, 4)).astype("float32")
    speaker = np.array([0, 2, -1])
    frames = np.array(wavenet.frames(local, speaker))
    logits = Sampler(wavenet, dtype)(frames, 16, forced=levels)
    expected = full_pass(wavenet, levels, local, speaker)
    assert np.abs(logits - expected).max() < 1e-4
    assert np.abs(expected).max() > 1


@pytest.mark.parametrize("name", ["plain", "one-hot", "interpolated", "mixture", "all"])
def test_sampled_levels_are_those_of_the_full_pass_for_the_same_random_numbers(rng, name):
    """Draws level by level with the full pass, in NumPy, and with the sampler in float64."""
    wavenet = random_wavenet(rng, **DECODERS[name])
    temperature = 1.0 if wavenet.mixtures else 0.7
    local, speaker = rng.normal(size=(1, 6, 4)).astype("float32"), np.array([1])
    frames = np.array(wavenet.frames(local, speaker))
    sampled = Sampler(wavenet, "float64")(frames, 8, temperature=temperature, seed=9)
    uniform = np.random.default_rng([9, 0]).random(48)
    levels = np.zeros((1, 48), int)
    for t in range(48):
        logs = np.array(wavenet.log_probabilities(full_pass(wavenet, levels, local, speaker)))
        mass = np.exp(logs[0, t].astype(float) / temperature)
        levels[0, t] = np.searchsorted(np.cumsum(mass) / mass.sum(), uniform[t], side="right")
    assert np.array_equal(sampled, levels)


@pytest.mark.parametrize("name", ["plain", "one-hot", "mixture"])
def test_greedy_takes_the_likeliest_level(rng, name):
    wavenet = random_wavenet(rng, **DECODERS[name])
    local, speaker = rng.normal(size=(1, 5, 4)).astype("float32"), np.array([0])
    levels = Sampler(wavenet)(np.array(wavenet.frames(local, speaker)), 8, mode="greedy")
    logs = np.array(wavenet.log_probabilities(full_pass(wavenet, levels, local, speaker)))
    assert np.array_equal(logs.argmax(-1), levels)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_from_a_mixture_follow_it_and_never_leave_the_levels(rng, temperature):
    """Also where half of the density lies beyond the last level: never level 256."""
    logits, means, scales = np.array([0.0, 1.0]), np.array([1.0, -0.2]), np.array([0.3, 0.1])
    score = np.concatenate([logits, means, np.log(scales)])
    net = pack(random_wavenet(rng, mixtures=2), "float64")

    def draw(uniform: float) -> int:
        return kernels._choose(net, score, np.zeros(6), False, temperature, 0, uniform)

    drawn = [draw(uniform) for uniform in (np.arange(5000) + 0.5) / 5000]
    assert min(drawn) >= 0
    assert max(drawn) == 255
    tempered = np.concatenate([logits / temperature, means, np.log(scales * temperature)])
    expected = np.exp(np.array(log_probabilities(tempered.astype("float32")[None]))[0])
    assert np.abs(np.bincount(drawn, minlength=256) / 5000 - expected).max() < 1e-3
    for uniform in (0.0, np.nextafter(1.0, 0.0)):
        assert 0 <= draw(uniform) <= 255


def test_seeds_repeat_and_streams_differ(rng):
    wavenet = random_wavenet(rng)
    frames = np.array(wavenet.frames(np.zeros((2, 10, 4), "float32"), np.array([1, 1])))
    sampler = Sampler(wavenet)
    first = sampler(frames, 16, seed=4)
    assert np.array_equal(first, sampler(frames, 16, seed=4))
    assert not np.array_equal(first, sampler(frames, 16, seed=5))
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_streams_do_not_depend_on_their_company_or_on_threads(rng, precision):
    """To the last bit: sums are made in the same order whoever makes them."""
    wavenet = random_wavenet(rng, **DECODERS["several panels"])
    local = rng.normal(size=(15, 6, 4)).astype("float32")
    frames = np.array(wavenet.frames(local, np.arange(15) % 3))
    sampler = Sampler(wavenet, precision)
    forced = rng.integers(0, 256, (15, 96))
    together = sampler(frames, 16, forced=forced, threads=1)
    assert np.array_equal(together, sampler(frames, 16, forced=forced, threads=3))
    assert np.array_equal(together[:1], sampler(frames[:1], 16, forced=forced))
    assert np.array_equal(together[:3], sampler(frames[:3], 16, forced=forced))
    assert np.array_equal(sampler(frames, 16)[:2], sampler(frames[:2], 16, threads=2))


def test_draws_follow_the_softmax_and_never_leave_the_levels(rng):
    net = pack(random_wavenet(rng, levels=8), "float64")
    score, mass = np.full(32, -1e9), np.zeros(32)
    score[:8] = rng.normal(size=8)

    def draw(uniform: float, top_k: int = 0, temperature: float = 1.0) -> int:
        return kernels._choose(net, score, mass, False, temperature, top_k, uniform)

    def shares(**settings) -> np.ndarray:
        draws = [draw(uniform, **settings) for uniform in (np.arange(20_000) + 0.5) / 20_000]
        return np.bincount(draws, minlength=8) / 20_000

    assert np.allclose(shares(), softmax(score[:8]), atol=1e-3)
    assert np.allclose(shares(temperature=0.5), softmax(2 * score[:8]), atol=1e-3)
    best = score[:8] >= np.sort(score[:8])[-3]
    assert np.allclose(shares(top_k=3), softmax(np.where(best, score[:8], -1e9)), atol=1e-3)
    score[:8] = 0
    assert draw(np.nextafter(1.0, 0.0)) == 7
    assert draw(0.0) == 0


@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 3e-7), (np.float64, 5e-16)])
def test_the_gate_equals_numpy_to_its_precision(dtype, error):
    f, s = np.meshgrid(np.linspace(-12, 12, 256), np.linspace(-30, 30, 64))
    halves = np.stack([f.reshape(-1, kernels.LANES), s.reshape(-1, kernels.LANES)], axis=1)
    mixed, gated = halves.ravel().astype(dtype), np.zeros(f.size, dtype)

    @numba.njit
    def gate(gated, mixed):
        for start in range(0, len(gated), kernels.LANES):
            kernels._gate_vector(gated, start, mixed, 2 * start, mixed[0], mixed[0])

    gate(gated, mixed)
    f, s = (mixed.reshape(-1, 2, kernels.LANES)[:, i].ravel().astype(float) for i in (0, 1))
    assert np.abs(gated - np.tanh(f) / (1 + np.exp(-s))).max() < error


def rounded(wavenet: WaveNet, how) -> WaveNet:
    """Return a copy of a decoder whose blocks' matrices are rounded, each tap by itself."""
    copied = WaveNet.from_config(wavenet.get_config())
    copied.build()
    copied.set_weights(wavenet.get_weights())
    for block in copied.blocks:
        kernel = ops.convert_to_numpy(block.conv.kernel)
        past = how(kernel[:-1].reshape(-1, kernel.shape[2])).reshape(kernel[:-1].shape)
        block.conv.kernel.assign(np.concatenate([past, how(kernel[-1])[None]]))
        block.out.kernel.assign(how(ops.convert_to_numpy(block.out.kernel)))
    return copied


def int8_and_back(matrix: np.ndarray) -> np.ndarray:
    scale = np.abs(matrix).max(axis=0) / 127
    return np.rint(matrix / scale) * scale


@pytest.mark.parametrize(
    ("precision", "how"),
    [
        ("bfloat16", lambda matrix: matrix.astype(ml_dtypes.bfloat16).astype("float32")),
        ("int8", int8_and_back),
    ],
)
def test_rough_weights_are_rounded_weights(rng, precision, how):
    wavenet = random_wavenet(rng, **DECODERS["several panels"])
    frames = rng.normal(size=(2, 10, 7)).astype("float32")
    forced = rng.integers(0, 256, (2, 160))
    rough = Sampler(wavenet, precision)(frames, 16, forced=forced)
    expected = Sampler(rounded(wavenet, how))(frames, 16, forced=forced)
    exact = Sampler(wavenet)(frames, 16, forced=forced)
    assert np.abs(rough - expected).max() < 1e-4
    assert 1e-3 < np.abs(rough - exact).max() < np.abs(exact).max()


@pytest.mark.parametrize("name", ["plain", "one-hot", "interpolated", "mixture", "all"])
@pytest.mark.parametrize("settings", [{}, {"temperature": 0.7}, {"mode": "greedy"}, {"top_k": 9}])
def test_without_a_compiler_the_levels_are_the_same(rng, name, settings):
    wavenet = random_wavenet(rng, **DECODERS[name])
    if wavenet.mixtures and "top_k" in settings:
        settings = {}
    frames = rng.normal(size=(2, 4, wavenet.frames.channels))
    compiled = Sampler(wavenet, "float64")(frames, 16, **settings)
    assert np.array_equal(compiled, Sampler(wavenet, compiled=False)(frames, 16, **settings))


def test_a_missing_compiler_is_told_and_done_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "vqwn_kit.sampling.compiled.kernels", None)
    monkeypatch.delattr(vqwn_kit, "kernels")
    with pytest.warns(UserWarning, match="install numba"):
        assert _engine(compiled=True) is PlainEngine


def test_what_is_kept_does_not_grow_with_the_length(rng):
    sampler = Sampler(random_wavenet(rng))
    frames = rng.normal(size=(1, 4000, 7)).astype("float32")
    peaks = []
    for length in (200, 4000):
        told = np.ascontiguousarray(frames[:, :length])
        for _ in sampler.stream(told[:, :20], 64):
            pass
        tracemalloc.start()
        for _ in sampler.stream(told, 64):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1] - 3 * told.nbytes)
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2e6  # a block holds 0.2 s of work, some 20,000 samples


def test_low_temperature_is_greedy(rng):
    wavenet = random_wavenet(rng)
    frames = np.array(wavenet.frames(np.zeros((1, 10, 4), "float32"), np.array([0])))
    sampler = Sampler(wavenet)
    cold = sampler(frames, 16, temperature=1e-4)
    assert np.array_equal(cold, sampler(frames, 16, mode="greedy"))


def test_two_threads_may_sample_at_once(rng):
    wavenet = random_wavenet(rng)
    frames = np.array(wavenet.frames(np.zeros((3, 60, 4), "float32"), np.array([0, 1, 2])))
    sampler = Sampler(wavenet)
    expected, found = sampler(frames, 64), []

    def work():
        found.append(sampler(frames, 64, threads=2))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(np.array_equal(expected, levels) for levels in found)


def test_an_interrupt_while_a_team_starts_leaves_nobody_waiting(rng, monkeypatch):
    sampler = Sampler(random_wavenet(rng, **DECODERS["several panels"]))
    frames = rng.normal(size=(2, 6, 7))
    expected, start, started, ended = sampler(frames, 16), ThreadPoolExecutor.submit, [], []

    def submit(pool, *job):
        started.append(job)
        if len(started) == 2:
            raise KeyboardInterrupt
        return start(pool, *job)

    def work():
        with pytest.raises(KeyboardInterrupt):
            sampler(frames, 16, threads=2)
        ended.append(True)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submit)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert ended
    assert np.array_equal(sampler(frames, 16, threads=2), expected)


def test_scores_that_are_no_numbers_end(rng):
    wavenet = random_wavenet(rng)
    wavenet.out.bias.assign(np.full(256, np.nan))
    for settings in ({}, {"top_k": 3}, {"mode": "greedy"}):
        levels = Sampler(wavenet)(np.zeros((1, 2, 7)), 4, **settings)
        assert 0 <= levels.min() <= levels.max() <= 255


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "beam"}, "mode"),
        ({"temperature": 0}, "above 0"),
        ({"threads": 0}, "1 or more"),
        ({"top_k": 0}, r"expected 1\.\.256"),
        ({"top_k": 257}, r"expected 1\.\.256"),
    ],
)
def test_settings_of_the_sampler_are_checked(rng, settings, message):
    wavenet = random_wavenet(rng)
    with pytest.raises(InputError, match=message):
        Sampler(wavenet)(np.zeros((1, 2, 7)), 4, **settings)


def test_a_mixture_has_no_top_k_and_precisions_have_names(rng):
    with pytest.raises(InputError, match="mixture"):
        Sampler(random_wavenet(rng, mixtures=2))(np.zeros((1, 2, 7)), 4, top_k=3)
    with pytest.raises(InputError, match="did you mean 'bfloat16'"):
        Sampler(random_wavenet(rng), "bfloat")
