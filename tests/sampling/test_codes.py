"""Codes of several codebooks -> z_q and sound, of all codebooks or of the first ones."""

import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit import InputError, convert_voice, generate, reconstruct, stream
from vqwn_kit.sampling.codes import embed_codes, fewest_codebooks, quantize
from vqwn_kit.sampling.generate import conditioning_for, synthesise


@pytest.fixture(scope="module")
def codes(residual_run) -> np.ndarray:
    """Codes of a sound, (N, 3)."""
    return residual_run.model.encode(tones(0.1, 200.0))[0]


@pytest.mark.parametrize("codebooks", [1, 2, 3])
def test_the_first_codebooks_add_their_vectors(residual_run, codes, codebooks):
    model = residual_run.model
    vectors = np.array(model.bottleneck.vectors(), np.float64)
    z_q = sum(vectors[q][codes[:, q]] for q in range(codebooks))
    np.testing.assert_allclose(embed_codes(model, codes, codebooks)[0], z_q, atol=1e-5)
    np.testing.assert_allclose(quantize(model, tones(0.1, 200.0), codebooks)[0], z_q, atol=1e-5)
    sound = generate(model, codes, ["ann", "bob"], codebooks=codebooks, seed=2)
    frames = conditioning_for(model, embed_codes(model, codes, codebooks), ["ann", "bob"])
    np.testing.assert_array_equal(sound, synthesise(model, [frames], frames.shape[1], seed=2))
    parts = list(stream(model, codes[None], ["ann", "bob"], codebooks=codebooks, seed=2))
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), sound)


def test_decoding_and_conversion_use_the_same_codebooks(residual_run, codes):
    model, wave = residual_run.model, tones(0.1, 200.0)
    fewer = generate(model, codes, ["bob"], codebooks=1)
    np.testing.assert_array_equal(model.decode(codes, ["bob"], codebooks=1), fewer)
    np.testing.assert_array_equal(convert_voice(model, wave, ["bob"], codebooks=1), fewer[:, :1600])
    np.testing.assert_array_equal(reconstruct(model, wave, "bob", codebooks=1), fewer[0, :1600])
    assert not np.array_equal(fewer, generate(model, codes, ["bob"]))
    every = generate(model, codes, ["bob"], codebooks=3)
    np.testing.assert_array_equal(every, generate(model, codes, ["bob"]))


def test_a_row_of_codes_per_speaker_is_decoded(residual_run, codes):
    rows = np.stack([codes, codes[::-1]])
    sound = generate(residual_run.model, rows, ["ann", "bob"], seed=1)
    z_q = np.stack([embed_codes(residual_run.model, row)[0] for row in rows])
    frames = conditioning_for(residual_run.model, z_q, ["ann", "bob"])
    np.testing.assert_array_equal(
        sound, synthesise(residual_run.model, [frames], frames.shape[1], seed=1)
    )


def test_a_product_model_needs_all_of_its_codebooks(product_model):
    codes = product_model.encode(tones(0.05, 200.0))
    vectors = np.array(product_model.bottleneck.vectors())
    z_q = sum(vectors[q][codes[0, :, q]] for q in range(3))
    np.testing.assert_allclose(embed_codes(product_model, codes)[0], z_q, atol=1e-6)
    assert fewest_codebooks(product_model) == 3
    with pytest.raises(InputError, match="codebooks=2; expected 3: only residual codes"):
        generate(product_model, codes, ["ann"], codebooks=2)


@pytest.mark.parametrize(
    ("shape", "codebooks", "match"),
    [
        ((4,), None, r"shape \(4,\); expected \(N, 3\) or \(S', N, 3\), 3 codebooks of 0..7"),
        ((4, 2), None, r"shape \(4, 2\); expected \(N, 3\)"),
        ((1, 4), None, r"shape \(1, 4\); expected \(N, 3\)"),
        ((0, 3), None, r"shape \(0, 3\); expected \(N, 3\)"),
        ((4, 3), 0, "codebooks=0; expected a whole number from 1 to 3"),
        ((4, 3), 4, "codebooks=4; expected a whole number from 1 to 3"),
        ((4, 3), 1.5, "codebooks=1.5; expected a whole number"),
        ((4, 3), True, "codebooks=True"),
    ],
)
def test_wrong_codes_and_codebooks_are_named(residual_run, shape, codebooks, match):
    with pytest.raises(InputError, match=match):
        generate(residual_run.model, np.zeros(shape, int), ["ann"], codebooks=codebooks)


def test_a_code_out_of_range_is_named(residual_run):
    with pytest.raises(InputError, match="3 codebooks of 0..7"):
        generate(residual_run.model, [[0, 8, 0]], ["ann"])


def test_a_model_with_one_codebook_has_no_other(model):
    assert fewest_codebooks(model) == 1
    codes = model.encode(tones(0.05, 200.0))
    one = generate(model, codes, ["ann"], codebooks=1)
    np.testing.assert_array_equal(one, generate(model, codes, ["ann"]))
    with pytest.raises(InputError, match="codebooks=2; expected 1: only residual codes"):
        convert_voice(model, tones(0.05, 200.0), ["ann"], codebooks=2)


def test_codes_that_are_no_whole_numbers_are_named(model):
    for codes in (np.zeros(5), np.zeros(5, bool), ["a"], [[1, 2], [3]]):
        with pytest.raises(InputError, match="expected whole numbers|different lengths"):
            embed_codes(model, codes)
    with pytest.raises(InputError, match="seed is -1"):
        generate(model, np.zeros(2, int), ["ann"], seed=-1)


def test_weights_that_are_not_finite_synthesise_and_encode_nothing(residual_run):
    model = residual_run.load_model()
    weights = (model.decoder.network.out.kernel, model.encoder.trainable_weights[0])
    calls = (
        lambda: generate(model, np.zeros((2, 3), int), ["ann"]),
        lambda: model.encode([0.1] * 64),
    )
    for weight, call in zip(weights, calls, strict=True):
        weight.assign(np.full(weight.shape, np.nan))
        with pytest.raises(InputError, match="not finite"):
            call()
