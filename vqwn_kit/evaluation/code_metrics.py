"""What a model knows -> rows of the score card: likelihood, codebook, phones and speakers in codes.

Nothing is sampled here. Utterances that don't fit a measure are left out of it, and counted.
"""

import numpy as np

from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.metrics.measures import (
    Estimate,
    NotMeasured,
    code_counts,
    code_phone_table,
    entropy,
    jackknife,
    linear_probe,
    log_mel,
    nearest_class_hits,
    perplexity,
    phone_information,
    phone_of_code,
    proportion,
    ratio,
)
from vqwn_kit.evaluation.phones import PHONES
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.models.vqvae import as_batch

MOST_SECONDS = 10  # of an utterance, for the likelihood: memory grows with it
MOST_TRAIN = 240  # training utterances that probes and the map of codes to phones learn from
DEAF, HARD_OF_HEARING = 0.02, 0.15  # bits a sample; the decoder doesn't, or hardly, listen
LIES = {  # what the decoder is told, and why there may be no such thing
    "codes shuffled": "",
    "another utterance": "each speaker has one utterance only",
    "codes zeroed": "",
    "another speaker": "there is one speaker only",
}
VERDICTS = {"codes shuffled": "the codes", "another speaker": "the speaker"}


def score_likelihood(card: ScoreCard, subject: EvaluationContext) -> None:
    """Add bits a sample, and how many more they are when the decoder is told something else."""
    told = [_bits_of(subject, number) for number in subject.bar(subject.held_out, "listen")]
    samples, bits = np.array([row[0] for row in told]), np.array([row[1] for row in told])
    section, of = "likelihood", "utterances"
    card.add(section, "bits a sample", ratio(bits[:, 0] * samples, samples), "bits", of)
    for column, (lie, missing) in enumerate(LIES.items(), 1):
        name = f"listening gap, {lie}"
        with card.measuring(name):
            known = ~np.isnan(bits[:, column])
            if not known.any():
                raise NotMeasured(missing)
            weights, more = samples[known], bits[known, column] - bits[known, 0]
            whole = np.sum(bits[known, column] * weights) / weights.sum()
            row = card.add(
                section, name, ratio(more * weights, weights), "bits", of,
                f"more than the truth: {whole:.3f} in all",
            )  # fmt: skip
            if lie in VERDICTS:
                card.verdicts.append(verdict(row.value, VERDICTS[lie]))


def verdict(gap: float, what: str) -> str:
    """Say in plain words what a gap in bits a sample means."""
    if gap < DEAF:
        does = "ignores"
    elif gap < HARD_OF_HEARING:
        does = "hardly listens to"
    else:
        does = "listens to"
    return f"The decoder {does} {what}: false ones cost {gap:+.3f} bits a sample."


def _bits_of(subject: EvaluationContext, number: int) -> tuple[int, list[float]]:
    """Return the samples of an utterance and its bits with the truth and with each of LIES."""
    model, rng = subject.model, subject.rng(1, int(number))
    hop = model.hop_length
    waveform = subject.store.waveform(number)[: MOST_SECONDS * subject.store.sample_rate]
    waveform = as_batch(waveform[: max(1, len(waveform) // hop) * hop], hop)
    z_q, speaker = np.array(model.vector_quantize(waveform).z_q), subject.speaker_ids([number])
    frames = np.arange(z_q.shape[1])
    told = {
        "codes shuffled": (speaker, z_q[:, rng.permutation(frames)]),
        "codes zeroed": (speaker, np.zeros_like(z_q)),
    }
    own = subject.speaker(number)
    same = [
        [n for n in part if n != number and subject.speaker(n) == own]
        for part in (subject.held_out, subject.train)
    ]
    same = same[0] or same[1]
    if same:
        other = np.array(model.vector_quantize(subject.store.waveform(rng.choice(same))).z_q)
        told["another utterance"] = (speaker, other[:, frames % other.shape[1]])
    others = [name for name in subject.run.speakers if name != own]
    if others:
        told["another speaker"] = (model.speaker_ids([str(rng.choice(others))]), z_q)
    bits = [float(subject.bits(waveform, speaker, z_q))]
    bits += [float(subject.bits(waveform, *told[lie])) if lie in told else np.nan for lie in LIES]
    return waveform.shape[1], bits


def score_codebook(card: ScoreCard, subject: EvaluationContext) -> None:
    """Add how the codes are used on all held-out frames, and the bits a second they carry."""
    size, section = subject.model.bottleneck.num_embeddings, "codebook"
    names = ("codes used", "dead codes", "perplexity", "bit rate, nominal", "bit rate, by entropy")
    names += ("distance from uniform", "distance from uniform while training")
    with card.measuring(*names):
        counts = np.array([code_counts(subject.codes[n], size) for n in subject.held_out])
        used = int((counts.sum(axis=0) > 0).sum())
        frames, n = int(counts.sum()), len(counts)
        of = "utterances"
        card.add(section, "codes used", Estimate(used, None, None, n), "codes", of,
                 f"of K = {size} ({100 * used / size:.0f} %), on {frames:,} frames")  # fmt: skip
        card.add(section, "dead codes", Estimate(size - used, None, None, n), "codes", of)
        card.add(section, "perplexity", jackknife(counts, perplexity), "", of, f"of {size}")
        nominal, rate = np.log2(size), subject.frame_rate
        card.add(section, "bit rate, nominal", Estimate(rate * nominal, None, None, n), "bits/s",
                 of, f"{rate:g} codes a second of {nominal:g} bits")  # fmt: skip
        carried = jackknife(counts, lambda total: rate * entropy(total))
        card.add(section, "bit rate, by entropy", carried, "bits/s", of)
        far = jackknife(counts, lambda total: nominal - entropy(total))
        card.add(section, "distance from uniform", far, "bits", of, "KL, log2 K less the entropy")
        records = [record for record in subject.run.history if "vq/perplexity" in record]
        card.divergence = [
            (record["step"], float(nominal - np.log2(record["vq/perplexity"])))
            for record in records if record["step"] <= subject.run.newest
        ]  # fmt: skip
        if not card.divergence:
            raise NotMeasured("the run has no history.jsonl")
        (first, start), (last, end) = card.divergence[0], card.divergence[-1]
        card.add(section, "distance from uniform while training",
                 Estimate(end, None, None, len(card.divergence)), "bits", "log lines",
                 f"{start:.2f} at step {first}, {end:.2f} at step {last}")  # fmt: skip


def score_phones(card: ScoreCard, subject: EvaluationContext) -> None:
    """Add how well a code tells the phone, silence left out."""
    section, of = "phones in the codes", "utterances"
    names = ("phone accuracy of codes", "phone accuracy of the prior", "mutual information")
    with card.measuring(*names):
        codes, phones = subject.codes, subject.phones
        known = [[n for n in part if n in phones] for part in (subject.train, subject.held_out)]
        if not all(known):
            raise NotMeasured("no phone times in both splits")
        learnt = [np.concatenate([part[n] for n in known[0]]) for part in (codes, phones)]
        table = code_phone_table(*learnt, subject.model.bottleneck.num_embeddings, len(PHONES))
        card.code_phones, card.phones = table, PHONES
        mapping, commonest = phone_of_code(table), int(np.argmax(table.sum(axis=0)))
        pairs = [(codes[n][phones[n] >= 0], phones[n][phones[n] >= 0]) for n in known[1]]
        frames = [len(truth) for _, truth in pairs]
        right = [int((mapping[heard] == truth).sum()) for heard, truth in pairs]
        usual = [int((truth == commonest).sum()) for _, truth in pairs]
        size = subject.model.bottleneck.num_embeddings
        card.add(section, names[0], ratio(right, frames), "%", of,
                 f"frames; K = {size} at {subject.frame_rate:g} Hz, map learnt on {len(known[0])} "
                 "training utterances; the paper's is 49.3 %, with 128 codes at 25 Hz on "
                 "other data")  # fmt: skip
        card.add(section, names[1], ratio(usual, frames), "%", of,
                 f"always {PHONES[commonest]}; the paper's is 7.2 %")  # fmt: skip
        told = [phone_information(table, *pair).sum() for pair in pairs]
        whole = entropy(np.bincount(np.concatenate([truth for _, truth in pairs])))
        card.add(section, names[2], ratio(told, frames), "bits", of,
                 f"a frame, of the {whole:.2f} that phones have; a bound from below")  # fmt: skip


def score_speakers(card: ScoreCard, subject: EvaluationContext) -> None:
    """Add whether the speakers' vectors tell the sexes apart, and who can be told from what."""
    section = "speakers"
    with card.measuring("embedding separates the sexes"):
        sexes = [facts.get("sex", "") for facts in subject.run.speakers.values()]
        known = np.array([bool(sex) for sex in sexes])
        if not known.any():
            raise NotMeasured("the corpus doesn't say the speakers' sex")
        vectors = subject.model.decoder.speakers.numpy()[known]
        hits = nearest_class_hits(vectors, np.array(sexes)[known])
        card.add(section, "embedding separates the sexes", proportion(hits), "%", "speakers",
                 "nearer to the mean of their own sex, themselves left out")  # fmt: skip
    inputs = {
        "log-mel input": lambda n: log_mel(subject.store.waveform(n), subject.store.sample_rate).T,
        "z_e": lambda n: subject.encoded[n].z_e,
        "codes": lambda n: _one_hot(subject, n),
    }
    for what, frames in inputs.items():
        name = f"speaker from {what}"
        with card.measuring(name):
            heard = [frames(n) for n in subject.train]
            labels = np.repeat(subject.speaker_ids(subject.train), [len(part) for part in heard])
            probe = linear_probe(np.concatenate(heard), labels)
            heard = [frames(n) for n in subject.held_out]
            truth, counts = subject.speaker_ids(subject.held_out), [len(part) for part in heard]
            right = [(probe.predict(x) == t).sum() for x, t in zip(heard, truth, strict=True)]
            chance = np.bincount(truth, counts).max() / sum(counts)
            card.add(section, name, ratio(right, counts), "%", "utterances",
                     f"linear probe on single frames; the commonest speaker has "
                     f"{100 * chance:.0f} %")  # fmt: skip


def _one_hot(subject: EvaluationContext, number: int) -> np.ndarray:
    """Return every few codes of an utterance, as rows of a unit matrix."""
    size = subject.model.bottleneck.num_embeddings
    codes = subject.codes[number][:: subject.probe_every]
    return np.eye(size, dtype=np.float32)[codes]
