"""Extended dynamic mode decomposition with any dictionary.

M. O. Williams, I. G. Kevrekidis, C. W. Rowley, J. Nonlinear Sci. 25 (2015) 1307,
https://doi.org/10.1007/s00332-015-9258-5; residuals after M. J. Colbrook, A. Townsend, Commun. Pure Appl.
Math. 77 (2024) 221, https://doi.org/10.1002/cpa.22125.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from getsei.errors import UserError

MAX_NEGATIVE_MASS = 0.01
"""Largest share of negative entries at which a projected operator is still taken for a chain."""


@dataclass(frozen=True)
class Moments:
    """Second moments of a dictionary over pairs (x, y) a lag apart.

    Attributes
    ----------
    gram : (n, n) array
        PsiX^T PsiX / M.
    cross : (n, n) array
        PsiX^T PsiY / M.
    later : (n, n) array
        PsiY^T PsiY / M.
    n_pairs : int
        M.
    """

    gram: np.ndarray
    cross: np.ndarray
    later: np.ndarray
    n_pairs: int


@dataclass(frozen=True)
class Operator:
    """A Koopman operator on the span of a dictionary.

    Attributes
    ----------
    matrix : (n, n) array
        K = G^+ A: a function with coefficients c becomes one with coefficients K c. For indicators it is
        the row-normalised count matrix.
    eigenvalues : (r,) complex array
        By falling modulus.
    right : (n, r) complex array
        Coefficients of the eigenfunctions, of unit norm over the samples.
    residuals : (r,) array
        ResDMD residual of each eigenpair, see `residuals`.
    condition : float
        Condition number of the part of the Gram matrix that was kept.
    rank : int
        Directions kept, of `n`.
    """

    matrix: np.ndarray
    eigenvalues: np.ndarray
    right: np.ndarray
    residuals: np.ndarray
    condition: float
    rank: int


def pair_indices(assigned: np.ndarray, segments: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Return flat indices (ion * n_frames + frame) of pairs a lag apart that cross no cut.

    Parameters
    ----------
    assigned : (n_ions, n_frames) bool array
        False where an ion has no state or no features.
    segments : (n_segments, 2) array
        Frames [start, stop).
    lag : int
        Lag in frames.
    """
    n_ions, n_frames = assigned.shape
    start_ok = np.zeros((n_ions, n_frames), dtype=bool)
    gaps = np.zeros((n_ions, n_frames + 1), dtype=np.int64)
    np.cumsum(~assigned, axis=1, out=gaps[:, 1:])
    for start, stop in np.asarray(segments).reshape(-1, 2):
        if stop - start > lag:
            whole = gaps[:, start + lag + 1 : stop + 1] == gaps[:, start : stop - lag]
            start_ok[:, start : stop - lag] = whole
    first = np.flatnonzero(start_ok)
    return first, first + lag


def moments(before: np.ndarray, after: np.ndarray) -> Moments:
    """Return the moments of a dictionary evaluated at both ends of pairs, each (n_pairs, n)."""
    n_pairs = len(before)
    if n_pairs == 0:
        raise UserError("no pairs a lag apart: the lag is longer than every uncut piece of trajectory")
    return Moments(
        gram=before.T @ before / n_pairs,
        cross=before.T @ after / n_pairs,
        later=after.T @ after / n_pairs,
        n_pairs=n_pairs,
    )


def moments_of_counts(counts: np.ndarray) -> Moments:
    """Return the moments of the indicator dictionary from pair counts (n, n)."""
    total = float(counts.sum())
    if total == 0:
        raise UserError("no pairs a lag apart: the lag is longer than every uncut piece of trajectory")
    return Moments(
        gram=np.diag(counts.sum(axis=1) / total),
        cross=counts / total,
        later=np.diag(counts.sum(axis=0) / total),
        n_pairs=int(total),
    )


def fit(data: Moments, *, rank_cutoff: float = 1e-10, ridge: float = 0.0) -> Operator:
    """Fit the Koopman operator by regularised least squares.

    Parameters
    ----------
    data : Moments
        Moments of the dictionary.
    rank_cutoff : float
        Directions in which the dictionary varies by less than this share of the largest eigenvalue of the
        Gram matrix are left out.
    ridge : float
        Added to the eigenvalues of the Gram matrix, as a share of the largest.

    Raises
    ------
    UserError
        If the dictionary is zero on all samples.
    """
    scale, axes = np.linalg.eigh((data.gram + data.gram.T) / 2.0)
    top = scale[-1]
    if top <= 0:
        raise UserError("the dictionary is zero on all samples: no operator can be fitted")
    keep = scale > rank_cutoff * top
    scale, axes = scale[keep], axes[:, keep]
    if ridge == 0.0 and np.count_nonzero(data.gram - np.diag(np.diagonal(data.gram))) == 0:
        # A diagonal Gram matrix (indicators) is inverted exactly; the count matrix keeps its last digit.
        diagonal = np.diagonal(data.gram)
        used = diagonal > rank_cutoff * top
        matrix = np.where(used[:, None], data.cross / np.where(used, diagonal, 1.0)[:, None], 0.0)
    else:
        matrix = axes @ np.diag(1.0 / (scale + ridge * top)) @ axes.T @ data.cross
    reduced = axes.T @ matrix @ axes
    values, vectors = np.linalg.eig(reduced.astype(np.complex128))
    order = np.lexsort((-values.imag, -values.real, -np.round(np.abs(values), 12)))
    values, right = values[order], (axes @ vectors)[:, order]
    norm = np.sqrt(np.abs(np.einsum("ik,ij,jk->k", right.conj(), data.gram, right)))
    right = right / norm
    return Operator(
        matrix=matrix,
        eigenvalues=values,
        right=right,
        residuals=residuals(data, values, right),
        condition=float(scale[-1] / scale[0]),
        rank=int(keep.sum()),
    )


def residuals(data: Moments, values: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the ResDMD residual of eigenpairs.

    res² = g*(L - lambda A* - conj(lambda) A + |lambda|² G) g / (g* G g), the mean square of
    g(y) - lambda g(x) over the pairs. For deterministic dynamics it vanishes for a true eigenpair. For a
    stationary stochastic chain a true eigenpair has sqrt(1 - |lambda|²), the spread of g(y) itself: compare
    with that floor (`excess_residuals`).

    Parameters
    ----------
    data : Moments
    values : (r,) complex array
    right : (n, r) complex array
        Coefficients of the eigenfunctions.
    """

    def form(matrix: np.ndarray) -> np.ndarray:
        return np.einsum("ik,ij,jk->k", right.conj(), matrix, right)

    square = (
        form(data.later) - values * form(data.cross.T) - values.conj() * form(data.cross)
    ).real + np.abs(values) ** 2 * form(data.gram).real
    return np.sqrt(np.maximum(square, 0.0) / form(data.gram).real)


def excess_residuals(values: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Return how far residuals lie above the floor sqrt(1 - |lambda|²) of a stationary stochastic chain."""
    return residual - np.sqrt(np.maximum(1.0 - np.abs(values) ** 2, 0.0))


def chain_of(operator: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the row-stochastic matrix next to an operator on a partition of unity, and what it cost.

    Soft memberships give rows that sum to one but may hold small negative entries; these are set to zero
    and the rows normalised.

    Returns
    -------
    chain : (n, n) array
    negative : float
        Largest negative mass of a row.

    Raises
    ------
    UserError
        If rows do not sum to one (not a partition of unity), or if the negative mass exceeds 1 %.
    """
    rows = operator.sum(axis=1)
    if np.abs(rows - 1.0).max() > 1e-6:
        raise UserError(
            f"rows of the operator sum to {rows.min():.4g}..{rows.max():.4g}, not to one: the dictionary is "
            "no partition of unity, and only its eigenvalues have a meaning; project on states first"
        )
    negative = float(np.maximum(-operator, 0.0).sum(axis=1).max())
    if negative > MAX_NEGATIVE_MASS:
        raise UserError(
            f"the projected operator has rows with {negative:.1%} negative mass; at most "
            f"{MAX_NEGATIVE_MASS:.0%} can be taken for noise: sharpen the memberships or use the hard states"
        )
    chain = np.maximum(operator, 0.0)
    return chain / chain.sum(axis=1, keepdims=True), negative


def vamp_e(train: Moments, test: Moments, rank: int) -> float:
    """Return the VAMP-E score of the singular functions of one data set on another.

    Equals the VAMP-2 score when both sets are the same; on held-out data it also punishes what was
    over-fitted (H. Wu, F. Noé, J. Nonlinear Sci. 30 (2020) 23,
    https://doi.org/10.1007/s00332-019-09567-y, eq. 31).
    """
    left_root, right_root = _inverse_root(train.gram), _inverse_root(train.later)
    u, singular, vt = np.linalg.svd(left_root.T @ train.cross @ right_root)
    u, singular, v = left_root @ u[:, :rank], singular[:rank], right_root @ vt[:rank].T
    s = np.diag(singular)
    first = 2.0 * s @ (u.T @ test.cross @ v)
    second = s @ (u.T @ test.gram @ u) @ s @ (v.T @ test.later @ v)
    return float(np.trace(first - second))


def _inverse_root(matrix: np.ndarray) -> np.ndarray:
    """Return W with W^T C W = 1 on the directions in which C is not zero; zero columns elsewhere."""
    scale, axes = scipy.linalg.eigh((matrix + matrix.T) / 2.0)
    kept = scale > 1e-10 * scale[-1]
    return axes * np.where(kept, 1.0 / np.sqrt(np.where(kept, scale, 1.0)), 0.0)
