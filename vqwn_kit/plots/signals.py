"""Figures of waveforms, spectra and levels."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.evaluation.metrics.spectral import log_mel
from vqwn_kit.plots.style import BLUE, LEGEND, axes_or_new, curve_style, literal, sized_figure


def plot_waveform(waveform: np.ndarray, sample_rate: int = 16_000, ax=None):
    """Draw a waveform (T,) over time."""
    ax = axes_or_new(ax, (6.0, 1.8))
    seconds = len(waveform) / sample_rate
    ax.plot(np.arange(len(waveform)) / sample_rate, waveform, color=BLUE, linewidth=0.5)
    ax.set(xlabel="time (s)", ylabel="amplitude", ylim=(-1, 1), xlim=(0, seconds))
    return ax


def plot_spectrogram(waveform: np.ndarray, sample_rate: int = 16_000, title: str = "", ax=None):
    """Draw the mel spectrogram of a waveform (T,), in dB relative to its maximum."""
    import librosa

    ax = axes_or_new(ax)
    mel = log_mel(waveform, sample_rate)
    extent = (0, len(waveform) / sample_rate, 0, len(mel))
    drawing = {"origin": "lower", "aspect": "auto", "interpolation": "nearest", "cmap": "magma"}
    ax.imshow(mel, vmin=-80, vmax=0, extent=extent, **drawing)
    marks = [250, 1000, 2000, 4000]
    edges = librosa.mel_frequencies(n_mels=len(mel), fmax=sample_rate / 2)
    ax.set_yticks(np.interp(marks, edges, np.arange(len(mel))), [f"{mark:g}" for mark in marks])
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)")
    ax.set_title(title, parse_math=False)
    return ax


def plot_spectrograms(tracks: dict[str, np.ndarray], sample_rate: int = 16_000, figure=None):
    """Draw the mel spectrograms of several waveforms below each other; return the figure."""
    figure = sized_figure(figure, 8.0, 0.4 + 1.7 * len(tracks))
    axes = figure.subplots(len(tracks), 1, sharex=True)
    for ax, (name, waveform) in zip(np.atleast_1d(axes), tracks.items(), strict=True):
        plot_spectrogram(waveform, sample_rate, name, ax)
        ax.label_outer()
    return figure


def plot_curves(
    x: Sequence[float],
    curves: dict[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    ax=None,
    **settings,
):
    """Draw named curves over the same x (M,); `settings` are those of the axes, such as `ylim`."""
    ax = axes_or_new(ax)
    for number, (name, y) in enumerate(curves.items()):
        ax.plot(x, y, label=literal(name), linewidth=1.4, **curve_style(number))
    ax.set(xlabel=xlabel, ylabel=ylabel, **settings)
    ax.set_title(title, parse_math=False)
    if len(curves) > 1:
        ax.legend(**LEGEND)
    return ax


def plot_mu_law(amplitudes: np.ndarray, levels: dict[str, np.ndarray], ax=None):
    """Draw the level of each amplitude (M,), rising in [-1, 1]: levels (M,) by name of a scale."""
    ax = axes_or_new(ax)
    for number, (name, level) in enumerate(levels.items()):
        ax.step(amplitudes, level, where="mid", label=literal(name), **curve_style(number))
    ax.set(xlabel="amplitude", ylabel="level", xlim=(amplitudes[0], amplitudes[-1]))
    ax.legend(frameon=False)
    return ax


def plot_level_usage(counts: dict[str, np.ndarray], ax=None):
    """Draw how often each level is used, from counts (L,) by name of a scale; logarithmic."""
    ax = axes_or_new(ax)
    for number, (name, count) in enumerate(counts.items()):
        share = 100.0 * np.asarray(count) / max(1, np.sum(count))
        shown = np.where(share > 0, share, np.nan)
        ax.step(
            np.arange(len(share)), shown, label=literal(name), linewidth=1, **curve_style(number)
        )
        ax.set_xlim(0, len(share) - 1)
    ax.set(xlabel="level", ylabel="share of samples (%)", yscale="log")
    ax.legend(frameon=False)
    return ax


def plot_batch(waveform: np.ndarray, names: Sequence[str], sample_rate: int = 16_000, figure=None):
    """Draw the crops of a batch (B, T, 1) below each other, with their names; return the figure."""
    figure = sized_figure(figure, 8.0, 0.5 + 0.9 * len(waveform))
    axes = np.atleast_1d(figure.subplots(len(waveform), 1, sharex=True, sharey=True))
    time = 1000 * np.arange(waveform.shape[1]) / sample_rate
    for ax, crop, name in zip(axes, waveform[..., 0], names, strict=True):
        ax.plot(time, crop, color=BLUE, linewidth=0.6)
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        ax.set_xlim(0, 1000 * len(crop) / sample_rate)
    axes[-1].set_xlabel("time (ms)")
    figure.supylabel("amplitude", fontsize=10)
    return figure
