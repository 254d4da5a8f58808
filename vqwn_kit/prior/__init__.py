"""Prior: an autoregressive model of the codes of a run; its entropy rate, and samples from it.

Enters: a run with a codebook, or with several, and its corpus.
Leaves: a `CodePrior`, its score card beside n-grams, codes and speech sampled from it.
May import: all folders before it: data, models, sampling, runs, training, evaluation, plots.

model.py     the network: log-probabilities, surprisal, likely next codes, samples
step.py      the network one code at a time, in NumPy
ngram.py     smoothed n-gram models, the baselines
config.py    its settings; train.py trains one, on training/loop.py
load.py      its folder: opening a prior that was trained
evaluate.py  `score_prior`: bits per code, calibration, stuck codes
sample.py    `sample_speech`: codes from the prior, and their sound

Of several codebooks the codes are one sequence of tokens; see `runs.codes.flatten_codes`.

To add a measure: add a function like `_score_calibration` in evaluate.py and call it in
`score_codes`. To add a baseline: give it `bits(codes)`, as `NGram` has, and add it there.
"""

import vqwn_kit.models  # noqa: F401
