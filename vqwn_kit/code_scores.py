"""What a model knows -> rows of the score card: likelihood, codebook, phones and speakers in codes.

Nothing is sampled here. Utterances that don't fit a measure are left out of it, and counted.
"""

from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
from keras import ops

from vqwn_kit.alignment import PHONES, frame_phones, phone_times
from vqwn_kit.cards import ScoreCard
from vqwn_kit.evaluation import (
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
    pool,
    proportion,
    ratio,
)
from vqwn_kit.run import Run
from vqwn_kit.store import Store
from vqwn_kit.vqvae import VQVAE, as_batch

BITS_PER_NAT = 1.0 / np.log(2.0)
MOST_SECONDS = 10  # of an utterance, for the likelihood: memory grows with it
MOST_TRAIN = 240  # training utterances that probes and the map of codes to phones learn from
WINDOW = 0.5  # seconds that a speaker probe hears at once
DEAF, HARD_OF_HEARING = 0.02, 0.15  # bits a sample; the decoder doesn't, or hardly, listen


@dataclass
class Subject:
    """A run and the utterances that it is examined on.

    Attributes:
        run: the run.
        store: the prepared corpus.
        held_out: numbers of the utterances that it is judged by.
        train: numbers of training utterances, at most MOST_TRAIN, evenly spread.
        seed: of all choices.
        progress: show progress bars.
    """

    run: Run
    store: Store
    held_out: np.ndarray
    train: np.ndarray
    seed: int = 0
    progress: bool = True

    @property
    def model(self) -> VQVAE:
        """The model of the run."""
        return self.run.model

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.store.sample_rate / self.model.hop_length

    def rng(self, *more: int) -> np.random.Generator:
        """Return random numbers that follow from the seed and `more` alone."""
        return np.random.default_rng([self.seed, *more])

    def speaker(self, number: int) -> str:
        """Return the name of an utterance's speaker."""
        return self.store.corpus.utterances[number].speaker

    def speaker_ids(self, numbers: np.ndarray) -> np.ndarray:
        """Return the speakers' numbers in the model, int32."""
        return self.model.speaker_ids([self.speaker(number) for number in numbers])

    def bar(self, numbers, what: str):
        """Return the numbers in a progress bar with the time left."""
        from tqdm import tqdm

        return tqdm(numbers, desc=what, unit="utterance", disable=not self.progress)

    @cached_property
    def codes(self) -> dict[int, np.ndarray]:
        """Codes (N,) by number, of the held-out and the training utterances."""
        if not self.model.bottleneck.num_embeddings:
            raise NotMeasured("the model has no codebook")
        numbers = [*self.held_out, *self.train]
        return {
            number: self.model.encode(self.store.waveform(number))[0]
            for number in self.bar(numbers, "encode")
        }

    @cached_property
    def phones(self) -> dict[int, np.ndarray]:
        """Phone of each frame, int (N,), -1 for silence, by number; where times are known."""
        times = phone_times(self.store, [*self.held_out, *self.train], self.progress)
        lengths = {
            number: -(-self.store.lengths[number] // self.model.hop_length) for number in times
        }
        return {
            number: frame_phones(spans, lengths[number], self.frame_rate)
            for number, spans in times.items()
        }


def bits_per_sample(model: VQVAE, waveform: np.ndarray, speaker: str, z_q: np.ndarray) -> float:
    """Return how many bits a sample of a waveform costs, each given the true ones before it.

    Args:
        model: the model.
        waveform: (T,), T a multiple of `hop_length`.
        speaker: whom the decoder takes it to be.
        z_q: (1, T / hop_length, D), what the decoder hears.
    """
    targets = model.targets(as_batch(waveform, model.hop_length))
    logits = model.decode(z_q, model.speaker_ids([speaker]), targets)
    nats = keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
    return float(ops.mean(nats)) * BITS_PER_NAT


LIES = {
    "codes shuffled within the utterance": "bits a sample, codes shuffled",
    "codes of another utterance": "bits a sample, another utterance",
    "no codes": "bits a sample, codes zeroed",
    "another speaker": "bits a sample, another speaker",
}


def score_likelihood(card: ScoreCard, subject: Subject) -> None:
    """Add bits a sample, and what they become when the decoder is told something else."""
    names = ["bits a sample", *LIES.values()]
    table = [_bits_of(subject, number) for number in subject.bar(subject.held_out, "listen")]
    samples, bits = np.array([row[0] for row in table]), np.array([row[1] for row in table])
    section, of = "likelihood", "utterances"
    card.add(section, names[0], ratio(bits[:, 0] * samples, samples), "bits", of)
    gaps = {}
    for column, (lie, name) in enumerate(LIES.items(), 1):
        with card.measuring(name):
            told = ~np.isnan(bits[:, column])
            if not told.any():
                raise NotMeasured("there is one speaker only" if "speaker" in lie else
                                  "each speaker has one utterance only")  # fmt: skip
            weights = samples[told]
            value = ratio(bits[told, column] * weights, weights)
            gaps[name] = ratio((bits[told, column] - bits[told, 0]) * weights, weights)
            gap = gaps[name]
            limits = "" if gap.low is None else f" ({gap.low:+.3f} to {gap.high:+.3f})"
            card.add(section, name, value, "bits", of, f"{gap.value:+.3f}{limits}")
    gap = gaps["bits a sample, codes shuffled"]
    card.add(section, "listening gap", gap, "bits", of, "codes shuffled against true")
    card.verdicts.append(verdict(gap.value, "the codes"))
    if "bits a sample, another speaker" in gaps:
        gap = gaps["bits a sample, another speaker"]
        card.verdicts.append(verdict(gap.value, "the speaker"))


def verdict(gap: float, what: str) -> str:
    """Say in plain words what a gap in bits a sample means."""
    if gap < DEAF:
        does = "ignores"
    elif gap < HARD_OF_HEARING:
        does = "hardly listens to"
    else:
        does = "listens to"
    return f"The decoder {does} {what}: false ones cost {gap:+.3f} bits a sample."


def _bits_of(subject: Subject, number: int) -> tuple[int, list[float]]:
    """Return the samples of an utterance and its bits with the truth and with each of LIES."""
    model, rng = subject.model, subject.rng(1, int(number))
    hop = model.hop_length
    waveform = subject.store.waveform(number)[: MOST_SECONDS * subject.store.sample_rate]
    waveform = waveform[: len(waveform) // hop * hop] if len(waveform) > hop else waveform
    speaker = subject.speaker(number)
    z_q = np.array(model.latents(waveform).z_q)
    waveform = as_batch(waveform, hop)[0, :, 0]
    told = {
        "codes shuffled within the utterance": z_q[:, rng.permutation(z_q.shape[1])],
        "no codes": np.zeros_like(z_q),
    }
    same = [n for n in subject.held_out if n != number and subject.speaker(n) == speaker]
    if same:
        other = np.array(model.latents(subject.store.waveform(rng.choice(same))).z_q)
        told["codes of another utterance"] = other[:, np.arange(z_q.shape[1]) % other.shape[1]]
    result = [bits_per_sample(model, waveform, speaker, z_q)]
    for lie in LIES:
        if lie == "another speaker":
            others = [name for name in subject.run.speakers if name != speaker]
            name = rng.choice(others) if others else None
            heard = z_q if others else None
        else:
            name, heard = speaker, told.get(lie)
        known = heard is not None
        result.append(bits_per_sample(model, waveform, str(name), heard) if known else np.nan)
    return len(waveform), result


def score_codebook(card: ScoreCard, subject: Subject) -> None:
    """Add how the codes are used on all held-out frames, and the bits a second they carry."""
    size, section = subject.model.bottleneck.num_embeddings, "codebook"
    names = ("codes used", "dead codes", "perplexity", "bit rate, nominal", "bit rate, by entropy")
    names += ("distance from uniform", "distance from uniform while training")
    with card.measuring(*names):
        counts = np.array([code_counts(subject.codes[n], size) for n in subject.held_out])
        used = int((counts.sum(axis=0) > 0).sum())
        frames, n = int(counts.sum()), len(counts)
        of = "utterances"
        card.add(section, "codes used", Estimate(used, None, None, n), "", of,
                 f"of K = {size} ({100 * used / size:.0f} %), on {frames:,} frames")  # fmt: skip
        card.add(section, "dead codes", Estimate(size - used, None, None, n), "", of)
        card.add(section, "perplexity", jackknife(counts, perplexity), "", of, f"of {size}")
        nominal, rate = np.log2(size), subject.frame_rate
        card.add(section, "bit rate, nominal", Estimate(rate * nominal, None, None, n), "bits/s",
                 of, f"{rate:g} codes a second of {nominal:g} bits")  # fmt: skip
        carried = jackknife(counts, lambda total: rate * entropy(total))
        card.add(section, "bit rate, by entropy", carried, "bits/s", of)
        far = jackknife(counts, lambda total: nominal - entropy(total))
        card.add(section, "distance from uniform", far, "bits", of, "KL, log2 K less the entropy")
        records = [record for record in subject.run.history if "vq/perplexity" in record]
        card.divergence = [(r["step"], float(nominal - np.log2(r["vq/perplexity"]))) for r in records
                           if r["step"] <= subject.run.newest]  # fmt: skip
        if not card.divergence:
            raise NotMeasured("the run has no history.jsonl")
        (first, start), (last, end) = card.divergence[0], card.divergence[-1]
        card.add(section, "distance from uniform while training",
                 Estimate(end, None, None, len(card.divergence)), "bits", "log lines",
                 f"{start:.2f} at step {first}, {end:.2f} at step {last}")  # fmt: skip


def score_phones(card: ScoreCard, subject: Subject) -> None:
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


def score_speakers(card: ScoreCard, subject: Subject) -> None:
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
    inputs = {"log-mel input": _mel_windows, "z_e": _z_e_windows, "codes": _code_windows}
    for what, windows in inputs.items():
        name = f"speaker from {what}"
        with card.measuring(name):
            made = {
                part: [windows(subject, n) for n in subject.bar(numbers, f"probe {what}")]
                for part, numbers in (("train", subject.train), ("held_out", subject.held_out))
            }
            labels = np.repeat(subject.speaker_ids(subject.train), [len(w) for w in made["train"]])
            probe = linear_probe(np.concatenate(made["train"]), labels)
            truth = subject.speaker_ids(subject.held_out)
            right = [
                (probe.predict(w) == t).sum() for w, t in zip(made["held_out"], truth, strict=True)
            ]
            counts = [len(w) for w in made["held_out"]]
            chance = np.bincount(truth, counts).max() / sum(counts)
            card.add(section, name, ratio(right, counts), "%", "utterances",
                     f"linear probe, {WINDOW:g} s windows; the commonest speaker has "
                     f"{100 * chance:.0f} %")  # fmt: skip


def _mel_windows(subject: Subject, number: int) -> np.ndarray:
    return mel_windows(subject.store.waveform(number), subject.store.sample_rate)


def mel_windows(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the mean log-mel spectrum of each WINDOW of a waveform (T,), (W, 80)."""
    return pool(log_mel(waveform, sample_rate).T, WINDOW * sample_rate / 256)


def _z_e_windows(subject: Subject, number: int) -> np.ndarray:
    waveform = as_batch(subject.store.waveform(number), subject.model.hop_length)
    z_e = ops.convert_to_numpy(subject.model.encoder(waveform, training=False))[0]
    return pool(z_e.astype(np.float32), WINDOW * subject.frame_rate)


def _code_windows(subject: Subject, number: int) -> np.ndarray:
    codes = np.eye(subject.model.bottleneck.num_embeddings, dtype=np.float32)[subject.codes[number]]
    return pool(codes, WINDOW * subject.frame_rate)
