"""The checks of the notebooks' exercises: right answers, typical wrong ones, wrong types."""

import json
import re

import numpy as np
import pytest
import soundfile

from tests.conftest import ROOT
from vqwn_kit import InputError
from vqwn_kit.data.audio import mu_law_decode, mu_law_encode
from vqwn_kit.evaluation.metrics.listening_test import binomial_p
from vqwn_kit.lessons import exercises
from vqwn_kit.lessons.exercises import EXERCISES, check
from vqwn_kit.lessons.receptive_field import measure_receptive_field
from vqwn_kit.models import ResidualConvEncoder, StridedConvEncoder

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def recording(name: str) -> np.ndarray:
    (path,) = (ROOT / "data" / "mini").rglob(f"{name}.flac")
    return soundfile.read(path, dtype="float32")[0]


def period(name: str) -> int:
    """Return the median period of the loud stretches of a recording, in samples."""
    wave, shifts, found = recording(name), np.arange(40, 240), []
    for start in range(0, len(wave) - 1024, 512):
        piece = wave[start : start + 1024]
        likeness = [np.corrcoef(piece[:-s], piece[s:])[0, 1] for s in shifts]
        if piece.std() > 0.5 * wave.std() and max(likeness) > 0.7:
            found.append(shifts[int(np.argmax(likeness))])
    return int(np.median(found))


def test_the_higher_voice_is_the_one_with_the_shorter_period():
    periods = {name: period(f"{name}_036") for name in ("alpha", "joe")}
    higher, lower = sorted(periods, key=periods.get)
    assert check("01.1", f" {higher.title()} ")
    assert "Compare the periods" in check("01.1", lower).hint


def test_speech_of_sixteen_levels_is_recognised():
    wave = recording("kumo_036")
    assert check("01.2", mu_law_decode(mu_law_encode(wave, 16), 16))
    assert "different values" in check("01.2", mu_law_decode(mu_law_encode(wave, 64), 64)).hint
    assert "decode them" in check("01.2", mu_law_encode(wave, 16)).hint
    coarse = mu_law_decode(mu_law_encode(wave, 4), 4)
    assert f"only {len(np.unique(coarse))} different" in check("01.2", coarse).hint


def test_the_receptive_field_of_the_encoder_without_stride():
    encoder = ResidualConvEncoder(stride=1)
    assert check("02.1", encoder.receptive_field)
    assert "stride 2" in check("02.1", ResidualConvEncoder().receptive_field).hint
    assert "both of them count" in check("02.1", encoder.receptive_field - 1).hint


def test_the_side_on_which_a_larger_kernel_reaches_further():
    ends = []
    for size in (4, 5):
        encoder = StridedConvEncoder(kernel_size=size)
        encoder.build((None, None, 1))
        ends.append(measure_receptive_field(encoder, draws=8, seed=1))
    grows = {"before": ends[1][0] < ends[0][0], "after": ends[1][1] > ends[0][1]}
    right = "both" if all(grows.values()) else max(grows, key=grows.get)
    assert check("02.2", right)
    for wrong in {"before", "after", "both"} - {right}:
        assert "which of the two ends" in check("02.2", wrong).hint


def test_codes_of_the_plane_are_counted_by_the_experiment():
    used, own = exercises._ema_codes_in_use(), exercises._own_codes()
    assert 1 <= used < 12  # moving averages do not prevent the collapse
    assert check("03.1", used)
    assert check("03.1", np.int64(used))
    assert "Twelve are there" in check("03.1", 12).hint
    assert check("03.2", own)
    assert "whole number, 0 to 5" in check("03.2", 6).hint
    assert "shares one" in check("03.2", (own + 1) % 6).hint


def test_a_delay_is_checked_with_its_unit():
    config = json.loads((ROOT / "results/mini/config.json").read_text())["preset"]["encoder"]
    frame = ResidualConvEncoder(stride=config["config"]["stride"]).hop_length / 16_000
    assert check("04.1", 5 * 1000 * frame)
    assert "give milliseconds" in check("04.1", 5 * frame).hint
    assert "hop_length" in check("04.1", 5).hint


def test_right_answers_and_trials_of_a_listening_test():
    enough = next(n for n in range(11) if binomial_p(n, 10) < 0.01)
    assert check("06.1", enough)
    assert f"{enough - 1} of 10 give p = " in check("06.1", enough - 1).hint
    assert "0 to 10" in check("06.1", 11).hint
    assert check("06.2", 50)
    assert "of the tests only" in check("06.2", 10).hint
    assert "try fewer" in check("06.2", 1000).hint
    assert "whole number" in check("06.2", 20.5).hint


def test_codes_are_compared_in_any_order():
    rows, vectors = exercises._mini_table()
    dental = [int(row["code"]) for row in rows if row["phone"] in ("TH", "DH")]
    assert check("07.1", dental[::-1])
    assert "1 are missing" in check("07.1", dental[1:]).hint
    assert "another most frequent phone" in check("07.1", [*dental, 1]).hint
    used = [n for n, row in enumerate(rows) if int(row["uses"]) and n]
    near = sorted(used, key=lambda n: np.linalg.norm(vectors[n] - vectors[0]))
    assert check("07.3", np.array(near[:5]))
    assert "4 of these five" in check("07.3", near[1:6]).hint
    assert "own neighbour" in check("07.3", [0, *near[:4]]).hint
    assert "got 2" in check("07.3", near[:2]).hint


def test_groups_of_codes_are_of_neighbours():
    from sklearn.cluster import KMeans

    _, vectors = exercises._mini_table()
    groups = KMeans(64, n_init=1, random_state=0).fit_predict(vectors)
    assert check("10.2", groups)
    assert "as random ones" in check("10.2", np.arange(512) % 64).hint
    assert "8 groups" in check("10.2", np.arange(512) % 8).hint
    assert "got 3" in check("10.2", [1, 2, 3]).hint


@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize("answer", [None, "perhaps", {"a": 1}, [[1, 2], [3]], np.zeros((2, 3, 4))])
def test_the_hint_of_an_answer_of_another_type_is_what_is_expected(exercise, answer):
    verdict = check(exercise, answer)
    assert not verdict
    assert verdict.hint.startswith("Expected")
    assert "got" in verdict.hint


def test_exercises_that_do_not_exist_are_named():
    with pytest.raises(InputError, match=r"no exercise with a check '03.9'.*03.1"):
        check("03.9", 1)


def test_a_verdict_is_a_sentence():
    assert repr(check("04.1", 50)) == "04.1: right."
    assert repr(check("04.1", 0.05)) == "04.1: no. Those are seconds: give milliseconds."


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_exercises_of_a_notebook_have_ids_and_name_their_checks(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "".join(cells[-1]["source"]).partition("## Try it")[2]
    number = path.stem[:2]
    ids = re.findall(r"^\d\. \*\*(\d\d\.\d)\*\*", text, re.MULTILINE)
    assert ids == [f"{number}.{n}" for n in range(1, len(ids) + 1)]
    assert len(ids) == len(re.findall(r"^\d\. ", text, re.MULTILINE)) >= 2
    named = set(re.findall(r"`vq\.lessons\.check\(\"(\d\d\.\d)\", ", text))
    assert named == {name for name in EXERCISES if name.startswith(number)}
