"""Committors and passages over a finite time, for chains that change from window to window.

Transition path theory of a chain with time-dependent transition probabilities on a finite interval: L.
Helfmann, E. Ribera Borrell, C. Schütte, P. Koltai, J. Nonlinear Sci. 30 (2020) 3321,
https://doi.org/10.1007/s00332-020-09652-7. Nothing here assumes a stationary distribution.
"""

import numpy as np


def committors(operators: np.ndarray, steps: np.ndarray, source: list[int], target: list[int]) -> np.ndarray:
    """Return the probability to reach the target before the source within the time that is left.

    Parameters
    ----------
    operators : (..., n_windows, n, n) array
        Row-stochastic, one for each window in time.
    steps : (n_windows,) int array
        Steps of each window.
    source, target : lists of int

    Returns
    -------
    (..., n_windows, n) array
        At the start of each window. An ion that reaches neither end in time counts as zero, so the values
        fall towards the end and lie below those of an infinite time.
    """
    n_windows, n = operators.shape[-3], operators.shape[-1]
    found = np.zeros((*operators.shape[:-3], n_windows, n))
    q = np.zeros((*operators.shape[:-3], n))
    q[..., list(target)] = 1.0
    for window in range(n_windows - 1, -1, -1):
        for _ in range(int(steps[window])):
            q = (operators[..., window, :, :] @ q[..., None])[..., 0]
            q[..., list(source)], q[..., list(target)] = 0.0, 1.0
        found[..., window, :] = q
    return found


def passages(
    operators: np.ndarray, steps: np.ndarray, start: np.ndarray, source: list[int], target: list[int]
) -> np.ndarray:
    """Return how many passages from source to target end in each window, on average.

    The state is carried together with which end was visited last, so that only ions known to come from
    the source count, as in `counting.reactive_events`: the two numbers are comparable however short the
    time is, while a stationary flux times the time is not.

    Parameters
    ----------
    operators : (..., n_windows, n, n) array
        Row-stochastic.
    steps : (n_windows,) int array
        Steps of each window.
    start : (..., n) array
        Ions in each state at the start of the first window.
    source, target : lists of int

    Returns
    -------
    (..., n_windows) array
    """
    source, target = list(source), list(target)
    elsewhere = np.broadcast_to(start, (*operators.shape[:-3], start.shape[-1])).astype(np.float64)
    coming = np.zeros_like(elsewhere)
    found = np.zeros(operators.shape[:-2])

    def settle() -> None:
        elsewhere[..., target] += coming[..., target]
        coming[..., target] = 0.0
        coming[..., source] += elsewhere[..., source]
        elsewhere[..., source] = 0.0

    settle()
    for window, number in enumerate(steps):
        operator = operators[..., window, :, :]
        for _ in range(int(number)):
            elsewhere, coming = ((x[..., None, :] @ operator)[..., 0, :] for x in (elsewhere, coming))
            found[..., window] += coming[..., target].sum(axis=-1)
            settle()
    return found
