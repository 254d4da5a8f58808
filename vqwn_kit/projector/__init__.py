"""projector: a run -> tables of vectors and metadata, and the Embedding Projector to see them in.

Enters: a run and its corpus; or arrays of vectors (M, D) with M rows of text (`tables.py`).
Leaves: `NAME_vecs.tsv`, `NAME_meta.tsv` and `projector_config.json` in a folder, for
    `open_projector` or projector.tensorflow.org.
May import: everything before it, up to evaluation and prior.
To add a table: write a function in `export.py` that returns a `Table` (one row of metadata per
    vector, no empty cell), add it to `tables` in `export_projector`, and test it in
    tests/projector. A column that should give the colours at first goes into `COLOURS` of
    `server.py`.
"""
