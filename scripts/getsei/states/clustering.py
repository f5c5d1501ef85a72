"""Clustering of embeddings: space, methods, silhouettes and their null."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.mixture import GaussianMixture

from getsei.errors import UserError

N_COMPONENTS = 8
"""Principal components kept; embeddings that have not collapsed have an effective rank of 3 to 6."""

KMEANS_STARTS = 10
GMM_STARTS = 4
GMM_FLOOR = 1e-6
MICRO_CLUSTERS = 200
_BLOCK = 1 << 17


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


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Scale (..., d) vectors to length one: the loss has only ever seen directions."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def fit_space(vectors: np.ndarray) -> Space:
    """Find the principal components of (n, d) vectors scaled to length one."""
    unit = unit_length(vectors.astype(np.float64))
    mean = unit.mean(0)
    _, _, axes = np.linalg.svd(unit - mean, full_matrices=False)
    # A component's sign is arbitrary; fixing it keeps files equal between machines.
    axes = axes[:N_COMPONENTS]
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])
    return Space(mean.astype(np.float32), (axes * signs[:, None]).astype(np.float32))


def fit(points: np.ndarray, n_states: int, method: str, seed: int, starts: int | None = None) -> Clusterer:
    """Cluster points.

    Parameters
    ----------
    points : (n, d) array
        The sample.
    n_states : int
        Number of clusters.
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
    distinct = len(np.unique(np.round(points, 5), axis=0))
    if distinct < n_states:
        raise UserError(
            f"states: {distinct} different embeddings cannot make {n_states} states; the encoder has "
            "collapsed (see effective_rank in the log of train_gcl) or n_states is too large"
        )
    if method == "kmeans":
        return _kmeans(points, n_states, seed, starts or KMEANS_STARTS)
    if method == "gmm":
        mixture = GaussianMixture(
            n_states, reg_covar=GMM_FLOOR, n_init=starts or GMM_STARTS, random_state=seed, max_iter=300
        )
        return mixture.fit(points.astype(np.float64))
    if method == "ward":
        micro = _kmeans(points, min(MICRO_CLUSTERS, distinct), seed, 1)
        return MicroClusters(micro, _ward(micro, points, n_states))
    raise UserError(f"states method: expected kmeans, gmm or ward, found {method!r}")


def _kmeans(points: np.ndarray, n_clusters: int, seed: int, starts: int) -> KMeans:
    return KMeans(n_clusters, n_init=starts, random_state=seed).fit(points)


def _ward(micro: KMeans, points: np.ndarray, n_states: int) -> np.ndarray:
    """Merge weighted centres: each step joins the pair whose union adds least to the sum of squares."""
    sizes = np.bincount(micro.predict(points), minlength=len(micro.cluster_centers_)).astype(float)
    centres = micro.cluster_centers_.astype(float)
    groups = [[index] for index in range(len(centres))]
    sizes = np.maximum(sizes, 1e-9)
    square = ((centres[:, None] - centres[None]) ** 2).sum(-1)
    cost = square * sizes[:, None] * sizes[None] / (sizes[:, None] + sizes[None])
    np.fill_diagonal(cost, np.inf)
    alive = np.ones(len(centres), dtype=bool)
    for _ in range(len(centres) - n_states):
        a, b = np.unravel_index(np.argmin(cost), cost.shape)
        total = sizes[a] + sizes[b]
        centres[a] = (sizes[a] * centres[a] + sizes[b] * centres[b]) / total
        sizes[a], alive[b] = total, False
        groups[a] += groups[b]
        cost[b] = cost[:, b] = np.inf
        fresh = ((centres - centres[a]) ** 2).sum(-1) * sizes * sizes[a] / (sizes + sizes[a])
        fresh[~alive] = np.inf
        fresh[a] = np.inf
        cost[a] = cost[:, a] = fresh
    merged = np.empty(len(centres), dtype=np.int64)
    for cluster, index in enumerate(np.flatnonzero(alive)):
        merged[groups[index]] = cluster
    return merged


def predict(clusterer: Clusterer, points: np.ndarray) -> np.ndarray:
    """Assign (n, d) points to clusters, block by block; return (n,) int64."""
    blocks = range(0, len(points), _BLOCK)
    return np.concatenate([clusterer.predict(points[start : start + _BLOCK]) for start in blocks]).astype(
        np.int64
    )


def silhouette(points: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean silhouette (P. J. Rousseeuw, J. Comput. Appl. Math. 20 (1987) 53).

    Euclidean, between -1 and 1; NaN with fewer than two clusters, for it is not defined then.
    """
    n_clusters = len(np.unique(labels))
    if n_clusters < 2 or n_clusters >= len(labels):
        return float("nan")
    return float(silhouette_score(points, labels))


def null_silhouette(points: np.ndarray, n_states: int, method: str, seed: int) -> float:
    """Return the silhouette of a single Gaussian of the same mean and covariance, clustered alike.

    It is what clustering finds where there are no clusters.
    """
    rng = np.random.default_rng(seed)
    shape = np.cov(points.T.astype(np.float64))
    blob = rng.multivariate_normal(points.mean(0), shape, size=len(points), method="eigh")
    return silhouette(blob, predict(fit(blob, n_states, method, seed), blob))


def feature_silhouette(features: np.ndarray, n_states: int, method: str, seed: int) -> float:
    """Return the silhouette of (n, d) features clustered alike, NaN where they hold too few values."""
    features = np.asarray(features, dtype=np.float64)
    if len(np.unique(np.round(features, 5), axis=0)) < n_states:
        return float("nan")
    return silhouette(features, predict(fit(features, n_states, method, seed), features))
