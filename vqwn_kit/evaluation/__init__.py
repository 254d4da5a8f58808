"""evaluation: a run and held-out speech -> its score card.

Enters: a `Run` and a `Store`: `evaluation_context(run, store)` selects and encodes utterances once.
Leaves: a `ScoreCard`, statistics of codes and frames, times of phones.
May import: `data`, `models`, `sampling`, `presets`, `runs`, `training`, `plots`.

    evaluate.py       score_card(): all measures of a run; links.py: where it loses quality
    score_card.py     ScoreCard: rows -> text, HTML, JSON, figures; compare_cards.py: side by side
    diagnosis.py      diagnose(): what is wrong with a run; rules in *_rules.py; outlook.py: wait?
    context.py        EvaluationContext: a run and the utterances that it is evaluated on
    code_metrics.py   rows without sampling: likelihood, codebook, phones and speakers in the codes
    unit_metrics.py   rows of codes as units: unit_study.py, beside baselines.py, perturbations.py
    audio_metrics.py  rows of sampled audio: content, speakers, quality
    judges.py         disagreements(): judges of one claim that do not say the same
    code_usage.py     statistics of codes and frames for the explorers and the projector
    frames.py         every frame with its vector and codes; code_profile.py: facts about each code
    swaps.py          one code put for another; many_swaps.py: many, beside random ones
    familiarity.py    how far a recording lies from what a run was trained on
    external.py       packages of the extras `eval` and `mos`; voice_encoder.py: speakers, in NumPy
    phones.py         times of phones: the corpus's table, or forced alignment
    metrics/          the measures themselves: arrays only

To add a metric: the measure of arrays in `metrics/`; then a row, in a function of `SCORES` in
`code_metrics.py` or `audio_metrics.py`:
`with card.measuring(name): card.add(section, name, estimate, unit, of, note)`.
"""

import lazy_loader

# The scores that `only` of `score_card` takes, known without TensorFlow.
SCORE_NAMES = (
    *("likelihood", "codebook", "pitch", "phones", "speakers", "units", "cost"),
    *("content", "voices", "quality", "naturalness", "targets"),
)
NAMES = {
    "context": "EvaluationContext evaluation_context select_utterances",
    "diagnosis": "Diagnosis card_verdicts diagnose",
    "findings": "Finding Remedy",
    "history_rules": "findings_of",
    "outlook": "Outlook outlook_of",
    "code_usage": "CodeStatistics FrameSample code_statistics most_frequent sample_frames",
    "judges": "disagreements",
    "links": "LinkTable link_table",
    "phones": "KIND_OF PHONES SOUNDS phone_times",
    "score_card": "ScoreCard",
    "compare_cards": "CardComparison",
    "code_profile": "CodeProfile CodeProfiles",
    "frames": "FrameIndex frame_index",
    "many_swaps": "SwapEffects swap_effects",
    "swaps": "Swap swap",
    "unit_summary": "unit_scores",
    "unit_metrics": "unit_measures unit_robustness unit_verdict",
}
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={file: names.split() for file, names in NAMES.items()}
)
