"""Clustering of embeddings: space, methods, silhouettes and their null."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from getsei.contrastive.diagnostics import unit_length
from getsei.errors import UserError

METHODS = ("kmeans", "gmm", "ward")

N_COMPONENTS = 8
"""Principal components kept; embeddings that have not collapsed have an effective rank of 3 to 6."""

KMEANS_STARTS = 10
GMM_STARTS = 4
FEW_STARTS = {"kmeans": 3, "gmm": 1, "ward": 1}
"""Starts where clusterings are only compared: of resamples, of other seeds, of the null."""
GMM_FLOOR = 1e-6
MICRO_CLUSTERS = 200
_BLOCK = 1 << 17
_PAIR_BLOCK = 1 << 22


class Clusterer(Protocol):
    """Anything that assigns points to clusters."""

    def predict(self, points: np.ndarray) -> np.ndarray:
        """Return the cluster of each of (n, d) points."""


@dataclass(frozen=True)
class Space:
    """The space that is clustered: vectors scaled to length one, then their leading principal components.

    Attributes
    ----------
    mean : (d,) array
        Centre.
    axes : (n_components, d) array
        Orthonormal directions.
    """

    mean: np.ndarray
    axes: np.ndarray

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Project (..., d) vectors to (..., n_components)."""
        return (unit_length(vectors) - self.mean) @ self.axes.T


@dataclass(frozen=True)
class MicroClusters:
    """Clusters made by merging many small ones.

    Attributes
    ----------
    micro : sklearn.cluster.KMeans
        The small clusters.
    merged : (n_micro,) int array
        Cluster of each.
    """

    micro: KMeans
    merged: np.ndarray

    def predict(self, points: np.ndarray) -> np.ndarray:
        """Return the cluster of each of (n, d) points."""
        return self.merged[self.micro.predict(points)]


def fit_space(vectors: np.ndarray) -> Space:
    """Find the principal components of (n, d) vectors scaled to length one."""
    unit = unit_length(vectors.astype(np.float64))
    mean = unit.mean(0)
    _, _, axes = np.linalg.svd(unit - mean, full_matrices=False)
    # A component's sign is arbitrary; fixing it keeps files equal between machines.
    axes = axes[:N_COMPONENTS]
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])
    return Space(mean.astype(np.float32), (axes * signs[:, None]).astype(np.float32))


def fit_all(
    points: np.ndarray, numbers: Sequence[int], method: str, seed: int, starts: int | None = None
) -> list[Clusterer]:
    """Cluster points into each of several numbers of clusters.

    Parameters
    ----------
    points : (n, d) array
        The sample.
    numbers : sequence of int
        Numbers of clusters.
    method : str
        ``kmeans``; ``gmm``, a mixture of Gaussians with full covariances; ``ward``, k-means to 200 small
        clusters, merged by Ward's criterion weighted with their sizes.
    seed : int
        Seed of the starting points.
    starts : int, optional
        Number of starts of which the best is kept.

    Raises
    ------
    UserError
        If fewer different points than clusters exist: the embedding has collapsed.
    """
    distinct = count_distinct(points)
    if distinct < max(numbers):
        raise UserError(
            f"states: {distinct} different embeddings cannot make {max(numbers)} states; the encoder has "
            "collapsed (see effective_rank in the log of train_gcl) or n_states is too large"
        )
    if method == "kmeans":
        return [KMeans(k, n_init=starts or KMEANS_STARTS, random_state=seed).fit(points) for k in numbers]
    if method == "gmm":
        doubles = points.astype(np.float64)
        return [
            GaussianMixture(
                k, reg_covar=GMM_FLOOR, n_init=starts or GMM_STARTS, random_state=seed, max_iter=300
            ).fit(doubles)
            for k in numbers
        ]
    if method == "ward":
        # Careful starting points would cost more than all the rest, and 200 clusters do not need them.
        small = min(MICRO_CLUSTERS, distinct)
        micro = KMeans(small, init="random", n_init=1, random_state=seed).fit(points)
        merged = _ward(micro.cluster_centers_, np.bincount(micro.labels_, minlength=small), numbers)
        return [MicroClusters(micro, merged[k]) for k in numbers]
    raise UserError(f"states method: expected kmeans, gmm, ward or auto, found {method!r}")


def fit(points: np.ndarray, n_states: int, method: str, seed: int, starts: int | None = None) -> Clusterer:
    """Cluster points into one number of clusters; see `fit_all`."""
    return fit_all(points, [n_states], method, seed, starts)[0]


def count_distinct(points: np.ndarray) -> int:
    """Return the number of different points, to five decimals."""
    return len(np.unique(np.round(points, 5), axis=0))


def _ward(centres: np.ndarray, sizes: np.ndarray, numbers: Sequence[int]) -> dict[int, np.ndarray]:
    """Merge weighted centres until each of some numbers of clusters is left; return the cluster of each.

    Each step joins the pair whose union adds least to the sum of squares (J. H. Ward, J. Am. Stat. Assoc. 58
    (1963) 236).
    """
    centres, sizes = centres.astype(float), np.maximum(sizes.astype(float), 1e-9)
    n = len(centres)
    member = np.arange(n)
    square = ((centres[:, None] - centres[None]) ** 2).sum(-1)
    cost = square * sizes[:, None] * sizes[None] / (sizes[:, None] + sizes[None])
    np.fill_diagonal(cost, np.inf)
    found = {}
    for left in range(n, min(numbers) - 1, -1):
        if left in numbers:
            found[left] = np.unique(member, return_inverse=True)[1]
        if left == 1:
            break
        a, b = np.unravel_index(np.argmin(cost), cost.shape)
        total = sizes[a] + sizes[b]
        centres[a] = (sizes[a] * centres[a] + sizes[b] * centres[b]) / total
        sizes[a], member[member == b] = total, a
        fresh = ((centres - centres[a]) ** 2).sum(-1) * sizes * total / (sizes + total)
        fresh[np.isinf(cost[a])] = np.inf  # merged before, or a itself
        cost[a] = cost[:, a] = fresh
        cost[b] = cost[:, b] = np.inf
    return found


def predict(clusterer: Clusterer, points: np.ndarray) -> np.ndarray:
    """Assign (n, d) points to clusters, block by block; return (n,) int64."""
    blocks = range(0, len(points), _BLOCK)
    parts = [clusterer.predict(points[start : start + _BLOCK]) for start in blocks]
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)


def silhouettes(points: np.ndarray, labelings: Sequence[np.ndarray]) -> list[float]:
    """Return the mean silhouette of each of several clusterings of the same points.

    P. J. Rousseeuw, J. Comput. Appl. Math. 20 (1987) 53. Euclidean, between -1 and 1; distances are computed
    once for all clusterings. NaN with fewer than two clusters, for it is not defined then.

    Parameters
    ----------
    points : (n, d) array
        Points.
    labelings : sequence of (n,) int arrays
        Cluster of each point.
    """
    n = len(points)
    if not n:
        return [float("nan")] * len(labelings)
    codes = [np.unique(labels, return_inverse=True)[1] for labels in labelings]
    members = [np.eye(int(code.max()) + 1, dtype=np.float32)[code] for code in codes]
    sizes = [member.sum(0) for member in members]
    ends = np.cumsum([member.shape[1] for member in members])[:-1]
    everyone = np.concatenate(members, axis=1)
    totals = np.zeros(len(labelings))
    step = max(1, _PAIR_BLOCK // n)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        sums = cdist(points[rows], points).astype(np.float32) @ everyone
        for index, (part, code, size) in enumerate(
            zip(np.split(sums, ends, axis=1), codes, sizes, strict=True)
        ):
            if 1 < len(size) < n:
                totals[index] += _widths(part, code[rows], size).sum()
    undefined = [not 1 < len(size) < n for size in sizes]
    return [float("nan") if bad else float(total / n) for bad, total in zip(undefined, totals, strict=True)]


def _widths(sums: np.ndarray, own: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the silhouettes of points from their summed distances to the members of each cluster."""
    row = np.arange(len(own))
    inside = sums[row, own] / np.maximum(size[own] - 1.0, 1.0)
    between = sums / size
    between[row, own] = np.inf
    outside = between.min(1)
    largest = np.maximum(inside, outside)
    widths = np.divide(outside - inside, largest, out=np.zeros_like(inside), where=largest > 0.0)
    return np.where(size[own] > 1, widths, 0.0)


def silhouette(points: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean silhouette of one clustering; see `silhouettes`."""
    return silhouettes(points, [labels])[0]


def null_points(points: np.ndarray, seed: int) -> np.ndarray:
    """Draw a single Gaussian of the same size, mean and covariance as (n, d) points.

    Its silhouette is what clustering finds where there are no clusters.
    """
    rng = np.random.default_rng(seed)
    shape = np.atleast_2d(np.cov(points.T.astype(np.float64)))
    return rng.multivariate_normal(points.mean(0), shape, size=len(points), method="eigh")


def null_silhouette(points: np.ndarray, n_states: int, method: str, seed: int) -> float:
    """Return the silhouette of a single Gaussian of the same mean and covariance, clustered alike."""
    blob = null_points(points, seed)
    if count_distinct(blob) < n_states:
        return float("nan")
    return silhouette(blob, predict(fit(blob, n_states, method, seed, FEW_STARTS[method]), blob))
