"""Resampling of ions and rank correlation."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from getsei.records import Estimate

MIN_FOR_CORRELATION = 10
"""Fewest ions, and fewest different values among them, that a correlation is given for."""


def estimate_of(row: Mapping[str, Any]) -> Estimate:
    """Return a stored number as an Estimate, with NaN where it holds None; further keys are left out."""
    value, low, high = (np.nan if row[key] is None else float(row[key]) for key in ("value", "low", "high"))
    return Estimate(value, low, high, row["unit"], int(row["n"]), bool(row["supported"]), row["note"])


def resampling_weights(n: int, draws: int, seed: int) -> np.ndarray:
    """Return how often each of n units is drawn in each bootstrap resample: (draws, n), rows sum to n."""
    if n == 0:
        return np.zeros((draws, 0))
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=draws).astype(float)


def interval(draws: np.ndarray) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % quantiles of the finite draws; NaN if less than half are finite."""
    finite = draws[np.isfinite(draws)]
    if 2 * len(finite) < len(draws) or not len(finite):
        return np.nan, np.nan
    low, high = np.quantile(finite, (0.025, 0.975))
    return float(low), float(high)


def _centred_ranks(x: np.ndarray) -> np.ndarray:
    ranks = stats.rankdata(x, axis=-1)
    return ranks - ranks.mean(-1, keepdims=True)


def _cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    size = np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(size > 1e-9, (x * y).sum(-1) / size, np.nan)


def _without(x: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Return what linear regression on `control` leaves of x, both centred."""
    norm = (control * control).sum(-1, keepdims=True)
    slope = np.divide((x * control).sum(-1, keepdims=True), norm, out=np.zeros_like(norm), where=norm > 0)
    return x - slope * control


def spearman(x: np.ndarray, y: np.ndarray, control: np.ndarray | None = None) -> np.ndarray:
    """Return Spearman's rank correlation along the last axis, given `control` where there is one.

    The partial coefficient is the correlation of what is left of the ranks of x and y after linear
    regression on the ranks of the control variable.
    """
    a, b = _centred_ranks(x), _centred_ranks(y)
    if control is not None:
        c = _centred_ranks(control)
        a, b = _without(a, c), _without(b, c)
    return _cosine(a, b)


def rank_correlation(
    x: np.ndarray, y: np.ndarray, control: np.ndarray | None, draws: int, seed: int
) -> tuple[Estimate, float]:
    """Return Spearman's correlation with a bootstrap interval and a permutation p-value.

    Parameters
    ----------
    x, y : (n,) arrays
        One value per ion.
    control : (n,) array or None
        Variable to control for.
    draws : int
        Number of resamples and of permutations.
    seed : int
        Seed of both.

    Returns
    -------
    Estimate
        Coefficient, 95 % interval (ions resampled), n = ions. Unsupported where there are fewer than
        `MIN_FOR_CORRELATION` ions or different values.
    float
        Two-sided p: share of permutations at least as extreme, (hits + 1) / (draws + 1). With a
        control, the residual ranks of y are permuted (D. Freedman, D. Lane, J. Bus. Econ. Stat. 1
        (1983) 292, 10.1080/07350015.1983.10509354).
    """
    n = len(x)
    columns = [x, y] if control is None else [x, y, control]
    fewest = min((len(np.unique(column)) for column in columns), default=0)
    if n < MIN_FOR_CORRELATION or fewest < MIN_FOR_CORRELATION:
        note = f"{n} ions with {fewest} different values; {MIN_FOR_CORRELATION} of each needed"
        return Estimate(np.nan, np.nan, np.nan, "1", n, False, note), np.nan
    rng = np.random.default_rng(seed)
    value = float(spearman(x, y, control))
    rows = rng.integers(0, n, (draws, n))
    resampled = spearman(x[rows], y[rows], None if control is None else control[rows])
    a, b = _centred_ranks(x), _centred_ranks(y)
    if control is not None:
        c = _centred_ranks(control)
        a, b = _without(a, c), _without(b, c)
    shuffled = _cosine(a, rng.permuted(np.broadcast_to(b, (draws, n)), axis=1))
    hits = int((np.abs(shuffled) >= abs(value) - 1e-12).sum())
    estimate = Estimate(value, *interval(resampled), "1", n, bool(np.isfinite(value)), "Spearman; unit: ions")
    return estimate, (hits + 1) / (draws + 1)
