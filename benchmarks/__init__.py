"""Benchmarks: what the workbench does per second on this machine, beside the machine's own limits.

`python -m benchmarks [NAME ...]` runs them; `vqwn bench` is the same. Without a name it runs all.

- machine: matrix products and copying, which limit all else.
- training: whole training steps of the presets `original` and `paper`.
- sampling: samples per second, by preset, number of streams and precision of the weights.
- data: preparing a corpus, drawing crops, opening a corpus as large as VCTK.
- encode: how much faster than real time recordings of a minute to an hour are encoded, and the
  memory that this takes.
- import: seconds until the package, the command line and the models are there.
- precision (with --run): the likelihood that a trained run loses by weights in bfloat16.
- added-voice (named alone, with --run and --voices, and --data where the run does not find its
  corpus): how near voices that were added to a run from 10, 30 and 60 s of speech come to their
  speakers, by two judges, and their phone error, beside trained voices. A quarter of an hour for
  four speakers; it needs the extra `eval`.
- first-run (named alone): what `vqwn run` gives, for `--presets` and `--seeds`: phone errors,
  quality, speakers, codes, time. Eight minutes per preset and seed; it needs the extra `eval`.
- long (named alone): the memory that converting one minute and five takes.
- familiarity (named alone, with --run and --recordings FOLDER ...): which statistic of a recording
  predicts how badly a run converts it; some minutes; it needs the extra `eval`.
"""
