"""The figure of units."""

import numpy as np
from matplotlib.figure import Figure

from vqwn_kit import plots


def test_bars_are_the_edit_distances_side_by_side():
    distances = {"codes": {"noise 20 dB": 30.0, "room": 50.0}, "k-means": {"noise 20 dB": 40.0}}
    ax = plots.plot_unit_robustness(distances, ax=Figure().subplots())
    codes, others = ax.containers[:2]
    assert [bar.get_height() for bar in codes] == [30.0, 50.0]
    assert others[0].get_height() == 40.0
    assert np.isnan(others[1].get_height())
    assert codes[0].get_x() + codes[0].get_width() <= others[0].get_x() + 1e-9
    assert codes[0].get_hatch() != others[0].get_hatch()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["noise\n20 dB", "room"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["codes", "k-means"]
    assert ax.get_ylabel() == "unit edit distance (%)"
