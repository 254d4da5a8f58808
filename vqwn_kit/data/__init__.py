"""data: recordings -> batches of random crops.

    folder -> scan, layouts -> Corpus -> decode -> Store -> Segments -> (waveform, speaker)

Enters: a folder of sound files in any layout of `LAYOUTS`; or arrays of your own.
Leaves: batches: `waveform` (B, T, 1) float32 in [-1, 1], `speaker` (B,) int32, and where it is
    asked for `pitch` (B, N) float32 (`pitch.py`), a pure function of (seed, step); reports of what
    is wrong with a folder (`check.py`); a recording in blocks (`stream_audio`); the speech of one
    person (`speech.py`).
May import: plots, for the figure of a report. No TensorFlow, except inside `Segments.dataset`.
To add a layout: add a `Layout` in `published.py`, what identifies it and how speaker, utterance
    and text follow from its paths, and a `Case` in tests/data/test_published.py, a tree of it. What
    a table describes has a reader in `tables.py`; folders that are no speakers: `part_names.py`.
Some utterances of many, for a measure: `choice.py`.
Times of phones and words: `alignment.py`, of a `phones.tsv` or of TextGrids (`textgrid.py`).
Files of arrays, here and in later folders: `arrays.py`, which checks before it reads.
To add a corpus to download: add an `Archive` in `archives.py`, with the publisher's checksum.

Example:
    store = prepare(open_corpus("data/mini"))
    waveform, speaker = Segments(store, length=5120, batch_size=4).batch(step=0)
"""
