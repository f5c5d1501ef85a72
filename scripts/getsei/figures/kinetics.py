"""The Koopman model: timescales against lag, Chapman-Kolmogorov test, escape rates, transition matrix."""

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from getsei.figures import style
from getsei.records import KoopmanModel
from getsei.units import PS_PER_NS

WARNING = "#B2182B"
"""Colour of a title that warns."""


@style.themed
def figure(koopman: KoopmanModel, title: str) -> Figure:
    """Draw the Koopman model of one system.

    Parameters
    ----------
    koopman : KoopmanModel
    title : str
        Name of the system.
    """
    fig = Figure(figsize=(style.TWO_COLUMNS_IN, 9.4))
    grid = fig.add_gridspec(3, 2)
    axes = [fig.add_subplot(grid[i, j]) for i in (0, 1, 2) for j in (0, 1)]
    timescales(axes[0], koopman)
    chapman_kolmogorov(axes[1], koopman)
    escape_rates(axes[2], koopman)
    matrix(axes[3], koopman)
    residence(axes[4], koopman)
    populations(axes[5], koopman)
    failed = [row["name"] for row in koopman.checks if not row["passed"]]
    checks = f"failed checks: {len(failed)} of {len(koopman.checks)}" if koopman.checks else ""
    fig.suptitle(
        f"{title}: lag {koopman.lag_ps:g} ps, {len(koopman.counts)} ions, {int(koopman.events.sum())} "
        f"changes of state; bands and bars: 95 % intervals over ions; {checks}\n"
        + style.wrapped(koopman.stationary_note or f"window: {koopman.window_note}", 120, 3),
        fontsize=7.5,
        color=WARNING if koopman.stationary_note else "black",
    )
    active = [int(s) for s in koopman.active]
    style.state_legend(fig, active, dict(zip(active, koopman.names, strict=True)))
    style.despine(fig)
    return fig


def timescales(axes: Axes, koopman: KoopmanModel) -> None:
    """Draw implied timescales against lag; below the grey line a process is faster than the lag."""
    style.panel(axes, "a", "implied timescales")
    scan, lags = koopman.scan_timescales, koopman.scan_lags
    if not len(lags) or not np.isfinite(scan[..., 0]).any():
        style.message(axes, "no implied timescale at any lag of the scan: too few states exchange ions")
        return
    for number in range(scan.shape[1]):
        value, low, high = scan[:, number].T
        seen = np.isfinite(value) & (value > 0)
        colour = style.ramp(number, scan.shape[1])
        axes.plot(lags[seen], value[seen], color=colour, marker=style.marker(number), label=f"{number + 2}")
        known = seen & np.isfinite(low) & np.isfinite(high) & (low > 0)
        axes.fill_between(lags[known], low[known], high[known], color=colour, alpha=0.18, linewidth=0)
    axes.set(xscale="log", yscale="log", xlabel="lag (ps)", ylabel="timescale (ps)")
    reach = np.array([lags.min() / 1.3, lags.max() * 1.3])
    bottom, top = axes.get_ylim()
    bottom = min(bottom, 0.6 * lags.min())
    axes.fill_between(reach, bottom, reach, color=style.LIGHT, alpha=0.6, zorder=0, linewidth=0)
    axes.axvline(koopman.lag_ps, color="#303030", linewidth=0.7, linestyle="--")
    # Along the lower edge: full where the timescale is flat and the Chapman-Kolmogorov test holds.
    for row in koopman.lag_choice:
        axes.plot(
            row["lag_ps"],
            0.02,
            marker="^",
            markersize=4,
            color="#303030",
            fillstyle="full" if row["qualifies"] else "none",
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )
    axes.set(xlim=reach, ylim=(bottom, top))
    style.plain_log(axes.xaxis)
    style.plain_log(axes.yaxis)
    axes.text(
        0.97,
        0.05,
        "faster than the lag; ▲ flat and Markovian, △ not",
        transform=axes.transAxes,
        ha="right",
        fontsize=6.5,
        color="#505050",
    )
    axes.set_ylim(top=6 * axes.get_ylim()[1])
    axes.legend(
        title="process", title_fontsize=6.5, fontsize=6.5, ncols=5, loc="upper center", columnspacing=0.8
    )


def chapman_kolmogorov(axes: Axes, koopman: KoopmanModel) -> None:
    """Draw observed staying probabilities beside those the model predicts."""
    style.panel(axes, "b", "Chapman-Kolmogorov test")
    times = koopman.ck_steps * koopman.lag_ps
    if not len(times):
        style.message(axes, "no test: the trajectory is shorter than two lags")
        return
    k = len(koopman.active)
    width = 0.03 * koopman.lag_ps
    for row, state in enumerate(int(s) for s in koopman.active):
        value, low, high = koopman.ck_observed[:, row].T
        axes.plot(times, koopman.ck_predicted[:, row], color=style.state_colour(state))
        axes.errorbar(
            times + (row - (k - 1) / 2) * width,
            value,
            style.bars(value, low, high),
            fmt=style.marker(state),
            color=style.state_colour(state),
            elinewidth=0.8,
            markersize=3,
        )
    axes.plot([], [], color=style.GREY, label="model")
    axes.errorbar([], [], [], fmt="o", color=style.GREY, markersize=3, elinewidth=0.8, label="observed")
    axes.set(xlabel="time (ps)", ylabel="probability to be in the same state", ylim=(0, 1.02))
    axes.legend(loc="lower left")


def escape_rates(axes: Axes, koopman: KoopmanModel) -> None:
    """Draw the escape rate of each state with the number of exits it rests on."""
    states = [int(s) for s in koopman.active]
    value, low, high = koopman.escape_rates.T / PS_PER_NS
    places = np.arange(len(states))
    known = np.asarray(koopman.supported) & np.isfinite(value)
    for row, state in enumerate(states):
        if known[row]:
            axes.errorbar(
                value[row],
                row,
                xerr=style.bars(value[[row]], low[[row]], high[[row]]),
                fmt=style.marker(state),
                color=style.state_colour(state),
                capsize=2,
                markersize=5,
            )
    right = np.nanmax(np.where(known, np.fmax(high, value), np.nan), initial=0.0) or 1.0
    for row in range(len(states)):
        text = f"n = {koopman.exits[row]}" if known[row] else f"not supported, n = {koopman.exits[row]}"
        axes.text(
            1.05 * right if known[row] else 0.02 * right,
            row,
            text,
            va="center",
            fontsize=6.5,
            color="#505050",
        )
    style.number_states(axes, states, "y")
    axes.set(xlabel="escape rate (1/ps)", ylabel="state", xlim=(0, 1.3 * right))
    axes.set_ylim(len(places) - 0.5, -0.5)
    style.panel(axes, "c", "escape rates (n: observed exits)")


def matrix(axes: Axes, koopman: KoopmanModel) -> None:
    """Draw the transition matrix over the lag."""
    states = [int(s) for s in koopman.active]
    text = np.array([[f"{100 * p:.0f}" if p >= 0.005 else "" for p in row] for row in koopman.operator])
    sns.heatmap(
        100 * koopman.operator,
        ax=axes,
        cmap="cividis",
        vmin=0,
        vmax=100,
        annot=text,
        fmt="",
        annot_kws={"fontsize": 6.5},
        cbar_kws={"label": "probability (%)"},
        linewidths=0.5,
        square=True,
        linecolor="white",
    )
    style.number_states(axes, states, "x", 0.5)
    style.number_states(axes, states, "y", 0.5)
    axes.tick_params(axis="y", rotation=0)
    axes.set(xlabel="to state", ylabel="from state")
    style.panel(axes, "d", f"transitions over {koopman.lag_ps:g} ps")


def residence(axes: Axes, koopman: KoopmanModel) -> None:
    """Draw the share of visits that last longer than a time, and the exponential of each escape rate."""
    style.panel(axes, "e", "how long visits last")
    times = koopman.survival_times
    drawn = False
    for row, state in enumerate(int(s) for s in koopman.active):
        value, low, high = koopman.survival[row].T
        known = np.isfinite(value) & (value > 0)
        if not known.any() or not koopman.supported[row]:
            continue
        drawn, colour = True, style.state_colour(state)
        axes.plot(times[known], value[known], color=colour, marker=style.marker(state), markersize=3)
        band = known & np.isfinite(low) & np.isfinite(high)
        axes.fill_between(times[band], low[band], high[band], color=colour, alpha=0.15, linewidth=0)
        rate = koopman.escape_rates[row, 0] / PS_PER_NS
        axes.plot(times, np.exp(-rate * times), color=colour, linestyle="--", linewidth=0.8)
    if not drawn:
        style.message(axes, "too few exits for a residence time")
        return
    axes.plot([], [], color=style.GREY, marker="o", markersize=3, label="observed")
    axes.plot([], [], color=style.GREY, linestyle="--", label="exponential of the escape rate")
    axes.set(xscale="log", xlabel="time (ps)", ylabel="share of visits that last longer", ylim=(0, 1.02))
    style.plain_log(axes.xaxis)
    axes.legend(loc="lower left")


def populations(axes: Axes, koopman: KoopmanModel) -> None:
    """Draw the population of each state in successive windows."""
    style.panel(axes, "f", "populations in successive windows")
    middle = koopman.window_times.mean(axis=1)
    half = np.diff(koopman.window_times, axis=1)[:, 0] / 2.0
    for row, state in enumerate(int(s) for s in koopman.active):
        value, low, high = koopman.window_populations[:, row].T
        axes.errorbar(
            middle,
            100 * value,
            100 * style.bars(value, low, high),
            xerr=half,
            fmt=style.marker(state),
            color=style.state_colour(state),
            elinewidth=0.7,
            markersize=3.5,
        )
        axes.plot(middle, 100 * value, color=style.state_colour(state), linewidth=0.8)
    axes.set(xlabel="time (ps)", ylabel="population (%)")
    axes.set_ylim(bottom=0)
