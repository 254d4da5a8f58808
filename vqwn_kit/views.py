"""Figures: arrays -> matplotlib axes. Each takes `ax=None` and returns the axes it drew on."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.evaluation import log_mel, perplexity

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"  # safe for colour-blind eyes
SEX_STYLE = {"F": (ORANGE, "o"), "M": (BLUE, "s")}


def _axes(ax, figsize=(6.0, 3.5)):
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=figsize, layout="constrained")[1]


def plot_waveform(waveform: np.ndarray, sample_rate: int = 16_000, ax=None):
    """Draw a waveform (T,) over time."""
    ax = _axes(ax, (6.0, 1.8))
    ax.plot(np.arange(len(waveform)) / sample_rate, waveform, color=BLUE, linewidth=0.5)
    ax.set(
        xlabel="time (s)", ylabel="amplitude", ylim=(-1, 1), xlim=(0, len(waveform) / sample_rate)
    )
    return ax


def plot_spectrogram(waveform: np.ndarray, sample_rate: int = 16_000, title: str = "", ax=None):
    """Draw the mel spectrogram of a waveform (T,), in dB under its loudest cell."""
    import librosa

    ax = _axes(ax)
    mel = log_mel(waveform, sample_rate)
    seconds = len(waveform) / sample_rate
    ax.imshow(
        mel, origin="lower", aspect="auto", cmap="magma", vmin=-80, vmax=0, interpolation="nearest",
        extent=(0, seconds, 0, len(mel)),
    )  # fmt: skip
    marks = [250, 500, 1000, 2000, 4000]
    edges = librosa.mel_frequencies(n_mels=len(mel), fmax=sample_rate / 2)
    ax.set_yticks(np.interp(marks, edges, np.arange(len(mel))), [f"{mark:g}" for mark in marks])
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)")
    ax.set_title(title, parse_math=False)
    return ax


def plot_spectrograms(tracks: dict[str, np.ndarray], sample_rate: int = 16_000, figure=None):
    """Draw the mel spectrograms of several waveforms below each other; return the figure."""
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure()
    figure.set_size_inches(8.0, 0.4 + 1.7 * len(tracks))
    figure.set_layout_engine("constrained")
    axes = figure.subplots(len(tracks), 1, sharex=True)
    for ax, (name, waveform) in zip(np.atleast_1d(axes), tracks.items(), strict=True):
        plot_spectrogram(waveform, sample_rate, name, ax)
        ax.label_outer()
    return figure


def plot_history(history: Sequence[dict], ax=None):
    """Draw the likelihood over training: each logging interval's mean, and held-out utterances."""
    ax = _axes(ax)
    ax.plot(
        [record["step"] for record in history],
        [record["bits"] for record in history],
        color=BLUE,
        label="training",
    )
    held_out = [record for record in history if "held_out/bits" in record]
    ax.plot(
        [record["step"] for record in held_out],
        [record["held_out/bits"] for record in held_out],
        "o-",
        color=ORANGE,
        label="held-out utterances",
    )
    ax.set(xlabel="training step", ylabel="negative log-likelihood (bits a sample)")
    ax.legend(frameon=False)
    return ax


def plot_code_history(history: Sequence[dict], num_embeddings: int, ax=None):
    """Draw how many of K codes each logging interval used, and their perplexity."""
    ax = _axes(ax)
    records = [record for record in history if "vq/codes_used" in record]
    steps = [record["step"] for record in records]
    used = [record["vq/codes_used"] for record in records]
    ax.plot(steps, used, color=BLUE, label="codes in use")
    spread = [record["vq/perplexity"] for record in records]
    ax.plot(steps, spread, "--", color=ORANGE, label="perplexity")
    ax.axhline(
        num_embeddings, color=GREY, linewidth=0.8, linestyle=":", label=f"K = {num_embeddings}"
    )
    ax.set(xlabel="training step", ylabel="codes", ylim=(0, 1.08 * num_embeddings))
    ax.legend(frameon=False)
    return ax


def plot_code_use(counts: np.ndarray, ax=None):
    """Draw how often each code is used, the commonest first, from counts (K,); logarithmic."""
    ax = _axes(ax)
    share = 100.0 * np.sort(counts)[::-1] / max(1, counts.sum())
    ax.semilogy(np.arange(1, len(share) + 1), np.where(share > 0, share, np.nan), color=BLUE)
    ax.axhline(
        100 / len(share), color=GREY, linestyle=":", linewidth=0.8, label="if all were equal"
    )
    title = f"{np.count_nonzero(counts)} of {len(counts)} codes in use"
    if counts.sum():
        title += f", perplexity {perplexity(counts):.0f}"
    ax.set(xlabel="rank of the code", ylabel="share of frames (%)", title=title)
    ax.set(xlim=(0, len(share) + 1))
    ax.legend(frameon=False)
    return ax


def project_2d(vectors: np.ndarray, method: str = "pca", seed: int = 0) -> np.ndarray:
    """Project (M, D) to (M, 2) by `pca` or `umap`; a table of under 5 rows always by PCA."""
    if method == "umap" and len(vectors) >= 5:
        from umap import UMAP

        neighbours = min(15, len(vectors) - 1)
        start = "spectral" if len(vectors) > 15 else "random"
        mapper = UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1, init=start)
        return mapper.fit_transform(vectors)
    if len(vectors) < 2:
        return np.zeros((len(vectors), 2))
    from sklearn.decomposition import PCA

    flat = PCA(min(2, *vectors.shape)).fit_transform(vectors)
    return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))


def plot_codebook(codebook: np.ndarray, counts: np.ndarray, method: str = "pca", ax=None):
    """Draw the codebook (K, D) as a map: size and colour by use, unused codes as crosses."""
    ax = _axes(ax, (6.0, 4.5))
    places = project_2d(codebook, method)
    used = counts > 0
    ax.scatter(*places[~used].T, marker="x", s=12, color=GREY, linewidth=0.8, label="unused")
    share = 100.0 * counts[used] / max(1, counts.sum())
    size = 8 + 120 * share / max(1e-9, share.max(initial=0))
    dots = ax.scatter(*places[used].T, s=size, c=share, cmap="viridis", alpha=0.85)
    ax.figure.colorbar(dots, ax=ax, label="share of frames (%)")
    if not used.all():
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.07), frameon=False)
    _finish_map(ax, method, f"codebook, {len(codebook)} codes")
    return ax


def plot_speakers(vectors: np.ndarray, speakers: dict[str, dict[str, str]], ax=None):
    """Draw the speakers' vectors (S, C) as a map (PCA), with names, marked by sex."""
    ax = _axes(ax, (6.0, 4.5))
    places = project_2d(vectors, "pca")
    for place, (name, facts) in zip(places, speakers.items(), strict=True):
        colour, marker = SEX_STYLE.get(facts.get("sex", ""), (GREY, "^"))
        ax.scatter(*place, color=colour, marker=marker, s=40)
        if len(speakers) <= 40:
            ax.annotate(
                name, place, xytext=(5, 4), textcoords="offset points", fontsize=9, parse_math=False
            )
    for sex, (colour, marker) in SEX_STYLE.items():
        if any(facts.get("sex") == sex for facts in speakers.values()):
            ax.scatter([], [], color=colour, marker=marker, label=sex)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(title="sex", frameon=False)
    ax.margins(0.15)
    _finish_map(ax, "pca", f"{len(speakers)} speakers")
    return ax


def _finish_map(ax, method: str, title: str) -> None:
    name = {"pca": "principal component", "umap": "UMAP axis"}[method]
    ax.set(xlabel=f"{name} 1", ylabel=f"{name} 2", title=title)


def plot_checkup(
    minutes: dict[str, float],
    seconds: Sequence[float],
    levels: Sequence[float],
    rates: Sequence[int],
    figure=None,
):
    """Draw what a corpus is made of; return the figure.

    Args:
        minutes: of sound, by speaker.
        seconds: length of each recording.
        levels: RMS of each recording, in dBFS.
        rates: sample rate of each recording, in Hz.
        figure: a matplotlib figure to draw on.
    """
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure()
    figure.set_size_inches(9.0, 6.0)
    figure.set_layout_engine("constrained")
    (by_speaker, by_length), (by_level, by_rate) = figure.subplots(2, 2)
    names = sorted(minutes, key=minutes.get, reverse=True)
    heights = [minutes[name] for name in names]
    by_speaker.bar(np.arange(len(names)), heights, color=BLUE)
    title = f"{len(names)} speaker{'s' * (len(names) != 1)}, {sum(heights):.1f} minutes"
    by_speaker.set(ylabel="minutes", title=title, xlim=(-1, len(names)))
    if len(names) <= 20:
        by_speaker.set_xticks(
            np.arange(len(names)),
            names,
            rotation=45,
            ha="right",
            rotation_mode="anchor",
            parse_math=False,
        )
    else:
        by_speaker.set_xlabel("speakers, those with most first")
    bins = min(40, max(5, int(np.sqrt(len(seconds)))))
    by_length.hist(seconds, bins, color=GREEN)
    by_length.set(xlabel="length without silence at both ends (s)", ylabel="recordings")
    by_level.hist(levels, bins, color=ORANGE)
    by_level.set(xlabel="level (RMS, dBFS)", ylabel="recordings")
    by_level.locator_params(axis="x", nbins=6)
    kinds, counts = np.unique(np.asarray(rates, int), return_counts=True)
    by_rate.bar([f"{rate / 1000:g}" for rate in kinds], counts, color=GREY)
    by_rate.set(xlabel="sample rate (kHz)", ylabel="recordings", xlim=(-1, len(kinds)))
    return figure
