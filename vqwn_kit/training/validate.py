"""A model on held-out utterances -> bits per sample and code usage; the model stays as it is."""

import numpy as np
from tqdm import tqdm

from vqwn_kit.data.choice import choose_utterances
from vqwn_kit.data.store import Store
from vqwn_kit.models.codebook import CodeUsage
from vqwn_kit.models.vqvae import VQVAE, as_batch
from vqwn_kit.sampling.pitch import utterance_pitch

BITS_PER_NAT = 1.0 / np.log(2.0)
MAX_UTTERANCES = 10
MAX_SECONDS = 10  # of each


def validate(
    model: VQVAE,
    store: Store,
    split: str = "held_out",
    utterances: int = MAX_UTTERANCES,
    progress: bool = False,
) -> dict[str, float]:
    """Measure a model on whole utterances (at most 10 s of each) of a split.

    Weights, metrics and code usage of the model stay as they are.

    Args:
        model: the model.
        store: the prepared corpus.
        split: `held_out` or `train`.
        utterances: how many at most; see `choose_utterances`.
        progress: show a progress bar.

    Returns:
        `bits` per sample; of a `MelDecoder` `mse` instead, the squared error of mel bands in units
        of 20 dB; `z_e_rms` and `code_rms`, the sizes of the encoder's outputs and of the
        decoder's inputs; with a codebook `codes_used`, `codes_dead` and `perplexity` over all
        frames; and `frames`, their number. Empty where the split is empty.
    """
    members = store.numbers(split)
    if not len(members):
        return {}
    chosen = choose_utterances(store.corpus, members, utterances)
    size, hop = model.bottleneck.num_embeddings, model.hop_length
    usage = CodeUsage(size, model.bottleneck.num_codebooks) if size else None
    names = (model.decoder.loss_name, "vq/z_e_rms", "vq/code_rms")
    sums, samples = np.zeros(len(names)), 0
    for number in tqdm(chosen, desc="validate", unit="utterance", disable=not progress):
        waveform = store.waveform(number)[: MAX_SECONDS * store.sample_rate]
        waveform = waveform[: max(1, len(waveform) // hop) * hop]
        batch = as_batch(waveform, hop)
        pitch = utterance_pitch(model, store, number, batch.shape[1] // hop)
        inputs = (batch, store.speaker_ids[[number]], *([] if pitch is None else [pitch]))
        measured, codes = model.measure(*inputs)
        loss, *sizes = (float(measured[name]) for name in names)
        sums += np.array([loss, *np.square(sizes)]) * batch.shape[1]
        samples += batch.shape[1]
        if usage is not None:
            usage.update_state(codes)
    error, *squares = sums / samples
    result = {"bits": error * BITS_PER_NAT} if model.is_autoregressive else {"mse": error}
    result |= dict(zip(("z_e_rms", "code_rms"), np.sqrt(squares), strict=True))
    if usage is not None:
        result |= {name.removeprefix("vq/"): value for name, value in usage.result().items()}
    result = {name: float(value) for name, value in result.items()}
    return {**result, "frames": samples // hop}
