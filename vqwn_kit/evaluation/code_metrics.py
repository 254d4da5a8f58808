"""Rows of the score card without sampling: likelihood, codebook, phones and speakers in the codes.

Utterances that a measure cannot use are left out of it. n counts sentences: what several speakers
read is one.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from vqwn_kit.evaluation import metrics
from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.metrics import Estimate, NotMeasured, jackknife, ratio
from vqwn_kit.evaluation.phones import PHONES
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.models.pitch import pitch_to_levels
from vqwn_kit.models.vqvae import as_batch

MAX_SECONDS = 10  # of an utterance, for the likelihood: memory grows with it
IGNORED_BELOW, WEAK_BELOW = 0.02, 0.15  # extra bits per sample with wrong conditioning
ABLATIONS = {  # what the decoder is conditioned on instead, and why there may be no such thing
    "codes shuffled": "",
    "codes of another utterance": "each speaker has only one utterance",
    "codes zeroed": "",
    "another speaker": "there is only one speaker",
}
# One more, where the decoder is conditioned on pitch; past samples have it too, so it may be near 0
PITCH = "pitch shuffled"
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
    sentences = np.array(context.sentences(context.held_out))
    mean = ratio(bits[:, 0] * samples, samples, sentences)
    card.add(section, "bits per sample", mean, "bits", of, observations=len(samples))
    ablations = ABLATIONS | ({PITCH: ""} if context.model.pitch_levels else {})
    for column, (ablation, missing) in enumerate(ablations.items(), 1):
        name = f"extra bits, {ablation}"
        with card.measuring(name):
            known = ~np.isnan(bits[:, column])
            if not known.any():
                raise NotMeasured(missing)
            weights, more = samples[known], bits[known, column] - bits[known, 0]
            in_all = np.sum(bits[known, column] * weights) / weights.sum()
            extra = ratio(more * weights, weights, sentences[known])
            note = f"{in_all:.3f} bits per sample in all"
            card.add(section, name, extra, "bits", of, note, len(weights))
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
    """Return the samples of an utterance; its bits as it is and with each ablation, or NaN."""
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
    if model.pitch_levels:
        pitch = context.pitch(number, len(frames))
        inputs = [None if pair is None else (*pair, pitch) for pair in inputs]
        inputs.append((speaker, z_q, pitch[:, rng.permutation(frames)]))
    bits = [np.nan if part is None else float(context.bits(waveform, *part)) for part in inputs]
    return waveform.shape[1], bits


def score_codebook(card: ScoreCard, context: EvaluationContext) -> None:
    """Add the use of the codes on all held-out frames, and the bits per second they carry."""
    size, section, of = context.model.bottleneck.num_embeddings, "codebook", "utterances"
    names = ("codes used", "dead codes", "perplexity", "perplexity, bias-corrected")
    names += ("bit rate, nominal", "bit rate, by entropy")
    names += ("distance from uniform", "distance from uniform while training")
    with card.measuring(*names):
        counts = np.array([_counts(context.codes[n], size) for n in context.held_out])
        sentences, n = context.sentences(context.held_out), len(counts)  # counts: (U, Q, K)
        used, codebooks = int((counts.sum(axis=0) > 0).sum()), counts.shape[1]
        frames, total = int(counts.sum()) // codebooks, codebooks * size
        nominal, rate = np.log2(size), context.frame_rate * codebooks
        used_note = f"of {total} ({100 * used / total:.0f} %), on {frames:,} frames"
        used_note += _each((counts.sum(axis=0) > 0).sum(axis=1))
        rate_note = f"{rate:g} codes per second of {nominal:g} bits"
        entropy, corrected = (partial(_mean, f) for f in (metrics.entropy, metrics.miller_madow))
        note = f"of {size}; by Miller and Madow, less biased on few frames"
        perplexities = [metrics.perplexity(part) for part in counts.sum(axis=0)]
        statistics = (
            (metrics.mean_perplexity, "", f"of {size}" + _each(perplexities)),
            (lambda counts: 2.0 ** corrected(counts), "", note),
            (lambda counts: rate * entropy(counts), "bits/s", ""),
            (lambda counts: nominal - entropy(counts), "bits", "KL divergence: log2 K - entropy"),
        )
        found = [(jackknife(counts, f, sentences), *more) for f, *more in statistics]
        rows = (
            (Estimate(used, None, None, n), "codes", used_note),
            (Estimate(total - used, None, None, n), "codes", ""),
            *found[:2],
            (Estimate(rate * nominal, None, None, n), "bits/s", rate_note),
            *found[2:],
        )
        for name, row in zip(names, rows, strict=False):
            card.add(section, name, row[0], row[1], of, row[2], n)
        card.divergence = [
            (record["step"], float(nominal - np.log2(record["vq/perplexity"])))
            for record in context.run.history
            if "vq/perplexity" in record and record["step"] <= context.run.model_step
        ]
        if not card.divergence:
            raise NotMeasured("the run has no history.jsonl")
        (first, start), (last, end) = card.divergence[0], card.divergence[-1]
        note = f"{start:.2f} at step {first}, {end:.2f} at step {last}"
        final = Estimate(end, None, None, len(card.divergence))
        card.add(section, names[-1], final, "bits", "log lines", note)


def score_pitch(card: ScoreCard, context: EvaluationContext) -> None:
    """Add the bits per second of the pitch, where the decoder is conditioned on it."""
    size = context.model.pitch_levels
    if not size:
        return
    levels = [
        [np.array(pitch_to_levels(context.pitch(n), size))[0] for n in part]
        for part in (context.train, context.held_out)
    ]
    bits, n = metrics.bigram_bits(*levels, size), len(context.held_out)
    rate, lengths = context.frame_rate, [len(part) for part in bits]
    coded = ratio(
        [rate * part.sum() for part in bits], lengths, context.sentences(context.held_out)
    )
    note = f"{rate:g} levels per second of {np.log2(size):.3g} bits, beside the codes"
    rows = {
        "pitch rate, nominal": (Estimate(rate * float(np.log2(size)), None, None, n), note),
        "pitch rate, by a bigram": (coded, "of the levels, fitted on the training utterances"),
    }
    for name, (estimate, note) in rows.items():
        card.add("pitch", name, estimate, "bits/s", "utterances", note, n)


def _counts(codes: np.ndarray, size: int) -> np.ndarray:
    """Return how often each code of each codebook occurs, int (Q, K), in codes (N,) or (N, Q)."""
    return np.array([metrics.code_counts(part, size) for part in codes.reshape(len(codes), -1).T])


def _each(values: Sequence[float]) -> str:
    """Return a value of each codebook as the end of a note, of several codebooks."""
    texts = ", ".join(f"{value:.0f}" for value in values)
    return f"; by codebook: {texts}" if len(values) > 1 else ""


def _mean(measure: Callable[[np.ndarray], float], counts: np.ndarray) -> float:
    """Return the mean over codebooks of a measure of counts (Q, K)."""
    return float(np.mean([measure(part) for part in counts]))


def score_phones(card: ScoreCard, context: EvaluationContext) -> None:
    """Add how well a code, the first of each frame, predicts its phone, without silence."""
    section, of = "phones in the codes", "utterances"
    names = ("phone accuracy of codes", "phone accuracy of the prior", "mutual information")
    with card.measuring(*names):
        codes = {n: c.reshape(len(c), -1)[:, 0] for n, c in context.codes.items()}
        phones = context.phones
        known = [[n for n in part if n in phones] for part in (context.train, context.held_out)]
        if not all(known):
            raise NotMeasured("no phone times in both splits")
        bottleneck = context.model.bottleneck
        size, several = bottleneck.num_embeddings, bottleneck.num_codebooks > 1
        train = [np.concatenate([part[n] for n in known[0]]) for part in (codes, phones)]
        table = metrics.code_phone_table(*train, size, len(PHONES))
        card.code_phones, card.phones = table, PHONES
        mapping, majority = metrics.phone_of_code(table), int(np.argmax(table.sum(axis=0)))
        sentences = context.sentences(known[1])
        pairs = [(codes[n][phones[n] >= 0], phones[n][phones[n] >= 0]) for n in known[1]]
        frames = [len(truth) for _, truth in pairs]
        hits = [int((mapping[code] == truth).sum()) for code, truth in pairs]
        note = (
            f"frames; {'first codebook, ' if several else ''}K = {size} at "
            f"{context.frame_rate:g} Hz, map fitted on {len(known[0])} "
            "training utterances; van den Oord 2017: 49.3 %, with 128 codes at 25 Hz on other data"
        )
        card.add(section, names[0], ratio(hits, frames, sentences), "%", of, note, len(hits))
        hits = [int((truth == majority).sum()) for _, truth in pairs]
        note = f"always {PHONES[majority]}; van den Oord 2017: 7.2 %"
        card.add(section, names[1], ratio(hits, frames, sentences), "%", of, note, len(hits))
        bits = [metrics.phone_information(table, *pair).sum() for pair in pairs]
        total = metrics.entropy(np.bincount(np.concatenate([truth for _, truth in pairs])))
        note = f"per frame, of the phones' entropy of {total:.2f}; a lower bound"
        card.add(section, names[2], ratio(bits, frames, sentences), "bits", of, note, len(bits))


def score_speakers(card: ScoreCard, context: EvaluationContext) -> None:
    """Add separability of the sexes in the speaker embedding, and speaker probes on features."""
    name = "embedding separates the sexes"
    with card.measuring(name):
        sexes = np.array([facts.get("sex", "") for facts in context.run.trained_speakers.values()])
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
            total = len(context.held_out)
            card.add("speakers", name, hits, "%", "utterances", note, total)


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
    sentences = context.sentences(context.held_out)
    return ratio(hits, counts, sentences), 100 * np.bincount(truth, counts).max() / sum(counts)


def _one_hot(context: EvaluationContext, number: int) -> np.ndarray:
    """Return every `probe_every`-th code of an utterance, (N', Q K), as rows of a unit matrix."""
    size = context.model.bottleneck.num_embeddings
    codes = context.codes[number][:: context.probe_every]
    return np.eye(size, dtype=np.float32)[codes].reshape(len(codes), -1)


# in this order
SCORES = (score_likelihood, score_codebook, score_pitch, score_phones, score_speakers)
