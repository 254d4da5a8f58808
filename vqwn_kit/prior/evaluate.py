"""A prior and held-out utterances -> a score card: bits per code, calibration, stuck codes.

The bit rate of a run is the entropy rate of its codes, which the bits per code of its best prior
bound from above, times the codes per second.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vqwn_kit.data.audio import TRIM_DB
from vqwn_kit.data.corpus import Corpus, sentence_of
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.metrics.codes import calibration_error, longest_run
from vqwn_kit.evaluation.metrics.intervals import Estimate, proportion, ratio
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.files import replacing
from vqwn_kit.prior.config import PriorConfig
from vqwn_kit.prior.load import load_prior, read_config
from vqwn_kit.prior.model import CodePrior
from vqwn_kit.prior.ngram import NGram
from vqwn_kit.runs.codes import WINDOW, RunCodes, codes_of
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run

ORDERS = {"uniform": 0, "unigram": 1, "bigram": 2, "trigram": 3}
MAX_REPEAT = 0.3  # s; a sample that repeats a code for longer, outside silence, is stuck
SAMPLE_SECONDS = 3.0
SILENCE = f"{WINDOW * 1000:g} ms at least {TRIM_DB:g} dB under the loudest of the utterance"


@dataclass
class PriorCard(ScoreCard):
    """The measures of a prior; see `ScoreCard`.

    Attributes:
        confidence: probability of the likeliest code of each held-out frame, (M,).
        correct: whether that was the code, bool (M,).
        repeats: longest time in s that each sample repeats a code outside silence, (samples,).
        example: of a held-out utterance its key, surprisal in bits (N,), silence (N,), frame rate.
    """

    confidence: np.ndarray = field(default_factory=lambda: np.zeros(0))
    correct: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    repeats: np.ndarray = field(default_factory=lambda: np.zeros(0))
    example: tuple[str, np.ndarray, np.ndarray, float] | None = None

    def save(self, folder: str | Path) -> list[Path]:
        """Write the card and its figures into a folder; return the paths."""
        from matplotlib.figure import Figure

        from vqwn_kit import plots

        written = super().save(folder)
        confidence, correct = self.confidence, self.correct
        figures = {"calibration": lambda ax: plots.plot_calibration(confidence, correct, ax=ax)}
        if self.example is not None:
            key, bits, silent, rate = self.example
            style = {"title": key, "unit": self.rows[0].unit}
            figures["surprisal"] = lambda ax: plots.plot_surprisal(
                bits, rate, silent, ax=ax, **style
            )
        if len(self.repeats):
            seconds = self.repeats
            figures["repeats"] = lambda ax: plots.plot_longest_repeats(seconds, MAX_REPEAT, ax=ax)
        for name, draw in figures.items():
            figure = Figure(figsize=(7.0, 4.0), layout="constrained")
            draw(figure.add_subplot())
            path = Path(folder) / "figures" / f"{name}.png"
            with replacing(path) as scratch:
                figure.savefig(scratch, dpi=110)
            written.append(path)
        return written


def score_prior(
    run: Run | str | Path,
    data: Store | Corpus | str | Path | None = None,
    *,
    name: str = "prior",
    samples: int = 100,
    seed: int = 0,
    progress: bool = True,
) -> PriorCard:
    """Measure the prior of a run on held-out utterances, beside n-grams of the same codes.

    Args:
        run: the run, its folder, or a checkpoint.
        data: the corpus, its folder or its store; by default that of the run.
        name: of the prior's folder in the folder of the run.
        samples: number of samples of 3 s for the measure of stuck codes; 0 leaves it out.
        seed: of the samples.
        progress: show a progress bar while encoding.

    Raises:
        InputError: no such run, prior or corpus, or no held-out utterance.
    """
    run = load_run(run)
    prior, config = load_prior(run, name), read_config(run, name)
    store = store_of(run, data, progress)
    settings = PriorConfig(**config["training"])
    codes = codes_of(run, store, settings.encodings, progress, settings.pitch)
    return score_codes(prior, codes, samples, seed, {"run": run.folder.name})


def need_held_out(run: Run, store: Store) -> None:
    """Raise InputError where a corpus holds out nothing that a prior could be measured on."""
    if not any(u.split == "held_out" and u.speaker in run.trained_speakers for u in store.corpus):
        raise InputError(
            f"{store.corpus.folder} holds out no utterance of a speaker that the run knows, and a "
            "prior is measured on those: give a corpus that does (--data), or train without a "
            "measure, train_prior(..., score=False)"
        )


def score_codes(
    prior: CodePrior, codes: RunCodes, samples: int = 100, seed: int = 0, about: dict | None = None
) -> PriorCard:
    """Measure a prior on the held-out codes of a run; see `score_prior`."""
    members, train = codes.numbers("held_out"), codes.numbers("train")
    card = PriorCard(
        {
            **(about or {}),
            "corpus": codes.store.corpus.name,
            "tested on": f"{len(members)} utterances of split held_out",
            "trained on": f"{len(train)} of split train, in {len(codes.codes[train[0]])} encodings",
            "parameters": prior.count_params(),
        }
    )
    bits = {"prior": [surprise_of(prior, codes, n) for n in members]}
    if prior.speaker_names:
        bits["prior, no speaker"] = [surprise_of(prior, codes, n, False) for n in members]
    sequences, codebooks = [codes.tokens(n) for n in train], codes.num_codebooks
    for model, order in ORDERS.items():
        ngram = NGram.fitted(sequences, codes.num_embeddings, order, num_codebooks=codebooks)
        each = [ngram.bits(codes.tokens(n)[0]) for n in members]
        bits[model] = [row.reshape(-1, codebooks).sum(axis=1) for row in each]
    if codes.sizes:
        bits["uniform"] = [np.full(len(row), codes.bits_per_frame) for row in bits["uniform"]]
    silent = [codes.silent(n) for n in members]
    sentences = [sentence_of(codes.store.corpus.utterances[n]) for n in members]
    _score_bits(card, bits, silent, sentences, f"bits per {codes.unit}")
    _score_rates(card, bits, silent, sentences, codes)
    if codes.sizes:
        _score_pitch(card, prior, codes, members, sentences)
    _score_speakers(card, bits, members, codes)
    _score_calibration(card, prior, codes, members, sentences)
    if samples:
        _score_repeats(card, prior, codes, samples, seed)
    else:
        card.skipped["samples with a stuck code"] = "samples = 0"
    key = codes.store.corpus.utterances[members[0]].key
    card.example = (key, bits["prior"][0], silent[0], codes.frame_rate)
    return card


def _score_bits(card: PriorCard, bits: dict, silent: list, sentences: list, unit: str) -> None:
    """Add the bits per code or frame of each model, of all, outside silence and in silence."""
    masks = {
        "all codes": [np.ones(len(s), bool) for s in silent],
        "codes outside silence": [~s for s in silent],
        "codes of silence": silent,
    }
    for section, chosen in masks.items():
        counts = [int(mask.sum()) for mask in chosen]
        if not sum(counts):
            card.skipped[section] = "there are none"
            continue
        for model, each in bits.items():
            sums = [b[mask].sum() for b, mask in zip(each, chosen, strict=True)]
            name = f"{model}, {section}"
            mean, total = ratio(sums, counts, sentences), len(sentences)
            card.add(section, name, mean, unit, "utterances", observations=total)


def _score_rates(
    card: PriorCard, bits: dict, silent: list, sentences: list, codes: RunCodes
) -> None:
    """Add the gain over n-grams, the bit rates, the share of silence, and a verdict."""
    of, lengths, n = "utterances", [len(s) for s in silent], len(silent)
    total = {model: np.array([b.sum() for b in each]) for model, each in bits.items()}
    for baseline in ("bigram", "trigram"):
        gain = ratio(total[baseline] - total["prior"], total[baseline], sentences)
        name = f"bits below those of the {baseline}"
        card.add("gain", name, gain, "% fewer", of, observations=n)
    for model in ("uniform", "unigram", "prior"):
        rate, note = ratio(total[model] * codes.frame_rate, lengths, sentences), ""
        if model == "uniform":
            rate, note = Estimate(rate.value, None, None, n), "log2 K times codes per second"
        card.add("bit rate", f"bit rate, {model}", rate, "bits/s", of, note, n)
    share = ratio([int(s.sum()) for s in silent], lengths, sentences)
    card.add("bit rate", "codes of silence", share, "%", of, f"of {sum(lengths)}; {SILENCE}", n)
    prior, bigram = total["prior"].sum(), total["bigram"].sum()
    card.verdicts.append(
        f"A {codes.unit} carries {prior / sum(lengths):.2f} of {codes.bits_per_frame:.2f} bits: "
        f"{100 * (1 - prior / bigram):.0f} % fewer than by a bigram."
    )


def _score_pitch(
    card: PriorCard, prior: CodePrior, codes: RunCodes, members: list[int], sentences: list
) -> None:
    """Add the part of the pitch in the bit rate: its levels given the codes of their frames."""
    speakers = [int(codes.speakers[n]) if prior.speaker_names else None for n in members]
    pairs = zip(members, speakers, strict=True)
    levels = [prior.surprise(codes.codes[n][0], speaker)[:, -1] for n, speaker in pairs]
    sums = [row.sum() * codes.frame_rate for row in levels]
    rate = ratio(sums, [len(row) for row in levels], sentences)
    note = f"of it, the {codes.sizes[-1]} levels of the pitch, after the codes of their frame"
    card.add("bit rate", "bit rate, prior, pitch", rate, "bits/s", "utterances", note, len(members))


def _score_speakers(card: PriorCard, bits: dict, members: list[int], codes: RunCodes) -> None:
    """Add the bits per code or frame of each speaker."""
    speakers = np.array([codes.store.corpus.utterances[n].speaker for n in members])
    for speaker in dict.fromkeys(speakers):
        places = np.flatnonzero(speakers == speaker)
        for model in ("prior", "bigram", "trigram"):
            each = [bits[model][place] for place in places]
            mean = ratio([b.sum() for b in each], [len(b) for b in each])
            name, unit = f"{model}, {speaker}", f"bits per {codes.unit}"
            card.add("by speaker", name, mean, unit, "utterances")


def _score_calibration(
    card: PriorCard, prior: CodePrior, codes: RunCodes, members: list, sentences: list
) -> None:
    """Add the accuracy of the likeliest code, and the calibration of its probability."""
    confidence, correct = [], []
    for number in members:
        speaker = int(codes.speakers[number]) if prior.speaker_names else None
        truth = codes.codes[number][0]
        log_probs = prior.log_probs(truth, speaker)
        confidence.append(np.exp(log_probs.max(axis=-1)).ravel())
        correct.append((log_probs.argmax(axis=-1) == truth).ravel())
    section, hits = "calibration", [c.sum() for c in correct]
    accuracy = ratio(hits, [len(c) for c in correct], sentences)
    card.add(section, "likeliest code is right", accuracy, "%", "utterances", "", len(hits))
    card.confidence, card.correct = np.concatenate(confidence), np.concatenate(correct)
    error = calibration_error(card.confidence, card.correct)
    error = Estimate(error, None, None, len(card.correct))
    note = "of the likeliest code, 15 bins"
    card.add(section, "expected calibration error", error, "%", "codes", note)


def _score_repeats(
    card: PriorCard, prior: CodePrior, codes: RunCodes, samples: int, seed: int
) -> None:
    """Add the share of samples that repeat one code of the first codebook for too long."""
    names = prior.speaker_names or [None]
    speakers = [names[number % len(names)] for number in range(samples)]
    length = round(SAMPLE_SECONDS * codes.frame_rate)
    sampled = prior.sample(length, speakers, seed=seed).reshape(samples, length, -1)[..., 0]
    silence = codes.silence_codes()[: codes.num_embeddings]
    card.repeats = longest_run(sampled, silence) / codes.frame_rate
    share, note = proportion(card.repeats > MAX_REPEAT), f"over {MAX_REPEAT:g} s, outside silence"
    card.add("samples", "samples with a stuck code", share, "%", "samples of 3 s", note)


def surprise_of(prior: CodePrior, codes: RunCodes, number: int, speaker: bool = True) -> np.ndarray:
    """Return the surprisal in bits of each frame of an utterance, float64 (N,).

    Args:
        prior: the prior.
        codes: of a run.
        number: of the utterance.
        speaker: whether to condition on the speaker, where the prior can.
    """
    known = int(codes.speakers[number]) if speaker and prior.speaker_names else None
    bits = prior.surprise(codes.codes[number][0], known)
    return bits.reshape(len(bits), -1).sum(axis=1)
