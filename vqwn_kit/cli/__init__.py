"""cli: the command `vqwn`, which parses options and calls the public functions, nothing else.

Enters: command-line arguments. The original VQ-VAE-WaveNet's (single dashes, `visualise`) work too.
Leaves: printed text, files, and an exit status: 0; 1 for failures of the file system or network,
    and where `check` finds nothing usable; 2 for bad input; 130 after Ctrl-C; 141 where the reader
    of its output has ended, such as `head`.
May import: every folder. TensorFlow is imported only by commands that need it, while they run.

    main.py   the parser, and the commands run, evaluate, visualise, info, bench
    generate.py  generate, demo
    data.py   check, prepare, download, and the options of corpora
    train.py  train, compare
    doctor.py doctor
    voices.py add-voice
    prior.py  prior, and `generate --from-prior`
    units.py  encode, decode, and the options of sampling

To add a command: write `_NAME_options(add)`, which adds its options, and `_NAME(options)`, whose
docstring is its help; add both to COMMANDS of the file, and the command to
site/guides/commands.md.
"""
