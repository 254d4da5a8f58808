"""sampling: codes and speakers -> waveforms.

Enters: a trained model; codes (N,) or (S', N) int32, or of Q codebooks (N, Q) or (S', N, Q), or
    waveforms to encode; speakers; pitch (N,) or (S', N) of a model that is conditioned on it.
Leaves: waveforms (S', T) float32 in [-1, 1], whole or in parts.
May import: `data`, `models`.
To add a way of drawing a level (another `mode`), change `reference.py`, which is the
    specification, then `compiled`; tests/sampling compares the two, and both with the full pass.

generate.py: what users call. parts.py: what is of any length, part after part. files.py: sound
files -> sound files. codes.py: codes -> z_q, of all codebooks or the first ones. pitch.py: the
pitch of a recording or an utterance.
sampler.py: checks, blocks, threads. reference.py: one step in NumPy, to be read. compiled: the same
step as machine code. griffin_lim.py: what takes the WaveNet's place in a first stage.
"""

import vqwn_kit.models  # noqa: F401  TensorFlow without its start-up lines
