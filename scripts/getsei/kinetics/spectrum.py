"""The Koopman operator on other dictionaries than the states: what the states see of the slow dynamics.

Four dictionaries on the same pairs: indicators of the states, soft memberships around their centres, the
leading components of the embedding, and radial functions. Each has eigenvalues, eigenfunctions, implied
timescales with intervals, residuals that flag spurious modes, a conditioning report, and a VAMP-2 score on
ions that were left out, at the same number of singular functions for all: the score tells how much of the
slow dynamics a dictionary captures.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from getsei.kinetics import bootstrap, chains, dictionaries, edmd, validation
from getsei.records import UNASSIGNED

NAMES = ("indicator", "soft", "features", "radial")
MAX_FEATURES = 16
"""Most principal components of the embedding that are used."""
VARIANCE = 0.99
"""Share of the variance of the embedding that they hold."""
N_RADIAL = 40
"""Radial functions."""
SAMPLE = 4000
"""Environments among which the centres of the radial functions are picked."""
RESAMPLES = 200
"""Resamples behind the intervals of the timescales."""
MAX_EXCESS_RESIDUAL = 0.05
"""ResDMD residual, above that of a true mode, from which a mode is called spurious."""
CHUNK = 1 << 18


@dataclass(frozen=True)
class IonMoments:
    """Second moments of a dictionary over the pairs of every ion, summed.

    Attributes
    ----------
    gram, cross, later : (n_ions, d, d) arrays
        PsiX^T PsiX, PsiX^T PsiY, PsiY^T PsiY.
    pairs : (n_ions,) array
    """

    gram: np.ndarray
    cross: np.ndarray
    later: np.ndarray
    pairs: np.ndarray

    def total(self, ions: np.ndarray | slice = slice(None)) -> edmd.Moments:
        """Return the moments over some ions, per pair."""
        n_pairs = float(self.pairs[ions].sum())
        return edmd.Moments(
            gram=self.gram[ions].sum(axis=0) / n_pairs,
            cross=self.cross[ions].sum(axis=0) / n_pairs,
            later=self.later[ions].sum(axis=0) / n_pairs,
            n_pairs=int(n_pairs),
        )


@dataclass(frozen=True)
class Spectrum:
    """The operator on one dictionary.

    Attributes
    ----------
    name : str
    n_functions, rank : int
        Functions, and directions kept of their span.
    condition : float
        Condition number of what was kept of the Gram matrix.
    eigenvalues : (r,) complex array
    timescales : (r - 1, 3) array
        ps: value, low, high.
    residuals : (r,) array
        ResDMD residual.
    excess : (r,) array
        Residual above that of a true mode of a stationary chain.
    modes : (n_states, r) complex array
        Mean of each eigenfunction over the environments of each state.
    score, held_out, error : float
        VAMP-2 on all ions; on ions left out, with its standard error.
    operator : (d, d) array
    moments : IonMoments
    negative : float
        Largest negative mass of a row where the dictionary is a partition of unity, else NaN.
    """

    name: str
    n_functions: int
    rank: int
    condition: float
    eigenvalues: np.ndarray
    timescales: np.ndarray
    residuals: np.ndarray
    excess: np.ndarray
    modes: np.ndarray
    score: float
    held_out: float
    error: float
    operator: np.ndarray
    moments: IonMoments
    negative: float

    def row(self) -> dict[str, Any]:
        """Return what a table says of it."""
        slow = self.timescales[0] if len(self.timescales) else np.full(3, np.nan)
        spurious = np.flatnonzero(np.abs(self.excess) > MAX_EXCESS_RESIDUAL) + 1
        return {
            "dictionary": self.name,
            "functions": self.n_functions,
            "rank": self.rank,
            "condition": float(self.condition),
            "vamp2": self.score,
            "vamp2_held_out": _finite(self.held_out),
            "vamp2_error": _finite(self.error),
            "slowest_ps": _finite(slow[0]),
            "low": _finite(slow[1]),
            "high": _finite(slow[2]),
            "spurious_modes": [int(mode) for mode in spurious],
            "negative_mass": _finite(self.negative),
        }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def principal_components(vectors: np.ndarray, assigned: np.ndarray) -> np.ndarray:
    """Return the leading principal components of an embedding, scaled to unit variance.

    Parameters
    ----------
    vectors : (n_frames, n_ions, d) array
    assigned : (n_ions, n_frames) bool array
        Environments that count.

    Returns
    -------
    (n_ions, n_frames, r) float32 array
        As many as hold 99 % of the variance, at most 16.
    """
    n_frames, n_ions, d = vectors.shape
    used = assigned.T.reshape(-1)
    flat = vectors.reshape(-1, d)
    total, square, number = np.zeros(d), np.zeros((d, d)), 0
    for start in range(0, len(flat), CHUNK):
        part = flat[start : start + CHUNK][used[start : start + CHUNK]].astype(np.float64)
        total, square, number = total + part.sum(axis=0), square + part.T @ part, number + len(part)
    mean = total / max(number, 1)
    scale, axes = np.linalg.eigh(square / max(number, 1) - np.outer(mean, mean))
    scale, axes = scale[::-1], axes[:, ::-1]
    share = np.cumsum(np.maximum(scale, 0.0)) / max(np.maximum(scale, 0.0).sum(), 1e-300)
    rank = int(min(MAX_FEATURES, np.searchsorted(share, VARIANCE) + 1, np.count_nonzero(scale > 1e-12)))
    turn = (axes[:, :rank] / np.sqrt(scale[:rank])).astype(np.float32)
    found = np.empty((n_frames * n_ions, rank), dtype=np.float32)
    for start in range(0, len(flat), CHUNK):
        found[start : start + CHUNK] = (flat[start : start + CHUNK] - mean.astype(np.float32)) @ turn
    return np.ascontiguousarray(found.reshape(n_frames, n_ions, rank).transpose(1, 0, 2))


@dataclass(frozen=True)
class Functions:
    """A dictionary, fixed by the data, that can be evaluated ion by ion.

    Attributes
    ----------
    name : str
    centres : (n, r) array
        Of memberships and radial functions.
    width : float
    """

    name: str
    n_states: int
    centres: np.ndarray
    width: float

    def __call__(self, labels: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Return the functions (n_frames, d) on the labels and features of one ion."""
        if self.name == "indicator":
            return dictionaries.indicator(labels, self.n_states)
        if self.name == "soft":
            return dictionaries.soft_membership(features, self.centres, self.width)
        if self.name == "radial":
            return dictionaries.radial(features, self.centres, self.width)
        return dictionaries.monomials(features)


def build(name: str, labels: np.ndarray, features: np.ndarray, n_states: int, seed: int) -> Functions:
    """Fix the centres and the width of a dictionary.

    Soft memberships are the posterior of equal, equally wide Gaussians around the mean of each state, as
    wide as the environments scatter around the mean of their own. Radial functions sit on environments
    that are far from one another; their width is the mean distance to the nearest other centre.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    labels : (n_ions, n_frames) array
        0 to n_states - 1 or UNASSIGNED.
    features : (n_ions, n_frames, r) array
    n_states : int
    seed : int
    """
    nothing = np.zeros((0, features.shape[-1]))
    if name in ("indicator", "features"):
        return Functions(name, n_states, nothing, 1.0)
    if name == "soft":
        centres = np.stack([features[labels == s].mean(axis=0, dtype=np.float64) for s in range(n_states)])
        square, number = 0.0, 0
        for ion, row in enumerate(labels):
            inside = row != UNASSIGNED
            own = features[ion][inside] - centres[row[inside]]
            square, number = square + float((own**2).sum()), number + int(inside.sum())
        return Functions(name, n_states, centres, float(np.sqrt(square / number / features.shape[-1])))
    rng = np.random.default_rng(seed)
    flat = features.reshape(-1, features.shape[-1])
    places = np.flatnonzero(labels.ravel() != UNASSIGNED)
    sample = flat[rng.choice(places, size=min(SAMPLE, len(places)), replace=False)].astype(np.float64)
    chosen = [int(rng.integers(len(sample)))]
    distance = ((sample - sample[chosen[0]]) ** 2).sum(axis=1)
    for _ in range(min(N_RADIAL, len(sample)) - 1):
        # Seeds of k-means++: likely where nothing is near, not the very farthest, which are outliers.
        chosen.append(int(rng.choice(len(sample), p=distance / distance.sum())))
        distance = np.minimum(distance, ((sample - sample[chosen[-1]]) ** 2).sum(axis=1))
    centres = sample[chosen]
    apart = np.sqrt(((centres[:, None] - centres[None]) ** 2).sum(axis=-1) + 1e9 * np.eye(len(centres)))
    return Functions(name, n_states, centres, float(apart.min(axis=1).mean()))


def moments(
    functions: Functions, labels: np.ndarray, features: np.ndarray, segments: np.ndarray, lag: int
) -> tuple[IonMoments, np.ndarray]:
    """Return the moments of every ion, and the mean of every function over each state, (n_states, d).

    Pairs cross no segment and no frame without a state.
    """
    n_ions = labels.shape[0]
    parts: list[np.ndarray] = []
    number = np.zeros(n_ions)
    sums, visits = 0.0, np.zeros(functions.n_states)
    for ion in range(n_ions):
        psi = functions(labels[ion], features[ion])
        first, second = edmd.pair_indices(labels[ion : ion + 1] != UNASSIGNED, segments, lag)
        before, after = psi[first], psi[second]
        parts.append(np.stack([before.T @ before, before.T @ after, after.T @ after]))
        number[ion] = len(first)
        inside = dictionaries.indicator(labels[ion], functions.n_states)
        sums, visits = sums + inside.T @ psi, visits + inside.sum(axis=0)
    gram, cross, later = np.stack(parts, axis=1)
    return IonMoments(gram, cross, later, number), sums / np.maximum(visits, 1.0)[:, None]


def held_out(data: IonMoments, rank: int, seed: int) -> tuple[float, float, float]:
    """Return VAMP-2 on all ions, and VAMP-E on ions left out of the fit: mean and standard error."""
    whole = data.total()
    score = edmd.vamp_e(whole, whole, rank)
    order = np.random.default_rng(seed).permutation(len(data.pairs))
    scores = []
    for held in np.array_split(order, validation.VAMP_FOLDS) if len(order) >= validation.VAMP_FOLDS else []:
        rest = np.setdiff1d(order, held)
        if data.pairs[rest].sum() and data.pairs[held].sum():
            scores.append(edmd.vamp_e(data.total(rest), data.total(held), rank))
    if len(scores) < 2:
        return score, np.nan, np.nan
    return score, float(np.mean(scores)), float(np.std(scores, ddof=1) / np.sqrt(len(scores)))


def resampled_operators(
    data: IonMoments, axes: np.ndarray, resampling: bootstrap.Resampling, ridge: float
) -> np.ndarray:
    """Return the operator on given directions, (n_resamples, r, r), of ions drawn again."""
    weights = resampling.ions.astype(np.float64)
    gram, cross = (
        (weights @ (axes.T @ each @ axes).reshape(len(each), -1)).reshape(-1, axes.shape[1], axes.shape[1])
        for each in (data.gram, data.cross)
    )
    if ridge:
        top = np.linalg.eigvalsh(gram)[:, -1]
        gram = gram + ridge * top[:, None, None] * np.eye(axes.shape[1])
    return np.linalg.solve(gram, cross)


def fit(
    functions: Functions,
    data: IonMoments,
    means: np.ndarray,
    lag_ps: float,
    resampling: bootstrap.Resampling,
    *,
    rank_cutoff: float,
    ridge: float,
    seed: int,
) -> Spectrum:
    """Fit the operator on one dictionary and describe it.

    Parameters
    ----------
    functions : Functions
    data : IonMoments
    means : (n_states, d) array
        Mean of the functions over each state.
    lag_ps : float
    resampling : Resampling
    rank_cutoff, ridge : float
        See `edmd.fit`.
    seed : int
        Seed of the folds.
    """
    whole = data.total()
    found = edmd.fit(whole, rank_cutoff=rank_cutoff, ridge=ridge)
    scale, axes = np.linalg.eigh((whole.gram + whole.gram.T) / 2.0)
    axes = axes[:, scale > rank_cutoff * scale[-1]]
    few = bootstrap.Resampling(resampling.ions[:RESAMPLES], resampling.blocks[:RESAMPLES])
    number = min(len(found.eigenvalues), 2 * functions.n_states)  # the slow ones; the rest is noise
    samples = np.zeros((0, number - 1))
    if len(data.pairs) > 1:
        try:
            drawn = resampled_operators(data, axes, few, ridge)
            samples = chains.timescales(chains.eigenvalues(drawn), lag_ps)[:, : number - 1]
        except np.linalg.LinAlgError:  # a resample without any environment of some function
            samples = samples[:0]
    score, left_out, error = held_out(data, min(functions.n_states, found.rank), seed)
    partition = functions.name in ("indicator", "soft")
    return Spectrum(
        name=functions.name,
        n_functions=len(found.matrix),
        rank=found.rank,
        condition=found.condition,
        eigenvalues=found.eigenvalues[:number],
        timescales=bootstrap.with_interval(
            chains.timescales(found.eigenvalues[:number], lag_ps), samples
        ).reshape(number - 1, 3),
        residuals=found.residuals[:number],
        excess=edmd.excess_residuals(found.eigenvalues, found.residuals)[:number],
        modes=means @ found.right[:, :number],
        score=score,
        held_out=left_out,
        error=error,
        operator=found.matrix,
        moments=data,
        negative=float(np.maximum(-found.matrix, 0.0).sum(axis=1).max()) if partition else np.nan,
    )
