"""The profiles of all codes of a run -> the page that lists them."""

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vqwn_kit.evaluation.code_profile import CodeProfile, Share
from vqwn_kit.widgets.page import write_page

HEAD = (
    *("code", "frames", "% of all", "phone", "% of its frames", "lift", "voice"),
    *("% of its frames", "lift", "mean ms", "distance", "nearest code"),
)
STYLE = """
body.vq-page { font: 15px/1.4 system-ui, sans-serif; color: #222; }
body.vq-page { margin: 24px auto; padding: 0 16px; max-width: 1232px; }
h1 { font-size: 20px; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 3px 14px 3px 0; border-bottom: 1px solid #8884; }
th { position: sticky; top: 0; background: #fff; vertical-align: bottom; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid #0072b2; } a { color: #0072b2; }
th[aria-sort=ascending] button::after { content: " ↑"; }
th[aria-sort=descending] button::after { content: " ↓"; }
@media (prefers-color-scheme: dark) {
  body.vq-page { color: #eee; background: #121212; } th { background: #121212; }
  a { color: #56b4e9; }
}
"""
SORT = """<script>
for (const head of document.querySelectorAll("th")) head.firstChild.onclick = () => {
  const down = head.getAttribute("aria-sort") !== "descending", body = document.querySelector("tbody");
  document.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => row.cells[head.cellIndex].dataset.value;
  const order = (a, b) => (isNaN(a) || isNaN(b) ? String(a).localeCompare(b) : a - b);
  body.append(...[...body.rows].sort((a, b) => order(value(a), value(b)) * (down ? -1 : 1)));
};
</script>"""  # noqa: E501


def index_row(profile: CodeProfile, file: str, frame_rate: float) -> list[tuple[str, str]]:
    """Return the cells of a code, (HTML, value to sort by), in the order of HEAD."""
    link = f'<a href="{html.escape(file)}">{html.escape(profile.name)}</a>'
    near = profile.neighbours[0] if profile.neighbours else None
    mean = 1000 * profile.lengths.mean() / frame_rate if profile.count else np.nan
    distance = np.median(profile.distances) if profile.count else np.nan
    return [
        (link, f"{profile.token}"),
        _number(profile.count, "{:,.0f}"),
        _number(profile.percent, "{:.2f}"),
        *_most_frequent(profile.phones),
        *_most_frequent(profile.voices),
        _number(mean, "{:.0f}"),
        _number(distance, "{:.2f}"),
        (near.name if near else "", f"{near.token}" if near else ""),
    ]


def write_index(path: Path, title: str, rows: Sequence[Sequence[tuple[str, str]]]) -> Path:
    """Write the page of a table of codes, which a click on a heading sorts; return its path."""
    head = "".join(f"<th><button>{html.escape(name)}</button></th>" for name in HEAD)
    body = "".join(
        "<tr>" + "".join(f'<td data-value="{value}">{cell}</td>' for cell, value in row) + "</tr>"
        for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    note = (
        "<p>A click on a code opens its page, a click on a heading sorts. Lift is the share over "
        "the share among all frames: read it beside the number of frames.</p>"
    )
    return write_page(path, [f"<h1>{html.escape(title)}</h1>", note, table, SORT], title, STYLE)


def _number(value: float, form: str) -> tuple[str, str]:
    """Return the cell of a number; empty, and last, where there is none."""
    return (form.format(value), f"{value:.6g}") if np.isfinite(value) else ("", "-1")


def _most_frequent(shares: Sequence[Share]) -> list[tuple[str, str]]:
    """Return the cells of the most frequent phone or voice: name, share in % and lift."""
    if not shares:
        return [("", "")] + [("", "-1")] * 2
    first, name = shares[0], html.escape(shares[0].name)
    return [(name, name), _number(100 * first.share, "{:.0f}"), _number(first.lift, "{:.1f}")]
