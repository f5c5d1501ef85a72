"""How far ions move: by state, by ion against its surroundings, and over time."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from getsei import statistics
from getsei.figures import style
from getsei.records import Transport


@style.themed
def figure(transport: Transport, title: str) -> Figure:
    """Draw the transport of one system.

    Parameters
    ----------
    transport : Transport
    title : str
        Name of the system.
    """
    fig = Figure(figsize=(style.TWO_COLUMNS_IN, 7.6))
    grid = fig.add_gridspec(3, 2)
    axes = [fig.add_subplot(grid[i, j]) for i in range(3) for j in range(2)]
    by_state(axes[0], transport, "mobility", "mobility (Å²/ps)", "ions")
    style.panel(axes[0], "a", f"mobility over {transport.provenance['mobility_lag_ps']:g} ps (n: ions)")
    by_state(axes[1], transport, "mobility_score", "mobility score (Å²/ps)", "exits")
    style.panel(axes[1], "b", "escape rate × squared jump / 6 (n: exits)")
    against(axes[2], transport, "density", transport.ion_density, "density of mobile ions (nm$^{-3}$)")
    style.panel(axes[2], "c", "ion mobility and ion density")
    against(
        axes[3],
        transport,
        "anion_coordination",
        transport.ion_anion_coordination,
        "anions in the first shell",
    )
    style.panel(axes[3], "d", "ion mobility and anion coordination")
    displacement(axes[4], transport)
    diffusion(axes[5], transport)
    fig.suptitle(f"{title}; bars and bands: 95 % intervals, ions resampled", fontsize=8)
    style.state_legend(fig, range(len(transport.names)), transport.names)
    style.despine(fig)
    return fig


def by_state(axes: Axes, transport: Transport, key: str, name: str, what: str) -> None:
    """Draw a quantity of each state with its interval; say where the sampling does not support it."""
    found = [transport.estimates[f"{key}/{s}"] for s in range(len(transport.names))]
    shown = [row["value"] for row in found if row["supported"] and row["value"] is not None]
    tops = [row["high"] for row in found if row["supported"] and row["high"] is not None]
    top = max([*shown, *tops], default=1.0)
    for s, row in enumerate(found):
        known = row["supported"] and row["value"] is not None
        if known:
            low, high = (np.nan if row[part] is None else row[part] for part in ("low", "high"))
            axes.errorbar(
                s,
                row["value"],
                yerr=style.bars(np.array([row["value"]]), np.array([low]), np.array([high])),
                fmt=style.marker(s),
                color=style.state_colour(s),
                capsize=2,
                markersize=5,
            )
            y = np.nanmax([row["value"], high]) + 0.03 * top
        else:
            y = 0.03 * top
        text = f"n = {row['n']}" if known else f"not supported\nn = {row['n']}"
        axes.text(
            s, y, text, ha="center", va="bottom", fontsize=6, color="#505050", rotation=0 if known else 90
        )
    style.number_states(axes, range(len(found)))
    axes.set(xlabel="state", ylabel=name, ylim=(0, 1.18 * top), xlim=(-0.6, len(found) - 0.4))


def against(axes: Axes, transport: Transport, key: str, x: np.ndarray, name: str) -> None:
    """Draw the mobility of each ion against a descriptor, by the region the ion started in."""
    mobility = np.asarray(transport.ion_mobility)
    for number in range(-1, len(transport.region_names)):
        inside = transport.ion_region == number
        if not inside.any():
            continue
        region = "no region" if number < 0 else transport.region_names[number]
        colour, mark = style.region_style(region)
        axes.scatter(
            x[inside],
            mobility[inside],
            s=9,
            linewidths=0.3,
            edgecolors="white",
            color=colour,
            alpha=0.8,
            marker=mark,
            label=f"started in {region} (n = {int(inside.sum())})" if number >= 0 else f"{region}",
        )
    positive = mobility[mobility > 0]
    if len(positive):
        axes.set_yscale("log")
        low, high = positive.min(), positive.max()
        axes.set_ylim(low / 1.5, high * (high / low) ** 0.5 * 1.6)  # the upper third is for the text
        style.plain_log(axes.yaxis)
    other = "anion_coordination" if key == "density" else "density"
    named = {"density": "density", "anion_coordination": "anions"}[other]
    lines = [
        f"Spearman {correlation(transport, f'all/{key}')}",
        f"given {named}: {correlation(transport, f'all/{key} given {other}')}",
    ]
    axes.text(0.02, 0.99, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=6.3)
    axes.set(xlabel=name, ylabel="ion mobility (Å²/ps)")
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(0.0, 0.86),
        fontsize=6.3,
        labelspacing=0.2,
        handletextpad=0.1,
        borderaxespad=0.2,
    )


def correlation(transport: Transport, key: str) -> str:
    """Return a correlation with interval, n and p."""
    row = transport.correlations[key]
    if not row["supported"] or row["value"] is None:
        return f"not supported (n = {row['n']})"
    p = row["p_value"]
    chance = "" if p is None else f", p = {p:.2g}"
    return f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}], n = {row['n']}{chance}"


def displacement(axes: Axes, transport: Transport) -> None:
    """Draw the mean square displacement of all ions, with the slope of diffusion as a guide."""
    lags, (value, low, high) = transport.msd_lags, transport.msd.T
    axes.plot(
        lags,
        value,
        color=style.INK,
        marker="o",
        markersize=2.5,
        label=f"all ions, n = {len(transport.ion_mobility)}",
    )
    axes.fill_between(lags, low, high, color=style.INK, alpha=0.15, linewidth=0)
    guide = value[-1] * lags / lags[-1]
    axes.plot(lags, guide, color=style.GREY, linestyle=":", label="∝ time")
    axes.set(xscale="log", yscale="log", xlabel="time (ps)", ylabel="mean square displacement (Å²)")
    style.plain_log(axes.xaxis)
    style.plain_log(axes.yaxis)
    axes.legend(loc="upper left")
    style.panel(axes, "e", "mean square displacement")


def diffusion(axes: Axes, transport: Transport) -> None:
    """Draw the diffusion coefficient of all ions and of those of each region."""
    style.panel(axes, "f", "diffusion coefficient (n: ions)")
    groups = transport.phase_names
    found = [statistics.estimate_of(transport.estimates[f"diffusion/{g}"]) for g in groups]
    known = [e for e in found if e.supported]
    for row, estimate in enumerate(found):
        colour, mark = style.region_style(groups[row])
        if estimate.supported:
            axes.errorbar(
                estimate.value,
                row,
                color=colour,
                capsize=2,
                markersize=5,
                xerr=style.bars(*(np.array([v]) for v in (estimate.value, estimate.low, estimate.high))),
                fmt=mark,
            )
            axes.annotate(
                f"n = {estimate.n}",
                (estimate.value, row),
                xytext=(0, 6),
                ha="center",
                textcoords="offset points",
                fontsize=6.3,
                color="#505050",
            )
        else:
            axes.text(
                0.02,
                row,
                style.wrapped(f"not supported, n = {estimate.n}: {estimate.note}", 48, 3),
                transform=axes.get_yaxis_transform(),
                va="center",
                fontsize=6,
                color="#505050",
            )
    axes.set_yticks(range(len(groups)), [style.wrapped(g if g == "all" else f"from {g}", 14) for g in groups])
    axes.set_ylim(len(groups) - 0.5, -0.6)
    axes.set_xlabel("D (cm²/s)")
    if known:
        axes.set_xlim(0, 1.15 * max(e.high for e in known))
    else:
        axes.set_xticks([])
