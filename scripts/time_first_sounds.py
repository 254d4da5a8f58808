"""Time how long a cell of JupyterLab takes until its sound plays: a table.

Usage: python -m scripts.time_first_sounds

Each cell is run in headless Chromium, with a run and the example corpus; its player is started as
soon as it is shown. The kernel has imported the package. Needs the extra `browser`.
"""

import tempfile
import time
from pathlib import Path

import nbformat

from tests.browsing import chromium, jupyterlab, level, none_failed, open_notebook

PREPARED = "import vqwn_kit as vq"
CELLS = {
    "saved sounds of a run": 'vq.play("mini", "kumo_036", saved=True)',
    "a reconstruction": 'vq.play("mini", "kumo_036")',
    "conversions to two voices, the run is in memory": 'vq.play("mini", "joe_036", ["alpha"])',
    "voice lab, until Generate is enabled and has sounded": 'vq.voice_lab("mini").choose("joe_036")',
}
AUDIBLE = 0.005  # greatest sample of the last 0.1 s
POLL = 20  # milliseconds


def start(page, cell: int) -> float:
    """Run a cell of the notebook that is open; return when."""
    commands = "jupyterapp.commands.execute"
    content = "jupyterapp.shell.currentWidget.content"
    page.evaluate(f"() => {{ {content}.activeCellIndex = {cell}; }}")
    began = time.perf_counter()
    page.evaluate(f"() => {{ {commands}('notebook:run-cell'); }}")
    return began


def until_audible(page) -> None:
    """Wait until the page's sound exceeds the threshold."""
    while not page.evaluate("() => (window.taps ?? []).length") or level(page) < AUDIBLE:
        page.wait_for_timeout(POLL)


def time_cell(page, cell: int) -> float:
    """Run a cell, start what it shows, and return the seconds until it sounded."""
    output = page.locator(".jp-Cell").nth(cell)
    began = start(page, cell)
    shown = output.locator(".vq-play, .vq-lab .vq-generate")
    shown.first.wait_for()
    lab = output.locator(".vq-generate:not([disabled])")
    if output.locator(".vq-lab").count():
        lab.click()
    else:
        shown.first.click()
    until_audible(page)
    seconds = time.perf_counter() - began
    none_failed(page)
    page.keyboard.press("Space")  # stops it
    while level(page) > AUDIBLE:
        page.wait_for_timeout(POLL)
    return seconds


def main() -> None:
    """Print the table."""
    folder = Path(tempfile.mkdtemp())
    cells = [nbformat.v4.new_code_cell(cell) for cell in (PREPARED, *CELLS.values())]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(book, folder / "sounds.ipynb")
    print("| cell | first sound after (s) |\n| --- | ---: |")
    with chromium() as browser, jupyterlab(folder) as address:
        page = open_notebook(browser, address, "sounds.ipynb")
        start(page, 0)
        page.locator(".jp-Cell").nth(0).get_by_text("[1]:").wait_for()
        for number, name in enumerate(CELLS, 1):
            print(f"| {name} | {time_cell(page, number):.1f} |", flush=True)


if __name__ == "__main__":
    main()
