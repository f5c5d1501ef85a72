"""Is the chain a model of the dynamics? Lag scan, Chapman-Kolmogorov test, VAMP-2, memory."""

from dataclasses import dataclass

import numpy as np

from getsei.kinetics import bootstrap, chains, edmd

CK_STEPS = 5
"""Multiples of the lag that the Chapman-Kolmogorov test looks at, the lag itself included."""
CK_SHARE = 0.9
"""Share of staying probabilities that must agree with the model within their interval."""
CK_TOLERANCE = 0.1
"""Difference from the model that does not matter, however well it is known, as a share of the probability to
have left. Intervals of one run hang together: by them alone a true chain would fail in one run of five."""
VAMP_FOLDS = 5


@dataclass(frozen=True)
class ChapmanKolmogorov:
    """Staying probabilities over multiples of the lag.

    Attributes
    ----------
    steps : (n_steps,) int array
    predicted : (n_steps, n) array
        Diagonal of T(lag)^step.
    observed : (n_steps, n, 3) array
        Diagonal of T(step * lag): value, low, high.
    agreement : float
        Share of (step > 1, state) whose difference from the model is small, or whose resampled difference
        includes zero; NaN where there is nothing to compare.
    """

    steps: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray
    agreement: float


def scan_timescales(
    counts_of_lags: list[np.ndarray],
    lags_ps: np.ndarray,
    resampling: bootstrap.Resampling,
    *,
    reversible: bool,
) -> np.ndarray:
    """Return the implied timescales at each lag with intervals.

    Parameters
    ----------
    counts_of_lags : list of (n_ions, n_blocks, n, n) arrays
        Pair counts at each lag.
    lags_ps : (n_lags,) array
        Lags in ps.
    resampling : Resampling
        The same draws serve all lags.
    reversible : bool
        Impose detailed balance.

    Returns
    -------
    (n_lags, n - 1, 3) array
        Value, low, high in ps; NaN at lags at which the states are not connected.
    """
    n = counts_of_lags[0].shape[-1] if counts_of_lags else 1
    found = np.full((len(lags_ps), n - 1, 3), np.nan)
    for row, (counts, lag) in enumerate(zip(counts_of_lags, lags_ps, strict=True)):
        total = counts.sum(axis=(0, 1))
        if not chains.strongly_connected(total) or (total.sum(axis=1) == 0).any():
            continue
        value = chains.timescales(
            chains.eigenvalues(chains.transition_matrix(total, reversible=reversible)), lag
        )
        drawn, share = bootstrap.operators(resampling.counts(counts), reversible=reversible)
        found[row, :, 0] = value
        if share >= bootstrap.MIN_VALID_SHARE:
            samples = chains.timescales(chains.eigenvalues(drawn), lag)
            found[row] = bootstrap.with_interval(value, samples)
    return found


def flat_from(scan: np.ndarray) -> int | None:
    """Return the first lag of a scan from which the slowest timescale stays flat, None if it does not.

    Flat: its value lies within the interval found at every longer lag. The last lag alone proves
    nothing.
    """
    if scan.shape[1] == 0:
        return None
    slowest = scan[:, 0]
    for first in range(len(slowest) - 1):
        later = slowest[first + 1 :]
        if (
            np.isfinite(slowest[first]).all()
            and ((later[:, 1] <= slowest[first, 0]) & (slowest[first, 0] <= later[:, 2])).all()
        ):
            return first
    return None


def ck_steps(lag: int, horizon: int, longest: int) -> np.ndarray:
    """Return the multiples of a lag at which it is tested, spread up to a time common to all lags.

    A short lag predicts the next few steps well whatever the states are; what it says of the time that the
    longest lag of the scan covers tells.

    Parameters
    ----------
    lag, horizon : int
        Frames.
    longest : int
        Frames of the longest segment, of which half is used at most.
    """
    reach = min(max(CK_STEPS * lag, horizon), longest // 2) // lag
    if reach < 2:
        return np.array([1])
    return np.unique(np.rint(np.geomspace(1, reach, CK_STEPS)).astype(int))


def chapman_kolmogorov(
    counts_of_steps: list[np.ndarray],
    resampling: bootstrap.Resampling,
    steps: np.ndarray | None = None,
    *,
    reversible: bool,
) -> ChapmanKolmogorov:
    """Compare T(lag)^step with T(step * lag).

    Model and observation come from the same ions, so their difference is resampled, not each of them.

    Parameters
    ----------
    counts_of_steps : list of (n_ions, n_blocks, n, n) arrays
        Pair counts at each multiple of the lag, the lag itself first.
    resampling : Resampling
    steps : (n_steps,) int array, optional
        The multiples; one, two, … by default.
    reversible : bool
    """
    n = counts_of_steps[0].shape[-1]
    steps = np.arange(1, len(counts_of_steps) + 1) if steps is None else np.asarray(steps)
    drawn = [resampling.counts(counts) for counts in counts_of_steps]
    base = chains.transition_matrix(counts_of_steps[0].sum(axis=(0, 1)), reversible=reversible)
    connected = chains.strongly_connected(drawn[0])
    base_drawn = chains.transition_matrix(drawn[0][connected], reversible=reversible)
    predicted = np.stack([np.diagonal(np.linalg.matrix_power(base, step)) for step in steps])
    observed = np.full((len(steps), n, 3), np.nan)
    inside: list[bool] = []
    for row, step in enumerate(steps):
        value = _staying(counts_of_steps[row].sum(axis=(0, 1)))
        samples = _staying(drawn[row][connected])
        if connected.mean() < bootstrap.MIN_VALID_SHARE:
            observed[row, :, 0] = value
            continue
        observed[row] = bootstrap.with_interval(value, samples)
        if step > 1:
            model = np.diagonal(np.linalg.matrix_power(base_drawn, int(step)), axis1=-2, axis2=-1)
            low, high = bootstrap.interval(samples - model)
            usable = np.isfinite(low)
            small = np.abs(value - predicted[row]) <= CK_TOLERANCE * (1.0 - predicted[row])
            agrees = ((low <= 0) & (high >= 0)) | small
            inside += list(agrees[usable])
    agreement = float(np.mean(inside)) if inside else np.nan
    return ChapmanKolmogorov(steps=steps, predicted=predicted, observed=observed, agreement=agreement)


def _staying(counts: np.ndarray) -> np.ndarray:
    rows = counts.sum(axis=-1)
    staying = np.diagonal(counts, axis1=-2, axis2=-1)
    return np.where(rows > 0, staying / np.where(rows > 0, rows, 1), np.nan)


def cross_validated_vamp2(
    counts: np.ndarray, seed: int, rank: int | None = None
) -> tuple[float, float, float]:
    """Return the VAMP-2 score on the data, and on ions left out: mean and standard error over the folds.

    Parameters
    ----------
    counts : (n_ions, n, n) array
        Pair counts of each ion.
    seed : int
        Seed of the division of the ions into folds.
    rank : int, optional
        Singular functions scored; all by default.

    Returns
    -------
    score, held_out, error : float
        Held-out numbers are NaN where there are fewer ions than folds.
    """
    n_ions, n = counts.shape[:2]
    rank = n if rank is None else rank
    total = edmd.moments_of_counts(counts.sum(axis=0))
    score = edmd.vamp_e(total, total, rank)
    order = np.random.default_rng(seed).permutation(n_ions)
    scores = []
    for held in np.array_split(order, VAMP_FOLDS) if n_ions >= VAMP_FOLDS else []:
        train = np.delete(counts, held, axis=0).sum(axis=0)
        test = counts[held].sum(axis=0)
        if train.sum() and test.sum():
            scores.append(edmd.vamp_e(edmd.moments_of_counts(train), edmd.moments_of_counts(test), rank))
    if len(scores) < 2:
        return score, np.nan, np.nan
    return score, float(np.mean(scores)), float(np.std(scores, ddof=1) / np.sqrt(len(scores)))
