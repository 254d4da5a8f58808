"""metrics: arrays -> numbers with their 95 % intervals.

Enters: NumPy arrays and plain lists: codes, phones, probabilities, waveforms, ratings.
Leaves: numbers, `Estimate`s, small arrays; `NotMeasured` where there is too little to measure.
May import: NumPy, SciPy, scikit-learn and librosa (the last three inside functions), Numba in
`abx.py`; from the package only `errors` and `files`. No model, no corpus, no TensorFlow.

To add a metric: a function of arrays in the file of its subject, whose docstring names the paper,
the unit and the range; its name in NAMES; a test in `tests/evaluation/metrics` on arrays
whose answer is known. A row of the score card: see `vqwn_kit.evaluation`.
"""

import lazy_loader

NAMES = {
    "intervals": "Estimate NotMeasured group_means jackknife paired_difference proportion ratio",
    "codes": "bigram_bits calibration calibration_error code_counts entropy longest_run "
    "mean_perplexity miller_madow perplexity",
    "phones": "code_phone_table edit_distance phone_information phone_of_code",
    "units": (
        "TOLERANCE as_symbols boundary_counts boundary_scores change_times cluster_purity "
        "phone_normalised_information phone_purity unit_edits without_repeats"
    ),
    "occurrence": "code_runs lifts nearest_vectors place_in_span transition_table",
    "abx": "abx_error abx_estimate abx_task token_distances",
    "probes": "linear_probe nearest_class_hits pool",
    "spectral": "log_mel mel_cepstra mel_cepstral_distance mel_power spectral_contrast",
    "listening_test": "Finding append_answers binomial_p findings read_answers",
    "tables": "align_columns html_table markdown_table write_csv",
}
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={file: names.split() for file, names in NAMES.items()}
)
