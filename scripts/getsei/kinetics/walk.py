"""The mean square displacement that the model predicts, beside the one measured.

The displacement of an ion grows in every step of the lag by an amount that depends on its state; the chain
says in which states an ion spends its steps. Growth is measured from one lag to two lags after the start,
so rattling does not count; what lies beyond two lags is predicted.
"""

from dataclasses import dataclass

import numpy as np

from getsei.kinetics import bootstrap
from getsei.records import UNASSIGNED

MAX_STEPS = 10


@dataclass(frozen=True)
class Displacements:
    """Mean square displacements over multiples of the lag, by the state an ion starts in.

    Attributes
    ----------
    steps : (n_steps,) int array
        Multiples of the lag.
    model : (n_steps, n) array
        Å². NaN where nothing is known.
    measured : (n_steps, n, 3) array
        Å²: value, low, high.
    ratio : (3,) array
        Measured over predicted displacement of all ions at the longest time: value, low, high.
    """

    steps: np.ndarray
    model: np.ndarray
    measured: np.ndarray
    ratio: np.ndarray


def _sums(
    labels: np.ndarray,
    positions: np.ndarray,
    segments: np.ndarray,
    lag: int,
    step: int,
    n: int,
    *,
    growth: bool = False,
) -> np.ndarray:
    """Add up squared displacements over step lags by ion and by state: (2, n_ions, n) sum and number.

    By the state at the start; with `growth`, how much the square grows in the last lag by the state at its
    start.
    """
    found = np.zeros((2, labels.shape[0], n))
    reach = step * lag
    for start, stop in np.asarray(segments).reshape(-1, 2):
        if stop - start <= reach:
            continue
        begin, end = positions[start : stop - reach], positions[start + reach : stop]
        square = ((end - begin) ** 2).sum(axis=-1).T
        origin = labels[:, start : stop - reach]
        if growth:
            middle = positions[start + reach - lag : stop - lag]
            square = square - ((middle - begin) ** 2).sum(axis=-1).T
            origin = labels[:, start + reach - lag : stop - lag]
        for state in range(n):
            inside = origin == state
            found[0, :, state] += np.where(inside, square, 0.0).sum(axis=1)
            found[1, :, state] += inside.sum(axis=1)
    return found


def _mean(sums: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[1] > 0, sums[0] / sums[1], np.nan)


def predicted(operator: np.ndarray, first: np.ndarray, growth: np.ndarray, n_steps: int) -> np.ndarray:
    """Return the predicted mean square displacement by starting state, (..., n_steps, n).

    MSD_i(k lag) = first_i + sum_{s=1}^{k-1} sum_j (T^s)_ij growth_j.

    Parameters
    ----------
    operator : (..., n, n) array
    first : (..., n) array
        Displacement over one lag, by starting state.
    growth : (..., n) array
        Growth over a further lag, by the state at its start.
    n_steps : int
    """
    found = [first]
    ahead = np.asarray(growth)
    for _ in range(1, n_steps):
        ahead = (operator @ ahead[..., None])[..., 0]
        found.append(found[-1] + ahead)
    return np.stack(found, axis=-2)


def compare(
    labels: np.ndarray,
    positions: np.ndarray,
    segments: np.ndarray,
    lag: int,
    active: np.ndarray,
    operator: np.ndarray,
    resampling: bootstrap.Resampling,
) -> Displacements:
    """Predict mean square displacements and measure them.

    Parameters
    ----------
    labels : (n_ions, n_frames) array
    positions : (n_frames, n_ions, 3) array
        Å, unwrapped, free of drift.
    segments : (n_segments, 2) array
    lag : int
        Frames.
    active : (n,) int array
        States of the operator.
    operator : (n, n) array
    resampling : Resampling
        Its draws of ions are used.
    """
    n = len(active)
    rank = np.full(int(max(labels.max(initial=0), active.max(initial=0))) + 2, UNASSIGNED)
    rank[active] = np.arange(n)  # the last entry stays UNASSIGNED and serves labels of -1
    labels = rank[np.asarray(labels, dtype=np.int64)]
    longest = int(np.diff(np.asarray(segments).reshape(-1, 2), axis=1).max(initial=0))
    steps = np.arange(1, min(MAX_STEPS, max(1, longest // (2 * lag))) + 1)
    sums = [_sums(labels, positions, segments, lag, int(step), n) for step in steps]
    weights = resampling.ions.astype(np.float64)
    measured = np.stack([bootstrap.with_interval(_mean(s.sum(axis=1)), _mean(weights @ s)) for s in sums])
    if len(steps) < 3:
        return Displacements(steps, np.full((len(steps), n), np.nan), measured, np.full(3, np.nan))
    growth = _sums(labels, positions, segments, lag, 2, n, growth=True)
    model = predicted(operator, _mean(sums[0].sum(axis=1)), _mean(growth.sum(axis=1)), len(steps))

    def overall(first: np.ndarray, last: np.ndarray, more: np.ndarray) -> np.ndarray:
        curve = predicted(operator, _mean(first), _mean(more), len(steps))[..., -1, :]
        share = last[1] / last[1].sum(axis=-1, keepdims=True)
        return np.nansum(share * _mean(last), axis=-1) / np.nansum(share * curve, axis=-1)

    args = (sums[0], sums[-1], growth)
    value = overall(*(each.sum(axis=1) for each in args))
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = overall(*(weights @ each for each in args))
    return Displacements(steps, model, measured, bootstrap.with_interval(value, drawn))
