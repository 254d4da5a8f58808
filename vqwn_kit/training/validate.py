"""A model on held-out utterances -> bits a sample, codes in use."""

import numpy as np

from vqwn_kit.data.store import Store
from vqwn_kit.models.vqvae import VQVAE, as_batch

BITS_PER_NAT = 1.0 / np.log(2.0)
MOST_UTTERANCES = 10
MOST_SECONDS = 10


def validate(
    model: VQVAE,
    store: Store,
    split: str = "held_out",
    utterances: int = MOST_UTTERANCES,
    progress: bool = False,
) -> dict[str, float]:
    """Measure a model on whole utterances (at most 10 s of each) of a split.

    Args:
        model: the model.
        store: the prepared corpus.
        split: `held_out` or `train`.
        utterances: how many, evenly spread over the split.
        progress: show a progress bar.

    Returns:
        `bits` a sample (without a WaveNet `mse`, the squared error of the bands in units of 20 dB);
        `z_e_rms` and `code_rms`, the sizes of the encoder's outputs and of what the decoder hears;
        where there is a codebook `codes_used`, `codes_dead` and `perplexity` over all frames; and
        their number as `frames`. Empty where the split is empty.
    """
    from tqdm import tqdm

    members = store.numbers(split)
    if not len(members):
        return {}
    places = np.linspace(0, len(members) - 1, min(utterances, len(members))).round().astype(int)
    loss = model.decoder.loss_name
    names = (loss, "vq/z_e_rms", "vq/code_rms")
    model.reset_metrics()
    sums, samples = np.zeros(len(names)), 0
    for number in tqdm(members[places], desc="listen", unit="utterance", disable=not progress):
        waveform = store.waveform(number)[: MOST_SECONDS * store.sample_rate]
        waveform = waveform[: max(1, len(waveform) // model.hop_length) * model.hop_length]
        batch = as_batch(waveform, model.hop_length)
        for name in names:
            model.trackers[name].reset_state()
        measured = model.measure(batch, store.speaker_ids[[number]])
        values = np.array([float(measured[name]) for name in names])
        sums += np.where([True, False, False], values, values**2) * batch.shape[1]
        samples += batch.shape[1]
    usage = model.code_usage.result() if model.code_usage else {}
    model.reset_metrics()
    error, *squares = sums / samples
    result = {"bits": error * BITS_PER_NAT} if model.is_autoregressive else {"mse": error}
    result |= dict(zip(("z_e_rms", "code_rms"), map(float, np.sqrt(squares)), strict=True))
    result |= {name.removeprefix("vq/"): float(value) for name, value in usage.items()}
    return {name: float(value) for name, value in result.items()} | {
        "frames": samples // model.hop_length
    }
