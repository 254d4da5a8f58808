"""workbench: a run and its corpus -> views, reports and facts for people.

Enters: a run (a `Run`, its path or name), a corpus, a preset.
Leaves: widgets that are filled and connected, `report.html`, tables of facts.
May import: every folder but `lessons` and `cli`. Widgets take arrays and callbacks, and these are
    made here.

    players.py      play, time_lapse: an utterance -> a player of its conversions or checkpoints
    explore.py      explore: the map of the codebook, the speakers or the frames, one file each
    monitor.py      monitor: a training in a thread, with buttons and curves
    voice_lab.py    voice_lab: recordings -> other voices, and editing of the codes between
    describe.py     describe: facts about a run, checkpoint, preset or corpus
    pipeline.py     run_pipeline: train, synthesise, draw, export and report, as `vqwn run` does
    report.py       a run folder -> report.html

To add a view: write a function `NAME(run, ...)` that returns a widget, in a file of its own; add it
to `vqwn_kit/__init__.pyi`. To add a map, write a builder and name it in `explore.MAPS`.
"""
