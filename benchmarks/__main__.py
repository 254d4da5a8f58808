"""`python -m benchmarks`: run benchmarks, print their figures, write them as JSON."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.run import BENCHMARKS, run_benchmarks, shares
from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the speed of the workbench."
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(BENCHMARKS)}; or {' or '.join(ALONE)}, alone",
    )
    parser.add_argument(
        "--data", metavar="FOLDER", help="a corpus (default: bundled; or the run's)"
    )
    parser.add_argument("--run", metavar="RUN", help="a trained run, for `precision` and others")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there, too")
    _add_own_options(parser.add_argument)
    options = parser.parse_args(arguments)
    try:
        if len(options.names) == 1 and options.names[0] in ALONE:
            return ALONE[options.names[0]](options)
        figures = run_benchmarks(options.names, options.data, options.run)
    except InputError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    fractions = shares(figures)
    for benchmark, values in figures.items():
        print(benchmark)
        for name, value in values.items():
            share = fractions.get(f"{benchmark} {name}")
            limit = "" if share is None else f"  {share:4.0%} of the machine's limit"
            print(f"  {name:36} {value:11.6g}{limit}")
    if options.json:
        with replacing(options.json) as file:
            file.write_text(json.dumps(figures, indent=1), encoding="utf-8")
        print(options.json)
    return 0


def _add_own_options(add) -> None:
    """Add the options of single benchmarks."""
    add("--presets", nargs="+", default=["mini"], help="for `first-run`")
    add("--seeds", type=int, default=3, help="for `first-run` (default: 3)")
    others = "other speech, for `familiarity`"
    add("--recordings", nargs="+", default=[], metavar="FOLDER", help=others)
    new = "for `added-voice`: a corpus of speakers who are new to the run"
    add("--voices", metavar="FOLDER", help=new)
    of_speech = "for `added-voice`: of speech (default: 10 30 60)"
    add("--seconds", nargs="+", type=float, default=[10, 30, 60], help=of_speech)
    judged = "for `added-voice`: converted to each voice (default: 8)"
    add("--sentences", type=int, default=8, help=judged)
    ways = "for `added-voice`: 'embedding', 'with biases' (default: both)"
    add("--ways", nargs="+", default=["embedding", "with biases"], help=ways)


def _first_run(options) -> int:
    from benchmarks.first_run import bench_first_run, first_run_table

    settings = {"data": options.data, "file": options.json}
    print(first_run_table(bench_first_run(options.presets, options.seeds, **settings)))
    return 0


def _familiarity(options) -> int:
    from benchmarks.familiarity import bench_familiarity

    table, _ = bench_familiarity(
        options.run or "mini", options.data, options.recordings, options.json
    )
    print(table)
    return 0


def _long(options) -> int:
    from benchmarks.long import bench_long

    for name, value in bench_long(options.run).items():
        print(f"{name:36} {value:11.6g}")
    return 0


def _added_voice(options) -> int:
    from benchmarks.added_voice import added_voice_table, bench_added_voice

    if not options.run or not options.voices:
        raise InputError("the benchmark added-voice needs --run RUN and --voices FOLDER")
    settings = {name: getattr(options, name) for name in ("seconds", "ways", "sentences")}
    settings["file"] = options.json
    rows = bench_added_voice(options.run, options.data, options.voices, **settings)
    print(added_voice_table(rows))
    return 0


ALONE = {
    "first-run": _first_run,
    "familiarity": _familiarity,
    "long": _long,
    "added-voice": _added_voice,
}

if __name__ == "__main__":
    sys.exit(main())
