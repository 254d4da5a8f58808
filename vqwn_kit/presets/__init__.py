"""presets: constructor keywords as JSON -> a model, and how to train it.

A preset is a JSON file here: `encoder`, `bottleneck` and `decoder`, each a `class_name` and a
`config` of constructor keywords, and `training`, the fields of `TrainingConfig`. Numbers that
follow from others (hop length, channels of the outputs) are derived, not written.

Enters: the name of a preset, a path, a dict; changes such as `encoder="2019"` or
    `decoder={"codec": {"pre_emphasis": 0.85}}`; the names of the speakers.
Leaves: `Preset`, `TrainingConfig`, and from `build_model` a `VQVAE` with random weights.
May import: `data`, `models`, `sampling`; TensorFlow only inside functions.
Changes are checked by `signatures.py`, which reads the classes' settings from their source.
To add a preset, put a JSON file here. A new class of a part is found by its `short_name`; a new
    training setting is a field of `TrainingConfig`, with its check.

`original.py` reads the two JSON files of the original VQ-VAE-WaveNet.
"""
