"""Figures of a potential: its errors on labelled frames, and what it says of matter."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from getsei.figures import style
from getsei.potentials.evaluation import bars, plan

ENERGY_RANGE_eV = (-6.0, 40.0)
SHOWN_PAIRS = ("P-S", "Ge-S", "Li-S", "O-Zr", "La-O", "Li-O", "Li-Li")
"""Pairs whose radial distributions are drawn, where they occur."""
LINEAR_meV = 5.0
"""Energy errors within this are drawn on a linear scale, larger ones on a logarithmic one."""
DASHED = (0, (3, 1.5))


@style.themed
def accuracy(report: Mapping[str, Any]) -> Figure:
    """Draw errors on labelled frames: parity, energies, stresses, and forces by kind, system and element.

    Parameters
    ----------
    report : mapping
        From `getsei.potentials.evaluation.accuracy.report`.
    """
    rows = max(len(report["errors_by_kind"]), len(report["errors_by_system"]), 6)
    figure = Figure(figsize=(style.TWO_COLUMNS_IN, 2.4 + 0.22 * rows))
    ((forces, energies, stresses), lower) = figure.subplots(2, 3)
    parity, by_kind = report["parity"], report["errors_by_kind"]
    _forces(forces, parity)
    style.panel(forces, "a", f"{len(parity['force_element'])} force components")
    _energies(energies, parity)
    style.panel(energies, "b", f"energy, {by_kind['all']['energy_meV_per_atom']['rmse']:.3g} meV/atom")
    stressed = {kind: row["stress_GPa"] for kind, row in by_kind.items() if row["stress_GPa"]}
    if stressed:
        _bars(stresses, stressed, limit=bars.STRESS, label="stress RMSE (GPa)")
    else:
        style.message(stresses, "The frames carry no stress.")
    style.panel(stresses, "c", "stress by kind")
    for axes, letter, (name, entries) in zip(lower, "def", _force_errors(report).items(), strict=True):
        _bars(axes, entries)
        style.panel(axes, letter, f"force by {name}")
    style.despine(figure)
    return figure


def _forces(axes: Axes, parity: Mapping[str, Any]) -> None:
    reference = np.array(parity["force_reference_eV_per_A"])
    predicted = np.array(parity["force_predicted_eV_per_A"])
    symbols = np.array(parity["force_element"])
    for element in sorted(set(parity["force_element"])):
        own = symbols == element
        axes.plot(
            reference[own],
            predicted[own],
            ".",
            ms=2,
            color=style.element_colour(element),
            label=element,
            rasterized=True,
        )
    limits = [min(reference.min(), predicted.min()), max(reference.max(), predicted.max())]
    axes.plot(limits, limits, color=style.INK, lw=0.6)
    axes.set(xlabel="reference force (eV/Å)", ylabel="predicted force (eV/Å)")
    axes.legend(markerscale=3, handletextpad=0.1, borderpad=0)


def _energies(axes: Axes, parity: Mapping[str, Any]) -> None:
    if not parity["energy_error_eV_per_atom"]:
        style.message(axes, "Too few frames for the zeros of the energy to be fitted and judged.")
        return
    kinds = sorted(set(parity["energy_kind"]))
    error = 1000.0 * np.array(parity["energy_error_eV_per_atom"])
    place = np.array([kinds.index(kind) for kind in parity["energy_kind"]])
    noise = np.random.default_rng(1).uniform(-0.25, 0.25, len(place))
    axes.axvline(0.0, color=style.LIGHT, lw=0.8)
    axes.plot(error, place + noise, ".", ms=3, color=style.PALETTE[0])
    axes.set_xscale("symlog", linthresh=LINEAR_meV)
    reach = max(1.2 * float(np.abs(error).max()), LINEAR_meV)
    axes.set_xlim(-reach, reach)
    outer = 10.0 ** np.floor(np.log10(reach))
    ticks = [0.0, LINEAR_meV, *([outer] if outer > 2 * LINEAR_meV else [])]
    ticks = [*(-tick for tick in ticks[:0:-1]), *ticks]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_yticks(range(len(kinds)), [style.wrapped(kind, 24, 1) for kind in kinds])
    axes.invert_yaxis()
    axes.set_xlabel("predicted - reference (meV/atom)")


@style.themed
def rounds(found: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw how active learning went: errors of validation by epoch, errors and data by round.

    Parameters
    ----------
    found : sequence of mapping
        From `getsei.potentials.evaluation.learning.rounds`.
    """
    figure = Figure(figsize=(style.TWO_COLUMNS_IN, 2.3))
    epochs, errors, sizes = figure.subplots(1, 3)
    _epochs(epochs, [entry for entry in found if entry["epochs"]])
    style.panel(epochs, "a", "while training")
    told = [entry["told"] for entry in found if entry["told"]]
    _round_errors(errors, told)
    style.panel(errors, "b", "after each round")
    if told:
        sizes.bar(
            [row["round"] for row in told], np.cumsum([row["frames"] for row in told]), color=style.LIGHT
        )
        sizes.set(xlabel="round", ylabel="labelled frames")
        sizes.set_xticks([row["round"] for row in told])
    else:
        style.message(sizes, "No round is on record.")
    style.panel(sizes, "c", "data so far")
    style.despine(figure)
    return figure


def _epochs(axes: Axes, found: Sequence[Mapping[str, Any]]) -> None:
    start = 0
    for number, entry in enumerate(found):
        x = start + np.arange(1, len(entry["epochs"]) + 1)
        y = [row["force_meV_per_A"] for row in entry["epochs"]]
        axes.plot(x, y, ".-", ms=3, color=style.state_colour(number), label=entry["name"])
        start = int(x[-1])
    if not found:
        style.message(axes, "The errors of the epochs were not kept.")
        return
    axes.set(xlabel="epoch", ylabel="validation force RMSE (meV/Å)", ylim=(0, None))
    axes.legend()


def _round_errors(axes: Axes, told: Sequence[Mapping[str, Any]]) -> None:
    if not told:
        style.message(axes, "No round is on record.")
        return
    own = [row for row in told if row["on_policy"]]
    series = (
        ("validation", told, "validation", "force_rmse_meV_per_A", "force_interval95"),
        ("own dynamics", own, "on_policy", "force_rmse_meV_per_A", "interval95"),
        ("its uncertainty there", own, "on_policy", "uncertainty_mean_meV_per_A", None),
    )
    for number, (label, rows, where, key, interval) in enumerate(series):
        rows = [row for row in rows if row[where][key] is not None]
        x = np.array([row["round"] for row in rows], dtype=float) + 0.06 * (number - 1)
        y = np.array([row[where][key] for row in rows], dtype=float)
        colour = style.state_colour(number)
        axes.plot(x, y, style.marker(number) + "-", color=colour, label=label)
        for place, height, row in zip(x, y, rows, strict=True):
            if interval and row[where][interval]:
                low, high = row[where][interval]
                axes.plot([place, place], [min(low, height), max(high, height)], color=colour, lw=0.8)
    axes.set(xlabel="round", ylabel="force error (meV/Å)", ylim=(0, 1.4 * axes.get_ylim()[1]))
    axes.set_xticks([row["round"] for row in told])
    axes.legend(loc="upper right")


def _bars(
    axes: Axes,
    *series: Mapping[str, Mapping[str, Any]],
    limit: float | None = bars.WORST_FORCE,
    label: str = "force RMSE (meV/Å)",
) -> None:
    """Draw the errors of one or more potentials in the same groups, side by side."""
    names = list(series[0])
    width = 0.8 / len(series)
    for number, entries in enumerate(series):
        height = np.array([entries[name]["rmse"] for name in names])
        bounds = np.array([entries[name]["interval95"] or [np.nan, np.nan] for name in names], dtype=float)
        place = np.arange(len(names)) + width * (number - 0.5 * (len(series) - 1))
        colour = style.LIGHT if len(series) == 1 else style.state_colour(number)
        axes.barh(place, height, width, color=colour)
        known = np.isfinite(bounds).all(axis=1)
        axes.errorbar(
            height[known],
            place[known],
            xerr=style.bars(height, bounds[:, 0], bounds[:, 1])[:, known],
            fmt="none",
            ecolor=style.INK,
            lw=0.8,
            capsize=2,
        )
    if limit is not None:
        axes.axvline(limit, color=style.GREY, lw=0.7, ls=DASHED)
    axes.set_yticks(range(len(names)), [style.wrapped(name, 24, 1) for name in names])
    axes.invert_yaxis()
    axes.set_xlabel(label)


def _force_errors(report: Mapping[str, Any]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return the force errors by kind, system and element."""
    return {
        "kind of frame": {k: v["force_meV_per_A"] for k, v in report["errors_by_kind"].items()},
        "system": {k: v["force_meV_per_A"] for k, v in report["errors_by_system"].items() if k != "all"},
        "element": {
            k: {"rmse": v["force_rmse_meV_per_A"], "interval95": v["interval95"]}
            for k, v in report["errors_by_element"].items()
        },
    }


@style.themed
def compared(reports: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw one or two potentials beside labelled frames.

    Parameters
    ----------
    reports : mapping
        Name of each potential to what `getsei.potentials.evaluation.accuracy.report` says of it.
    """
    groups = {name: _force_errors(report) for name, report in reports.items()}
    rows = max(len(entries) for entries in next(iter(groups.values())).values())
    below = 1.1 + 0.14 * len(reports) * max(rows, 3)
    height = 2.2 * len(reports) + below
    figure = Figure(figsize=(style.TWO_COLUMNS_IN, height))
    upper, lower = figure.subfigures(2, 1, height_ratios=[height - below, below])
    letters = iter("abcdefghij")
    for row, (name, report) in zip(
        upper.subplots(len(reports), 2, squeeze=False), reports.items(), strict=True
    ):
        found = report["errors_by_kind"]["all"]
        _forces(row[0], report["parity"])
        style.panel(row[0], next(letters), f"{name}: forces, {found['force_meV_per_A']['rmse']:.3g} meV/Å")
        _energies(row[1], report["parity"])
        energy = found["energy_meV_per_atom"]
        told = f"energies, {energy['rmse']:.3g} meV/atom" if energy else "energies"
        style.panel(row[1], next(letters), told)
    for axes, label in zip(lower.subplots(1, 3), ("kind of frame", "system", "element"), strict=True):
        _bars(axes, *(group[label] for group in groups.values()), limit=None)
        style.panel(axes, next(letters), f"by {label}")
    if len(reports) > 1:
        figure.legend(
            [Line2D([], [], lw=5, color=style.state_colour(number)) for number in range(len(reports))],
            list(reports),
            loc="outside lower center",
            ncols=len(reports),
        )
    style.despine(figure)
    return figure


@style.themed
def physics(student: Mapping[str, Any], teacher: Mapping[str, Any], measured: Mapping[str, Any]) -> Figure:
    """Draw what student and teacher say of contacts, crystals, reactions, structure, reactivity, diffusion.

    Parameters
    ----------
    student, teacher : mapping
        Answers by part of the plan.
    measured : mapping
        From `getsei.potentials.evaluation.digest.digest`.
    """
    reactive = [part for part in student if plan.question(part)[0] == plan.REACTIVITY]
    distances = [part for part in student if plan.question(part)[0] == plan.STRUCTURE]
    columns = max(3, len(reactive), len(distances))
    figure = Figure(figsize=(style.TWO_COLUMNS_IN, 8.2))
    # In figures of their own, because rows of three and of four in one grid leave the layout no room.
    above, below = figure.subfigures(2, 1)
    top, middle = above.subplots(2, 3)
    lower = below.subplots(2, columns)
    for axes, letter, who, answers in ((top[0], "a", "student", student), (top[1], "b", "teacher", teacher)):
        _scans(axes, answers.get(plan.CONTACTS))
        style.panel(axes, letter, f"pairs, {who}")
    _lattices(top[2], measured["solids"])
    style.panel(top[2], "c", "cell lengths")
    _moduli(middle[0], measured["solids"])
    style.panel(middle[0], "d", "bulk moduli")
    _reactions(middle[1], measured["reactions"])
    style.panel(middle[1], "e", "reactions with the metal")
    _diffusion(middle[2], student)
    style.panel(middle[2], "f", "diffusion in the bulk")
    letters = iter("ghijklmnopqrstuvwxyz")
    for axes, part, letter in zip(lower[0], reactive, letters, strict=False):
        _broken(axes, student[part], teacher.get(part))
        style.panel(axes, letter, style.wrapped(plan.question(part)[1], 16, 2))
    for axes, part, letter in zip(lower[1], distances, letters, strict=False):
        _distances(axes, student[part], teacher.get(part))
        style.panel(axes, letter, style.wrapped(plan.question(part)[1], 16, 2))
    for axes in (*lower[0][len(reactive) :], *lower[1][len(distances) :]):
        axes.set_axis_off()
    below.legend(
        [Line2D([], [], color=style.INK), Line2D([], [], color=style.INK, ls=DASHED)],
        ["student", "teacher"],
        loc="outside lower center",
        ncols=2,
    )
    style.despine(figure)
    return figure


def _scans(axes: Axes, scans: Mapping[str, Mapping[str, Any]] | None) -> None:
    if not scans:
        style.message(axes, "Not measured.")
        return
    wrong = [pair for pair, scan in scans.items() if scan["attractive_below_close_A"] > 0]
    for pair, scan in scans.items():
        bad = pair in wrong
        colour = style.PALETTE[5] if bad else style.GREY
        axes.plot(scan["distances_A"], scan["energies_eV"], color=colour, lw=0.8 if bad else 0.5)
    axes.axvline(1.5, color=style.GREY, lw=0.7, ls=DASHED)
    axes.set(ylim=ENERGY_RANGE_eV, xlim=(0.5, 4.0), xlabel="distance (Å)", ylabel="energy (eV)")
    axes.text(
        0.97,
        0.95,
        f"{len(wrong)} of {len(scans)} attract\nbelow 1.5 Å",
        transform=axes.transAxes,
        ha="right",
        va="top",
        color=style.PALETTE[5] if wrong else style.INK,
    )


def _lattices(axes: Axes, solids: Mapping[str, Any]) -> None:
    known = {name: both for name, both in solids.items() if both["teacher"]}
    if not known:
        style.message(axes, "Not measured.")
        return
    for row, both in enumerate(known.values()):
        ratio = np.array(both["student"]["lengths_A"]) / np.array(both["teacher"]["lengths_A"])
        axes.plot(100 * (ratio - 1), [row] * 3, "o", ms=2.5, color=style.PALETTE[0])
    axes.axvspan(-100 * bars.LATTICE, 100 * bars.LATTICE, color=style.LIGHT, alpha=0.5, lw=0)
    axes.set_yticks(range(len(known)), [style.wrapped(name, 26, 1) for name in known], fontsize=5.5)
    axes.invert_yaxis()
    axes.set_xlabel("student / teacher - 1 (%)")


def _moduli(axes: Axes, solids: Mapping[str, Any]) -> None:
    pairs = {
        name: (both["teacher"]["bulk_modulus_GPa"], both["student"]["bulk_modulus_GPa"])
        for name, both in solids.items()
        if both["teacher"]
    }
    pairs = {name: both for name, both in pairs.items() if None not in both}
    _diagonal(axes, pairs, "GPa")


def _reactions(axes: Axes, reactions: Sequence[Mapping[str, Any]]) -> None:
    known = [entry for entry in reactions if entry["teacher_eV"] is not None]
    pairs = {
        f"{number} {entry['electrolyte']}": (entry["teacher_eV"], entry["student_eV"])
        for number, entry in enumerate(known, 1)
    }
    _diagonal(axes, pairs, "eV")
    if known:
        ends = np.array(axes.get_xlim())
        axes.fill_between(
            ends, ends * (1 - bars.REACTION), ends * (1 + bars.REACTION), color=style.LIGHT, alpha=0.5, lw=0
        )
        axes.set_xlim(ends)


def _diagonal(axes: Axes, pairs: Mapping[str, tuple[float, float]], unit: str) -> None:
    if not pairs:
        style.message(axes, "Not measured.")
        return
    for number, (name, (theirs, mine)) in enumerate(pairs.items()):
        axes.plot(
            theirs,
            mine,
            style.marker(number),
            ms=3.5,
            color=style.state_colour(number % 8),
            label=style.wrapped(name, 24, 1),
        )
    ends = np.array([*pairs.values()]).ravel()
    span = [ends.min(), ends.max()]
    axes.plot(span, span, color=style.INK, lw=0.6)
    axes.set(xlabel=f"teacher ({unit})", ylabel=f"student ({unit})")
    axes.legend(fontsize=4.5, handletextpad=0.1, labelspacing=0.2, borderpad=0)


def _diffusion(axes: Axes, student: Mapping[str, Any]) -> None:
    found = [answer for part, answer in student.items() if plan.question(part)[0] == plan.DIFFUSION]
    if not found:
        style.message(axes, "Not measured.")
        return
    for number, case in enumerate(found):
        colour, times = style.state_colour(number), np.array(case["lags_ps"])
        share = f"{100 * case['exchanged_share']:g} % exchanged"
        axes.loglog(times, case["msd_A2"], color=colour, label=share)
        axes.loglog(times, 6e4 * case["dft_cm2_per_s"] * times, color=colour, ls=":", lw=0.9)
    axes.plot([], [], color=style.INK, ls=":", lw=0.9, label="6 D t, DFT")
    axes.set(xlabel="time (ps)", ylabel="MSD of Li (Å²)")
    axes.legend(loc="upper left")


def _broken(axes: Axes, mine: Mapping[str, Any], theirs: Mapping[str, Any] | None) -> None:
    for number, pair in enumerate(mine["broken"]):
        colour = style.state_colour(number)
        for answers, line in ((mine, "-"), (theirs, DASHED)):
            for series in answers["broken"][pair] if answers else ():
                axes.plot(answers["times_ps"], series, color=colour, ls=line, lw=0.8)
        axes.plot([], [], color=colour, label=f"{pair} ({mine['bonds'][pair]})")
    axes.set(xlabel="time (ps)", ylabel="broken bonds (share)", ylim=(-0.03, 1.03))
    axes.legend()


def _distances(axes: Axes, mine: Mapping[str, Any], theirs: Mapping[str, Any] | None) -> None:
    shown = [pair for pair in SHOWN_PAIRS if pair in mine["g"]][:3] or list(mine["g"])[:3]
    for number, pair in enumerate(shown):
        colour = style.state_colour(number)
        for answers, line in ((mine, "-"), (theirs, DASHED)):
            if answers and pair in answers["g"]:
                axes.plot(answers["r_A"], answers["g"][pair], color=colour, ls=line, lw=0.8)
        axes.plot([], [], color=colour, label=pair)
    axes.set(xlabel="distance (Å)", ylabel="g(r)", xlim=(1.5, 6.0))
    axes.legend()
