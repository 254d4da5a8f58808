"""Runs: a trained model on disk, its checkpoints, history, parts and codes.

Enters: the path or name of a run; for codes also a corpus or its store.
Leaves: `Run` with its model, the weights of one part, the corpus of a run, the codes of utterances.
May import: data, models, presets.

run.py        the run folder: configuration, checkpoints, the model of a checkpoint
history.py    history.jsonl, one line per logging interval
transfer.py   weights of a part (encoder, bottleneck, decoder, conditioner) from another run
corpus_of.py  the corpus that a run was trained on
codes.py      codes of all utterances of a store, cached beside the store

To add a file to the run folder: name it in the docstring of run.py, write it with
`vqwn_kit.files.replacing`, so that it is written whole or not at all, and remove it in `Run.prune`
if it belongs to one step.
"""
