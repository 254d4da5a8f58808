"""Where a run loses quality: held-out speech after each link from recording to WaveNet."""

import html
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.evaluation import audio_metrics
from vqwn_kit.evaluation.audio_metrics import Sound
from vqwn_kit.evaluation.context import MOST_SECONDS, EvaluationContext, select_utterances
from vqwn_kit.evaluation.metrics import NotMeasured, paired_difference
from vqwn_kit.evaluation.metrics.tables import html_table, markdown_table
from vqwn_kit.evaluation.score_card import DIGITS, Row, ScoreCard
from vqwn_kit.files import counted
from vqwn_kit.models.mel import LogMel
from vqwn_kit.models.vqvae import VQVAE, as_batch
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.codes import quantize
from vqwn_kit.sampling.generate import Speaker, conditioning_for, convert_many
from vqwn_kit.sampling.griffin_lim import griffin_lim
from vqwn_kit.sampling.sampler import check_temperature

LINKS = {  # name: what lies between it and the one before
    "recording": "",
    "Griffin-Lim of its own bands": "mel bands and phases",
    "Griffin-Lim of bands from z_e": "encoder and prediction of bands",
    "Griffin-Lim of bands from the codes": "quantization",
    "WaveNet": "WaveNet minus Griffin-Lim",
}
RECORDING, OWN, Z_E, Z_Q, WAVENET = LINKS
LOSSES = {"phone error": 1, "DNSMOS P.808": -1}  # what verdicts are of: the sign of a loss
MEASURES = (*LOSSES, "Distill-MOS", "voicing error", "pitch error", "error of the bands")
DEPTH = 80.0  # dB below the loudest cell of the recording, from which on bands are compared
CAPTION = (
    "± is half of the 95 % interval, by sentence; differences are means over sentences, in pairs. "
    "Phone errors are against the text; voicing, pitch and bands against the recording. Predicted "
    "bands have the contrast of the decoder, which raises their error. A WaveNet samples where a "
    "mel decoder predicts a mean: without band matching its error of the bands is larger at the "
    "same quality. Decoders are trained on z_q, not on z_e."
)


class LinkTable(ScoreCard):
    """A score card of held-out speech after each link of a run; see `link_table`.

    Rows are `<measure>, <link>`, and `<measure> difference, <link>` from the link before.
    """

    file = "links"

    @property
    def links(self) -> list[str]:
        """The links that were measured, in order."""
        known = {row.name.partition(", ")[2] for row in self.rows}
        return [link for link in LINKS if link in known]

    def cause(self, link: str) -> str:
        """Return what lies between a link and the one before it."""
        whole = link == WAVENET and not {Z_E, Z_Q} & set(self.links)
        return "the whole model" if whole else LINKS[link]

    def finish(self) -> None:
        """Add what follows from the rows: differences, paired by sentence, and verdicts.

        A measure that no link has is skipped once, not for each link.
        """
        names = {row.name.partition(", ")[0] for row in self.rows}
        short = {name: name.partition(", ")[0] for name in self.skipped}
        self.skipped = {a if b in names else b: self.skipped[a] for a, b in short.items()}
        rows = {row.name: row for row in self.rows}
        for measure, ends in product(MEASURES, pairwise(self.links)):
            first, second = (rows.get(f"{measure}, {link}") for link in ends)
            if first and second and len(first.sentences.keys() & second.sentences) > 1:
                pair = first.sentences, second.sentences
                each = {name: pair[1][name] - x for name, x in pair[0].items() if name in pair[1]}
                about = "differences", f"{measure} difference, {ends[1]}"
                change = paired_difference(*pair)
                self.rows.append(Row(*about, *change, "sentences", first.unit, "", each))
        self.verdicts = [text for name in LOSSES if (text := self.verdict(name))]

    def verdict(self, measure: str) -> str:
        """Return which loss is the largest outside its interval, and which are as large."""
        rows, sign = {row.name: row for row in self.rows}, LOSSES[measure]
        steps = {link: rows.get(f"{measure} difference, {link}") for link in self.links}
        changes = {link: row for link, row in steps.items() if row is not None}
        losses = {link: row for link, row in changes.items() if sign * row.value > 0}
        if not losses:
            return f"No link has a loss by {measure}." if changes else ""
        outside = [link for link, row in losses.items() if not _includes_0(row)]
        largest = max(outside or losses, key=lambda link: sign * losses[link].value)
        ends = self.links[self.links.index(largest) - 1], largest
        values = " -> ".join(f"{rows[f'{measure}, {link}'].value:.2f}" for link in ends)
        what = f"{self.cause(largest)}: {measure} {values}"
        if not outside:
            return f"Every loss is within the interval; the largest is {what}."
        close = [
            f"{self.cause(link)} ({row.value:+.2f})"
            for link, row in changes.items()
            if link != largest
            and _includes_0(paired_difference(row.sentences, steps[largest].sentences))
        ]
        more = f" Within the interval of it: {', '.join(close)}." if close else ""
        return f"The largest loss is {what}.{more}"

    def table(self) -> tuple[list[str], list[list[str]], list[list[str]]]:
        """Return the head, the cells of the links, and those of their differences."""
        rows = {row.name: row for row in self.rows}
        units = {row.name.partition(", ")[0]: row.unit for row in self.rows}
        names = [name for name in MEASURES if name in units]
        head = ["link", *(f"{x} ({units[x]})" if units[x] else x for x in names)]
        links, changes = [], []
        for number, link in enumerate(self.links, 1):
            cells = [_cell(rows.get(f"{name}, {link}")) for name in names]
            links.append([f"{number} {link}", *cells])
            cells = [_cell(rows.get(f"{name} difference, {link}"), "+") for name in names]
            changes.append([f"{number} minus {number - 1}: {self.cause(link)}", *cells])
        return head, links, changes[1:]

    def _below(self) -> list[str]:
        reasons = [f"Not measured: {name}: {reason}." for name, reason in self.skipped.items()]
        return [*self.verdicts, *reasons, CAPTION]

    def to_markdown(self) -> str:
        """Return the table as a Markdown page."""
        head, *sections = self.table()
        table = markdown_table(head, sum(sections, []), "l" + "r" * (len(head) - 1))
        return "\n\n".join([self._facts(), table, *self._below()]) + "\n"

    __str__ = to_markdown

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        head, *sections = self.table()
        named = zip(("links", "differences"), sections, strict=True)
        below = [f"<p>{html.escape(text)}</p>" for text in (self._facts(), *self._below())]
        return html_table(head, named, "l" + "r" * (len(head) - 1)) + "".join(below)

    def figures(self) -> dict:
        """Return the figure that `save` writes beside `links.json` and `links.md`."""
        from matplotlib.figure import Figure

        from vqwn_kit.plots import plot_links

        limits = {row.name: (row.value, row.low, row.high) for row in self.rows}
        panels = [
            {name: [limits.get(f"{name}{what}, {x}") for x in self.links] for name in LOSSES}
            for what in ("", " difference")
        ]
        return {"links": plot_links(self.links, *panels, figure=Figure())}


def link_table(
    run: Run | str | Path,
    data=None,
    *,
    sampled: int = 12,
    temperature: float | str = 1.0,
    seed: int = 0,
    progress: bool = True,
) -> LinkTable:
    """Measure held-out speech after each link of a run, to see where it loses quality.

    The links are the recording; its own mel bands, made a waveform by `griffin_lim`; the bands that
    the mel decoder predicts from z_e, and those from the codes; and the WaveNet. Without a mel
    decoder, of a first stage or of LPC, no bands are predicted, and its own are those of `LogMel`.

    Args:
        run: a run, its folder, or a checkpoint.
        data: the corpus, its folder or its store; by default that of the run, see `store_of`.
        sampled: held-out utterances, of as many sentences as possible.
        temperature: of sampling; see `generate`.
        seed: of sampling, and of the first phases.
        progress: show progress bars.

    Returns:
        The table. Links and measures that are missing are in `skipped`, with the reason.

    Raises:
        InputError: no such run or corpus, nothing held out, or a setting out of range.

    Example:
        table = vq.evaluation.link_table("results/mini")
        table.show(); table["phone error difference, WaveNet"].value
    """
    if sampled < 1:
        raise InputError(f"sampled={sampled}: expected 1 or more")
    check_temperature(temperature)
    run = load_run(run)
    store = store_of(run, data, progress).cut(MOST_SECONDS)
    held_out = select_utterances(run, store, "held_out")
    context = EvaluationContext(run, store, held_out, held_out[:0], seed, progress)
    numbers = context.chosen(audio_metrics.short_utterances(context), sampled)
    sentences = len(set(context.sentences(numbers)))
    of = f"{counted(len(numbers), 'utterances')} of {counted(sentences, 'sentences')}"
    about = {"run": run.folder.name, "step": run.model_step, "corpus": store.corpus.name}
    about |= {"judged on": of, "seed": seed}
    about |= {"temperature": temperature} if run.model.is_autoregressive else {}
    table = LinkTable(about)
    mel = run.model.decoder.get_mel_decoder()
    spectrum = LogMel() if mel is None else mel.spectrum
    sounds = link_sounds(table, context, numbers, spectrum, temperature)
    kinds = list(dict.fromkeys(sound.kind for sound in sounds))
    audio_metrics.score_content(table, context, sounds, kinds)
    audio_metrics.score_naturalness(table, context, sounds, kinds)
    for link in kinds[1:]:
        audio_metrics.score_quality(table, context, sounds, (RECORDING, link))
        part = [sound for sound in sounds if sound.kind == link]
        errors = (band_error(spectrum, store.waveform(s.number), s.waveform) for s in part)
        audio_metrics.add_mean(table, context, part, f"error of the bands, {link}", "dB", errors)
    table.finish()
    return table


def link_sounds(
    card: ScoreCard, context: EvaluationContext, numbers: np.ndarray, spectrum: LogMel, temperature
) -> list[Sound]:
    """Return the sounds of each link; those that a model does not have are skipped in the card."""
    model, speakers = context.model, [context.speaker(n) for n in numbers]
    pitch = [context.pitch(n) for n in numbers]
    made = {RECORDING: [context.store.waveform(n) for n in numbers]}
    for link in (OWN, Z_E, Z_Q):
        with card.measuring(link):
            inputs = zip(made[RECORDING], context.bar(speakers, link), pitch, strict=True)
            bands = [link_bands(model, spectrum, link, *part) for part in inputs]
            made[link] = [griffin_lim(rows, spectrum, context.seed) for rows in bands]
    if model.is_autoregressive:
        settings = {"temperature": temperature, "seed": context.seed, "progress": context.progress}
        settings["pitch"] = pitch
        parts = convert_many(model, made[RECORDING], [[name] for name in speakers], **settings)
        made[WAVENET] = [part[0] for part in parts]
    else:
        card.skipped[WAVENET] = "a first stage has none"
    return [
        Sound(number, link, name, wave[: context.store.lengths[number]])
        for link, waves in made.items()
        for number, name, wave in zip(numbers, speakers, waves, strict=True)
    ]


def link_bands(
    model: VQVAE, spectrum: LogMel, link: str, waveform: np.ndarray, speaker: Speaker, pitch=None
) -> np.ndarray:
    """Return the bands of a waveform (T,) in dB, (N, n_mels): its own, or from z_e or codes.

    Its pitch (1, N) is given where the model is conditioned on it.

    Raises:
        NotMeasured: there is no mel decoder, no codebook, or z_e is in another space than z_q.
    """
    mel, bottleneck = model.decoder.get_mel_decoder(), model.bottleneck
    if link == OWN:
        return np.array(spectrum(as_batch(waveform, spectrum.hop_length)))[0]
    if mel is None:
        raise NotMeasured("the model has no mel decoder: no first stage and no LPC")
    if link == Z_Q and not bottleneck.num_embeddings:
        raise NotMeasured("the model has no codebook: z_q is z_e")
    if link == Z_E and bottleneck.short_name == "softmax":
        raise NotMeasured("z_e of a softmax bottleneck is not in the space of z_q")
    vectors = quantize(model, waveform)
    if link == Z_E:
        vectors = np.array(bottleneck.unquantized(model.vector_quantize(waveform).z_e))
    return np.array(mel.bands(conditioning_for(model, vectors, [speaker], pitch)))[0]


def band_error(spectrum: LogMel, recording: np.ndarray, waveform: np.ndarray) -> float:
    """Return the root mean square error of the bands of a waveform (T,) in dB, down to DEPTH."""
    waves = (as_batch(wave, spectrum.hop_length) for wave in (recording, waveform))
    first, second = (np.array(spectrum(wave)) for wave in waves)
    floor = first.max() - DEPTH
    return float(np.sqrt(np.mean((np.maximum(first, floor) - np.maximum(second, floor)) ** 2)))


def _includes_0(estimate) -> bool:
    return estimate.low <= 0 <= estimate.high


def _cell(row: Row | None, sign: str = "") -> str:
    """Return a value and half of its interval, such as '0.33 ± 0.05'."""
    if row is None:
        return "-"
    digits = DIGITS[row.unit]
    half = max(row.high - row.value, row.value - row.low) if row.high is not None else None
    return f"{row.value:{sign}.{digits}f}" + ("" if half is None else f" ± {half:.{digits}f}")
