"""Figures: what is drawn is what was given, with units."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.conftest import tones
from vqwn_kit import plots
from vqwn_kit.plots.projection import project_2d


def new_ax():
    return Figure().subplots()


def test_curves_differ_by_more_than_colour():
    curves = {"a": [1, 2, 3], "b": [3, 2, 1]}
    ax = plots.plot_curves([0, 1, 2], curves, "step", "bits", "$t", ax=new_ax(), ylim=(0, 4))
    assert ax.get_ylim() == (0, 4)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("step", "bits", "$t")
    assert np.array_equal(ax.lines[1].get_ydata(), [3, 2, 1])
    assert len({line.get_color() for line in ax.lines}) == 2
    assert len({line.get_linestyle() for line in ax.lines}) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_level_usage_is_in_percent():
    ax = plots.plot_level_usage({"a": np.array([1, 0, 3])}, ax=new_ax())
    drawn = ax.lines[0].get_ydata()
    assert drawn[[0, 2]].tolist() == [25.0, 75.0]
    assert np.isnan(drawn[1])
    assert ax.get_yscale() == "log"


def test_mu_law_staircase():
    inputs = np.linspace(-1, 1, 5)
    ax = plots.plot_mu_law(inputs, {"one": np.arange(5)}, ax=new_ax())
    assert np.array_equal(ax.lines[0].get_ydata(), np.arange(5))


def test_batch_is_drawn_over_milliseconds(rng):
    waveform = rng.uniform(-1, 1, (2, 320, 1))
    figure = plots.plot_batch(waveform, ["ann", "bob"], figure=Figure())
    assert [ax.get_ylabel() for ax in figure.axes] == ["ann", "bob"]
    assert np.array_equal(figure.axes[1].lines[0].get_ydata(), waveform[1, :, 0])
    assert figure.axes[1].get_xlim() == (0, 20)
    assert figure.axes[1].get_xlabel() == "time (ms)"


def test_receptive_fields_are_bars_from_begin_to_end():
    fields, frames = {"a": (-4, 12), "b": (-60, 90)}, {"a": 4, "b": 32}
    ax = plots.plot_receptive_fields(fields, frames, ax=new_ax())
    field, frame = ax.patches[2], ax.patches[3]
    assert (field.get_x(), field.get_width()) == (-60, 150)
    assert (frame.get_x(), frame.get_width()) == (0, 32)


def test_frames_have_both_signs_on_one_scale(rng):
    frames = {"a": rng.normal(size=(10, 4)), "b": 100 * rng.normal(size=(20, 4))}
    figure = plots.plot_frames(frames, 0.5, figure=Figure())
    for ax, name in zip(figure.axes, frames, strict=False):
        (image,) = ax.images
        low, high = image.get_clim()
        assert low == -high
        assert np.array_equal(image.get_array(), frames[name].T)
        assert tuple(image.get_extent()) == (0, 0.5, 0, 4)


@pytest.mark.parametrize(("size", "dilations"), [(2, [1, 2, 4]), (3, [1, 3])])
def test_every_input_of_the_stack_reaches_the_output(size, dilations):
    ax = plots.plot_dilations(size, dilations, ax=new_ax())
    width = 1 + (size - 1) * sum(dilations)
    paths = [line.get_xydata().tolist() for line in ax.lines if line.get_zorder() == 2]
    assert {below[0] for below, _ in paths if below[1] == 0} == set(range(width))
    assert all(up[0] == width - 1 for _, up in paths if up[1] == len(dilations))
    assert all(below[0] <= up[0] for below, up in paths)


def test_next_sample_shows_the_distribution_and_the_true_levels():
    probabilities = np.full((16, 8), 1 / 8)
    ax = plots.plot_next_sample(probabilities, np.arange(16) % 8, start=0.1, ax=new_ax())
    assert np.allclose(ax.images[0].get_array(), 1 / 8)
    assert np.allclose(ax.images[0].get_extent(), (100, 101, 0, 8))
    assert np.array_equal(ax.lines[0].get_ydata(), np.arange(16) % 8 + 0.5)


def test_tradeoff_names_the_marked_models():
    ax = plots.plot_tradeoff(["a", "b"], [1, 2], [3, 4], "x", "y", ["b"], ax=new_ax())
    assert [text.get_text() for text in ax.texts] == ["b"]
    assert ax.texts[0].xy == (2, 4)


def test_the_history_of_the_codes_says_what_a_point_counts():
    """The figure of `plot_code_usage` beside it is of the codes at the end."""
    history = [{"step": 50, "vq/codes_used": 512.0, "vq/perplexity": 15.0}]
    ax = plots.plot_code_history(history, 512, ax=new_ax())
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts[:2] == ["codes in use since the point before", "their perplexity"]
    assert "crops of training speech" in ax.get_ylabel()


def test_the_use_of_several_codebooks_is_a_line_each():
    counts = np.array([[3, 1, 0, 0], [1, 1, 1, 1]])
    ax = plots.plot_code_usage(counts, ax=new_ax())
    lines = [line.get_ydata() for line in ax.lines[:2]]
    np.testing.assert_array_equal(lines[1], [25.0] * 4)
    np.testing.assert_array_equal(lines[0], [75.0, 25.0, np.nan, np.nan])
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    title = f"6 of 8 codes in use in 4 frames, perplexity {2 ** ((entropy + 2) / 2):.0f}"
    assert ax.get_title() == title


def test_every_figure_has_labelled_axes_and_draws_on_the_axes_it_is_given(run, rng):
    counts = np.arange(32)
    codebook = rng.normal(size=(32, 8))
    speakers = {"ann": {"sex": "F"}, "bob": {"sex": "M"}}
    drawings = [
        lambda ax: plots.plot_waveform(tones(0.2, 200.0), ax=ax),
        lambda ax: plots.plot_spectrogram(tones(0.2, 200.0), ax=ax),
        lambda ax: plots.plot_history(run.history, ax=ax),
        lambda ax: plots.plot_code_history(run.history, 32, ax=ax),
        lambda ax: plots.plot_code_usage(counts, ax=ax),
        lambda ax: plots.plot_codebook(codebook, counts, "pca", ax=ax),
        lambda ax: plots.plot_speakers(rng.normal(size=(2, 4)), speakers, ax=ax),
    ]
    for draw in drawings:
        ax = new_ax()
        assert draw(ax) is ax
        assert ax.get_xlabel()
        assert ax.get_ylabel()


def test_spectrogram_shows_a_tone_at_its_frequency():
    ax = plots.plot_spectrogram(tones(0.5, 1000.0), ax=new_ax())
    image = ax.images[0].get_array()
    peak = image.mean(axis=1).argmax()
    marks = dict(zip([t.get_text() for t in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    assert abs(marks["1000"] - peak) <= 1.5


def test_maps_keep_every_row_and_find_the_plane(rng):
    plane = np.zeros((40, 6))
    plane[:, :2] = rng.normal(size=(40, 2))
    flat = project_2d(plane)
    assert flat.shape == (40, 2)
    apart = np.linalg.norm(plane[:, None] - plane, axis=-1)
    assert np.allclose(np.linalg.norm(flat[:, None] - flat, axis=-1), apart)
    assert project_2d(rng.normal(size=(2, 3))).shape == (2, 2)


@pytest.mark.parametrize("name", [r"$\foo$", "$5", "a$b$c", r"\$x\$"])
def test_names_with_signs_of_formulas_are_drawn_as_they_are(name):
    figure = Figure()
    ax = plots.plot_speakers(
        np.eye(3), dict.fromkeys("abc", {"sex": name}), ax=figure.add_subplot()
    )
    figure.canvas.draw()  # a formula is parsed here
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [name.replace("$", r"\$")]
