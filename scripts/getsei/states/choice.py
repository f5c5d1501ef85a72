"""How many states: what speaks for each number, and which is taken."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from getsei.states import clustering
from getsei.states.clustering import Clusterer

log = logging.getLogger("getsei")

CANDIDATES = tuple(range(2, 11))
RESAMPLES = 8
RESAMPLE_STARTS = 3
MIN_BOOTSTRAP_ARI = 0.8
MIN_POPULATION = 0.01


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
    """

    fit: np.ndarray
    score: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True)
class Candidate:
    """One number of states and what speaks for it.

    Attributes
    ----------
    n_states : int
        Number of states.
    silhouette, silhouette_held_out : float
        On training ions and on held-out ions with the same clusters; NaN without such ions.
    silhouette_null : float
        Of a single Gaussian of the same covariance, clustered alike.
    bootstrap_ari : float
        Mean adjusted Rand index (L. Hubert, P. Arabie, J. Classif. 2 (1985) 193) between the clusters of
        the sample and those of its resamples.
    smallest_population : float
        Share of the smallest state.
    """

    n_states: int
    silhouette: float
    silhouette_held_out: float
    silhouette_null: float
    bootstrap_ari: float
    smallest_population: float

    @property
    def excess(self) -> float:
        """Silhouette above the null, on held-out ions where there are any."""
        score = self.silhouette if np.isnan(self.silhouette_held_out) else self.silhouette_held_out
        return score - self.silhouette_null

    @property
    def sound(self) -> bool:
        """Whether resamples agree and no state is tiny."""
        return self.bootstrap_ari >= MIN_BOOTSTRAP_ARI and self.smallest_population >= MIN_POPULATION

    def row(self) -> dict[str, Any]:
        """Return a row of the table of candidates."""
        return {
            "n_states": self.n_states,
            "silhouette": self.silhouette,
            "silhouette_held_out": self.silhouette_held_out,
            "silhouette_null": self.silhouette_null,
            "excess": self.excess,
            "bootstrap_ari": self.bootstrap_ari,
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
        All numbers tried, rising.
    note : str
        One sentence: which number, and why.
    """

    clusterer: Clusterer
    taken: Candidate
    candidates: list[Candidate]
    note: str


def judge(samples: Samples, n_states: int, method: str, seed: int) -> tuple[Candidate, Clusterer]:
    """Cluster into a number of states and collect what speaks for it."""
    clusterer = clustering.fit(samples.fit, n_states, method, seed)
    labels = clustering.predict(clusterer, samples.score)
    held_out = float("nan")
    if len(samples.held_out):
        held_out = clustering.silhouette(samples.held_out, clustering.predict(clusterer, samples.held_out))
    counts = np.bincount(clustering.predict(clusterer, samples.fit), minlength=n_states)
    found = Candidate(
        n_states=n_states,
        silhouette=clustering.silhouette(samples.score, labels),
        silhouette_held_out=held_out,
        silhouette_null=clustering.null_silhouette(samples.score, n_states, method, seed),
        bootstrap_ari=bootstrap_ari(samples, labels, n_states, method, seed),
        smallest_population=float(counts.min() / counts.sum()),
    )
    return found, clusterer


def bootstrap_ari(samples: Samples, labels: np.ndarray, n_states: int, method: str, seed: int) -> float:
    """Return the mean agreement of clusters of resamples with the labels of ``samples.score``."""
    rng = np.random.default_rng(seed)
    size = min(len(samples.fit), len(samples.score))
    agreements = []
    for resample in range(RESAMPLES):
        drawn = samples.fit[rng.integers(len(samples.fit), size=size)]
        other = clustering.fit(drawn, n_states, method, seed + 1 + resample, RESAMPLE_STARTS)
        agreements.append(adjusted_rand_score(labels, clustering.predict(other, samples.score)))
    return float(np.mean(agreements))


def choose(samples: Samples, wanted: int | str, method: str, seed: int) -> Choice:
    """Take the wanted number of states, or the one the data speak for.

    Parameters
    ----------
    samples : Samples
        Points to fit and to judge.
    wanted : int or "auto"
        Number of states. ``auto`` takes the largest excess over the null among the sound candidates, or
        among all where none is sound.
    method : str
        Clustering method.
    seed : int
        Seed.
    """
    distinct = len(np.unique(np.round(samples.fit, 5), axis=0))
    tried = [k for k in CANDIDATES if k <= distinct // 2]
    if wanted != "auto" and wanted not in tried:
        tried = sorted([*tried, int(wanted)])
    judged = {}
    for k in tried or [CANDIDATES[0]]:
        judged[k] = judge(samples, k, method, seed)
        found = judged[k][0]
        log.info(
            "%d states: silhouette %.3f (held out %.3f, null %.3f), bootstrap ARI %.2f, smallest %.3f",
            k,
            found.silhouette,
            found.silhouette_held_out,
            found.silhouette_null,
            found.bootstrap_ari,
            found.smallest_population,
        )
    candidates = [found for found, _ in judged.values()]
    best = preferred(candidates)
    taken = best.n_states if wanted == "auto" else int(wanted)
    note = explain(judged[taken][0], best, by_hand=wanted != "auto")
    return Choice(judged[taken][1], judged[taken][0], candidates, note)


def preferred(candidates: list[Candidate]) -> Candidate:
    """Return the candidate with the largest excess, sound ones first, the smaller number where equal."""
    return max(candidates, key=lambda c: (c.sound, c.excess if np.isfinite(c.excess) else -1.0, -c.n_states))


def explain(taken: Candidate, best: Candidate, *, by_hand: bool) -> str:
    """Say in one sentence which number of states was taken and why."""
    numbers = (
        f"silhouette {taken.silhouette:.2f}, {taken.excess:.2f} above a Gaussian null, bootstrap ARI "
        f"{taken.bootstrap_ari:.2f}, smallest state {taken.smallest_population:.1%}"
    )
    if by_hand and taken.n_states == best.n_states:
        return f"{taken.n_states} states as configured, which the data prefer too ({numbers})."
    if by_hand:
        return (
            f"{taken.n_states} states as configured ({numbers}); the data prefer {best.n_states} "
            f"({best.excess:.2f} above null, bootstrap ARI {best.bootstrap_ari:.2f})."
        )
    why = (
        "the largest excess among the sound numbers"
        if taken.sound
        else "no number was sound: taken by excess"
    )
    return f"{taken.n_states} states chosen from the data: {why} ({numbers})."
