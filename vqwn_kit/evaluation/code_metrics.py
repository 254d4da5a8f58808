"""Rows of the score card without sampling: likelihood, codebook, phones and speakers in the codes.

Utterances that a measure cannot use are left out of it; n counts the others.
"""

from collections.abc import Callable

import numpy as np

from vqwn_kit.evaluation import metrics
from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.metrics import Estimate, NotMeasured, jackknife, ratio
from vqwn_kit.evaluation.phones import PHONES
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.models.vqvae import as_batch

MAX_SECONDS = 10  # of an utterance, for the likelihood: memory grows with it
IGNORED_BELOW, WEAK_BELOW = 0.02, 0.15  # extra bits per sample with wrong conditioning
ABLATIONS = {  # what the decoder is conditioned on instead, and why there may be no such thing
    "codes shuffled": "",
    "codes of another utterance": "each speaker has only one utterance",
    "codes zeroed": "",
    "another speaker": "there is only one speaker",
}
VERDICTS = {"codes shuffled": "the codes", "another speaker": "the speaker"}


def score_likelihood(card: ScoreCard, context: EvaluationContext) -> None:
    """Add bits per sample, and the extra bits if the decoder gets wrong codes or a wrong speaker.

    Extra bits near 0 mean that the decoder ignores its conditioning.
    """
    if not context.model.is_autoregressive:
        card.skipped["likelihood"] = "a first stage predicts mel bands, not samples"
        return
    utterances = [_bits_of(context, n) for n in context.bar(context.held_out, "likelihood")]
    samples, bits = (np.array(column) for column in zip(*utterances, strict=True))
    section, of = "likelihood", "utterances"
    card.add(section, "bits per sample", ratio(bits[:, 0] * samples, samples), "bits", of)
    for column, (ablation, missing) in enumerate(ABLATIONS.items(), 1):
        name = f"extra bits, {ablation}"
        with card.measuring(name):
            known = ~np.isnan(bits[:, column])
            if not known.any():
                raise NotMeasured(missing)
            weights, more = samples[known], bits[known, column] - bits[known, 0]
            total = np.sum(bits[known, column] * weights) / weights.sum()
            extra, note = ratio(more * weights, weights), f"{total:.3f} bits per sample in all"
            card.add(section, name, extra, "bits", of, note)
            if ablation in VERDICTS:
                card.verdicts.append(verdict(extra.value, ablation))


def verdict(extra: float, ablation: str) -> str:
    """Say what the extra bits per sample of an ablation, a key of VERDICTS, mean."""
    depends = "depends on"
    if extra < WEAK_BELOW:
        depends = "ignores" if extra < IGNORED_BELOW else "hardly depends on"
    conditioning = VERDICTS[ablation]
    return f"The decoder {depends} {conditioning}: {extra:+.3f} bits per sample with {ablation}."


def _bits_of(context: EvaluationContext, number: int) -> tuple[int, list[float]]:
    """Return the samples of an utterance; its bits as it is and with each of ABLATIONS, or NaN."""
    model, rng = context.model, context.rng(1, int(number))
    hop = model.hop_length
    waveform = context.store.waveform(number)[: MAX_SECONDS * context.store.sample_rate]
    waveform = as_batch(waveform[: max(1, len(waveform) // hop) * hop], hop)
    z_q, speaker = np.array(model.vector_quantize(waveform).z_q), context.speaker_ids([number])
    frames = np.arange(z_q.shape[1])
    ablations = {
        "codes shuffled": (speaker, z_q[:, rng.permutation(frames)]),
        "codes zeroed": (speaker, np.zeros_like(z_q)),
    }
    for part in (context.held_out, context.train):
        same = [n for n in part if n != number and context.speaker(n) == context.speaker(number)]
        if same:
            other = np.array(model.vector_quantize(context.store.waveform(rng.choice(same))).z_q)
            other = other[:, frames % other.shape[1]]
            ablations["codes of another utterance"] = (speaker, other)
            break
    if others := context.other_speakers(number):
        ablations["another speaker"] = (model.speaker_ids([str(rng.choice(others))]), z_q)
    inputs = [(speaker, z_q), *map(ablations.get, ABLATIONS)]
    bits = [np.nan if pair is None else float(context.bits(waveform, *pair)) for pair in inputs]
    return waveform.shape[1], bits


def score_codebook(card: ScoreCard, context: EvaluationContext) -> None:
    """Add the use of the codes on all held-out frames, and the bits per second they carry."""
    size, section, of = context.model.bottleneck.num_embeddings, "codebook", "utterances"
    names = ("codes used", "dead codes", "perplexity", "bit rate, nominal", "bit rate, by entropy")
    names += ("distance from uniform", "distance from uniform while training")
    with card.measuring(*names):
        counts = np.array([metrics.code_counts(context.codes[n], size) for n in context.held_out])
        used, frames, n = int((counts.sum(axis=0) > 0).sum()), int(counts.sum()), len(counts)
        nominal, rate = np.log2(size), context.frame_rate
        used_note = f"of K = {size} ({100 * used / size:.0f} %), on {frames:,} frames"
        rate_note = f"{rate:g} codes per second of {nominal:g} bits"
        uniform = jackknife(counts, lambda total: nominal - metrics.entropy(total))
        rows = (
            (Estimate(used, None, None, n), "codes", used_note),
            (Estimate(size - used, None, None, n), "codes", ""),
            (jackknife(counts, metrics.perplexity), "", f"of {size}"),
            (Estimate(rate * nominal, None, None, n), "bits/s", rate_note),
            (jackknife(counts, lambda total: rate * metrics.entropy(total)), "bits/s", ""),
            (uniform, "bits", "KL divergence: log2 K - entropy"),
        )
        for name, (estimate, unit, note) in zip(names, rows, strict=False):
            card.add(section, name, estimate, unit, of, note)
        card.divergence = [
            (record["step"], float(nominal - np.log2(record["vq/perplexity"])))
            for record in context.run.history
            if "vq/perplexity" in record and record["step"] <= context.run.newest
        ]
        if not card.divergence:
            raise NotMeasured("the run has no history.jsonl")
        (first, start), (last, end) = card.divergence[0], card.divergence[-1]
        note = f"{start:.2f} at step {first}, {end:.2f} at step {last}"
        final = Estimate(end, None, None, len(card.divergence))
        card.add(section, names[-1], final, "bits", "log lines", note)


def score_phones(card: ScoreCard, context: EvaluationContext) -> None:
    """Add how well a code predicts the phone of its frame, without silence."""
    section, of = "phones in the codes", "utterances"
    names = ("phone accuracy of codes", "phone accuracy of the prior", "mutual information")
    with card.measuring(*names):
        codes, phones = context.codes, context.phones
        known = [[n for n in part if n in phones] for part in (context.train, context.held_out)]
        if not all(known):
            raise NotMeasured("no phone times in both splits")
        size = context.model.bottleneck.num_embeddings
        train = [np.concatenate([part[n] for n in known[0]]) for part in (codes, phones)]
        table = metrics.code_phone_table(*train, size, len(PHONES))
        card.code_phones, card.phones = table, PHONES
        mapping, majority = metrics.phone_of_code(table), int(np.argmax(table.sum(axis=0)))
        pairs = [(codes[n][phones[n] >= 0], phones[n][phones[n] >= 0]) for n in known[1]]
        frames = [len(truth) for _, truth in pairs]
        hits = [int((mapping[code] == truth).sum()) for code, truth in pairs]
        note = (
            f"frames; K = {size} at {context.frame_rate:g} Hz, map fitted on {len(known[0])} "
            "training utterances; van den Oord 2017: 49.3 %, with 128 codes at 25 Hz on other data"
        )
        card.add(section, names[0], ratio(hits, frames), "%", of, note)
        hits = [int((truth == majority).sum()) for _, truth in pairs]
        note = f"always {PHONES[majority]}; van den Oord 2017: 7.2 %"
        card.add(section, names[1], ratio(hits, frames), "%", of, note)
        bits = [metrics.phone_information(table, *pair).sum() for pair in pairs]
        total = metrics.entropy(np.bincount(np.concatenate([truth for _, truth in pairs])))
        note = f"per frame, of the phones' entropy of {total:.2f}; a lower bound"
        card.add(section, names[2], ratio(bits, frames), "bits", of, note)


def score_speakers(card: ScoreCard, context: EvaluationContext) -> None:
    """Add separability of the sexes in the speaker embedding, and speaker probes on features."""
    name = "embedding separates the sexes"
    with card.measuring(name):
        sexes = np.array([facts.get("sex", "") for facts in context.run.speakers.values()])
        known = sexes != ""
        if not known.any():
            raise NotMeasured("the corpus does not say the sex of its speakers")
        vectors = context.model.decoder.speakers.numpy()[known]
        hits = metrics.proportion(metrics.nearest_class_hits(vectors, sexes[known]))
        note = "nearest to the mean of their own sex, leave-one-out"
        card.add("speakers", name, hits, "%", "speakers", note)
    rate = context.store.sample_rate
    inputs = {
        "log-mel input": lambda n: metrics.log_mel(context.store.waveform(n), rate).T,
        "z_e": lambda n: context.encoded[n].z_e,
        "codes": lambda n: _one_hot(context, n),
    }
    for feature, frames in inputs.items():
        name = f"speaker from {feature}"
        with card.measuring(name):
            hits, chance = _probe_speakers(context, frames)
            note = f"linear probe on single frames; the most frequent speaker has {chance:.0f} %"
            card.add("speakers", name, hits, "%", "utterances", note)


def _probe_speakers(
    context: EvaluationContext, frames: Callable[[int], np.ndarray]
) -> tuple[Estimate, float]:
    """Return held-out accuracy of a speaker probe, and the share of the most frequent in %."""
    features = [frames(n) for n in context.train]
    labels = np.repeat(context.speaker_ids(context.train), [len(part) for part in features])
    probe = metrics.linear_probe(np.concatenate(features), labels)
    features = [frames(n) for n in context.held_out]
    truth, counts = context.speaker_ids(context.held_out), [len(part) for part in features]
    hits = [(probe.predict(x) == t).sum() for x, t in zip(features, truth, strict=True)]
    return ratio(hits, counts), 100 * np.bincount(truth, counts).max() / sum(counts)


def _one_hot(context: EvaluationContext, number: int) -> np.ndarray:
    """Return every `probe_every`-th code of an utterance, as rows of a unit matrix."""
    size = context.model.bottleneck.num_embeddings
    codes = context.codes[number][:: context.probe_every]
    return np.eye(size, dtype=np.float32)[codes]


SCORES = (score_likelihood, score_codebook, score_phones, score_speakers)  # in this order
