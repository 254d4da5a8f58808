"""The sampler against the full pass, in both precisions, on any number of threads."""

import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numba
import numpy as np
import pytest
from scipy.special import softmax

from tests.conftest import ROOT, small_decoder
from vqwn_kit import InputError
from vqwn_kit.models.distributions import LogisticMixture
from vqwn_kit.models.wavenet_decoder import WaveNetDecoder
from vqwn_kit.sampling import compiled, reference
from vqwn_kit.sampling.sampler import Sampler, _Pace, choose_engine
from vqwn_kit.sampling.weights import Block, Settings, network_weights


def random_decoder(rng, **changes) -> WaveNetDecoder:
    decoder = small_decoder(**{"dilations": (1, 2, 4, 8), "first_kernel_size": 5} | changes)
    shapes = [weight.shape for weight in decoder.get_weights()]
    decoder.set_weights([rng.normal(0, size(shape), shape) for shape in shapes])
    return decoder


def size(shape: tuple[int, ...]) -> float:
    """Return how large weights may be for logits of a few units."""
    return 0.5 / max(1.0, (np.prod(shape[:-1]) / 16) ** 0.5)


def full_pass(decoder: WaveNetDecoder, levels, local, speaker) -> np.ndarray:
    return np.array(decoder(levels, decoder.conditioner(local, speaker)))


CLOSED_LOOP = {"lpc_order": 5, "closed_loop": True, "local_layers": 1}
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
    "mixture": {"num_components": 3},
    "several panels": {"residual_channels": 40, "gate_channels": 36, "skip_channels": 70},
    "odd dilations": {"dilations": (1, 3, 20, 48), "kernel_size": 4},
    "all": {"num_components": 2, "one_hot": True, "interpolate": True, "local_channels": 3},
    "closed loop": {**CLOSED_LOOP, "one_hot": True, "first_kernel_size": 2},
    "closed loop of a mixture": {**CLOSED_LOOP, "num_components": 2, "pre_emphasis": 0.5},
}


@pytest.mark.parametrize("changes", DECODERS.values(), ids=DECODERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sampler_equals_the_full_pass_over_more_than_the_receptive_field(rng, changes, dtype):
    decoder = random_decoder(rng, **changes)
    levels = rng.integers(0, 256, (3, 400))
    local = rng.normal(size=(3, 25, 4)).astype("float32")
    speaker = np.array([0, 2, -1])
    frames = np.array(decoder.conditioner(local, speaker))
    logits = Sampler(decoder, dtype)(frames, 16, forced=levels, filters=decoder.filters(frames))
    expected = full_pass(decoder, levels, local, speaker)
    assert np.abs(logits - expected).max() < 1e-4
    assert np.abs(expected).max() > 1


@pytest.mark.parametrize("name", ["plain", "one-hot", "mixture", "all", "closed loop"])
def test_sampled_levels_are_those_of_the_full_pass_for_the_same_random_numbers(rng, name):
    """Draws level by level with the full pass, in NumPy, and with the sampler in float64."""
    decoder = random_decoder(rng, **DECODERS[name])
    temperature = 1.0 if decoder.distribution.num_components else 0.7
    local, speaker = rng.normal(size=(1, 6, 4)).astype("float32"), np.array([1])
    frames = np.array(decoder.conditioner(local, speaker))
    settings = {"temperature": temperature, "seed": 9, "filters": decoder.filters(frames)}
    sampled = Sampler(decoder, "float64")(frames, 8, **settings)
    uniform = np.random.default_rng([9, 0]).random(48)
    levels = np.zeros((1, 48), int)
    for t in range(48):
        logs = np.array(decoder.distribution(full_pass(decoder, levels, local, speaker)))
        mass = np.exp(logs[0, t].astype(float) / temperature)
        levels[0, t] = np.searchsorted(np.cumsum(mass) / mass.sum(), uniform[t], side="right")
    assert np.array_equal(sampled, levels)


@pytest.mark.parametrize("name", ["plain", "one-hot", "mixture"])
def test_greedy_takes_the_likeliest_level(rng, name):
    decoder = random_decoder(rng, **DECODERS[name])
    local, speaker = rng.normal(size=(1, 5, 4)).astype("float32"), np.array([0])
    levels = Sampler(decoder)(np.array(decoder.conditioner(local, speaker)), 8, mode="greedy")
    logs = np.array(decoder.distribution(full_pass(decoder, levels, local, speaker)))
    assert np.array_equal(logs.argmax(-1), levels)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_from_a_mixture_follow_it_and_never_leave_the_levels(rng, temperature):
    """Also where half of the density lies beyond the last level: never level 256."""
    logits, means, scales = np.array([0.0, 1.0]), np.array([1.0, -0.2]), np.array([0.3, 0.1])
    score = np.concatenate([logits, means, np.log(scales)])
    weights = network_weights(random_decoder(rng, num_components=2)).in_precision("float64")
    memory = compiled.new_memory(weights, 1)

    def draw(uniform: float) -> int:
        return compiled._choose(score, memory, weights, temperature, Settings(), uniform)

    drawn = [draw(uniform) for uniform in (np.arange(5000) + 0.5) / 5000]
    assert min(drawn) >= 0
    assert max(drawn) == 255
    tempered = np.concatenate([logits / temperature, means, np.log(scales * temperature)])
    expected = np.exp(LogisticMixture(num_components=2)(tempered.astype("float32")))
    assert np.abs(np.bincount(drawn, minlength=256) / 5000 - expected).max() < 1e-3
    for uniform in (0.0, np.nextafter(1.0, 0.0)):
        assert 0 <= draw(uniform) <= 255


def test_seeds_repeat_and_streams_differ(rng):
    decoder = random_decoder(rng)
    frames = np.array(decoder.conditioner(np.zeros((2, 10, 4), "float32"), np.array([1, 1])))
    sampler = Sampler(decoder)
    first = sampler(frames, 16, seed=4)
    assert np.array_equal(first, sampler(frames, 16, seed=4))
    assert not np.array_equal(first, sampler(frames, 16, seed=5))
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_streams_do_not_depend_on_their_company_or_on_threads(rng, precision):
    """To the last bit: sums are made in the same order whoever makes them."""
    decoder = random_decoder(rng, **DECODERS["several panels"])
    local = rng.normal(size=(15, 6, 4)).astype("float32")
    frames = np.array(decoder.conditioner(local, np.arange(15) % 3))
    sampler = Sampler(decoder, precision)
    forced = rng.integers(0, 256, (15, 96))
    together = sampler(frames, 16, forced=forced, threads=1)
    assert np.array_equal(together, sampler(frames, 16, forced=forced, threads=3))
    assert np.array_equal(together[:1], sampler(frames[:1], 16, forced=forced))
    for count in (2, 3, 4, 5, 9):
        alone = sampler(frames[:count], 16, forced=forced, threads=2)
        assert np.array_equal(together[:count], alone)
    assert np.array_equal(sampler(frames, 16)[:2], sampler(frames[:2], 16, threads=2))


def test_draws_follow_the_softmax_and_never_leave_the_levels(rng):
    weights = network_weights(random_decoder(rng, num_levels=8)).in_precision("float64")
    memory, score = compiled.new_memory(weights, 1), rng.normal(size=8)

    def draw(uniform: float, top_k: int = 0, temperature: float = 1.0) -> int:
        settings = Settings(top_k=top_k)
        return compiled._choose(score, memory, weights, temperature, settings, uniform)

    def shares(**settings) -> np.ndarray:
        draws = [draw(uniform, **settings) for uniform in (np.arange(20_000) + 0.5) / 20_000]
        return np.bincount(draws, minlength=8) / 20_000

    assert np.allclose(shares(), softmax(score), atol=1e-3)
    assert np.allclose(shares(temperature=0.5), softmax(2 * score), atol=1e-3)
    best = score >= np.sort(score)[-3]
    assert np.allclose(shares(top_k=3), softmax(np.where(best, score, -1e9)), atol=1e-3)
    score[:] = 0
    assert draw(np.nextafter(1.0, 0.0)) == 7
    assert draw(0.0) == 0


@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 3e-7), (np.float64, 5e-16)])
def test_the_gate_equals_numpy_to_its_precision(dtype, error):
    f, s = np.meshgrid(np.linspace(-12, 12, 256), np.linspace(-30, 30, 64))
    mixed = np.stack([f.ravel(), s.ravel()]).astype(dtype)
    gated = np.zeros(f.size, dtype)
    compiled._gate(mixed.ravel(), gated)
    f, s = mixed.astype(float)
    assert np.abs(gated - np.tanh(f) / (1 + np.exp(-s))).max() < error


def test_the_exponential_function_equals_numpy_to_its_precision():
    x = np.linspace(-79, 39, 10_001, dtype=np.float32)
    found = np.array([compiled._exp(value) for value in x])
    assert np.abs(found / np.exp(x.astype(float)) - 1).max() < 3e-7


def test_bfloat16_weights_are_rounded_weights(rng):
    weights = network_weights(random_decoder(rng, **DECODERS["several panels"]))
    rounded = weights._replace(
        conv_kernel=weights.conv_kernel.astype(ml_dtypes.bfloat16).astype("float32"),
        out_kernel=weights.out_kernel.astype(ml_dtypes.bfloat16).astype("float32"),
    )
    frames = rng.normal(size=(2, 10, 7)).astype("float32")
    forced = rng.integers(0, 256, (2, 160))
    rough, expected, exact = (
        Sampler(network, precision)(frames, 16, forced=forced)
        for network, precision in (
            (weights, "bfloat16"),
            (rounded, "float32"),
            (weights, "float32"),
        )
    )
    assert np.array_equal(rough, expected)
    assert 1e-3 < np.abs(rough - exact).max() < np.abs(exact).max()


@pytest.mark.parametrize("name", ["plain", "one-hot", "mixture", "all", "closed loop"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 0.7}, {"mode": "greedy"}, {"top_k": 9}, {"temperature": "voiced"}],
)
def test_without_a_compiler_the_levels_are_the_same(rng, name, settings):
    decoder = random_decoder(rng, **DECODERS[name])
    if decoder.distribution.num_components and "top_k" in settings:
        settings = {}
    frames = rng.normal(size=(2, 60, decoder.conditioner.channels)).astype("float32")
    settings = {**settings, "filters": decoder.filters(frames)}
    levels = Sampler(decoder, "float64")(frames, 16, **settings)
    assert np.array_equal(levels, Sampler(decoder, compiled=False)(frames, 16, **settings))


def test_without_numba_numpy_is_used_with_a_warning(monkeypatch):
    monkeypatch.setitem(sys.modules, "vqwn_kit.sampling.compiled", None)
    monkeypatch.delattr("vqwn_kit.sampling.compiled")
    with pytest.warns(UserWarning, match="install numba"):
        assert choose_engine() is reference


def test_with_jit_switched_off_numpy_is_used(monkeypatch):
    assert choose_engine() is compiled
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert choose_engine() is reference


def test_without_a_folder_for_its_cache_the_sampler_compiles_each_time():
    """As where neither the package nor the user's folder may be written to."""
    program = (
        "from numba.core import caching;"
        "caching._CacheLocator.ensure_cache_path = lambda self: open('/nowhere/at/all', 'w');"
        "from vqwn_kit.sampling import compiled; print(type(compiled.run._cache).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout.strip() == "NullCache", done.stderr


def test_by_voicing_periodic_sound_is_sampled_colder_and_rare_levels_never(rng):
    """The correlation against SciPy's; noise has none, a tone has 1."""
    t = np.arange(reference.PAST) / 16_000
    noise, tone = rng.normal(size=len(t)), np.sin(2 * np.pi * 160 * t)
    past = np.stack([noise, tone, tone + 0.5 * noise, 0 * tone])
    window = past[2, -320:]
    lagged = [past[2, 266 - d : 586 - d] for d in range(40, 267)]
    expected = max(window @ e / np.sqrt(window @ window * (e @ e)) for e in lagged)
    correlation = reference.pitch_correlation(past)
    assert correlation[2] == pytest.approx(expected)
    assert correlation[0] < 0.4
    assert correlation[1] == pytest.approx(1, abs=1e-3)
    assert correlation[3] == 0
    for row, value in zip(past, correlation, strict=True):
        assert compiled._pitch_correlation(row) == pytest.approx(value, abs=1e-9)
    weights = network_weights(random_decoder(rng)).in_precision("float64")
    score = np.tile(rng.normal(0, 3, 256), (4, 1))
    for sharpness in (1.0, 2.0):
        settings, power = Settings(voiced=True), softmax(sharpness * score[0])
        left = np.maximum(power - 0.002, 0)
        uniform = (np.arange(4) + 0.5) / 4
        levels = reference.choose(weights, settings, score, uniform, np.full(4, sharpness))
        cumulative = np.cumsum(left) / left.sum()
        np.testing.assert_array_equal(levels, np.searchsorted(cumulative, uniform, side="right"))
        assert (left == 0).sum() > 100


@pytest.mark.parametrize("engine", [compiled, reference])
@pytest.mark.parametrize("name", ["interpolated", "odd dilations", "closed loop"])
def test_blocks_of_any_length_continue_each_other(rng, engine, name):
    weights = network_weights(random_decoder(rng, **DECODERS[name])).in_precision("float64")
    frames = rng.normal(size=(2, 12, weights.condition_kernel.shape[1]))
    uniform = rng.random((2, 50))
    line = np.array([0.2, 0.5, 0.3])[None].repeat(5, axis=0)
    filters = rng.uniform(-0.2, 0.2, (2, 10, 4))

    def sample(parts: list[int]) -> np.ndarray:
        memory, levels = engine.new_memory(weights, 2), np.zeros((2, 50), np.int32)
        for first, last in zip(np.cumsum([0, *parts[:-1]]), np.cumsum(parts), strict=True):
            part = slice(5 * first, 5 * last)
            block = Block(
                np.ascontiguousarray(frames[:, first : last + 2]),
                line,
                np.ascontiguousarray(uniform[:, part]),
                np.zeros((2, 0), np.int32),
                np.zeros((2, 5 * (last - first)), np.int32),
                np.zeros((2, 0, 256)),
                np.ascontiguousarray(filters[:, first:last]),
                np.ones((2, last - first)),
            )
            engine.run(weights, memory, Settings(), block)
            levels[:, part] = block.levels
        return levels

    assert np.array_equal(sample([10]), sample([1, 2, 7]))


def test_what_is_kept_does_not_grow_with_the_length(rng, monkeypatch):
    monkeypatch.setattr("vqwn_kit.sampling.sampler.BLOCK_SECONDS", 0.02)  # whatever the machine
    sampler = Sampler(random_decoder(rng))
    frames = rng.normal(size=(1, 4000, 7)).astype("float32")
    peaks = []
    for length in (200, 4000):
        part = np.ascontiguousarray(frames[:, :length])
        for _ in sampler.stream(part[:, :20], 64):
            pass
        tracemalloc.start()
        for _ in sampler.stream(part, 64):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1] - 3 * part.nbytes)
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2e6


def test_low_temperature_is_greedy(rng):
    decoder = random_decoder(rng)
    frames = np.array(decoder.conditioner(np.zeros((1, 10, 4), "float32"), np.array([0])))
    sampler = Sampler(decoder)
    cold = sampler(frames, 16, temperature=1e-4)
    assert np.array_equal(cold, sampler(frames, 16, mode="greedy"))


def test_two_threads_may_sample_at_once(rng):
    decoder = random_decoder(rng)
    frames = np.array(decoder.conditioner(np.zeros((3, 60, 4), "float32"), np.array([0, 1, 2])))
    frames = np.concatenate([frames, frames])
    sampler = Sampler(decoder)
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
    sampler = Sampler(random_decoder(rng, **DECODERS["several panels"]))
    frames = rng.normal(size=(8, 6, 7))
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "beam"}, "mode"),
        ({"temperature": 0}, "above 0"),
        ({"temperature": "voice"}, "or 'voiced'"),
        ({"threads": 0}, "1 or more"),
        ({"top_k": 0}, r"expected 1\.\.256"),
        ({"top_k": 257}, r"expected 1\.\.256"),
    ],
)
def test_settings_of_the_sampler_are_checked(rng, settings, message):
    decoder = random_decoder(rng)
    with pytest.raises(InputError, match=message):
        Sampler(decoder)(np.zeros((1, 2, 7)), 4, **settings)


def test_a_mixture_has_no_top_k_and_precisions_have_names(rng):
    with pytest.raises(InputError, match="mixture"):
        Sampler(random_decoder(rng, num_components=2))(np.zeros((1, 2, 7)), 4, top_k=3)
    with pytest.raises(InputError, match="did you mean 'bfloat16'"):
        Sampler(random_decoder(rng), "bfloat")


def test_one_thread_runs_the_blocks_where_threads_are_slower():
    speeds, pace = {True: 100.0, False: 900.0}, _Pace(2)
    turns = []
    for block in range(40):
        speeds = {True: 1000.0, False: 900.0} if block >= 20 else speeds
        turns.append(pace.use_threads())
        pace.note(speeds[turns[-1]])
    assert turns[:2] == [True, False]
    assert not any(turns[2:16])
    assert turns[16:18] == [True, False]
    assert not any(turns[18:32])  # the change at block 20 is seen at the next comparison
    assert turns[32:34] == [True, False]
    assert all(turns[34:])
    assert not any(_Pace(1).use_threads() for _ in range(20))
