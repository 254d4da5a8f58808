"""Figures: arrays -> matplotlib axes. Each takes `ax=None` and returns the axes it drew on."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.evaluation.metrics.codes import perplexity
from vqwn_kit.evaluation.metrics.spectral import log_mel

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"  # safe for colour-blind eyes
LEGEND = {"framealpha": 0.8, "edgecolor": "none"}  # so that curves below leave it readable
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
    marks = [250, 1000, 2000, 4000]
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
    speaks = any("bits" in record for record in history)
    names = ("bits", "held_out/bits") if speaks else ("mel/mse", "held_out/mse")
    styles = ({"color": BLUE, "label": "training"},)
    styles += ({"color": ORANGE, "label": "held-out utterances", "marker": "o"},)
    for name, style in zip(names, styles, strict=True):
        records = [record for record in history if name in record]
        ax.plot([r["step"] for r in records], [r[name] for r in records], **style)
    unit = "negative log-likelihood (bits a sample)" if speaks else "error of bands ((20 dB)²)"
    ax.set(xlabel="training step", ylabel=unit)
    ax.legend(**LEGEND)
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
    ax.legend(**LEGEND)
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
    norm = "log" if used.any() else None  # few codes take most frames: the others would look alike
    dots = ax.scatter(*places[used].T, s=size, c=share, cmap="viridis", norm=norm, alpha=0.85)
    ax.figure.colorbar(dots, ax=ax, label="share of frames (%)")
    if not used.all():
        ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.0, frameon=False)
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


def plot_comparison(names: Sequence[str], measures: dict[str, Sequence[np.ndarray]], figure=None):
    """Draw measures of several models beside each other, a dot for each seed; return the figure.

    Args:
        names: of the models.
        measures: by label, for each model the values of its seeds; empty where it has none.
        figure: to draw on; a new one by default.
    """
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure()
    figure.set_size_inches(10.0, 1.2 + 0.32 * len(names))
    figure.set_layout_engine("constrained")
    axes = np.atleast_1d(figure.subplots(1, len(measures), sharey=True))
    rows = np.arange(len(names))[::-1]
    for ax, (label, values) in zip(axes, measures.items(), strict=True):
        for row, seeds in zip(rows, values, strict=True):
            if len(seeds):
                ax.plot([np.mean(seeds)], [row], "|", color=ORANGE, markersize=14, mew=2)
                ax.plot(seeds, [row] * len(seeds), "o", color=BLUE, markersize=5, alpha=0.8)
            else:
                style = {"va": "center", "color": GREY, "bbox": {"color": "white", "pad": 1}}
                ax.annotate("none", (0.03, row), xycoords=("axes fraction", "data"), **style)
        ax.set(xlabel=label, ylim=(-0.7, len(names) - 0.3))
        ax.grid(axis="y", color="0.9")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(rows, names)
    return figure


def plot_score_card(rows: Sequence[dict], divergence: Sequence[tuple] = (), figure=None):
    """Draw a score card: a panel for each section and unit, a dot and its 95 % interval a row.

    Args:
        rows: dicts with section, name, value, low, high and unit. A section's rows of one unit
            make a panel where they are at least two.
        divergence: (step, bits) of the codes' distance from uniform, a panel of its own.
        figure: a matplotlib figure to draw on.

    Returns:
        The figure.
    """
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure()
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        if row["section"] not in ("cost", "codebook") and row["name"] != "bits per sample":
            groups.setdefault((row["section"], row["unit"]), []).append(row)
    panels = [(name, group) for name, group in groups.items() if len(group) > 1]
    panels.sort(key=lambda panel: len(panel[1]))
    count = len(panels) + bool(divergence)
    lines = -(-max(1, count) // 2)
    sizes = [4] * (count - len(panels)) + [len(group) for _, group in panels]
    heights = [1.0 + 0.33 * max(sizes[2 * line : 2 * line + 2], default=1) for line in range(lines)]
    figure.set_size_inches(13.0, sum(heights))
    figure.set_layout_engine("constrained", h_pad=0.06, w_pad=0.06)
    axes = figure.subplots(lines, 2, squeeze=False, height_ratios=heights).ravel()
    if divergence:
        axes[0].plot(*zip(*divergence, strict=True), color=BLUE)
        axes[0].set(xlabel="training step", ylabel="bits", ylim=(0, None))
        axes[0].set_title("codebook: distance from uniform use", fontsize=10, loc="left")
    for ax, ((section, unit), group) in zip(axes[count - len(panels) :], panels, strict=False):
        _plot_rows(ax, section, unit, group)
    for ax in axes[count:]:
        ax.set_axis_off()
    return figure


def _plot_rows(ax, section: str, unit: str, group: Sequence[dict]) -> None:
    for place, row in enumerate(group):
        end = row["name"].split(", ")[-1]
        colour = {"conversion": ORANGE, "original": GREY, "source to target": GREY}.get(end, BLUE)
        if row["low"] is not None:
            limits = (row["low"], row["high"])
            ax.plot(limits, (place, place), color=colour, linewidth=2, alpha=0.6)
        ax.plot(row["value"], place, "o", color=colour, markersize=5)
        digits = ",.0f" if row["value"] >= 1000 else ".3g"
        ax.annotate(
            f"{row['value']:{digits}}", (row["value"], place), xytext=(0, 5),
            textcoords="offset points", ha="center", fontsize=8,
        )  # fmt: skip
    ax.set_yticks(range(len(group)), [row["name"] for row in group], fontsize=9)
    ax.set_ylim(len(group) - 0.5, -0.9)
    low, high = ax.get_xlim()
    if unit == "%":
        ax.set_xlim(-4, 104)
    elif unit != "of 5":
        ax.set_xlim(min(0.0, low), high + 0.05 * (high - low))
    label = {"": "errors a phone", "of 5": "of 5, a guess at listeners", "bits": "bits per sample"}
    ax.set_xlabel(label.get(unit, unit))
    ax.grid(axis="x", color="#dddddd", linewidth=0.6)
    ax.set_title(section, fontsize=10, loc="left")


def plot_code_phones(table: np.ndarray, phones: Sequence[str], ax=None):
    """Draw which phones each code stands for: p(phone | code), from counts (K, P).

    Codes are sorted by their commonest phone and by how much they belong to it; codes that never
    met a phone are left out.
    """
    from matplotlib.colors import PowerNorm

    ax = _axes(ax, (8.0, 6.5))
    met = np.asarray(table)[np.asarray(table).sum(axis=1) > 0]
    share = met / met.sum(axis=1, keepdims=True)
    order = np.lexsort((-share.max(axis=1), share.argmax(axis=1)))
    picture = ax.imshow(
        share[order].T, aspect="auto", cmap="viridis", norm=PowerNorm(0.5, 0, 1),
        interpolation="nearest",
    )  # fmt: skip
    ax.set_yticks(range(len(phones)), phones, fontsize=7)
    ax.set(
        xlabel=f"{len(met)} of {len(table)} codes, by their commonest phone", ylabel="phone",
        title="Which phone is spoken where a code is taken",
    )  # fmt: skip
    ax.figure.colorbar(picture, ax=ax, label="share of the code's frames")
    return ax


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
