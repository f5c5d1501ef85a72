"""Markov chains: from transition counts to operators, spectra, timescales and generators.

Every function takes a stack (..., n, n) of matrices, so that a thousand resamples cost as much as a few
calls of LAPACK.
"""

import numpy as np

from getsei.errors import UserError

NEGLIGIBLE = 1e-12
"""Share or modulus below which a number counts as zero."""
REVERSIBLE_TOLERANCE = 1e-10
"""Largest step in the logarithm of a multiplier at which the reversible estimate has converged."""
REVERSIBLE_STEPS = 500
LARGEST_STEP = 1.0
"""Longer Newton steps are shortened to this."""
CLIPPED_SHARE = 0.05
"""Share of an escape rate that may be clipped from negative off-diagonal rates of a matrix logarithm."""


def strongly_connected(counts: np.ndarray) -> np.ndarray:
    """Tell for each matrix of a stack whether every state can be reached from every other."""
    n = counts.shape[-1]
    reach = (counts > 0) | np.eye(n, dtype=bool)
    steps = 1
    while steps < n:
        reach = np.matmul(reach.astype(np.float32), reach.astype(np.float32)) > 0
        steps *= 2
    return reach.all(axis=(-2, -1))


def largest_connected_set(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the states of the strongly connected set that holds the largest weight.

    Parameters
    ----------
    counts : (n, n) array
        Transition counts; an entry above zero is a connection.
    weights : (n,) array
        Weight of each state, its frames for instance. States without weight are never returned.

    Returns
    -------
    (n_active,) int array
        Sorted; empty if no state has weight.
    """
    n = len(weights)
    reach = (counts > 0) | np.eye(n, dtype=bool)
    for middle in range(n):
        reach |= reach[:, middle, None] & reach[None, middle]
    mutual = reach & reach.T
    alive = weights > 0
    best = max(range(n), key=lambda state: (weights[mutual[state]].sum(), -state), default=0)
    return np.flatnonzero(mutual[best] & alive) if alive.any() else np.array([], dtype=np.int64)


def transition_matrix(counts: np.ndarray, *, reversible: bool = False) -> np.ndarray:
    """Return the maximum-likelihood transition matrix of transition counts.

    Parameters
    ----------
    counts : (..., n, n) array
        Transition counts; every row must hold some.
    reversible : bool
        Impose detailed balance.

    Returns
    -------
    (..., n, n) array
        Rows sum to one.
    """
    counts = np.asarray(counts, dtype=np.float64)
    if reversible:
        counts = reversible_weights(counts)
    rows = counts.sum(axis=-1, keepdims=True)
    if (rows <= 0).any():
        raise UserError("a state has no transition pairs: restrict the counts to the connected states first")
    return counts / rows


def reversible_weights(counts: np.ndarray) -> np.ndarray:
    """Return the symmetric weights x_ij ~ pi_i T_ij of the reversible maximum-likelihood chain.

    The maximum has x_ij = (c_ij + c_ji) / (l_i + l_j) with sum_j (c_ij + c_ji) l_i / (l_i + l_j) = c_i
    (Trendelkamp-Schroer et al. 2015, https://doi.org/10.1063/1.4934536). That is the likelihood equation of
    a Bradley-Terry model in which leaving i for j counts as a win of i; it is concave in ln l, has one
    solution exactly when the counts are strongly connected, and Newton's method finds it in a few steps.

    Parameters
    ----------
    counts : (..., n, n) array
        Strongly connected.

    Raises
    ------
    UserError
        If the iteration does not converge.
    """
    n = counts.shape[-1]
    off = np.where(np.eye(n, dtype=bool), 0.0, counts)
    games, wins = off + np.swapaxes(off, -1, -2), off.sum(axis=-1)
    strength = np.zeros(counts.shape[:-1])  # ln l; that of the last state is fixed at zero
    for _ in range(REVERSIBLE_STEPS):
        odds = np.exp(np.clip(strength[..., None, :] - strength[..., :, None], -500.0, 500.0))
        chance = 1.0 / (1.0 + odds)
        slope = wins - (games * chance).sum(axis=-1)
        spread = games * chance * (1.0 - chance)
        curvature = -spread
        curvature[..., np.arange(n), np.arange(n)] += spread.sum(axis=-1)
        step = np.linalg.solve(curvature[..., :-1, :-1], slope[..., :-1, None])[..., 0]
        largest = np.abs(step).max(axis=-1, initial=0.0)
        strength[..., :-1] += step * np.minimum(1.0, LARGEST_STEP / np.maximum(largest, 1e-300))[..., None]
        if largest.max(initial=0.0) < REVERSIBLE_TOLERANCE:
            multiplier = np.exp(strength)
            both = counts + np.swapaxes(counts, -1, -2)
            return both / (multiplier[..., :, None] + multiplier[..., None, :])
    raise UserError(
        f"the reversible estimate did not converge (last step {largest.max():.1e}): states are hardly "
        "connected; set kinetics.reversible to false, or sample longer"
    )


def stationary(operator: np.ndarray) -> np.ndarray:
    """Return the stationary distribution of strongly connected chains, (..., n).

    Elimination without subtractions, accurate in every digit of every entry (Grassmann, Taksar, Heyman
    1985, https://doi.org/10.1287/opre.33.5.1107).
    """
    work = np.array(operator, dtype=np.float64)
    n = work.shape[-1]
    for last in range(n - 1, 0, -1):
        scale = work[..., last, :last].sum(axis=-1)
        work[..., :last, last] /= scale[..., None]
        work[..., :last, :last] += work[..., :last, last, None] * work[..., last, None, :last]
    weights = np.zeros(work.shape[:-1])
    weights[..., 0] = 1.0
    for state in range(1, n):
        weights[..., state] = (weights[..., :state] * work[..., :state, state]).sum(axis=-1)
    return weights / weights.sum(axis=-1, keepdims=True)


def time_reversed(operator: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the time-reversed chain, pi_j T_ji / pi_i."""
    return np.swapaxes(operator, -1, -2) * weights[..., None, :] / weights[..., :, None]


def eigenvalues(operator: np.ndarray) -> np.ndarray:
    """Return the eigenvalues by falling modulus, (..., n) complex; of a pair, the positive phase first."""
    values = np.linalg.eigvals(operator).astype(np.complex128)
    order = np.lexsort((-values.imag, -values.real, -np.round(np.abs(values), 12)), axis=-1)
    return np.take_along_axis(values, order, axis=-1)


def timescales(values: np.ndarray, lag: float) -> np.ndarray:
    """Return the implied timescales -lag / ln|lambda| of all eigenvalues but the first, in units of lag.

    An eigenvalue of zero gives 0; one on the unit circle gives infinity.
    """
    modulus = np.minimum(np.abs(values[..., 1:]), 1.0)
    with np.errstate(divide="ignore"):
        decay = -np.log(modulus)
        return np.where(decay > NEGLIGIBLE, lag / np.maximum(decay, NEGLIGIBLE), np.inf)


def generator(operator: np.ndarray, lag: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the rate matrix whose exponential over the lag is the operator, where there is one.

    Matrix logarithm divided by the lag. Small negative off-diagonal rates, which sampling noise leaves,
    are set to zero and the diagonal to minus the row sum.

    Parameters
    ----------
    operator : (..., n, n) array
        Row-stochastic matrices.
    lag : float
        Lag time; the rates have its inverse unit.

    Returns
    -------
    rates : (..., n, n) array
        Off-diagonal entries >= 0, rows sum to zero. Meaningless where not valid.
    valid : (...) bool array
        False where the logarithm is not real (an eigenvalue on the negative axis or at zero), not
        accurate, or where more than CLIPPED_SHARE of an escape rate had to be clipped.
    """
    operator = np.asarray(operator, dtype=np.float64)
    values, vectors = np.linalg.eig(operator.astype(np.complex128))
    inverse = np.linalg.pinv(vectors)
    # A chain that mixes within the lag has eigenvalues that are zero but for noise.
    on_cut = (np.abs(values) < NEGLIGIBLE) | ((values.real < 0) & (np.abs(values.imag) < NEGLIGIBLE))
    logs = np.log(np.where(on_cut, 1.0, values))
    rebuilt = np.matmul(vectors * values[..., None, :], inverse)
    accurate = np.abs(rebuilt - operator).max(axis=(-2, -1)) < 1e-8
    raw = np.matmul(vectors * logs[..., None, :], inverse).real / lag
    n = operator.shape[-1]
    off = np.where(np.eye(n, dtype=bool), 0.0, raw)
    rates = np.maximum(off, 0.0)
    escape = rates.sum(axis=-1)
    clipped = -np.minimum(off, 0.0).sum(axis=-1)
    small = (clipped <= CLIPPED_SHARE * escape + NEGLIGIBLE / lag).all(axis=-1)
    rates[..., np.arange(n), np.arange(n)] = -escape
    return rates, accurate & small & ~on_cut.any(axis=-1)


def escape_rates(operator: np.ndarray, lag: float, *, from_generator: bool) -> np.ndarray:
    """Return the rate of leaving each state, (..., n), in the inverse unit of lag.

    From the generator: -L_ii, NaN where it is not valid. Otherwise (1 - T_ii) / lag, which misses
    departures that return within the lag and so reads low for short-lived states.
    """
    if not from_generator:
        return (1.0 - np.diagonal(operator, axis1=-2, axis2=-1)) / lag
    rates, valid = generator(operator, lag)
    return np.where(valid[..., None], -np.diagonal(rates, axis1=-2, axis2=-1), np.nan)
