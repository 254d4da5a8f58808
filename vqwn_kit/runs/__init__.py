"""Runs: a trained model on disk, its checkpoints, history, parts, codes and units.

Enters: the path or name of a run; for codes also a corpus or its store, for units recordings.
Leaves: `Run` with its model, the weights of one part, the corpus of a run, the codes of utterances,
    files of units, and sounds of such files.
May import: data, models, presets, sampling.

run.py        the run folder: configuration, checkpoints, the model of a checkpoint
history.py    history.jsonl, one line per logging interval
naming.py     the names of run folders
weights.py    files of weights, with a checksum
transfer.py   weights of a part (encoder, bottleneck, decoder, conditioner) from another run
corpus_of.py  the corpus that a run was trained on, noted in its configuration
codes.py      codes of all utterances of a store, cached beside the store
encode.py     recordings -> units (units.py) in files (unit_output.py, unit_files.py), in parts
              (unit_encoder.py)
decode.py     files of units -> sound; export_encoder.py: encoder -> arrays (numpy_encoder.py)

To add a format of units: write it in unit_files.py, and read it in `read_units`. To add a file to
the run folder: name it in the docstring of run.py, write it with `vqwn_kit.files.write_bytes`, so
that it is written whole or not at all; remove it in `Run.prune` if it belongs to one step.
"""
