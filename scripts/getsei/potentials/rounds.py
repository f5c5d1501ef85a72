"""What a round of active learning taught, and whether another one is worth its time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from getsei.potentials import selection
from getsei.potentials.evaluation import accuracy

WORTH = 0.95
"""A number still falls if it is below this share of what it was a round before."""
FIRST_JUDGED = 2
"""The first round that can be compared with the one before: round 0 has no student of its own to follow."""


def on_policy(
    frames: Sequence[Atoms], student: Calculator, doubt: selection.Doubt | None
) -> dict[str, Any] | None:
    """Return the error of a student on its own dynamics, and what its uncertainty says of the same frames.

    Only frames that were taken as they came count: the others were chosen because they are bad.

    Parameters
    ----------
    frames : sequence of ase.Atoms
        Labelled, of a round that followed this student.
    student : ase.calculators.calculator.Calculator
        Before it learnt from them.
    doubt : callable or None
        From a frame to expected force errors, eV/Å.

    Returns
    -------
    dict or None
        Force rmse in meV/Å with its interval (bootstrap over trajectories), frames, atoms; mean and 95 %
        quantile over atoms of the expected error in meV/Å. None where no frame came from the student.
    """
    own = [frame for frame in frames if frame.info.get("chosen") == selection.SAMPLED]
    if not own:
        return None
    found = accuracy.summary(accuracy.residuals(own, student))
    told: dict[str, Any] = {
        "frames": found["frames"],
        "atoms": found["atoms"],
        "force_rmse_meV_per_A": found["force_meV_per_A"]["rmse"],
        "interval95": found["force_meV_per_A"]["interval95"],
        "uncertainty_mean_meV_per_A": None,
        "uncertainty_95_meV_per_A": None,
    }
    if doubt is not None:
        expected = 1000.0 * np.concatenate([doubt(frame) for frame in own])
        told["uncertainty_mean_meV_per_A"] = float(expected.mean())
        told["uncertainty_95_meV_per_A"] = float(np.percentile(expected, 95))
    return told


def stop(number: int, now: Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> tuple[bool, str]:
    """Decide whether the rounds end after this one, and say why.

    They do when neither the error of the student on its own dynamics nor its mean uncertainty there fell by
    5 % since the round before.

    Parameters
    ----------
    number : int
        Of this round.
    now, before : mapping or None
        `on_policy` of this round and of the one before.
    """
    if number < FIRST_JUDGED or not now or not before:
        return False, "nothing to compare with yet"
    keys = ("force_rmse_meV_per_A", "uncertainty_mean_meV_per_A")
    pairs = [(now[key], before[key]) for key in keys if now[key] is not None and before[key] is not None]
    falls = [new < WORTH * old for new, old in pairs]
    said = ", ".join(f"{old:.0f} to {new:.0f}" for new, old in pairs)
    if any(falls):
        return False, f"error and uncertainty on its own dynamics still fall (meV/Å: {said})"
    return True, f"error and uncertainty on its own dynamics fall no longer (meV/Å: {said})"


def review(
    number: int,
    frames: Sequence[Atoms],
    counts: Mapping[str, Any],
    sampled: Mapping[str, Any],
    own: Mapping[str, Any] | None,
    validation: Mapping[str, Any],
    before: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return what is told of a round.

    Parameters
    ----------
    number : int
    frames : sequence of ase.Atoms
        Labelled ones of this round.
    counts : mapping
        What labelling kept and dropped.
    sampled : mapping
        What sampling chose and dropped.
    own : mapping or None
        From `on_policy`.
    validation : mapping
        Errors of the student after the round, from `accuracy.summary`.
    before : mapping or None
        The review of the round before.
    """
    ends, why = stop(number, own, (before or {}).get("on_policy"))
    return {
        "round": number,
        "frames": len(frames),
        "atoms": sum(map(len, frames)),
        "frames_by_kind": dict(sorted(Counter(str(frame.info["kind"]) for frame in frames).items())),
        "duplicates_dropped": sampled["duplicates"],
        "labels_dropped": dict(counts["dropped"]),
        "on_policy": own,
        "validation": {
            "frames": validation["frames"],
            "force_rmse_meV_per_A": validation["force_meV_per_A"]["rmse"],
            "force_interval95": validation["force_meV_per_A"]["interval95"],
            "energy_rmse_meV_per_atom": validation["energy_meV_per_atom"]["rmse"],
            "stress_rmse_GPa": (validation["stress_GPa"] or {}).get("rmse"),
        },
        "stop": ends,
        "reason": why,
    }
