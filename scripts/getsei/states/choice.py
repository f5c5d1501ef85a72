"""How many states: what speaks for each number and method, and which is taken."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from getsei.states import clustering
from getsei.states.clustering import Clusterer

log = logging.getLogger("getsei")

CANDIDATES = tuple(range(2, 11))
RESAMPLES = 6
MIN_BOOTSTRAP_ARI = 0.8
MIN_SEED_ARI = 0.8
MIN_POPULATION = 0.01
SAME_EXCESS = 0.02
"""Twice the spread of a silhouette of 4000 environments between samples: differences below it are none."""


@dataclass(frozen=True)
class Samples:
    """Points in the clustering space.

    Attributes
    ----------
    fit : (n, d) array
        Of training ions; clusters are fitted to them.
    score : (m, d) array
        Of training ions; silhouettes are taken on them.
    held_out : (h, d) array
        Of ions the encoder was not trained on; may be empty.
    compared : (c, d) array
        Of the environments that the encoders of other seeds embedded too.
    repeats : sequence of (c, d) arrays
        The same environments by each of these encoders, in a space of its own.
    """

    fit: np.ndarray
    score: np.ndarray
    held_out: np.ndarray
    compared: np.ndarray
    repeats: Sequence[np.ndarray]


@dataclass(frozen=True)
class Candidate:
    """One number of states by one method, and what speaks for it.

    Attributes
    ----------
    method : str
        Clustering method.
    n_states : int
        Number of states.
    silhouette, silhouette_held_out : float
        On training ions and on held-out ions with the same clusters; NaN without such ions.
    silhouette_null : float
        Of a single Gaussian of the same covariance, clustered alike.
    bootstrap_ari : float
        Mean adjusted Rand index (L. Hubert, P. Arabie, J. Classif. 2 (1985) 193) between the clusters of
        the sample and those of its resamples.
    seed_ari : float
        The same between the clusters of this encoder and those of encoders trained from other seeds; NaN
        without such encoders.
    smallest_population : float
        Share of the smallest state.
    """

    method: str
    n_states: int
    silhouette: float
    silhouette_held_out: float
    silhouette_null: float
    bootstrap_ari: float
    seed_ari: float
    smallest_population: float

    @property
    def excess(self) -> float:
        """Silhouette above the null, on held-out ions where there are any."""
        score = self.silhouette if np.isnan(self.silhouette_held_out) else self.silhouette_held_out
        return score - self.silhouette_null

    @property
    def sound(self) -> bool:
        """Whether resamples and other seeds agree and no state is tiny."""
        return (
            self.bootstrap_ari >= MIN_BOOTSTRAP_ARI
            and not self.seed_ari < MIN_SEED_ARI
            and self.smallest_population >= MIN_POPULATION
        )

    def row(self) -> dict[str, Any]:
        """Return a row of the table of candidates."""
        return {
            "method": self.method,
            "n_states": self.n_states,
            "silhouette": self.silhouette,
            "silhouette_held_out": self.silhouette_held_out,
            "silhouette_null": self.silhouette_null,
            "excess": self.excess,
            "bootstrap_ari": self.bootstrap_ari,
            "seed_ari": self.seed_ari,
            "smallest_population": self.smallest_population,
            "sound": self.sound,
        }


@dataclass(frozen=True)
class Choice:
    """The number of states taken.

    Attributes
    ----------
    clusterer : Clusterer
        Fitted with that number.
    taken : Candidate
        What speaks for it.
    candidates : list of Candidate
        All numbers by all methods, the best first.
    note : str
        One sentence: which number, and why.
    """

    clusterer: Clusterer
    taken: Candidate
    candidates: list[Candidate]
    note: str


def choose(samples: Samples, wanted: int | str, method: str, seed: int) -> Choice:
    """Take the wanted number of states, or the one the data speak for.

    Parameters
    ----------
    samples : Samples
        Points to fit and to judge.
    wanted : int or "auto"
        Number of states. ``auto`` takes the best of the candidates of `method`; see `ranked`.
    method : str
        Clustering method; ``auto`` considers all.
    seed : int
        Seed.
    """
    distinct = clustering.count_distinct(samples.fit)
    numbers = {k for k in CANDIDATES if k <= distinct // 2} or {CANDIDATES[0]}
    if wanted != "auto":
        numbers |= {int(wanted)}
    fitted = {
        name: clustering.fit_all(samples.fit, sorted(numbers), name, seed) for name in clustering.METHODS
    }
    tried = [(name, k) for name in fitted for k in sorted(numbers)]
    clusterers = [clusterer for found in fitted.values() for clusterer in found]
    candidates = [c for name in fitted for c in judge(samples, fitted[name], sorted(numbers), name, seed)]
    order = ranked(candidates)
    allowed = [
        index
        for index in order
        if method in ("auto", tried[index][0]) and wanted in ("auto", tried[index][1])
    ]
    rivals = [index for index in order if method in ("auto", tried[index][0])]
    best, taken = candidates[rivals[0]], candidates[allowed[0]]
    note = explain(taken, best, by_hand=wanted != "auto")
    return Choice(clusterers[allowed[0]], taken, [candidates[index] for index in order], note)


def judge(
    samples: Samples, clusterers: Sequence[Clusterer], numbers: Sequence[int], method: str, seed: int
) -> list[Candidate]:
    """Collect what speaks for each number of states by one method."""

    def labels_of(points: np.ndarray) -> list[np.ndarray]:
        return [clustering.predict(clusterer, points) for clusterer in clusterers]

    scored, held = labels_of(samples.score), labels_of(samples.held_out)
    blob = clustering.null_points(samples.score, seed)
    null = compared_labels(blob, numbers, method, seed)
    silhouettes = [
        clustering.silhouettes(points, labels)
        for points, labels in ((samples.score, scored), (samples.held_out, held), (blob, null))
    ]
    resampled = bootstrap_ari(samples, scored, numbers, method, seed)
    seeds = seed_ari(labels_of(samples.compared), samples.repeats, numbers, method, seed)
    found = []
    for index, (k, labels) in enumerate(zip(numbers, labels_of(samples.fit), strict=True)):
        sizes = np.bincount(labels, minlength=k)
        found.append(
            Candidate(
                method=method,
                n_states=k,
                silhouette=silhouettes[0][index],
                silhouette_held_out=silhouettes[1][index],
                silhouette_null=silhouettes[2][index],
                bootstrap_ari=resampled[index],
                seed_ari=seeds[index],
                smallest_population=float(sizes.min() / sizes.sum()),
            )
        )
        log.info(
            "%s, %d states: silhouette %.3f (held out %.3f, null %.3f), ARI %.2f (resamples) %.2f (seeds), "
            "smallest %.3f",
            method,
            k,
            found[-1].silhouette,
            found[-1].silhouette_held_out,
            found[-1].silhouette_null,
            found[-1].bootstrap_ari,
            found[-1].seed_ari,
            found[-1].smallest_population,
        )
    return found


def bootstrap_ari(
    samples: Samples, labels: Sequence[np.ndarray], numbers: Sequence[int], method: str, seed: int
) -> list[float]:
    """Return the mean agreement of clusters of resamples with the labels of ``samples.score``."""
    rng = np.random.default_rng(seed)
    size = min(len(samples.fit), len(samples.score))
    agreements = []
    for resample in range(1, RESAMPLES + 1):
        drawn = samples.fit[rng.integers(len(samples.fit), size=size)]
        others = compared_labels(drawn, numbers, method, seed + resample, samples.score)
        agreements.append([adjusted_rand_score(*pair) for pair in zip(labels, others, strict=True)])
    return np.mean(agreements, axis=0).tolist()


def seed_ari(
    labels: Sequence[np.ndarray],
    repeats: Sequence[np.ndarray],
    numbers: Sequence[int],
    method: str,
    seed: int,
) -> list[float]:
    """Return the mean agreement of labels with clusters of what encoders of other seeds made of the same."""
    if not len(repeats):
        return [float("nan")] * len(numbers)
    agreements = [
        [
            adjusted_rand_score(*pair)
            for pair in zip(labels, compared_labels(points, numbers, method, seed), strict=True)
        ]
        for points in repeats
    ]
    return np.mean(agreements, axis=0).tolist()


def compared_labels(
    points: np.ndarray, numbers: Sequence[int], method: str, seed: int, at: np.ndarray | None = None
) -> list[np.ndarray]:
    """Cluster points from few starts; return the clusters of `at`, or of the points themselves.

    Where there are too few different points, all are in one cluster.
    """
    at = points if at is None else at
    possible = [k for k in numbers if k <= clustering.count_distinct(points)]
    starts = clustering.FEW_STARTS[method]
    fitted = clustering.fit_all(points, possible, method, seed, starts) if possible else []
    labels = [clustering.predict(clusterer, at) for clusterer in fitted]
    return labels + [np.zeros(len(at), dtype=np.int64)] * (len(numbers) - len(possible))


def ranked(candidates: Sequence[Candidate]) -> list[int]:
    """Return the indices of candidates, the best first.

    Sound ones come first; among them the excess over the null decides. Where two are within `SAME_EXCESS` of
    the largest, the agreement of resamples and seeds decides, then the smaller number.
    """
    excess = np.array([c.excess if np.isfinite(c.excess) else -1.0 for c in candidates])
    sound = np.array([c.sound for c in candidates])
    top = excess[sound].max() if sound.any() else excess.max()

    def key(index: int) -> tuple[float, ...]:
        c = candidates[index]
        level = top if excess[index] > top - SAME_EXCESS else excess[index]
        agreement = min(c.bootstrap_ari, c.bootstrap_ari if np.isnan(c.seed_ari) else c.seed_ari)
        return (-float(sound[index]), -level, -round(agreement, 2), c.n_states, -excess[index])

    return sorted(range(len(candidates)), key=key)


def explain(taken: Candidate, best: Candidate, *, by_hand: bool) -> str:
    """Say in one sentence which number of states was taken and why."""
    numbers = (
        f"{taken.method}, silhouette {taken.silhouette:.2f}, {taken.excess:.2f} above a Gaussian null, "
        f"{_agreement(taken)}, smallest state {taken.smallest_population:.1%}"
    )
    if by_hand and taken.n_states == best.n_states:
        return f"{taken.n_states} states as configured, which the data prefer too ({numbers})."
    if by_hand:
        return (
            f"{taken.n_states} states as configured ({numbers}); the data prefer {best.n_states} "
            f"({best.method}, {best.excess:.2f} above null, {_agreement(best)})."
        )
    why = (
        "the largest excess among the sound numbers"
        if taken.sound
        else "no number was sound: taken by excess"
    )
    return f"{taken.n_states} states chosen from the data: {why} ({numbers})."


def _agreement(candidate: Candidate) -> str:
    seeds = "" if np.isnan(candidate.seed_ari) else f" and {candidate.seed_ari:.2f} (seeds)"
    return f"ARI {candidate.bootstrap_ari:.2f} (resamples){seeds}"
