"""Names in errors: none is hidden where they are few, and the shortest are shown of many."""

import subprocess
import sys

import pytest

from vqwn_kit import InputError, load_preset
from vqwn_kit.cli.main import main
from vqwn_kit.errors import one_of
from vqwn_kit.evaluation import SCORE_NAMES


def test_a_few_names_are_never_hidden():
    for count in range(1, 31):
        names = [f"name{number}" for number in range(count)]
        message = str(one_of("thing", "other", names))
        assert all(name in message for name in names)
        assert "more" not in message


def test_of_many_names_the_shortest_are_listed():
    names = [*(f"a-long-name-{number}" for number in range(40)), "vq", "fsq"]
    message = str(one_of("thing", "emma", names))
    assert "there are vq, fsq, a-long-name-0, " in message
    assert message.endswith(" and 17 more")


def test_all_short_names_of_quantizers_are_listed():
    with pytest.raises(InputError) as refused:
        load_preset("mini").change(bottleneck="emma")
    assert {"vq", "ema", "fsq", "lfq"} <= set(str(refused.value).replace(",", "").split())


def test_the_scores_are_known_without_tensorflow(capsys):
    from vqwn_kit.evaluation.evaluate import SCORES

    assert SCORE_NAMES == SCORES
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert ", ".join(SCORE_NAMES) in text


@pytest.mark.parametrize(
    "line",
    [
        ["evaluate", "mini", "--only", "codebok"],
        ["visualise", "--run", "results/minni"],
        ["visualise", "--run", "minni", "--codes", "x"],
        ["compare", "mini", "bottleneck=emma"],
    ],
)
def test_a_misspelt_name_is_refused_before_tensorflow_is_loaded(line, tmp_path):
    code = "import sys; from vqwn_kit.cli.main import main; status = main(sys.argv[1:]); "
    code += "print(status, 'tensorflow' in sys.modules)"
    command = [sys.executable, "-c", code, *line]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "did you mean" in done.stderr
    assert done.stdout.split()[-2:] == ["2", "False"]
