"""Exercises of the notebooks: an answer -> whether it is right, and a hint, never the solution.

What is expected is computed when an answer is checked, from the shipped files or by the lesson's
own experiment.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from vqwn_kit.errors import one_of
from vqwn_kit.evaluation.metrics.listening_test import binomial_p
from vqwn_kit.files import results


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right; shown in a notebook as a sentence.

    Attributes:
        exercise: its id.
        right: whether the answer is right.
        hint: what to look at again, or "".
    """

    exercise: str
    right: bool
    hint: str = ""

    def __bool__(self) -> bool:
        """Return whether the answer is right."""
        return self.right

    def __repr__(self) -> str:
        """Say it in a sentence."""
        return f"{self.exercise}: right." if self.right else f"{self.exercise}: no. {self.hint}"


def check(exercise: str, answer: Any) -> Verdict:
    """Check the answer to an exercise of a notebook; the solution is never shown.

    Args:
        exercise: its id, as the notebook gives it: `03.2` is the second one of notebook 03.
        answer: a number, a name or an array, as the exercise asks for.

    Returns:
        Whether it is right, and a hint where it is not: of an answer of another type, what is
        expected.

    Raises:
        InputError: no such exercise, or one that cannot be checked.

    Example:
        vq.lessons.check("06.1", 8)          # 06.1: no. ...
    """
    if exercise not in EXERCISES:
        raise one_of("exercise with a check", exercise, EXERCISES)
    kind, examine = EXERCISES[exercise]
    value, problem = kind(answer)
    hint = problem or examine(value)
    return Verdict(exercise, not hint, hint)


# ---- types: answer -> (value, "") or (None, what is expected)


def _as_array(answer: Any) -> np.ndarray:
    try:
        return np.asarray(answer)
    except ValueError:  # lists of different lengths
        return np.asarray(answer, dtype=object)


def _number(what: str) -> Callable[[Any], tuple[Any, str]]:
    def read(answer):
        array = _as_array(answer)
        if array.size != 1 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            return None, f"Expected {what}; got {_said(answer)}."
        return float(array.reshape(())), ""

    return read


def _array(what: str, ndim: int = 1, kinds: str = "iuf") -> Callable[[Any], tuple[Any, str]]:
    def read(answer):
        array = _as_array(answer)
        if array.ndim != ndim or not array.size or array.dtype.kind not in kinds:
            return None, f"Expected {what}; got {_said(answer)}."
        return array, ""

    return read


def _name(*names: str) -> Callable[[Any], tuple[Any, str]]:
    def read(answer):
        if not isinstance(answer, str) or answer.strip().lower() not in names:
            return None, f"Expected one of {', '.join(map(repr, names))}; got {_said(answer)}."
        return answer.strip().lower(), ""

    return read


def _said(answer: Any) -> str:
    """Describe an answer of the wrong type."""
    if isinstance(answer, np.ndarray):
        return f"an array {answer.dtype} {answer.shape}"
    return f"{type(answer).__name__} {str(answer)[:40]!r}"


# ---- exercises: value -> "" if it is right, else a hint


def _higher_voice(voice: str) -> str:
    hint = "Compare the periods, as in the cell that prints the pitch: a short one is a high voice."
    return "" if voice == "alpha" else hint


def _sixteen_levels(waveform: np.ndarray) -> str:
    levels = len(np.unique(waveform))
    if np.abs(waveform).max() > 1:
        return "These are the numbers of levels, or they are too loud: decode them, to [-1, 1]."
    if levels > 16:
        return f"This waveform has {levels} different values: use 16 levels, encode and decode."
    return (
        "" if levels > 8 else f"It has only {levels} different values: is it speech, undistorted?"
    )


def _residual_field(samples: float) -> str:
    from vqwn_kit.models import ResidualConvEncoder

    slow, fast = (ResidualConvEncoder(stride=stride).receptive_field for stride in (2, 1))
    if samples == fast:
        return ""
    if samples == slow:
        return "That is the one of stride 2. Which of its layers come after the stride?"
    return "`measure_receptive_field` gives the first and the last sample: both of them count."


@cache
def _kernel_side() -> str:
    from vqwn_kit.lessons.receptive_field import measure_receptive_field
    from vqwn_kit.models import StridedConvEncoder

    ends = []
    for size in (4, 5):
        encoder = StridedConvEncoder(kernel_size=size)
        encoder.build((None, None, 1))
        ends.append(measure_receptive_field(encoder, draws=4))
    (first, last), (earlier, later) = ends
    return "both" if earlier < first and later > last else "before" if earlier < first else "after"


def _grows(side: str) -> str:
    hint = "Measure both encoders: which of the two ends moves away from the frame?"
    return "" if side == _kernel_side() else hint


CORNER_SEED, STEPS = 3, 150  # of notebook 03


@cache
def _ema_codes_in_use() -> int:
    from vqwn_kit.lessons.codebook_2d import gaussian_clusters, train_codebook_2d
    from vqwn_kit.models import VectorQuantizerEMA

    corner = np.random.default_rng(CORNER_SEED).normal(1.6, 0.08, (12, 2)).astype(np.float32)
    quantizer = VectorQuantizerEMA(12, 2)
    trained = train_codebook_2d(quantizer, gaussian_clusters(), STEPS, start=corner)
    return int(trained.codes_used[-1])


def _in_use(codes: float) -> str:
    if codes == _ema_codes_in_use():
        return ""
    if codes == 12:
        return "Twelve are there; count those that are the nearest code of some point."
    return "Count the different numbers in `codes[-1]`, after 150 steps from `corner`."


@cache
def _own_codes() -> int:
    from vqwn_kit.lessons.codebook_2d import gaussian_clusters, train_codebook_2d
    from vqwn_kit.models import VectorQuantizer

    points, found = gaussian_clusters(), 0
    cluster = np.round(np.arctan2(points[:, 1], points[:, 0]) / (np.pi / 3)).astype(int) % 6
    for seed in range(5):
        start = np.random.default_rng(seed).normal(0, 0.7, (6, 2)).astype(np.float32)
        codes = train_codebook_2d(VectorQuantizer(6, 2), points, STEPS, start=start).codes[-1]
        found += len({np.bincount(codes[cluster == number]).argmax() for number in range(6)}) == 6
    return found


def _times_own(times: float) -> str:
    if times == _own_codes():
        return ""
    if not 0 <= times <= 5 or times != int(times):
        return "There are five initialisations: expected a whole number, 0 to 5."
    return "A cluster without a code of its own shares one: look for codes with two clusters."


FRAMES_OF_DELAY, FRAME_RATE = 5, 100  # the second is that of `results/mini`


def _delay(milliseconds: float) -> str:
    expected = 1000 * FRAMES_OF_DELAY / FRAME_RATE
    if np.isclose(milliseconds, expected, rtol=0.01):
        return ""
    if np.isclose(milliseconds, expected / 1000, rtol=0.01):
        return "Those are seconds: give milliseconds."
    return "A frame lasts `hop_length / 16000` s."


def _least_right(right: float) -> str:
    enough = next(n for n in range(11) if binomial_p(n, 10) < 0.01)
    if right == enough:
        return ""
    if 0 <= right <= 10 and right == int(right):
        p = binomial_p(int(right), 10)
        return f"{right:.0f} of 10 give p = {p:.3f}" + (
            "." if p >= 0.01 else ", but fewer do, too."
        )
    return "Expected a whole number, 0 to 10."


def _enough_trials(trials: float) -> str:
    from scipy.stats import binom

    if trials < 1 or trials != int(trials):
        return "Expected a whole number of trials."
    trials = int(trials)
    if trials > 80:
        return "That is enough, and more than a listener endures: try fewer."
    needed = next((n for n in range(trials + 1) if binomial_p(n, trials) < 0.05), trials + 1)
    shown = float(binom.sf(needed - 1, trials, 0.7))
    if shown < 0.8:
        return f"{trials} trials find such a listener in {shown:.0%} of the tests only."
    return ""


def _mini_table() -> tuple[list[dict[str, str]], np.ndarray]:
    """Return the facts of the codes of `results/mini`, a row each, and their vectors (K, D)."""
    folder = results("mini") / "projector"
    with (folder / "codebook_meta.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return rows, np.loadtxt(folder / "codebook_vecs.tsv")


def _dental_codes(codes: np.ndarray) -> str:
    rows, _ = _mini_table()
    expected = {int(row["code"]) for row in rows if row["phone"] in ("TH", "DH")}
    given = set(codes.tolist())
    if given == expected:
        return ""
    wrong, missing = len(given - expected), len(expected - given)
    parts = [f"{wrong} of these have another most frequent phone" if wrong else ""]
    parts.append(f"{missing} are missing" if missing else "")
    return f"{' and '.join(filter(None, parts))}. The panel of a code names its phones."


def _neighbours(codes: np.ndarray) -> str:
    rows, vectors = _mini_table()
    used = np.array([int(row["uses"]) for row in rows]) > 0
    distance = np.where(used, np.linalg.norm(vectors - vectors[0], axis=1), np.inf)
    expected = set(np.argsort(distance, kind="stable")[1:6].tolist())
    given = set(codes.tolist())
    if given == expected:
        return ""
    if 0 in given:
        return "Code 0 is not its own neighbour."
    if len(given) != 5:
        return f"Expected the five nearest codes; got {len(given)}."
    right = len(given & expected)
    return f"{right} of these five are right: use the Euclidean distance in all 64 dimensions."


def _merged(groups: np.ndarray) -> str:
    _, vectors = _mini_table()
    if len(groups) != len(vectors):
        return f"Expected the group of each of {len(vectors)} codes; got {len(groups)}."
    count = len(np.unique(groups))
    if count != 64:
        return f"These are {count} groups; expected 64."
    within = np.mean([vectors[groups == g].var(axis=0).sum() for g in np.unique(groups)])
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(groups)
    random = np.mean([vectors[shuffled == g].var(axis=0).sum() for g in np.unique(groups)])
    near = within < 0.8 * random
    return "" if near else "Codes of a group are as far apart as random ones: cluster the vectors."


EXERCISES: dict[str, tuple[Callable[[Any], tuple[Any, str]], Callable[[Any], str]]] = {
    "01.1": (_name("alpha", "joe"), _higher_voice),
    "01.2": (_array("a waveform (T,) in [-1, 1]"), _sixteen_levels),
    "02.1": (_number("a number of samples"), _residual_field),
    "02.2": (_name("before", "after", "both"), _grows),
    "03.1": (_number("a number of codes"), _in_use),
    "03.2": (_number("a number of initialisations, 0 to 5"), _times_own),
    "04.1": (_number("a number of milliseconds"), _delay),
    "06.1": (_number("a number of right answers, 0 to 10"), _least_right),
    "06.2": (_number("a number of trials"), _enough_trials),
    "07.1": (_array("the numbers of codes, a list", kinds="iu"), _dental_codes),
    "07.3": (_array("the numbers of five codes, a list", kinds="iu"), _neighbours),
    "10.2": (_array("the group of each code, 512 whole numbers", kinds="iu"), _merged),
}
