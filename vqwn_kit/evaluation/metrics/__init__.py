"""metrics: arrays -> numbers with their 95 % intervals.

Enters: NumPy arrays and plain lists: codes, phones, probabilities, waveforms, ratings.
Leaves: numbers, `Estimate`s, small arrays; `NotMeasured` where there is too little to measure.
May import: NumPy, SciPy, scikit-learn and librosa (the last three inside functions); from the
package only `errors`. No model, no corpus, no TensorFlow.

To add a metric: a function of arrays in the file of its subject, whose docstring names the paper,
the unit and the range; its name in NAMES; a test in `tests/evaluation/metrics` on arrays
whose answer is known. A row of the score card: see `vqwn_kit.evaluation`.
"""

import lazy_loader

NAMES = {
    "intervals": "Estimate NotMeasured jackknife proportion ratio",
    "codes": "calibration calibration_error code_counts entropy longest_run perplexity",
    "phones": "code_phone_table edit_distance phone_information phone_of_code",
    "probes": "linear_probe nearest_class_hits pool",
    "spectral": "log_mel mel_cepstra mel_cepstral_distance",
    "listening_test": "Finding append_answers binomial_p findings read_answers",
    "tables": "align_columns html_table markdown_table",
}
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={file: names.split() for file, names in NAMES.items()}
)
