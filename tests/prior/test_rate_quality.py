"""What each number of residual codebooks carries."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from vqwn_kit import InputError, plots, rate_quality
from vqwn_kit.evaluation import external
from vqwn_kit.prior.ngram import NGram
from vqwn_kit.runs.codes import codes_of


@pytest.fixture(scope="module")
def points(residual_run, store):
    def flat(model, waveform, speakers, codebooks, **settings):
        return np.full((1, len(waveform)), codebooks / 4, np.float32)

    with pytest.MonkeyPatch.context() as patch:  # sounds and a judge that are known
        patch.setattr("vqwn_kit.prior.rate_quality.convert_voice", flat)
        patch.setattr(external, "dnsmos", lambda sound: float(np.abs(sound).max()))
        yield rate_quality(residual_run, store, utterances=2, progress=False)


def test_rates_are_those_of_the_codebooks(points, residual_run, store):
    assert [point.codebooks for point in points] == [1, 2, 3]
    assert [point.nominal for point in points] == [750, 1500, 2250]  # 250 frames of 3 bits
    codes = codes_of(residual_run, store, encodings=1, progress=False)
    train = [codes.codes[n][0, :, 0] for n in codes.numbers("train")]
    held_out = [codes.codes[n][0, :, 0] for n in codes.numbers("held_out")]
    bits = np.concatenate([NGram.fitted(train, 8, 2).bits(row) for row in held_out]).mean()
    assert points[0].coded == pytest.approx(250 * bits, rel=1e-6)
    assert points[0].coded < points[1].coded < points[2].coded


def test_each_rate_is_synthesised_from_its_own_codebooks(points):
    assert [point.mos.value for point in points] == [0.25, 0.5, 0.75]


def test_more_codebooks_never_say_less_about_phones(points):
    shares = [point.pnmi for point in points if point.pnmi is not None]
    assert shares == sorted(shares)  # a tuple determines its beginning


def test_the_curve_shows_both_rates_and_the_intervals(points):
    figure = plots.plot_rate_quality([point.to_dict() for point in points], Figure())
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert "DNSMOS P.808" in labels
    lines = {line.get_label(): line for line in figure.axes[labels.index("DNSMOS P.808")].lines}
    assert list(lines["under a bigram"].get_xdata()) == [point.coded for point in points]
    nominal = figure.axes[labels.index("DNSMOS P.808")].containers[0].lines[0]
    assert list(nominal.get_xdata()) == [point.nominal for point in points]


def test_only_residual_codes_have_several_rates(run, store):
    with pytest.raises(InputError, match="expected a run trained with bottleneck=residual"):
        rate_quality(run, store)
