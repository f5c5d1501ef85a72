"""Where metal ends, where the electrolyte begins, what lies between, and how that changes with time.

A slice across z belongs to the metal, to the interphase or to the electrolyte by its share of mobile
ions among all atoms: the 10-90 % criterion of interface widths, taken between the value inside the
electrolyte and the value inside the metal at the start.
"""

import csv
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage, stats

from getsei import cells, composition
from getsei.records import Environments, Estimate, Interphase, Trajectory

SLICE_A = 1.0
"""Thickness of a slice."""
SMOOTHING_A = 2.5
"""Standard deviation of the Gaussian along z that takes the layers of the crystal out of a profile.

A sharp step then has a 10-90 % width of 2.56 times this, the least thickness that can be told from none."""
N_TIMES = 60
"""Time blocks over the trajectory; profiles are means over the frames of a block."""
EDGE = 0.1
"""Distance of the two borders from pure electrolyte (0) and pure metal (1)."""
MIN_CONTRAST = 0.1
"""Least difference of the share of mobile ions between metal and electrolyte for borders to mean anything."""
END_SHARE = 0.1
"""Last part of the trajectory over which the final thickness is averaged."""
PHASES = ("metal", "interphase", "electrolyte")
METAL, INTERPHASE, ELECTROLYTE = range(3)

DEFINITION = (
    "slices of {slice:.3g} Å across z, profiles smoothed by a Gaussian of {smooth:g} Å; "
    "m = (x - x_electrolyte) / (x_metal - x_electrolyte) with x the share of mobile ions among the atoms and "
    "both ends taken inside the slabs at the start; metal: m > {high:g}, electrolyte: m < {low:g}, "
    "interphase: between; thickness: interphase slices over the number of interfaces; "
    "a sharp step would read {least:.1f} Å"
)


def measure(
    trajectories: Sequence[Trajectory], environments: Sequence[Environments], draws: int = 500, seed: int = 0
) -> Interphase:
    """Follow composition, phases and coordination of one system over time.

    Parameters
    ----------
    trajectories, environments : sequences
        One of each per replica, in order; replicas share their time axis and their starting regions.
    draws, seed : int
        Resamplings of atoms for the survival of bonds, and their seed.

    Returns
    -------
    Interphase
        Without phases (all -1) where the system has no metal beside an electrolyte.
    """
    first, mobile = trajectories[0], environments[0].mobile
    n_frames = min(len(t.positions) for t in trajectories)
    height = float(cells.heights(first.cell(0))[2])
    n_slices = max(8, round(height / SLICE_A))
    edges = np.linspace(0.0, height, n_slices + 1)
    borders = np.unique(np.linspace(0, n_frames, min(N_TIMES, n_frames) + 1).astype(int))
    elements = sorted({str(s) for t in trajectories for s in t.species})
    counts = np.stack([slice_counts(t, elements, borders, n_slices) for t in trajectories])
    is_mobile = np.isin(elements, list(mobile))
    names = list(environments[0].region_names)
    phase = np.full((len(trajectories), len(borders) - 1, n_slices), -1, dtype=np.int8)
    n_interfaces = 0
    note = "no metal beside an electrolyte in this system"
    if {"metal", "electrolyte"} <= set(names):
        ranges = {name: environments[0].regions[names.index(name)] for name in ("metal", "electrolyte")}
        share = mobile_share(counts, is_mobile, height)
        inside = {name: interior(edges, low, high) for name, (low, high) in ranges.items()}
        ends = {name: float(share[:, 0][:, where].mean()) for name, where in inside.items()}
        if ends["metal"] - ends["electrolyte"] < MIN_CONTRAST:
            note = "metal and electrolyte hold nearly the same share of mobile ions"
        else:
            mixing = (share - ends["electrolyte"]) / (ends["metal"] - ends["electrolyte"])
            phase[:] = np.where(mixing > 1 - EDGE, METAL, np.where(mixing < EDGE, ELECTROLYTE, INTERPHASE))
            n_interfaces, note = 2, ""  # slabs repeat along z: each has two faces
    area_nm2 = cells.volume(first.cell(0)) / height / 100.0
    width = height / n_slices
    return Interphase(
        times=(borders[:-1] + borders[1:] - 1) / 2 * first.frame_interval_ps,
        time_edges=borders * first.frame_interval_ps,
        z_edges=edges,
        density=counts.mean(0) / (area_nm2 * width / 10.0),
        phase=phase,
        thickness=(phase == INTERPHASE).sum(-1) * width / n_interfaces
        if n_interfaces
        else np.full(phase.shape[:2], np.nan),
        inventory=np.stack(
            [(counts[..., is_mobile].sum(-1) * (phase == p)).sum(-1) for p in range(len(PHASES))], -1
        ),
        elements=elements,
        phase_names=list(PHASES),
        n_interfaces=n_interfaces,
        mobile=list(mobile),
        courses=[
            {"replica": replica, **course.as_dict()}
            for replica, trajectory in enumerate(trajectories)
            for course in composition.courses(trajectory, mobile, N_TIMES, draws, seed)
        ],
        stages=stage_spans(first),
        definition=DEFINITION.format(
            slice=width, smooth=SMOOTHING_A, high=1 - EDGE, low=EDGE, least=2.563 * SMOOTHING_A
        ),
        note=note,
    )


def slice_counts(
    trajectory: Trajectory, elements: Sequence[str], borders: np.ndarray, n_slices: int
) -> np.ndarray:
    """Count atoms by time block, slice and element: (n_times, n_slices, n_elements), mean over frames."""
    kind = np.searchsorted(elements, trajectory.species)
    out = np.zeros((len(borders) - 1, n_slices * len(elements)))
    for block, (start, stop) in enumerate(itertools.pairwise(borders)):
        for frame in range(start, stop):
            inverse = np.linalg.inv(np.asarray(trajectory.cell(frame), dtype=float))
            place = ((trajectory.in_cell(frame) @ inverse[:, 2]) % 1.0 * n_slices).astype(int) % n_slices
            out[block] += np.bincount(place * len(elements) + kind, minlength=out.shape[1])
        out[block] /= stop - start
    return out.reshape(len(out), n_slices, len(elements))


def mobile_share(counts: np.ndarray, is_mobile: np.ndarray, height: float) -> np.ndarray:
    """Return the smoothed share of mobile ions (..., n_slices); slices wrap around."""
    sigma = SMOOTHING_A * counts.shape[-2] / height
    smooth = ndimage.gaussian_filter1d(counts, sigma, axis=-2, mode="wrap")
    total = smooth.sum(-1)
    return np.divide(smooth[..., is_mobile].sum(-1), total, out=np.zeros_like(total), where=total > 1e-9)


def interior(edges: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return which slices (bool) lie in the middle half of [low, high), which may reach over the edge."""
    height, middle = edges[-1], (edges[:-1] + edges[1:]) / 2
    depth = (middle - low) % height
    return (depth > 0.25 * (high - low)) & (depth < 0.75 * (high - low))


def stage_spans(trajectory: Trajectory) -> list[dict[str, Any]]:
    """Return name, start and stop (ps) of each stage of a trajectory."""
    spans = []
    for number, name in enumerate(trajectory.stages):
        inside = np.flatnonzero(trajectory.stage == number)
        if len(inside):
            start, stop = (inside[0], inside[-1] + 1)
            interval = trajectory.frame_interval_ps
            spans.append(
                {"name": name, "start_ps": float(start * interval), "stop_ps": float(stop * interval)}
            )
    return spans


def phase_of(found: Interphase, replica: int, times_ps: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Return the phase (n_frames, n_ions) of ions from their time (n_frames,) and z in cells; -1 unknown."""
    n_slices = len(found.z_edges) - 1
    block = np.clip(np.searchsorted(found.time_edges, times_ps, side="right") - 1, 0, len(found.times) - 1)
    place = (fraction % 1.0 * n_slices).astype(int) % n_slices
    return found.phase[replica, block[:, None], place].astype(int)


def numbers(found: Interphase) -> dict[str, dict[str, Any]]:
    """Return thickness, inventory and coordination at the start and at the end, each an Estimate."""
    out: dict[str, Estimate] = {}
    last = max(1, round(END_SHARE * len(found.times)))
    n = found.n_interfaces * len(found.phase)
    for when, block in (("start", slice(0, 1)), ("end", slice(-last, None))):
        if n:
            thick = found.thickness[:, block].mean(1)
            note = f"n = interfaces; {len(thick)} cell(s) with {found.n_interfaces} each"
            out[f"sei_thickness/{when}"] = _mean(thick, "Å", n, note)
            held = found.inventory[:, block].mean(1)
            for number, name in enumerate(found.phase_names):
                share = held[:, number] / held.sum(1)
                note = f"share of the mobile ions; {len(share)} cell(s)"
                out[f"ion_inventory_{name}/{when}"] = _mean(share, "1", int(held.sum()), note)
    out |= coordination(found)
    return {key: estimate.as_dict() for key, estimate in out.items()}


def _mean(values: np.ndarray, unit: str, n: int, note: str) -> Estimate:
    """Return a mean over cells with Student's interval; one cell gives none."""
    if len(values) < 2:
        return Estimate(float(values.mean()), np.nan, np.nan, unit, n, True, f"{note}; one cell: no interval")
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Estimate(
        float(values.mean()), float(values.mean() - half), float(values.mean() + half), unit, n, True, note
    )


def coordination(found: Interphase) -> dict[str, Estimate]:
    """Return mean neighbours at the start and at the end, and the share of starting bonds that is left."""
    by_pair: dict[str, list[Mapping[str, Any]]] = {}
    for course in found.courses:
        by_pair.setdefault(course["name"], []).append(course)
    out = {}
    for name, replicas in by_pair.items():
        weights = [c["n_atoms"] for c in replicas]
        n = sum(weights)
        for when, index in (("start", 0), ("end", -1)):
            mean = float(np.average([c["mean"][index] for c in replicas], weights=weights))
            half = 1.96 * float(np.mean([c["sd"][index] for c in replicas])) / np.sqrt(n)
            note = f"cutoff {replicas[0]['cutoff_A']:.2f} Å; n = atoms"
            out[f"neighbours_{name}/{when}"] = Estimate(mean, mean - half, mean + half, "1", n, True, note)
        parts = [c["survival"] for c in replicas if c["survival"] is not None]
        if parts:
            sizes = [p["n"] for p in parts]
            value, low, high = (
                float(np.average([p[key] for p in parts], weights=sizes)) for key in ("value", "low", "high")
            )
            note = "share of starting bonds left at the end; n = atoms"
            out[f"bond_survival_{name}"] = Estimate(value, low, high, "1", sum(sizes), True, note)
    return out


TABLE = ("replica", "time_ps", "quantity", "name", "value", "sd", "unit", "n")


def write_table(found: Interphase, path: str | Path) -> None:
    """Write thickness, inventory and coordination over time, one number per line."""
    with Path(path).open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(TABLE)
        for replica in range(len(found.phase)):
            for block, time in enumerate(found.times):
                if not found.n_interfaces:
                    break
                row = (f"r{replica + 1}", f"{time:.6g}")
                thick = f"{found.thickness[replica, block]:.6g}"
                writer.writerow([*row, "thickness", "interphase", thick, "", "A", found.n_interfaces])
                held = found.inventory[replica, block]
                for name, count in zip(found.phase_names, held, strict=True):
                    writer.writerow(
                        [*row, "inventory", name, f"{count:.6g}", "", "ions", f"{held.sum():.6g}"]
                    )
        for course in found.courses:
            for time, mean, sd in zip(course["times_ps"], course["mean"], course["sd"], strict=True):
                row = (f"r{course['replica'] + 1}", f"{time:.6g}", "coordination", course["name"])
                writer.writerow([*row, f"{mean:.6g}", f"{sd:.6g}", "1", course["n_atoms"]])
