"""Where a run left what its potential was trained on: expected force errors along a trajectory.

The potential's uncertainty (`getsei.potentials.uncertainty`) is evaluated on stored frames, after the run:
nothing of the dynamics can depend on it.
"""

import csv
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from getsei import cells
from getsei.records import Estimate, Trajectory

log = logging.getLogger("getsei")

FIXED = ("frame", "time_ps", "stage", "mean_eV_per_A", "largest_eV_per_A", "extrapolated")
"""Columns of the table, before two per element: the share of its atoms that are extrapolated, and of those
with an extrapolated atom around them or themselves."""
COLUMNS = ("extrapolated", "around")
BLOCKS = 10
"""Successive frames resemble each other; intervals come from the spread over so many blocks."""
QUANTITY = "extrapolated_share"

Judge = Callable[[ArrayLike, ArrayLike], NDArray[np.float64]]


@dataclass(frozen=True)
class Judgement:
    """What there is to judge a trajectory with.

    Attributes
    ----------
    judge : callable or None
        From positions (n_atoms, 3) and cell (3, 3) in Å to expected force errors (n_atoms,) in eV/Å; None
        where the potential has no uncertainty.
    thresholds : mapping
        Element to the expected error in eV/Å beyond which its atoms are extrapolated.
    note : str
        Where the uncertainty comes from, or why there is none.
    report : mapping
        What the calibration measured.
    """

    judge: Judge | None
    thresholds: Mapping[str, float]
    note: str
    report: Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """Extrapolation along one run.

    Attributes
    ----------
    note : str
    stage : (n,) array of str
        Of each judged frame.
    expected_error : (n,) array
        Mean over all atoms, eV/Å.
    shares, around : dict
        Element to the share of its atoms that are extrapolated at each judged frame, (n,), and to the
        share of those whose surroundings hold an extrapolated atom; empty where there is no uncertainty.
    atoms : dict
        Element to number of atoms.
    """

    note: str
    stage: np.ndarray
    expected_error: np.ndarray
    shares: Mapping[str, np.ndarray]
    around: Mapping[str, np.ndarray]
    atoms: Mapping[str, int]

    @classmethod
    def load(cls, table: str | Path, facts: str | Path) -> "Measured":
        """Read what `measure` wrote."""
        found = json.loads(Path(facts).read_text(encoding="utf-8"))
        with Path(table).open(newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
        shares, around = (
            {
                element: np.array([float(row[f"{column}_{element}"]) for row in rows])
                for element in (found["atoms"] if found["available"] else ())
            }
            for column in COLUMNS
        )
        return cls(
            found["note"],
            np.array([row["stage"] for row in rows]),
            np.array([float(row["mean_eV_per_A"]) for row in rows]),
            shares,
            around,
            found["atoms"],
        )


def judged_frames(stage: np.ndarray, every: int) -> np.ndarray:
    """Return the frames to judge: of every stage the last, and every so many frames before it."""
    return np.concatenate(
        [np.flatnonzero(stage == one)[::-1][::every][::-1] for one in dict.fromkeys(stage.tolist())]
    )


def measure(
    trajectory: Trajectory,
    judgement: Judgement,
    interval_ps: float,
    cutoff_A: float,
    table: str | Path,
    facts: str | Path,
) -> None:
    """Judge a trajectory, and write a table with a row per judged frame, and what it was judged with.

    Parameters
    ----------
    trajectory : Trajectory
    judgement : Judgement
        Without a judge the table stays empty, and the facts say why.
    interval_ps : float
        Time between judged frames, rounded to whole frames.
    cutoff_A : float
        Radius of the surroundings of an atom.
    table, facts : path
        CSV and JSON.
    """
    species = np.array([str(symbol) for symbol in trajectory.species])
    elements = sorted(set(species.tolist()))
    mine = {element: species == element for element in elements}
    every = max(1, round(interval_ps / trajectory.frame_interval_ps))
    limits = np.array([judgement.thresholds.get(element, np.inf) for element in species])
    rows = []
    for frame in judged_frames(trajectory.stage, every) if judgement.judge else ():
        positions, cell = trajectory.in_cell(frame).astype(float), trajectory.cell(frame)
        expected = judgement.judge(positions, cell)
        beyond = expected > limits
        near = surrounded(positions, cell, beyond, cutoff_A)
        rows.append(
            {
                "frame": int(frame),
                "time_ps": f"{(frame + 1) * trajectory.frame_interval_ps:.6g}",
                "stage": trajectory.stages[trajectory.stage[frame]],
                "mean_eV_per_A": f"{expected.mean():.5g}",
                "largest_eV_per_A": f"{expected.max():.5g}",
                "extrapolated": "yes" if beyond.any() else "no",
                **{
                    f"{column}_{element}": f"{marks[chosen].mean():.6g}"
                    for column, marks in zip(COLUMNS, (beyond, near), strict=True)
                    for element, chosen in mine.items()
                },
            }
        )
    with Path(table).open("w", newline="", encoding="utf-8") as handle:
        columns = [*FIXED, *(f"{column}_{element}" for column in COLUMNS for element in elements)]
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    found = {
        "available": judgement.judge is not None,
        "note": judgement.note,
        "thresholds_eV_per_A": dict(judgement.thresholds),
        "atoms": {element: int(chosen.sum()) for element, chosen in mine.items()},
        "calibration": dict(judgement.report),
    }
    text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)
    Path(facts).write_text(text + "\n", encoding="utf-8")
    log.info("%s; %d frames judged", judgement.note, len(rows))


def surrounded(positions: np.ndarray, cell: np.ndarray, marked: np.ndarray, cutoff_A: float) -> np.ndarray:
    """Return which atoms (n_atoms,) are marked or have a marked atom within the cutoff."""
    found = marked.copy()
    for one in np.flatnonzero(marked):
        vectors = cells.minimum_image(positions - positions[one], cell)
        found |= np.einsum("ij,ij->i", vectors, vectors) < cutoff_A**2
    return found


def numbers(measured: Sequence[Measured], stage: str, mobile: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the share of extrapolated environments, and of extrapolated atoms of each element.

    An environment is extrapolated where the force on its ion or on any neighbour is.

    Parameters
    ----------
    measured : sequence of Measured
        One per replica; empty where the trajectory was not made here.
    stage : str
        The analysed one.
    mobile : sequence of str
        Elements whose ions are analysed.

    Returns
    -------
    dict
        Key to a number; a single one that is not supported, whose note says why, where nothing is known.
    """
    known = [one for one in measured if one.shares and (one.stage == stage).any()]
    if not known:
        why = measured[0].note if measured else "the trajectory was not made with a potential of ours"
        return {QUANTITY: Estimate(np.nan, np.nan, np.nan, "1", 0, False, f"not available: {why}").as_dict()}

    def share(column: str, elements: Sequence[str], what: str) -> dict[str, Any]:
        values = []
        for one in known:
            weights = np.array([one.atoms[element] for element in elements], dtype=float)
            shares = np.array([getattr(one, column)[element] for element in elements])
            values.append((weights @ shares / weights.sum())[one.stage == stage])
        n = sum(len(v) * sum(one.atoms[e] for e in elements) for v, one in zip(values, known, strict=True))
        return _with_interval(np.concatenate(values), "1", n, what)

    present = [element for element in mobile if element in known[0].atoms]
    errors = np.concatenate([one.expected_error[one.stage == stage] for one in known])
    return {
        QUANTITY: share(
            "around", present, "n = environments judged; their ion or a neighbour feels an extrapolated force"
        ),
        **{
            f"{QUANTITY}/{element}": share("shares", [element], "of its atoms; n = atoms times judged frames")
            for element in sorted(known[0].atoms)
        },
        "expected_force_error": _with_interval(
            errors, "eV/A", len(errors), "mean over atoms; n = judged frames"
        ),
    }


def _with_interval(values: np.ndarray, unit: str, n: int, note: str) -> dict[str, Any]:
    blocks = np.array([block.mean() for block in np.array_split(values, min(BLOCKS, len(values)))])
    half = 1.96 * blocks.std(ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 1 else np.nan
    mean = float(values.mean())
    return Estimate(mean, max(0.0, mean - half), mean + half, unit, n, True, note).as_dict()
