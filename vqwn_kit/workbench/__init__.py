"""workbench: a run and its corpus -> views, reports and facts for people.

Enters: a run (a `Run`, its path or name), a corpus, a preset.
Leaves: widgets that are filled and connected, `report.html`, tables of facts.
May import: every folder but `lessons` and `cli`. Widgets take its arrays and callbacks.

    players.py      play, time_lapse: an utterance -> a player of its conversions or checkpoints
    explore.py      explore: the map of the codebook, the speakers or the frames, one file each
    code_page.py    code_page, save_code_pages: the page of a code; code_panels.py, code_index.py
    nearest_frames.py  find_frames: a moment of a recording -> the nearest frames and codes
    swap.py         swap_codes: one code put for another in an utterance, to hear
    monitor.py      monitor: a training in a thread, with buttons and curves
    compare_runs.py compare_runs: several runs side by side; several_runs.py, linked_maps.py
    voice_lab.py    voice_lab: recordings -> other voices, and editing of the codes between
    code_palette.py the colours of a run's codes; demo.py: something to hear within seconds
    describe.py     describe: facts about a run, checkpoint, preset or corpus; facts.py shows them
    cost.py         measure_step: what training a preset costs on this machine
    problems.py     find_problems: what in a preset cannot work, before it is trained
    pipeline.py     run_pipeline: train, synthesise, measure and report, as `vqwn run` does
    summary.py      what the pipeline knows of its run: summary.json, measures, figures
    report.py       a run folder -> report.html, one file with players

To add a view: write a function `NAME(run, ...)` that returns a widget, in a file of its own; add it
to `vqwn_kit/__init__.pyi`, or to NAMES below. To add a map, write a builder and name it in
`explore.MAPS`.
"""

import lazy_loader

NAMES = {
    "code_page": ["save_code_pages"],
    "nearest_frames": ["find_frames"],
    "swap": ["swap_codes"],
}
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs=NAMES)
