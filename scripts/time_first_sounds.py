"""Time how long a cell of JupyterLab takes until its sound plays: a table.

Usage: python -m scripts.time_first_sounds

The kernel has imported the package; each cell is run in headless Chromium, and what it shows is
started as soon as it can be. Needs the extra `browser`.
"""

import tempfile
import time
from pathlib import Path

import nbformat

from tests.browsing import chromium, jupyterlab, level, none_failed, open_notebook

IMPORT = "import vqwn_kit as vq"
CELLS = {
    "saved sounds of a run": 'vq.play("mini", "kumo_036", saved=True)',
    "a reconstruction; loads TensorFlow and the run": 'vq.play("mini", "kumo_036")',
    "a reconstruction and two conversions": 'vq.play("mini", "joe_036", ["alpha", "tebukuro"])',
    "voice lab: its first samples": 'vq.voice_lab("mini").choose("joe_036")',
}
AUDIBLE = 0.005  # greatest sample of the last 0.1 s
POLL = 20  # milliseconds


def run_cell(page, cell: int) -> float:
    """Run a cell of the notebook that is open; return when."""
    content = "jupyterapp.shell.currentWidget.content"
    page.evaluate(f"() => {{ {content}.activeCellIndex = {cell}; }}")
    began = time.perf_counter()
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-cell'); }")
    return began


def time_cell(page, cell: int) -> float:
    """Run a cell, start what it shows, and return the seconds until it sounds."""
    output = page.locator(".jp-Cell").nth(cell)
    began = run_cell(page, cell)
    output.locator(".vq-play").first.wait_for()
    if output.locator(".vq-lab").count():
        output.locator(".vq-generate").click()
        output.locator(".vq-listen").first.click()
    else:
        output.locator(".vq-play").click()
    while not page.evaluate("() => Boolean(window.taps)") or level(page) < AUDIBLE:
        page.wait_for_timeout(POLL)
    seconds = time.perf_counter() - began
    none_failed(page)
    while level(page) > 0.0:  # until it ends
        page.wait_for_timeout(POLL)
    return seconds


def time_cells(page) -> None:
    """Run the cells in their order, and print the seconds of each."""
    run_cell(page, 0)
    page.locator(".jp-Cell").nth(0).get_by_text("[1]:").wait_for()
    for number, name in enumerate(CELLS, 1):
        print(f"| {name} | {time_cell(page, number):.1f} |", flush=True)


def main() -> None:
    """Print the table."""
    cells = [nbformat.v4.new_code_cell(cell) for cell in (IMPORT, *CELLS.values())]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    print("| cell | first sound after (s) |\n| --- | ---: |")
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        nbformat.write(book, Path(folder, "sounds.ipynb"))
        with jupyterlab(Path(folder)) as address:
            time_cells(open_notebook(browser, address, "sounds.ipynb"))


if __name__ == "__main__":
    main()
