"""Which frames of a student's dynamics the teacher labels: some as they come, others where it is unsure."""

from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms

from getsei.potentials import descriptors

SAMPLED, UNCERTAIN = "as it came", "uncertain"
"""Why a frame was chosen (`info["chosen"]`)."""
SCORE = "uncertainty_eV_per_A"
"""How uncertain a frame is (`info`), from its run until it is chosen."""
POOL = 3
"""Of the frames left over, the most uncertain are looked at: so many for each one that is chosen."""
TAIL = 95
"""A frame is as uncertain as this percentile of its atoms."""

Doubt = Callable[[Atoms], np.ndarray]
"""From a frame to the expected error of the force on each atom (n_atoms,), eV/Å."""


def scored(frames: Sequence[Atoms], doubt: Doubt | None) -> Sequence[Atoms]:
    """Return frames of one run that say how uncertain each is; nothing is added where nothing measures it."""
    if doubt is not None:
        for frame in frames:
            frame.info[SCORE] = float(np.percentile(doubt(frame), TAIL))
    return frames


def scores(frames: Sequence[Atoms]) -> np.ndarray:
    """Take from frames how uncertain each is (n,), eV/Å; NaN where nothing measured it."""
    return np.array([frame.info.pop(SCORE, np.nan) for frame in frames])


def choose(
    frames: Sequence[Atoms], uncertainty: np.ndarray, vectors: np.ndarray, number: int, must: np.ndarray
) -> list[int]:
    """Choose the frames to label.

    Those that must be taken, and then, of the most uncertain, those farthest from each other and from what
    is taken: the worst frames of one run resemble each other and teach the same thing twice.

    Parameters
    ----------
    frames : sequence of ase.Atoms
        The chosen ones get ``info["chosen"]``.
    uncertainty : (n,) array
        From `scores`; where it is NaN the choice is by diversity alone.
    vectors : (n, d) array
        Descriptors of the frames.
    number : int
        How many in all; never fewer than must be taken.
    must : (n,) array of bool
        Frames that are taken however certain they are, so that the error of the student can be told.

    Returns
    -------
    list of int
        Rows, ascending.
    """
    chosen = np.flatnonzero(must).tolist()
    left = np.flatnonzero(~must)
    wanted = max(0, min(number - len(chosen), len(left)))
    if wanted:
        worst = left[np.argsort(-np.nan_to_num(uncertainty[left], nan=0.0), kind="stable")]
        if np.isfinite(uncertainty).any():
            worst = worst[: POOL * wanted]
        picked = descriptors.farthest(vectors[worst], wanted, first=0, taken=vectors[chosen])
        chosen += worst[picked].tolist()
    for row in chosen:
        frames[row].info["chosen"] = SAMPLED if must[row] else UNCERTAIN
    return sorted(chosen)
