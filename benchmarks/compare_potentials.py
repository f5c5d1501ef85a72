"""Two potentials side by side on the same held-out frames: ``compare_potentials.py MODEL FILE...``.

Prints the errors of A (the embedded potential, or ``--against``) and of the model B by kind of frame, and
their ratio B over A with a 95 % interval: whole trajectories are drawn anew for both alike, so that what is
hard for both does not widen it. A trajectory is held out by a hash of its name, in every data set alike: no
student of `make potential` was trained on what it meets here.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import md_cases as cases
import numpy as np
from getsei.errors import UserError
from getsei.potentials import dataset, dilute
from getsei.potentials.evaluation import accuracy, candidate

DRAWS = 1000
MEV = 1000.0
Part = Callable[[accuracy.Residuals], tuple[float, int]]
"""From the residuals of a frame to the sum of their squares and how many they are."""


def energy(row: accuracy.Residuals) -> tuple[float, int]:
    """Return the square of the energy error, (meV/atom)²."""
    return (MEV * row.energy) ** 2, 1


def force(row: accuracy.Residuals) -> tuple[float, int]:
    """Return the summed squares of the force errors, (meV/Å)², and the number of components."""
    return MEV**2 * float((row.forces**2).sum()), row.forces.size


def stress(row: accuracy.Residuals) -> tuple[float, int]:
    """Return the summed squares of the stress errors, GPa²; nothing where a frame has no stress."""
    return (0.0, 0) if row.stress is None else (float((row.stress**2).sum()), row.stress.size)


MEASURES: dict[str, Part] = {"energy, meV/atom": energy, "force, meV/Å": force, "stress, GPa": stress}


def by_trajectory(rows: Sequence[accuracy.Residuals], part: Part) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of squares and the counts of every trajectory, (n_trajectories,) each."""
    _, place = np.unique([row.trajectory for row in rows], return_inverse=True)
    sums, counts = np.array([part(row) for row in rows], dtype=float).T
    return np.bincount(place, sums), np.bincount(place, counts)


def compared(one: Sequence[accuracy.Residuals], two: Sequence[accuracy.Residuals], part: Part) -> str:
    """Return both root mean square errors of the same frames, and their ratio with its interval."""
    (first, counts), (second, _) = by_trajectory(one, part), by_trajectory(two, part)
    if not counts.sum():
        return f"{'none':>32}"
    drawn = np.random.default_rng(1).integers(len(counts), size=(DRAWS, len(counts)))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.sqrt(second[drawn].sum(axis=1) / first[drawn].sum(axis=1))
    low, high = np.nanquantile(ratios, [0.025, 0.975])
    a, b = (np.sqrt(sums.sum() / counts.sum()) for sums in (first, second))
    return f"{a:8.3g} {b:8.3g} {b / a:5.2f} [{low:.2f}, {high:.2f}]"


def main(words: Sequence[str]) -> int:
    """Read the command line; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("files", nargs="+", type=Path, help="labelled extxyz, such as */labelled.extxyz")
    parser.add_argument("--against", default=str(cases.ROOT / "config/potentials/getsei-small.safetensors"))
    asked = parser.parse_args(words)
    try:
        frames = dataset.split([frame for path in asked.files for frame in dataset.load(path)])["test"]
        with candidate.quiet():
            one, two = (
                accuracy.residuals(frames, candidate.from_settings({"model": model}).calculator)
                for model in (asked.against, asked.model)
            )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"A: {asked.against}\nB: {asked.model}")
    print(f"{'':24} {'frames':>6}  " + "  ".join(f"{name + ': A, B, B/A':>32}" for name in MEASURES))
    kinds = sorted({row.kind for row in one})
    groups = {
        "all": set(kinds),
        "condensed matter": set(kinds) - set(dilute.KINDS),
        **{kind: {kind} for kind in kinds},
    }
    for name, group in groups.items():
        chosen = [number for number, row in enumerate(one) if row.kind in group]
        pair = [[rows[number] for number in chosen] for rows in (one, two)]
        cells = "  ".join(f"{compared(*pair, part):>32}" for part in MEASURES.values())
        print(f"{name:24} {len(chosen):6d}  {cells}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
