"""Choose the lag: the shortest at which timescales are flat and the Chapman-Kolmogorov test holds."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from getsei.errors import UserError
from getsei.kinetics import bootstrap, chains, validation

AUTO = "auto"


def evidence(
    counts_at: Callable[[int], np.ndarray],
    lags: Sequence[int],
    scan: np.ndarray,
    frame_interval_ps: float,
    longest: int,
    resampling: bootstrap.Resampling,
    *,
    reversible: bool,
) -> list[dict[str, Any]]:
    """Return what speaks for each lag of the scan.

    Parameters
    ----------
    counts_at : callable
        Lag in frames to (n_ions, n_blocks, n, n) pair counts.
    lags : sequence of int
        Frames, rising.
    scan : (n_lags, n - 1, 3) array
        Implied timescales at these lags in ps.
    frame_interval_ps : float
    longest : int
        Frames of the longest segment.
    resampling : Resampling
    reversible : bool

    Returns
    -------
    list of dict
        `lag_ps`; `slowest_ps` with `low` and `high`; `flat`: the slowest timescale lies in the interval of
        every longer lag; `agreement` of the Chapman-Kolmogorov test; `markovian`: it reaches the limit;
        `resolved`: the lag is at most half the fastest timescale; `qualifies`: flat and Markovian.
    """
    rows = []
    for row, lag in enumerate(lags):
        slow = scan[row, 0] if scan.shape[1] else np.full(3, np.nan)
        later = scan[row + 1 :, 0] if scan.shape[1] else np.zeros((0, 3))
        known = bool(np.isfinite(slow).all() and len(later) and np.isfinite(later).all())
        flat = known and bool(((later[:, 1] <= slow[0]) & (slow[0] <= later[:, 2])).all())
        agreement = np.nan
        first = counts_at(lag)
        if chains.strongly_connected(first.sum(axis=(0, 1))):
            steps = validation.ck_steps(lag, lags[-1], longest)
            counts = [counts_at(int(step) * lag) for step in steps]
            agreement = validation.chapman_kolmogorov(
                counts, resampling, steps, reversible=reversible
            ).agreement
        markovian = bool(agreement >= validation.CK_SHARE)
        fastest = float(np.nanmin(scan[row, :, 0])) if np.isfinite(scan[row, :, 0]).any() else np.nan
        rows.append(
            {
                "lag_ps": float(lag * frame_interval_ps),
                "slowest_ps": _finite(slow[0]),
                "low": _finite(slow[1]),
                "high": _finite(slow[2]),
                "flat": flat,
                "agreement": _finite(agreement),
                "markovian": markovian,
                "resolved": bool(lag * frame_interval_ps <= 0.5 * fastest),
                "qualifies": flat and markovian,
            }
        )
    return rows


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def choose(rows: Sequence[dict[str, Any]]) -> tuple[float, str]:
    """Return the lag in ps, and why.

    Raises
    ------
    UserError
        If the states are connected at no lag of the scan.
    """
    for row in rows:
        if row["qualifies"]:
            return row["lag_ps"], (
                f"chosen: {row['lag_ps']:g} ps is the shortest lag of the scan from which the slowest "
                f"timescale is flat and at which the Chapman-Kolmogorov test holds ({row['agreement']:.2f})"
            )
    usable = [row for row in rows if row["slowest_ps"] is not None]
    if not usable:
        raise UserError(
            "kinetics.lag_ps: auto finds no lag of kinetics.scan_lags_ps at which the states are connected; "
            "give a lag, scan shorter ones, or sample longer"
        )
    flat = [row for row in usable if row["flat"]]
    best = max(flat or usable, key=lambda row: (row["agreement"] or 0.0, -row["lag_ps"]))
    what = "where the slowest timescale is flat" if flat else "although no timescale levels off"
    return best["lag_ps"], (
        f"chosen without full evidence: no lag of the scan is both flat and Markovian; {best['lag_ps']:g} ps "
        f"agrees best with Chapman-Kolmogorov ({best['agreement'] or 0.0:.2f}) {what}. Rates depend on it"
    )
