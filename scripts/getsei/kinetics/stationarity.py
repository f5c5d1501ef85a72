"""Is the window stationary? Half against half, drift of populations, antisymmetric counts.

A growing interphase is a transient: the stationary distribution of a chain fitted to it is no equilibrium.
These tests do not repair that, they tell.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from getsei.kinetics import bootstrap, chains

P_LIMIT = 0.01
ANTISYMMETRY_SIGMA = 4.0
DRIFT_LIMIT = 0.05
MIN_EXPECTED = 1.0
"""Expected counts below which a cell stays out of the chi-square sum."""


@dataclass(frozen=True)
class HalfTest:
    """Whether the transition probabilities of both halves of the window are the same.

    Attributes
    ----------
    statistic : float
        Chi-square of pair counts divided by the lag in frames, the number of pairs that do not overlap.
    degrees : int
        Degrees of freedom.
    p : float
        Probability of a larger value if both halves follow one chain.
    """

    statistic: float
    degrees: int
    p: float


def half_against_half(first: np.ndarray, second: np.ndarray, lag: int) -> HalfTest:
    """Compare the transition counts of two halves of a window, row by row.

    Parameters
    ----------
    first, second : (n, n) arrays
        Sliding-window pair counts of each half.
    lag : int
        Lag in frames; pairs within one lag of each other are not independent.
    """
    statistic, degrees = 0.0, 0
    for a, b in zip(first / lag, second / lag, strict=True):
        if a.sum() == 0 or b.sum() == 0:
            continue
        both = a + b
        expected_a, expected_b = (both * half.sum() / both.sum() for half in (a, b))
        used = np.minimum(expected_a, expected_b) >= MIN_EXPECTED
        if used.sum() < 2:
            continue
        statistic += float(((a - expected_a)[used] ** 2 / expected_a[used]).sum())
        statistic += float(((b - expected_b)[used] ** 2 / expected_b[used]).sum())
        degrees += int(used.sum()) - 1
    p = float(stats.chi2.sf(statistic, degrees)) if degrees else np.nan
    return HalfTest(statistic=statistic, degrees=degrees, p=p)


def population_drift(
    first: np.ndarray, second: np.ndarray, resampling: bootstrap.Resampling
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the change of each population from the first to the second half of the window, with interval.

    Parameters
    ----------
    first, second : (n_ions, n) arrays
        Frames each ion spends in each state in each half.
    resampling : Resampling
        Only the draws of ions are used: blocks of time would mix the halves.

    Returns
    -------
    change, low, high : (n,) arrays
        Differences of shares; NaN where a half is empty.
    """

    def shares(frames: np.ndarray) -> np.ndarray:
        total = frames.sum(axis=-1, keepdims=True)
        return np.where(total > 0, frames / np.where(total > 0, total, 1), np.nan)

    weights = resampling.ions.astype(np.float64)
    change = shares(second.sum(axis=0)) - shares(first.sum(axis=0))
    low, high = bootstrap.interval(shares(weights @ second) - shares(weights @ first))
    return change, low, high


def antisymmetry(counts: np.ndarray, lag: int) -> float:
    """Return the largest |C_ij - C_ji| in units of its sampling error sqrt(lag (C_ij + C_ji)).

    At equilibrium pairs go both ways equally often. The error counts overlapping pairs once per lag.
    """
    both = counts + counts.T
    sigma = np.sqrt(lag * np.maximum(both, 1))
    return float((np.abs(counts - counts.T) / sigma).max(initial=0.0))


def total_variation(populations: np.ndarray, operator: np.ndarray) -> float:
    """Return half the sum of |observed population - stationary distribution|."""
    return float(0.5 * np.abs(populations - chains.stationary(operator)).sum())
