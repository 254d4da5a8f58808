"""Benchmarks: what the workbench does per second on this machine, beside the machine's own limits.

`python -m benchmarks [NAME ...]` runs them; `vqwn bench` is the same. Without a name it runs all.

- machine: matrix products and copying, which limit all else.
- training: whole training steps of the presets `original` and `mini`.
- sampling: samples per second, by preset, number of streams and precision of the weights.
- data: preparing a corpus, drawing crops, opening a corpus as large as VCTK.
- import: seconds until the package, the command line and the models are there.
- precision (with --run): the likelihood that a trained run loses by weights in bfloat16.
"""
