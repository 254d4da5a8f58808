"""plots: arrays -> figures. Colours, markers and legends are in `style.py`.

Enters: NumPy arrays, and dicts that name their rows.
Leaves: the matplotlib axes that were drawn on; the figure, where there are several axes. A function
    draws on `ax` or `figure` if one is given, else on a new one of pyplot.
May import: evaluation.metrics. matplotlib and librosa inside functions only, so that
    `import vqwn_kit` and the command line's help do not wait for them.
To add a plot: write `plot_NAME(..., ax=None)` in the file of its subject, begin with
    `ax = axes_or_new(ax)`, name quantity and unit on both axes, list it below, and test in
    tests/plots that what is drawn are the numbers that were given.

Example:
    from vqwn_kit import plots
    plots.plot_spectrogram(waveform, title="the recording")
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "signals": [
            *("plot_waveform", "plot_spectrogram", "plot_spectrograms", "plot_curves"),
            *("plot_mu_law", "plot_level_usage", "plot_batch"),
        ],
        "corpus": ["plot_corpus"],
        "model": ["plot_receptive_fields", "plot_frames", "plot_dilations", "plot_next_sample"],
        "codebook": ["plot_code_usage", "plot_codebook", "plot_speakers", "plot_code_phones"],
        "training": ["plot_history", "plot_code_history", "plot_comparison", "plot_tradeoff"],
        "diagnosis": ["plot_diagnosis"],
        "prior": ["plot_calibration", "plot_surprisal", "plot_next_codes", "plot_longest_repeats"],
        "score_card": ["plot_score_card"],
        "units": ["plot_unit_robustness"],
        "rates": ["plot_rate_quality"],
        "links": ["plot_links"],
        "swap": ["plot_swap"],
    },
)
