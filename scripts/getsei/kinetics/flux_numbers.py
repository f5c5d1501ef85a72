"""The numbers of a reactive flux in physical units."""

import dataclasses
from typing import Any

import numpy as np

from getsei.kinetics import regions, sampled_flux
from getsei.kinetics.sampled_flux import Sampled
from getsei.kinetics.window_flux import WindowFlux
from getsei.records import UNASSIGNED, Estimate, KoopmanModel, States
from getsei.units import A2_PER_NM2, PS_PER_NS

INTERFACES_PER_CELL = 2
"""A cell that repeats along z holds the interface twice."""
UNITS = {
    "total_flux": "1/(ion ns)",
    "events_per_cell": "1/ns",
    "flux_density": "ions/(ns nm^2)",
    "rate": "1/ns",
    "mfpt": "ps",
    "flux_without_lag": "1/(ion ns)",
    "direct_flux": "1/(ion ns)",
    "finite_time_flux": "1/(ion ns)",
    "pathway_diversity": "1",
    "pathway_participation": "1",
    "cut_diversity": "1",
    "busiest_state_share": "1",
    "dominant_pathway_share": "1",
}
"""Every number there may be, and its unit."""


def estimates(
    states: States,
    model: KoopmanModel,
    sampled: Sampled,
    paths: list[dict[str, Any]],
    direct: Estimate,
    *,
    supported: bool,
    note: str,
) -> dict[str, Estimate]:
    """Return the flux, the rate and the passage time, with interval, unit and sample size.

    Parameters
    ----------
    states : States
    model : KoopmanModel
    sampled : Sampled
    paths : list of dict
        Pathways, widest first.
    direct : Estimate
        Passages counted directly.
    supported : bool
        Whether the sampling supports a flux.
    note : str
        Why not, or why there is no equilibrium flux.
    """
    per_ns = PS_PER_NS / model.lag_ps
    cell = np.asarray(states.cell, dtype=np.float64)
    area_nm2 = float(np.linalg.norm(np.cross(cell[0], cell[1]))) / A2_PER_NM2
    kept = 1.0 - sum(state["population"] for state in model.dropped)
    ions = len(states.labels) / len(np.unique(states.replica)) * kept
    events = paths[0]["events"] if paths else 0

    def estimate(name: str, factor: float, unit: str, meaning: str) -> Estimate:
        low, high = (float(bound) * factor for bound in sampled.interval(name))
        return Estimate(
            float(getattr(sampled.flux, name)) * factor,
            low,
            high,
            unit,
            events,
            supported and bool(np.isfinite([low, high]).all()),
            note or f"{meaning}; n = events on the rarest edge of the dominant pathway",
        )

    return {
        "total_flux": estimate("total", per_ns, "1/(ion ns)", "passages from source to target per ion"),
        "events_per_cell": estimate(
            "total", per_ns * ions, "1/ns", f"passages in the cell ({ions:.4g} ions in connected states)"
        ),
        "flux_density": estimate(
            "total",
            per_ns * ions / (area_nm2 * INTERFACES_PER_CELL),
            "ions/(ns nm^2)",
            f"passages per area of interface ({INTERFACES_PER_CELL} x {area_nm2:.3g} nm^2)",
        ),
        "rate": estimate("rate", per_ns, "1/ns", "rate of reaching the target, for ions last in the source"),
        "mfpt": estimate("mfpt", model.lag_ps, "ps", "mean first passage time, the inverse of the rate"),
        "flux_without_lag": dataclasses.replace(
            sampled_flux.without_lag(model, sampled, events), supported=False, note=note
        )
        if note
        else sampled_flux.without_lag(model, sampled, events),
        "direct_flux": direct,
    }


def of_windows(
    found: WindowFlux, model: KoopmanModel, events: int, *, supported: bool, note: str
) -> dict[str, Estimate]:
    """Return the finite-time flux of the run and of each window; they assume no stationary state."""
    begin, end = (edge * model.frame_interval_ps for edge in (found.edges[0], found.edges[-1]))
    rows = {"finite_time_flux": (found.total, int(found.seen.sum()), begin, end)}
    for number, (row, seen) in enumerate(zip(found.flux, found.seen, strict=True), start=1):
        first, last = (edge * model.frame_interval_ps for edge in found.edges[number - 1 : number + 1])
        rows[f"window_flux_{number}"] = (row, int(seen), first, last)
    return {
        name: Estimate(
            *map(float, row),
            UNITS["finite_time_flux"],
            events,
            supported and bool(np.isfinite(row).all()),
            note
            or f"passages per ion from {first:g} to {last:g} ps, from the chains and populations of the "
            f"windows, for ions seen in the source before; {seen} were seen, lag by lag; n = events on the "
            "rarest edge of the dominant pathway",
        )
        for name, (row, seen, first, last) in rows.items()
    }


def committor_profile(states: States, active: np.ndarray, committor: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the heights of the bins along z (n_bins,) in Å and the mean committor there; NaN where empty."""
    by_label = np.full(states.n_states + 1, np.nan)
    by_label[active] = committor
    edges = np.asarray(states.z_edges, dtype=np.float64)
    middle = 0.5 * (edges[1:] + edges[:-1])
    total, number = np.zeros(len(middle)), np.zeros(len(middle))
    height, z = regions.heights(states)
    for start, stop in np.asarray(states.segments).reshape(-1, 2):
        labels = np.asarray(states.labels[:, start:stop], dtype=np.int64)
        value = by_label[np.where(labels == UNASSIGNED, states.n_states, labels)]
        here = (z[:, start:stop] - edges[0]) % height + edges[0]
        known = np.isfinite(value)
        total += np.histogram(here[known], edges, weights=value[known])[0]
        number += np.histogram(here[known], edges)[0]
    return middle, np.divide(total, number, out=np.full(len(middle), np.nan), where=number > 0)
