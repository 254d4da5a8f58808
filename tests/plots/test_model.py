"""Figures of the parts: what is drawn is what was given, with units."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from vqwn_kit import InputError, results
from vqwn_kit.models.tensorflow import set_seed
from vqwn_kit.plots import model as part_views


def new_ax():
    return Figure().subplots()


def test_curves_differ_by_more_than_colour():
    curves = {"a": [1, 2, 3], "b": [3, 2, 1]}
    ax = part_views.plot_curves([0, 1, 2], curves, "step", "bits", "$t", ax=new_ax(), ylim=(0, 4))
    assert ax.get_ylim() == (0, 4)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("step", "bits", "$t")
    assert np.array_equal(ax.lines[1].get_ydata(), [3, 2, 1])
    assert len({line.get_color() for line in ax.lines}) == 2
    assert len({line.get_linestyle() for line in ax.lines}) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_level_use_is_in_percent():
    ax = part_views.plot_level_use({"a": np.array([1, 0, 3])}, ax=new_ax())
    drawn = ax.lines[0].get_ydata()
    assert drawn[[0, 2]].tolist() == [25.0, 75.0]
    assert np.isnan(drawn[1])
    assert ax.get_yscale() == "log"


def test_mu_law_staircase():
    inputs = np.linspace(-1, 1, 5)
    ax = part_views.plot_mu_law(inputs, {"one": np.arange(5)}, ax=new_ax())
    assert np.array_equal(ax.lines[0].get_ydata(), np.arange(5))


def test_batch_is_drawn_over_milliseconds(rng):
    waveform = rng.uniform(-1, 1, (2, 320, 1))
    figure = part_views.plot_batch(waveform, ["ann", "bob"], figure=Figure())
    assert [ax.get_ylabel() for ax in figure.axes] == ["ann", "bob"]
    assert np.array_equal(figure.axes[1].lines[0].get_ydata(), waveform[1, :, 0])
    assert figure.axes[1].get_xlim() == (0, 20)
    assert figure.axes[1].get_xlabel() == "time (ms)"


def test_spans_are_bars_from_first_to_last():
    ax = part_views.plot_spans({"a": (-4, 12), "b": (-60, 90)}, {"a": 4, "b": 32}, ax=new_ax())
    hears, stands = ax.patches[2], ax.patches[3]
    assert (hears.get_x(), hears.get_width()) == (-60, 150)
    assert (stands.get_x(), stands.get_width()) == (0, 32)


def test_frames_have_both_signs_on_one_scale(rng):
    frames = {"a": rng.normal(size=(10, 4)), "b": 100 * rng.normal(size=(20, 4))}
    figure = part_views.plot_frames(frames, 0.5, figure=Figure())
    for ax, name in zip(figure.axes, frames, strict=False):
        (picture,) = ax.images
        low, high = picture.get_clim()
        assert low == -high
        assert np.array_equal(picture.get_array(), frames[name].T)
        assert tuple(picture.get_extent()) == (0, 0.5, 0, 4)


@pytest.mark.parametrize(("size", "dilations"), [(2, [1, 2, 4]), (3, [1, 3])])
def test_every_input_of_the_stack_reaches_the_output(size, dilations):
    ax = part_views.plot_dilations(size, dilations, ax=new_ax())
    width = 1 + (size - 1) * sum(dilations)
    ways = [line.get_xydata().tolist() for line in ax.lines if line.get_zorder() == 2]
    assert {below[0] for below, _ in ways if below[1] == 0} == set(range(width))
    assert all(up[0] == width - 1 for _, up in ways if up[1] == len(dilations))
    assert all(below[0] <= up[0] for below, up in ways)


def test_next_sample_shows_the_distribution_and_what_came():
    probabilities = np.full((16, 8), 1 / 8)
    ax = part_views.plot_next_sample(probabilities, np.arange(16) % 8, start=0.1, ax=new_ax())
    assert np.allclose(ax.images[0].get_array(), 1 / 8)
    assert np.allclose(ax.images[0].get_extent(), (100, 101, 0, 8))
    assert np.array_equal(ax.lines[0].get_ydata(), np.arange(16) % 8 + 0.5)


def test_trade_names_those_that_it_is_told_to():
    ax = part_views.plot_trade(["a", "b"], [1, 2], [3, 4], "x", "y", ["b"], ax=new_ax())
    assert [text.get_text() for text in ax.texts] == ["b"]
    assert ax.texts[0].xy == (2, 4)


def test_results_are_found_in_scratch_first_and_else_among_those_shipped(tmp_path, monkeypatch):
    monkeypatch.setenv("VQWN_RESULTS", str(tmp_path / "scratch"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "mini").mkdir(parents=True)
    (tmp_path / "data" / "mini" / "utterances.tsv").touch()
    shipped = tmp_path / "results" / "mini"
    shipped.mkdir(parents=True)
    assert results() == tmp_path / "scratch"
    assert results("mini") == shipped
    own = tmp_path / "scratch" / "mini"
    own.mkdir(parents=True)
    assert results("mini") == own
    with pytest.raises(InputError, match="no run 'mimi': did you mean 'mini'"):
        results("mimi")


def test_seeded_weights_are_the_same():
    import keras

    draws = []
    for _ in range(2):
        set_seed(3)
        draws.append(np.array(keras.random.normal((4,))))
    assert np.array_equal(*draws)
