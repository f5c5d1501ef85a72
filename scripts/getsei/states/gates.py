"""Gates: what must hold before the states are to be believed, and what a failure means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from getsei.states.choice import MIN_BOOTSTRAP_ARI, MIN_POPULATION, MIN_SEED_ARI, Candidate

STUDY_SILHOUETTE = 0.29
"""What the study (arXiv:2603.02284) reports for six states."""

MIN_EXCESS = 0.2
MIN_EFFECTIVE_RANK = 3.0
MAX_MEAN_COSINE = 0.5
MIN_EXPLAINED = 0.5
MIN_COORDINATION_SD = 0.2
"""Elements whose coordination hardly varies have no variance worth explaining."""
MAX_ISOLATED = 1e-3
MAX_CHANGE_RATE = 0.2
MIN_MOVING = 0.01


@dataclass(frozen=True)
class Cleaning:
    """What label cleaning did.

    Attributes
    ----------
    raw_rate, cleaned_rate : float
        Changes of state per ion and frame before and after.
    returns : float
        Share of raw changes undone within two frames.
    changed : float
        Share of labels changed.
    moving : float
        Share of ions that change their state at least once after cleaning.
    """

    raw_rate: float
    cleaned_rate: float
    returns: float
    changed: float
    moving: float


def row(name: str, value: float, limit: float, *, passed: bool, meaning: str) -> dict[str, Any]:
    """Return one row of a table of gates."""
    return {
        "name": name,
        "value": float(value),
        "limit": float(limit),
        "passed": bool(passed),
        "meaning": meaning,
    }


def at_least(name: str, value: float, limit: float, meaning: str) -> dict[str, Any]:
    """Return the row of a value that must not be below a limit; NaN fails."""
    return row(name, value, limit, passed=value >= limit, meaning=meaning)


def at_most(name: str, value: float, limit: float, meaning: str) -> dict[str, Any]:
    """Return the row of a value that must not be above a limit; NaN fails."""
    return row(name, value, limit, passed=value <= limit, meaning=meaning)


def collect(
    candidate: Candidate,
    baselines: Sequence[Mapping[str, Any]],
    diagnostics: Mapping[str, float],
    explained: Mapping[str, float],
    cleaning: Cleaning,
    isolated: float,
) -> list[dict[str, Any]]:
    """Return the table of gates.

    Parameters
    ----------
    candidate : Candidate
        The number of states taken and its silhouettes.
    baselines : sequence of mappings
        Rows of the table of representations; the first is the trained encoder.
    diagnostics : mapping
        What the training found about its embedding.
    explained : mapping
        Share of the variance of each element's coordination number that the states explain.
    cleaning : Cleaning
        What label cleaning did.
    isolated : float
        Share of environments without any neighbour in the first shell.

    Returns
    -------
    list of dict
        ``name``, ``value``, ``limit``, ``passed``, ``meaning``.
    """
    return [
        *_separation(candidate, baselines),
        at_most(
            "share of ions without a neighbour",
            isolated,
            MAX_ISOLATED,
            "above the limit the metal evaporates into a void: the potential binds it too weakly, or the "
            "cell is too large for what the reaction left",
        ),
        *_embedding(diagnostics),
        *[
            at_least(
                f"variance of {element} coordination explained",
                share,
                MIN_EXPLAINED,
                f"below the limit the states do not tell how many {element} surround an ion",
            )
            for element, share in explained.items()
        ],
        at_least(
            "bootstrap ARI",
            candidate.bootstrap_ari,
            MIN_BOOTSTRAP_ARI,
            "below the limit the states change when other environments are drawn",
        ),
        *_seeds(candidate),
        at_least(
            "smallest population",
            candidate.smallest_population,
            MIN_POPULATION,
            "below the limit a state is too rare for rates",
        ),
        at_most(
            "raw label changes per frame",
            cleaning.raw_rate,
            MAX_CHANGE_RATE,
            "above the limit labels flicker faster than ions can move; rates would be noise",
        ),
        at_most(
            "label changes per frame after cleaning",
            cleaning.cleaned_rate,
            MAX_CHANGE_RATE,
            "above the limit the dwell filter does not reach the slow motion; raise dwell_frames",
        ),
        at_most(
            "raw changes undone within two frames",
            cleaning.returns,
            0.5,
            "above the limit most changes are recrossings; rates rest on the cleaned labels",
        ),
        at_most(
            "labels changed by cleaning",
            cleaning.changed,
            0.2,
            "above the limit the dwell filter rewrites the states instead of cleaning them",
        ),
        at_least(
            "share of ions that change their state",
            cleaning.moving,
            MIN_MOVING,
            "below the limit ions only vibrate: the run is too short or too cold for any rate",
        ),
    ]


def _separation(candidate: Candidate, baselines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    value = candidate.silhouette
    rows = [
        at_least(
            "silhouette",
            value,
            STUDY_SILHOUETTE,
            "below the limit states overlap more than in the study; alone it proves nothing, for a "
            "collapsed encoder exceeds it",
        ),
        at_least(
            "silhouette above null",
            value - candidate.silhouette_null,
            MIN_EXCESS,
            "below the limit a structureless cloud of the same shape is split almost as well",
        ),
    ]
    if np.isfinite(candidate.silhouette_held_out):
        rows.append(
            at_least(
                "held-out silhouette above null",
                candidate.silhouette_held_out - candidate.silhouette_null,
                MIN_EXCESS,
                "below the limit the states do not carry over to ions the encoder has not seen",
            )
        )
    for other in baselines[1:]:
        if np.isfinite(other["excess"]):
            # Clustering finds more in some spaces than in others where there is nothing: compare the excess.
            meaning = (
                f"alone they exceed it by {other['excess']:.2f}; below zero, learning adds no separation"
            )
            name = f"excess over null above that of {other['representation']}"
            rows.append(at_least(name, baselines[0]["excess"] - other["excess"], 0.0, meaning))
    return rows


def _seeds(candidate: Candidate) -> list[dict[str, Any]]:
    if np.isnan(candidate.seed_ari):
        return []
    return [
        at_least(
            "seed-to-seed ARI",
            candidate.seed_ari,
            MIN_SEED_ARI,
            "below the limit the states change when the encoder is trained from another seed",
        )
    ]


def _embedding(diagnostics: Mapping[str, float]) -> list[dict[str, Any]]:
    rows = [
        at_least(
            "effective rank of the embedding",
            diagnostics["effective_rank"],
            MIN_EFFECTIVE_RANK,
            "below the limit the encoder has collapsed to few directions and chemistry is lost",
        ),
        at_most(
            "mean cosine of random pairs",
            diagnostics["mean_cosine"],
            MAX_MEAN_COSINE,
            "above the limit all environments look alike to the encoder",
        ),
        at_most(
            "truncated neighbours",
            diagnostics["truncated_neighbours"],
            0.0,
            "above zero some neighbours within the cutoff were not seen",
        ),
    ]
    chance = diagnostics.get("chance_loss", float("nan"))
    if np.isfinite(chance):
        rows.append(
            at_most(
                "final loss over chance",
                diagnostics["final_loss"] / chance,
                0.98,
                "near one the encoder has learned nothing",
            )
        )
    return rows


def explained_variance(
    labels: np.ndarray, coordination: np.ndarray, elements: Sequence[str]
) -> dict[str, float]:
    """Return the share of the variance of each coordination number that lies between the states.

    Parameters
    ----------
    labels : (n,) int array
        States, negative where unassigned.
    coordination : (n, n_elements) array
        Neighbours in the first shell.
    elements : sequence of str
        Symbols of the columns.

    Returns
    -------
    dict
        By element, without those whose coordination hardly varies.
    """
    kept = labels >= 0
    labels, counts = labels[kept], coordination[kept].astype(np.float64)
    size = np.bincount(labels)
    found = {}
    for column, element in enumerate(elements):
        values = counts[:, column]
        spread = values.var()
        if np.sqrt(spread) < MIN_COORDINATION_SD:
            continue
        sums = np.bincount(labels, weights=values)
        means = np.divide(sums, size, out=np.zeros(len(size)), where=size > 0)
        found[element] = float((size * (means - values.mean()) ** 2).sum() / len(values) / spread)
    return found
