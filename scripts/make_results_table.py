"""Write the table of results of the README from the score cards of the shipped runs.

Usage: python -m scripts.make_results_table

Run it after `vqwn evaluate` of a shipped run; a test compares the README with the cards.
"""

import json
from pathlib import Path

from vqwn_kit.evaluation.metrics.tables import markdown_table

ROOT = Path(__file__).parents[1]
RUNS = ("mini", "vctk-libri")
BEGIN, END = "<!-- made by scripts/make_results_table.py -->\n", "<!-- end of the table -->\n"
KINDS = ("original", "reconstruction", "conversion")
ROWS = {  # what is written: rows of a card, and the form of their values
    "phone error (`hama`): recordings, reconstructions, conversions": (
        [f"phone error, {kind}" for kind in KINDS],
        "{:.2f}",
    ),
    "quality, 1 to 5 (DNSMOS P.808): the same": (
        [f"DNSMOS P.808, {kind}" for kind in KINDS],
        "{:.2f}",
    ),
    "conversions classified as the target (linear probe)": (
        ["speaker-probe accuracy, conversion"],
        "{:.0f} %",
    ),
    "conversions nearest the target (Resemblyzer)": (
        ["conversion nearest the target, independent embedding"],
        "{:.0f} %",
    ),
    "codes in use, perplexity": (["codes used", "perplexity"], "{:.0f}"),
    "minutes of training of the decoder, on one core": (["minutes"], "{:.0f}"),
    "reconstructions that were judged": (["judged"], "{}"),
}


def results_table() -> str:
    """Return the table in Markdown; a measure that a card does not have is a dash."""
    head = ["held-out speech", *(f"`{run}`" for run in RUNS)]
    cards = [_values(ROOT / "results" / run / "score_card.json") for run in RUNS]
    rows = [[words, *(_cell(card, *row) for card in cards)] for words, row in ROWS.items()]
    return markdown_table(head, rows, "l" + "r" * len(RUNS))


def _values(path: Path) -> dict[str, float | str]:
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    values = {row["name"]: row["value"] for row in rows}
    judged = next(row for row in rows if row["name"] == "phone error, reconstruction")
    values["minutes"] = values["training time"] / 60
    return values | {"judged": f"{judged['n']} {judged['of']}"}


def _cell(card: dict[str, float | str], names: list[str], form: str) -> str:
    return ", ".join(form.format(card[name]) if name in card else "-" for name in names)


def filled(readme: str) -> str:
    """Return the README with the table between its two comments."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{results_table()}\n\n{END}{after}"


def main() -> None:
    """Write the table into the README, and print it."""
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    print(results_table())


if __name__ == "__main__":
    main()
