"""Which statistic of a recording predicts how badly a run converts it?

Recordings of a run's own corpus that were held out, and of other corpora, are converted to a voice
of the run; the phones of each conversion are compared with those of the recording, as the
recogniser hama finds them. Each statistic of the recordings is ranked by its correlation with that
phone error.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

import vqwn_kit as vq
from vqwn_kit.data.audio import SAMPLE_RATE, load_audio, trim_silence
from vqwn_kit.data.corpus import open_corpus
from vqwn_kit.evaluation import metrics
from vqwn_kit.evaluation.external import recognise_phones
from vqwn_kit.evaluation.voice_encoder import voice_embedding
from vqwn_kit.files import replacing
from vqwn_kit.sampling.generate import convert_many
from vqwn_kit.sampling.parts import conditioning_for

SECONDS = 4.0  # of each recording
MOST = 32  # recordings of each corpus
TRAIN = 60  # training utterances that statistics are fitted on
TOGETHER = 16  # conversions that are sampled at once


def bench_familiarity(
    run: str | Path,
    data: str | Path | None,
    recordings: Sequence[str | Path],
    file: Path | None = None,
    seed: int = 0,
) -> tuple[str, list[dict]]:
    """Return a Markdown table of statistics, and a dict of each recording's.

    Args:
        run: a trained run.
        data: its corpus.
        recordings: folders of other speech.
        file: write the dicts there as JSON.
        seed: of the choice of recordings and of sampling.
    """
    from tqdm import tqdm

    run = vq.load_run(run)
    own = open_corpus(data or "mini")
    rng = np.random.default_rng(seed)
    train = [_excerpt(u.path) for u in _spread(own.split("train"), TRAIN, rng)]
    reference = _Reference(run.model, [wave for wave in train if wave is not None])
    rows = []
    for name, utterances in _sources(own, recordings, run, rng).items():
        for utterance in utterances:
            wave = _excerpt(utterance.path)
            if wave is not None:
                rows.append({"corpus": name, "key": utterance.key, "wave": wave})
    voices = rng.choice(run.model.speaker_names, len(rows))
    for start in tqdm(range(0, len(rows), TOGETHER), desc="convert"):
        part = rows[start : start + TOGETHER]
        names = voices[start : start + TOGETHER].tolist()
        waves = [row["wave"] for row in part]
        made = convert_many(run.model, waves, [[name] for name in names], temperature=0.8)
        for row, (sound,), name in zip(part, made, names, strict=True):
            wave = row.pop("wave")
            phones, again = recognise_phones(wave), recognise_phones(sound)
            error = metrics.edit_distance(phones, again) / max(1, len(phones))
            row |= {"voice": name, "phone error": min(error, 1.5), **reference(wave, name)}
    if file is not None:
        with replacing(file) as scratch:
            scratch.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return familiarity_table(rows, own.name), rows


def _sources(own, recordings, run, rng) -> dict:
    """Return utterances by corpus: held-out ones of the run's own, those of others by strangers."""
    sources = {own.name: _spread(own.split("held_out"), MOST // 2, rng)}
    for folder in recordings:
        corpus = open_corpus(folder)
        strangers = [u for u in corpus if u.speaker not in run.speakers]
        sources[corpus.name] = _spread(strangers, MOST, rng)
    return sources


def _spread(utterances: Iterable, most: int, rng: np.random.Generator) -> list:
    """Return at most so many utterances, of as many speakers as there are."""
    utterances = list(utterances)
    order = rng.permutation(len(utterances))
    seen: dict[str, int] = {}
    ranked = []
    for n in order:
        speaker = utterances[n].speaker
        seen[speaker] = seen.get(speaker, 0) + 1
        ranked.append((seen[speaker], len(ranked), utterances[n]))
    return [utterance for *_, utterance in sorted(ranked)[:most]]


def _excerpt(path: Path) -> np.ndarray | None:
    """Return the first seconds of a recording without silence; None for less than a second."""
    wave = trim_silence(load_audio(path))[0][: round(SECONDS * SAMPLE_RATE)]
    return wave if len(wave) >= SAMPLE_RATE else None


class _Reference:
    """Statistics of training speech; called with a recording, those of the recording."""

    def __init__(self, model, train: list[np.ndarray]):
        from sklearn.mixture import GaussianMixture

        self.model, self.size = model, model.bottleneck.num_embeddings
        codes = np.concatenate([model.encode(wave)[0] for wave in train])
        counts = np.bincount(codes, minlength=self.size) + 1.0
        self.surprise = -np.log2(counts / counts.sum())
        cepstra = [_cepstra(wave) for wave in train]
        self.mixture = GaussianMixture(16, covariance_type="diag", random_state=0)
        self.mixture.fit(np.concatenate(cepstra))
        means = np.stack([frames.mean(axis=0) for frames in cepstra])
        self.mean, covariance = means.mean(axis=0), np.cov(means.T)
        self.precision = np.linalg.inv(covariance + 0.1 * np.diag(np.diag(covariance)))
        self.voices = np.stack([voice_embedding(wave) for wave in train])

    def __call__(self, wave: np.ndarray, voice: str) -> dict[str, float]:
        quantized = self.model.vector_quantize(wave)
        z_e, z_q = np.array(quantized.z_e)[0], np.array(quantized.z_q)[0]
        codes = np.array(quantized.codes)[0]
        squared = np.sum((z_e - z_q) ** 2, axis=1)
        spread = np.sum((z_e - z_e.mean(axis=0)) ** 2, axis=1)
        cepstra = _cepstra(wave)
        away = cepstra.mean(axis=0) - self.mean
        return {
            "distance to the nearest code": float(squared.mean()),
            "the same, over the variance of z_e": float(squared.mean() / spread.mean()),
            "surprise of the codes": float(self.surprise[codes].mean()),
            "lack of entropy of the codes": -metrics.entropy(
                np.bincount(codes, minlength=self.size)
            ),
            "error of the bands from the codes": self._bands_error(wave, z_q, voice),
            "negative likelihood of the cepstrum": -float(self.mixture.score(cepstra)),
            "distance of the mean cepstrum": float(np.sqrt(away @ self.precision @ away)),
            "distance of the voice": 1.0 - float((self.voices @ voice_embedding(wave)).max()),
        }

    def _bands_error(self, wave: np.ndarray, z_q: np.ndarray, voice: str) -> float:
        """Return the RMS error in dB of mel bands, without the mean of each: the voice's."""
        mel = self.model.decoder.get_mel_decoder()
        if mel is None:
            return float("nan")
        hop = self.model.hop_length
        conditioning = conditioning_for(self.model, z_q[None], [voice])
        padded = np.pad(wave, (0, -len(wave) % hop))[None, :, None]
        own, made = np.array(mel.spectrum(padded))[0], np.array(mel.plain_bands(conditioning))[0]
        loud = own.mean(axis=1) > own.mean(axis=1).max() - 40.0
        difference = (own - made)[loud]
        return float(np.sqrt(np.mean((difference - difference.mean(axis=0)) ** 2)))


def _cepstra(wave: np.ndarray) -> np.ndarray:
    """Return mel cepstra without level, (F, 13), of frames that are not silent."""
    mel = metrics.log_mel(wave)
    return metrics.mel_cepstra(mel[:, mel.max(axis=0) > -50.0]).T


def familiarity_table(rows: list[dict], own: str) -> str:
    """Return each statistic's rank correlation with the phone error, and how it finds strangers."""
    from scipy.stats import spearmanr
    from sklearn.metrics import roc_auc_score

    errors = np.array([row["phone error"] for row in rows])
    stranger = np.array([row["corpus"] != own for row in rows])
    bad = errors > np.quantile(errors[~stranger], 0.9)
    names = [name for name in rows[0] if name not in ("corpus", "key", "voice", "phone error")]
    lines = []
    for name in names:
        values = np.array([row[name] for row in rows])
        if not np.isfinite(values).all():
            continue
        every, others = (
            spearmanr(values[which], errors[which])[0]
            for which in (np.ones(len(rows), bool), stranger)
        )
        aucs = [roc_auc_score(which, values) for which in (bad, stranger)]
        limit = np.quantile(values[~stranger], 0.95)
        ratio = limit / np.mean(values[~stranger])
        warned = np.mean(values[stranger] > limit)
        lines.append([name, *(f"{x:.2f}" for x in (every, others, *aucs, limit, ratio, warned))])
    head = ["statistic", "rank correlation", "of strangers", "AUC, badly converted"]
    head += ["AUC, strangers", "95 % of held-out", "over their mean", "strangers above"]
    lines.sort(key=lambda line: -float(line[1]))
    counts = f"{np.sum(~stranger)} held-out recordings, phone error {errors[~stranger].mean():.2f}"
    counts += f"; {np.sum(stranger)} of strangers, {errors[stranger].mean():.2f}"
    return f"{counts}\n\n{metrics.markdown_table(head, lines, 'l' + 'r' * (len(head) - 1))}"
