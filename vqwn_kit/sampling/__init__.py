"""sampling: codes and speakers -> waveforms, one sample after another.

Enters: a trained model; codes (N,) or (S', N) int32, or waveforms to encode; speakers.
Leaves: waveforms (S', T) float32 in [-1, 1], whole or in parts.
May import: `data`, `models`.
To add a way of drawing a level (another `mode`), change `reference.py`, which is the
    specification, then `compiled`; tests/sampling compares the two, and both with the full pass.

generate.py: what users call. sampler.py: checks, blocks, threads. reference.py: one step in NumPy,
to be read. compiled: the same step as machine code.
"""

import vqwn_kit.models  # noqa: F401  TensorFlow without its start-up lines
