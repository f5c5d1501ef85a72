"""Figure of the potential: errors by kind of frame, errors by element, pair scans."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from getsei.potentials.evaluation import PairScan

ENERGY_RANGE_eV = (-6.0, 60.0)


def plot(report: Mapping[str, Any], scans: Sequence[PairScan], png: str | Path, svg: str | Path) -> None:
    """Draw the figure.

    Parameters
    ----------
    report : mapping
        From `getsei.potentials.evaluation.report`.
    scans : sequence of PairScan
    png, svg : path
    """
    figure = Figure(figsize=(10.5, 3.8), layout="constrained")
    kinds, elements, pairs = figure.subplots(1, 3, width_ratios=(1.3, 0.8, 1.2))
    _bars(kinds, {k: v["force_meV_per_A"] for k, v in report["errors_by_kind"].items()}, "rmse", "n")
    kinds.set_title("Test trajectories, by kind")
    _bars(elements, report["errors_by_element"], "force_rmse_meV_per_A", "atoms")
    elements.set_title("By element")
    for scan in scans:
        colour = "0.6" if scan.holds else "tab:red"
        pairs.plot(
            scan.distances, scan.energies, color=colour, lw=0.8, label=None if scan.holds else scan.pair
        )
    pairs.set(ylim=ENERGY_RANGE_eV, xlim=(0.5, 4.0), xlabel="Distance (Å)", ylabel="Energy (eV)")
    held = sum(scan.holds for scan in scans)
    pairs.set_title(f"Pair repulsion holds for {held} of {len(scans)}")
    if held < len(scans):
        pairs.legend(frameon=False, fontsize=7)
    with mpl.rc_context({"svg.hashsalt": "getsei", "svg.fonttype": "none"}):
        figure.savefig(png, dpi=150)
        figure.savefig(svg, metadata={"Date": None})


def _bars(axes: Axes, entries: Mapping[str, Mapping[str, Any]], value: str, size: str) -> None:
    names = list(entries)
    height = np.array([entries[name][value] for name in names])
    bounds = [entries[name]["interval95"] or [np.nan, np.nan] for name in names]
    error = np.clip(np.abs(np.array(bounds).T - height), 0, None)
    place = np.arange(len(names))
    axes.barh(place, height, color="0.75")
    axes.errorbar(height, place, xerr=error, fmt="none", ecolor="k", lw=0.8, capsize=2)
    axes.set_yticks(place, [f"{name} ({entries[name][size]})" for name in names], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("Force error, RMSE (meV/Å)")
