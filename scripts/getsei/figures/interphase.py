"""The interphase: elements along z, thickness, inventory and coordination over time."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from scipy import ndimage

from getsei.figures import style
from getsei.interphase import INTERPHASE, SMOOTHING_A
from getsei.records import Interphase

STAGE_SHADES = ("#f2f2f2", "#ffffff", "#e9eff5", "#f7f1e6")


def composition(axes: Axes, found: Interphase) -> None:
    """Draw the number density of each element along z, at the start and at the end."""
    z = (found.z_edges[:-1] + found.z_edges[1:]) / 2
    width = SMOOTHING_A / 2 / (found.z_edges[1] - found.z_edges[0])
    last = max(1, len(found.times) // 10)
    for element, name in enumerate(found.elements):
        colour = style.element_colour(name)
        for values, line in (
            (found.density[0, :, element], 0.7),
            (found.density[-last:, :, element].mean(0), 1.6),
        ):
            smooth = ndimage.gaussian_filter1d(values, width, mode="wrap")
            axes.plot(z, smooth, color=colour, linewidth=line, label=name if line > 1 else None)
    for start, stop in spans(found.phase[0, -1] == INTERPHASE):
        axes.axvspan(found.z_edges[start], found.z_edges[stop], color="#f6efd9", zorder=0, linewidth=0)
    axes.set(xlabel="z (Å)", ylabel="number density (nm$^{-3}$)", xlim=(found.z_edges[0], found.z_edges[-1]))
    axes.set_ylim(0, 1.22 * axes.get_ylim()[1])
    axes.legend(ncols=min(6, len(found.elements)), loc="upper center", columnspacing=0.8, handlelength=1.0)


def spans(inside: np.ndarray) -> list[tuple[int, int]]:
    """Return [start, stop) of each run of True."""
    steps = np.diff(np.concatenate([[0], inside.astype(int), [0]]))
    return list(zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True))


def thickness(axes: Axes, found: Interphase) -> None:
    """Draw the thickness of one interphase over time; with several replicas, their range."""
    if not found.n_interfaces:
        style.message(axes, found.note)
        return
    mean = found.thickness.mean(0)
    colour, _ = style.region_style("interphase")
    axes.plot(found.times, mean, color=colour)
    if len(found.thickness) > 1:
        axes.fill_between(
            found.times, found.thickness.min(0), found.thickness.max(0), color=colour, alpha=0.2
        )
    axes.axhline(2.563 * SMOOTHING_A, color=style.GREY, linestyle=":", linewidth=0.8)
    n = found.n_interfaces * len(found.thickness)
    axes.set_ylim(0, 1.25 * max(mean.max(), 2.563 * SMOOTHING_A))
    axes.text(
        0.98,
        0.04,
        "dotted: a sharp step",
        transform=axes.transAxes,
        ha="right",
        fontsize=6.5,
        color="#505050",
    )
    axes.set(ylabel="thickness (Å)")
    style.panel(axes, "a", f"one interphase, mean of n = {n}")
    shade(axes, found)


def inventory(axes: Axes, found: Interphase) -> None:
    """Draw the share of the mobile ions in each phase over time."""
    if not found.n_interfaces:
        style.message(axes, found.note)
        return
    held = found.inventory.sum(0)
    total = held.sum(1, keepdims=True)
    for number, name in enumerate(found.phase_names):
        colour, mark = style.region_style(name)
        axes.plot(
            found.times,
            100 * held[:, number] / total[:, 0],
            color=colour,
            marker=mark,
            markevery=0.2,
            label=name,
        )
    axes.set(xlabel="time (ps)", ylabel=f"{'/'.join(found.mobile)} ions (%)")
    axes.set_ylim(0, 118)
    axes.legend(ncols=3, loc="upper center", columnspacing=0.8)
    style.panel(axes, "b", f"where they are, n = {round(total[0, 0])}")
    shade(axes, found, named=False)


def courses(axes: Axes, found: Interphase, *, bonds: bool) -> None:
    """Draw coordination numbers of the first replica over time with their spread over atoms.

    Parameters
    ----------
    axes : Axes
    found : Interphase
    bonds : bool
        Bonds of the framework, or else neighbours of the mobile ions.
    """
    rows = [c for c in found.courses if c["replica"] == 0]
    rows = [c for c in rows if (c["survival"] is not None if bonds else c["centre"] in found.mobile)]
    if not rows:
        style.message(axes, "no such pair of elements in this system")
        return
    for number, course in enumerate(rows):
        _line(axes, course, course["centre"] if bonds else course["neighbour"], number)
    whose = "framework neighbours per atom" if bonds else f"neighbours per {'/'.join(found.mobile)} ion"
    axes.set(xlabel="time (ps)", ylabel=whose)
    axes.set_ylim(0, axes.get_ylim()[1] * (1.15 + 0.1 * len(rows)))
    axes.legend(loc="upper right", bbox_to_anchor=(1.0, 0.93), labelspacing=0.25)
    shade(axes, found)


def _line(axes: Axes, course: Mapping[str, Any], element: str, number: int) -> None:
    mean, sd = np.asarray(course["mean"]), np.asarray(course["sd"])
    colour = style.element_colour(element)
    text = f"{course['name']} < {course['cutoff_A']:.1f} Å, n = {course['n_atoms']}"
    axes.plot(
        course["times_ps"],
        mean,
        color=colour,
        label=text,
        marker=style.marker(number),
        markevery=0.2,
        markeredgecolor=style.INK,
        markeredgewidth=0.3,
    )
    axes.fill_between(
        course["times_ps"], np.maximum(0, mean - sd), mean + sd, color=colour, alpha=0.15, linewidth=0
    )


def shade(axes: Axes, found: Interphase, *, named: bool = True) -> None:
    """Shade the stages of the run, and name those that are wide enough."""
    total = found.time_edges[-1]
    axes.set_xlim(0, total)
    for number, stage in enumerate(found.stages):
        start, stop = stage["start_ps"], min(stage["stop_ps"], total)
        axes.axvspan(start, stop, color=STAGE_SHADES[number % len(STAGE_SHADES)], zorder=0, linewidth=0)
        if named and stop - start > 0.2 * total:
            axes.text(
                (start + stop) / 2,
                0.98,
                stage["name"],
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="top",
                fontsize=6,
                color="#505050",
            )
