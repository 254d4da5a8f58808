"""evaluation: a run and held-out speech -> its score card.

Enters: a `Run` and a `Store`: `evaluation_context(run, store)` selects and encodes utterances once.
Leaves: a `ScoreCard`, statistics of codes and frames, times of phones.
May import: `data`, `models`, `sampling`, `presets`, `runs`, `training`, `plots`.

    evaluate.py       score_card(): all measures of a run
    score_card.py     ScoreCard: rows -> text, Markdown, HTML, JSON and figures
    context.py        EvaluationContext: a run and the utterances that it is evaluated on
    code_metrics.py   rows without sampling: likelihood, codebook, phones and speakers in the codes
    audio_metrics.py  rows of sampled audio: content, speakers, quality
    code_usage.py     statistics of codes and frames for the explorers and the projector
    external.py       packages of the extra `eval`: recogniser, pitch, STOI, DNSMOS
    phones.py         times of phones: the corpus's table, or forced alignment
    metrics/          the measures themselves: arrays only

To add a metric: the measure of arrays in `metrics/`; then a row, in a function of `SCORES` in
`code_metrics.py` or `audio_metrics.py`:
`with card.measuring(name): card.add(section, name, estimate, unit, of, note)`.
"""

import lazy_loader

NAMES = {
    "context": "EvaluationContext evaluation_context select_utterances",
    "code_usage": "CodeStatistics FrameSample code_statistics most_frequent sample_frames",
    "phones": "KIND_OF PHONES SOUNDS phone_times",
    "score_card": "ScoreCard",
}
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={file: names.split() for file, names in NAMES.items()}
)
