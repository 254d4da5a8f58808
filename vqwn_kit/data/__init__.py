"""data: recordings -> batches of random crops.

    folder -> scan, layouts -> Corpus -> decode -> Store -> Segments -> (waveform, speaker)

Enters: a folder of sound files in any layout of `LAYOUTS`; or arrays of your own.
Leaves: batches: `waveform` (B, T, 1) float32 in [-1, 1] and `speaker` (B,) int32, a pure function
    of (seed, step); and reports of what is wrong with a folder (`check.py`).
May import: plots, for the figure of a report. No TensorFlow, except inside `Segments.dataset`.
To add a layout: write two functions of (tree, choices) in `published.py`, one that returns how the
    layout was recognised ("" if it was not), one that returns a `Listing`; put them as a `Layout`
    into `PUBLISHED`, and test in tests/data/test_layouts.py on a small folder in that layout.
To add a corpus to download: add an `Archive` in `archives.py`, with the publisher's checksum.

Example:
    store = prepare(open_corpus("data/mini"))
    waveform, speaker = Segments(store, length=5120, batch_size=4).batch(step=0)
"""
