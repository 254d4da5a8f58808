"""A prior and held-out utterances -> a card: bits a code beside n-grams, calibration, stuck codes.

What can be foretold of a code isn't information: the real bit rate of a run is the bits a code
that its best prior needs, times the codes a second.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vqwn_kit.data.audio import TRIM_DB
from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.evaluation.metrics.codes import calibration_error, longest_run
from vqwn_kit.evaluation.metrics.intervals import Estimate, proportion, ratio
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.files import replacing
from vqwn_kit.prior.load import load_prior, read_config
from vqwn_kit.prior.model import CodePrior
from vqwn_kit.prior.ngram import NGram
from vqwn_kit.runs.codes import WINDOW, RunCodes, codes_of, store_of
from vqwn_kit.runs.run import Run, load_run

ORDERS = {"uniform": 0, "unigram": 1, "bigram": 2, "trigram": 3}
HELD_SECONDS = 0.3  # one code for longer than that, outside silence, is stuck
SAMPLE_SECONDS = 3.0


@dataclass
class PriorCard(ScoreCard):
    """What was measured of a prior; see `ScoreCard`.

    Attributes:
        foretold: probability of the likeliest code of each held-out frame, (M,).
        came: whether it was that code, bool (M,).
        held: s, the longest that each sample holds one code outside silence, (samples,).
        example: of a held-out utterance its key, bits a code (N,), silence (N,) and codes a second.
    """

    foretold: np.ndarray = field(default_factory=lambda: np.zeros(0))
    came: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    held: np.ndarray = field(default_factory=lambda: np.zeros(0))
    example: tuple[str, np.ndarray, np.ndarray, float] | None = None

    def save(self, folder: str | Path) -> list[Path]:
        """Write the card and its figures into a folder, such as the prior's; return the paths."""
        from matplotlib.figure import Figure

        from vqwn_kit import plots

        written = super().save(folder)
        drawn = {"calibration": lambda ax: plots.plot_calibration(self.foretold, self.came, ax=ax)}
        if self.example is not None:
            key, bits, silent, rate = self.example
            drawn["surprise"] = lambda ax: plots.plot_surprisal(bits, rate, silent, key, ax=ax)
        if len(self.held):
            limit = HELD_SECONDS
            drawn["held_codes"] = lambda ax: plots.plot_longest_repeats(self.held, limit, ax=ax)
        for name, draw in drawn.items():
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
        data: the corpus, its folder or its store; by default what the run was trained on.
        name: of the prior's folder in the run's.
        samples: of 3 s that are drawn to look for stuck codes; 0 draws none.
        seed: of the samples.
        progress: show a progress bar while encoding.

    Returns:
        The card. `save` writes it.

    Raises:
        InputError: no such run, prior or corpus, or nothing held out.
    """
    run = load_run(run)
    prior, config = load_prior(run, name), read_config(run, name)
    store = store_of(run, data, progress)
    codes = codes_of(run, store, config["training"]["encodings"], progress)
    return score_codes(prior, codes, samples, seed, {"run": run.folder.name})


def score_codes(
    prior: CodePrior,
    codes: RunCodes,
    samples: int = 100,
    seed: int = 0,
    about: dict | None = None,
) -> PriorCard:
    """Measure a prior on the held-out codes of a run; see `score_prior`."""
    members, train = codes.numbers("held_out"), codes.numbers("train")
    encodings = len(codes.codes[train[0]])
    card = PriorCard({
        **(about or {}),
        "corpus": codes.store.corpus.name,
        "judged on": f"{len(members)} utterances of split held_out",
        "learnt on": f"{len(train)} of split train, each encoded {encodings} times",
        "parameters": prior.count_params(),
    })  # fmt: skip
    bits = {"prior": [surprise_of(prior, codes, n) for n in members]}
    if prior.speaker_names:
        bits["prior, speaker not told"] = [surprise_of(prior, codes, n, False) for n in members]
    sequences = [codes.codes[n] for n in train]
    for model, order in ORDERS.items():
        ngram = NGram.fitted(sequences, codes.num_embeddings, order)
        bits[model] = [ngram.bits(codes.codes[n][0]) for n in members]
    silent = [codes.silent(n) for n in members]
    _score_bits(card, bits, silent, codes)
    _score_speakers(card, bits, members, codes)
    _score_calibration(card, prior, codes, members)
    if samples:
        _score_held(card, prior, codes, samples, seed)
    else:
        card.skipped["samples that hold a code"] = "samples = 0"
    number = members[0]
    key = codes.store.corpus.utterances[number].key
    card.example = (key, bits["prior"][0], silent[0], codes.frame_rate)
    return card


def _score_bits(card: PriorCard, bits: dict, silent: list, codes: RunCodes) -> None:
    of, unit = "utterances", "bits a code"
    groups = {"all codes": [np.ones(len(s), bool) for s in silent],
              "codes outside silence": [~s for s in silent],
              "codes of silence": silent}  # fmt: skip
    for section, chosen in groups.items():
        counts = [int(c.sum()) for c in chosen]
        if not sum(counts):
            card.skipped[section] = "there are none"
            continue
        for model, each in bits.items():
            sums = [b[c].sum() for b, c in zip(each, chosen, strict=True)]
            card.add(section, f"{model}, {section}", ratio(sums, counts), unit, of)
    total = {model: np.array([b.sum() for b in each]) for model, each in bits.items()}
    frames, rate = [len(s) for s in silent], codes.frame_rate
    for other in ("bigram", "trigram"):
        less = ratio(total[other] - total["prior"], total[other])
        card.add("gain", f"bits below the {other}'s", less, "% fewer", of)
    for model in ("uniform", "unigram", "prior"):
        value, low, high, n = ratio(total[model] * rate, frames)
        flat = Estimate(value, None, None, n) if model == "uniform" else (value, low, high, n)
        note = "log2 K codes a second" if model == "uniform" else ""
        card.add("bit rate", f"bit rate, {model}", Estimate(*flat), "bits/s", of, note)
    quiet = ratio([int(s.sum()) for s in silent], frames)
    card.add("bit rate", "codes of silence", quiet, "%", of,
             f"of {sum(frames)}; {WINDOW * 1000:g} ms at least {TRIM_DB:g} dB under the "
             "utterance's loudest")  # fmt: skip
    gain = 100 * (1 - total["prior"].sum() / total["bigram"].sum())
    card.verdicts.append(
        f"A code carries {total['prior'].sum() / sum(frames):.2f} bits of its "
        f"{np.log2(codes.num_embeddings):.2f}: {gain:.0f} % less than a bigram would say."
    )


def _score_speakers(card: PriorCard, bits: dict, members: list[int], codes: RunCodes) -> None:
    spoken = np.array([codes.store.corpus.utterances[n].speaker for n in members])
    for speaker in dict.fromkeys(spoken):
        own = np.flatnonzero(spoken == speaker)
        for model in ("prior", "bigram", "trigram"):
            sums = [bits[model][i].sum() for i in own]
            counts = [len(bits[model][i]) for i in own]
            card.add("by speaker", f"{model}, {speaker}", ratio(sums, counts),
                     "bits a code", "utterances")  # fmt: skip


def _score_calibration(card: PriorCard, prior: CodePrior, codes: RunCodes, members) -> None:
    foretold, came = [], []
    for number in members:
        speaker = int(codes.speakers[number]) if prior.speaker_names else None
        truth = codes.codes[number][0]
        told = prior.log_probabilities(truth, speaker)
        foretold.append(np.exp(told.max(axis=1)))
        came.append(told.argmax(axis=1) == truth)
    hits, counts = [c.sum() for c in came], [len(c) for c in came]
    card.foretold, card.came = np.concatenate(foretold), np.concatenate(came)
    card.add("calibration", "likeliest code is right", ratio(hits, counts), "%", "utterances")
    error = Estimate(calibration_error(card.foretold, card.came), None, None, len(card.came))
    card.add("calibration", "expected calibration error", error, "%", "codes",
             "of the likeliest code, 15 bins")  # fmt: skip


def _score_held(
    card: PriorCard, prior: CodePrior, codes: RunCodes, samples: int, seed: int
) -> None:
    names = prior.speaker_names or [None]
    speakers = [names[number % len(names)] for number in range(samples)]
    length = round(SAMPLE_SECONDS * codes.frame_rate)
    drawn = prior.sample(length, speakers, seed=seed)
    card.held = longest_run(drawn, codes.silence_codes()) / codes.frame_rate
    card.add("samples", "samples that hold a code", proportion(card.held > HELD_SECONDS), "%",
             "samples of 3 s", f"one for over {HELD_SECONDS:g} s, outside silence")  # fmt: skip


def surprise_of(prior: CodePrior, codes: RunCodes, number: int, told: bool = True) -> np.ndarray:
    """Return the bits of each code of an utterance as it is, float64 (N,).

    Args:
        prior: the prior.
        codes: of a run.
        number: of the utterance.
        told: whether the prior is told who speaks, if it can be.
    """
    speaker = int(codes.speakers[number]) if told and prior.speaker_names else None
    return prior.surprise(codes.codes[number][0], speaker)
