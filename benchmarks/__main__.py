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
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--data", metavar="FOLDER", help="a corpus (default: the bundled one)")
    parser.add_argument("--run", metavar="RUN", help="a trained run, for `precision`")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there, too")
    options = parser.parse_args(arguments)
    try:
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


if __name__ == "__main__":
    sys.exit(main())
