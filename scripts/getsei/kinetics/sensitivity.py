"""How the flux depends on the two choices that matter most: the lag and the shortest visit that counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from getsei.kinetics import bootstrap, chains, checks, connected, counting, transition_paths
from getsei.records import States
from getsei.states import cleaning
from getsei.units import PS_PER_NS

LIMIT = 0.25
"""Relative change of the flux with lag or dwell above which the choice of it matters."""
DWELLS = (1, 3, 5)
"""Shortest visits, in frames, that are compared."""
RESAMPLES = 200
"""Resamples behind each interval of the table."""


@dataclass(frozen=True)
class Grid:
    """Total flux over a grid of dwell times and lags.

    Attributes
    ----------
    dwells, lags : (n_dwells,), (n_lags,) int arrays
        Frames.
    flux : (n_dwells, n_lags, 3) array
        1/(ion ns): value, low, high; NaN where the states are not connected.
    slowest : (n_dwells, n_lags) array
        Slowest implied timescale in ps.
    """

    dwells: np.ndarray
    lags: np.ndarray
    flux: np.ndarray
    slowest: np.ndarray


def grid(
    states: States,
    active: np.ndarray,
    ends: tuple[list[int], list[int]],
    lags: Sequence[int],
    resampling: bootstrap.Resampling,
    *,
    reversible: bool,
) -> Grid:
    """Compute the total flux at every lag and dwell.

    Parameters
    ----------
    states : States
        The window that is analysed.
    active : (n,) int array
        Connected states.
    ends : tuple of lists of int
        Source and target among the active states.
    lags : sequence of int
        Frames.
    resampling : Resampling
    reversible : bool
    """
    dwells = np.array(sorted({*DWELLS, states.dwell_frames}))
    flux = np.full((len(dwells), len(lags), 3), np.nan)
    slowest = np.full((len(dwells), len(lags)), np.nan)
    few = bootstrap.Resampling(resampling.ions[:RESAMPLES], np.ones((len(resampling.ions[:RESAMPLES]), 1)))
    for row, dwell in enumerate(dwells):
        labels = states.labels
        if dwell != states.dwell_frames:
            labels = cleaning.dwell_filter(states.raw_labels, states.segments, int(dwell))
        for column, lag in enumerate(lags):
            pairs = counting.pair_counts(labels, states.segments, int(lag), states.n_states)
            pairs = connected.restricted(pairs, active)
            total = pairs.sum(axis=(0, 1))
            if not chains.strongly_connected(total) or (total.sum(axis=1) == 0).any():
                continue
            lag_ps = lag * states.frame_interval_ps
            operator = chains.transition_matrix(total, reversible=reversible)
            value = transition_paths.reactive_flux(operator, *ends).total
            drawn, share = bootstrap.operators(few.counts(pairs), reversible=reversible)
            samples = np.zeros(0)
            if share >= bootstrap.MIN_VALID_SHARE and len(states.replica) > 1:
                samples = transition_paths.reactive_flux(drawn, *ends).total
            flux[row, column] = bootstrap.with_interval(value, samples) * PS_PER_NS / lag_ps
            if len(active) > 1:
                slowest[row, column] = chains.timescales(chains.eigenvalues(operator), lag_ps)[0]
    return Grid(dwells=dwells, lags=np.asarray(lags, dtype=int), flux=flux, slowest=slowest)


def verdicts(found: Grid, lag: int, dwell: int, frame_interval_ps: float) -> list[dict[str, Any]]:
    """Return a check for every other lag at this dwell, and for every other dwell at this lag."""
    row = int(np.flatnonzero(found.dwells == dwell)[0])
    column = int(np.flatnonzero(found.lags == lag)[0])
    reference = float(found.flux[row, column, 0])

    def check(name: str, value: float, meaning: str) -> dict[str, Any]:
        passed = bool(abs(value / reference - 1.0) <= LIMIT)
        return checks.row(f"total flux {name}, 1/(ion ns)", value, reference, passed=passed, meaning=meaning)

    at_lags = [
        check(
            f"at a lag of {other * frame_interval_ps:g} ps",
            float(found.flux[row, place, 0]),
            f"Passes within {LIMIT:.0%} of the flux at {lag * frame_interval_ps:g} ps; a trend means memory, "
            "or returns within the lag.",
        )
        for place, other in enumerate(found.lags)
    ]
    at_dwells = [
        check(
            f"at a dwell of {other} frames",
            float(found.flux[place, column, 0]),
            f"Passes within {LIMIT:.0%} of the flux at a dwell of {dwell} frames. Short dwells let errors of "
            "the labels count as hops, long ones swallow short visits.",
        )
        for place, other in enumerate(found.dwells)
    ]
    return [*at_lags, *at_dwells]
