"""Which state of one clustering is which of another."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from getsei.records import States

MOBILE_SCALE, ANION_SCALE, OTHER_SCALE = 2.0, 1.0, 1.0
"""Differences in the number of mobile, of anion and of other neighbours that count alike: about one
standard deviation within a state."""
CLOSE = 1.5
"""States further apart than this are not the same kind of environment, though nothing else fits better."""


def overlap(first: np.ndarray, second: np.ndarray, n_first: int, n_second: int) -> np.ndarray:
    """Return how many environments two labelings have in common, as an (n_first, n_second) array."""
    both = (first >= 0) & (second >= 0)
    pairs = first[both].astype(np.int64) * n_second + second[both]
    return np.bincount(pairs, minlength=n_first * n_second).reshape(n_first, n_second)


def partners(cost: np.ndarray) -> np.ndarray:
    """Return the column matched to each row of an (n, m) cost matrix, -1 for rows left over.

    The assignment of least total cost (H. W. Kuhn, Nav. Res. Logist. Q. 2 (1955) 83).
    """
    found = np.full(len(cost), -1, dtype=np.int64)
    rows, columns = linear_sum_assignment(cost)
    found[rows] = columns
    return found


def agreement(first: np.ndarray, second: np.ndarray, n_states: int) -> np.ndarray:
    """Return the share of each state's environments that the matched state of a second labeling holds too.

    Parameters
    ----------
    first, second : (n,) int arrays
        States of the same environments, negative where unassigned.
    n_states : int
        Number of states of both.

    Returns
    -------
    (n_states,) array
        Common environments over those in either (Jaccard index); NaN for a state without environments.
    """
    common = overlap(first, second, n_states, n_states)
    matched = partners(-common)
    row = np.arange(n_states)
    both = common[row, matched]
    either = common.sum(1) + common.sum(0)[matched] - both
    return np.divide(both, either, out=np.full(n_states, np.nan), where=common.sum(1) > 0)


def descriptors(states: States) -> np.ndarray:
    """Return what surrounds an ion in each state, in units that count alike: (n_states, 3).

    Mobile neighbours, anions of any element, all other neighbours: what sulfides and oxides have in common.
    """
    mobile = [states.elements.index(element) for element in states.mobile]
    anions = [states.elements.index(element) for element in states.anions]
    others = [i for i in range(len(states.elements)) if i not in (*mobile, *anions)]
    groups = ((mobile, MOBILE_SCALE), (anions, ANION_SCALE), (others, OTHER_SCALE))
    return np.stack([states.coordination[:, part].sum(1) / scale for part, scale in groups], axis=1)


def matched_rows(systems: Mapping[str, States]) -> list[dict[str, Any]]:
    """Match the states of every system to those of the reference, the system with the most states.

    Numbers are not changed: a system's states keep their order and their names. The sum of the distances
    between the descriptors is the least possible.

    Parameters
    ----------
    systems : mapping of str to States
        By the name of the system.

    Returns
    -------
    list of dict
        One row per state of the reference and system: ``reference``, ``reference_state``,
        ``reference_name``, ``system``, ``state``, ``name``, ``distance``, ``close``, ``population``; then the
        states of other systems that are left over, without a reference state.
    """
    reference = max(systems, key=lambda name: systems[name].n_states)
    target = descriptors(systems[reference])
    rows: list[dict[str, Any]] = []
    for name, states in systems.items():
        distance = np.linalg.norm(target[:, None] - descriptors(states)[None], axis=-1)
        matched = partners(distance)
        pairs = [(row, int(column)) for row, column in enumerate(matched) if column >= 0]
        pairs += [(-1, state) for state in range(states.n_states) if state not in matched]
        for row, state in pairs:
            apart = float(distance[row, state]) if row >= 0 else float("nan")
            rows.append(
                {
                    "reference": reference,
                    "reference_state": row if row >= 0 else "",
                    "reference_name": systems[reference].names[row] if row >= 0 else "",
                    "system": name,
                    "state": state,
                    "name": states.names[state],
                    "distance": apart,
                    "close": bool(apart <= CLOSE),
                    "population": float(states.population[state]),
                }
            )
    return sorted(rows, key=lambda r: (r["reference_state"] == "", r["reference_state"] or 0))
