"""Training: a corpus and a preset -> a run folder, and several variants -> a table.

Enters: a corpus, its store or an iterable of (waveform, speaker); a preset, or a run to resume.
Leaves: a `Run` with checkpoints and a history; a `Comparison` of variants.
May import: data, models, presets, runs, sampling, plots, evaluation.metrics.

loop.py         the training loop, which the trainer of a prior uses too
trainer.py      a run in training: model, optimizer, average, data, folder
train.py        `train`: build or restore a trainer, then fit it, in one stage or in two
optimizer.py    Adam with its schedule, and the schedule of more steps; the average of the weights
validate.py     likelihood and code usage on held-out utterances
tensorboard.py  callbacks that write scalars and audio for TensorBoard
add_voice.py    seconds of speech of a new speaker -> a voice of a trained run
workers.py      how a process becomes one of several workers
variants.py     variants to compare; compare.py trains and measures them

To add a setting: add a field to presets/training_config.py, use it in trainer.py or optimizer.py,
and add its name to `FIXED` in train.py if it cannot change in a run that has begun. A variable that
training changes belongs in `Trainer.variables`, so that a restored run stays exact.
"""
