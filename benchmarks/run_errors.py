"""Force errors on a finished run, beside what its uncertainty expected: ``run_errors.py [FOLDER ...]``.

The frames of a run are what everything downstream is computed from, and no training saw them. The teacher
labels some, spread evenly over production, and a line for each system and element tells the error of the
embedded potential (root mean square of a component, 95 % interval over frames), the actual over the expected
error, the share of atoms that the run calls extrapolated, and how many of those really have a large error.
The teacher takes about a minute and 11 GB for a thousand atoms.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import md_cases as cases
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from getsei import statistics
from getsei.errors import UserError
from getsei.potentials import calibration, dataset, models, sampling, teachers, uncertainty
from getsei.records import Trajectory

PRODUCE = "produce"
DRAWS = 1000
PER_COMPONENT = 1000 / np.sqrt(3)
"""From the length of a force error in eV/Å to a component in meV/Å, in root mean squares."""


def frames_of(folder: Path, count: int) -> list[Atoms]:
    """Return frames spread evenly over the production of the first replica of a system."""
    run = Trajectory.load(folder / "r1/trajectory/trajectory.h5")
    rows = run.frames_of(PRODUCE)
    chosen = rows[np.linspace(0, len(rows) - 1, count).round().astype(int)]
    symbols = [str(symbol) for symbol in run.species]
    return [
        sampling.tagged(Atoms(symbols, run.in_cell(row), cell=run.cell(row)), PRODUCE, folder.name, row)
        for row in chosen
    ]


def line(name: str, rows: dict[str, np.ndarray], expected: np.ndarray, limits: np.ndarray) -> str:
    """Return the numbers of one group of atoms; all arrays have a value for each of them."""
    frames = np.unique(rows["frame"])
    squares = np.array([(rows["error"][rows["frame"] == frame] ** 2).mean() for frame in frames])
    drawn = statistics.resampling_weights(len(frames), DRAWS, seed=1) @ squares / len(frames)
    low, high = statistics.interval(PER_COMPONENT * np.sqrt(drawn))
    found = calibration.assess(expected, rows, limits)
    error = PER_COMPONENT * found["rms_error_eV_per_A"]
    return (
        f"{name:28} {found['atoms']:6d} {error:6.0f} [{low:4.0f}, {high:4.0f}] "
        f"{found['error_over_expected']:8.2f} {found['spearman_atoms']:6.2f} {100 * found['marked']:8.2f} "
        f"{100 * found['precision']:6.0f}"
    )


def main(words: Sequence[str]) -> int:
    """Read the command line; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("systems", nargs="*", type=Path, help="folders of finished systems")
    parser.add_argument("--frames", type=int, default=5, help="of each system")
    parser.add_argument("--model", type=Path, default=cases.MODEL)
    asked = parser.parse_args(words)
    systems = asked.systems or sorted(path.parent for path in (cases.ROOT / "results").glob("*/summary.json"))
    try:
        doubt = uncertainty.load(asked.model)
        if doubt is None or not systems:
            raise UserError("nothing to judge: run make first, with a potential that has an uncertainty")
        teacher = teachers.load(cases.CONFIG["potential_training"]["teacher"])
        module = models.read_mace(asked.model)
        print("errors in meV/Å of a component; marked: % of atoms; right: % of those with a large error")
        print(
            f"{'':28} {'atoms':>6} {'error':>6} {'95 %':12} {'actual/exp':>8} {'rank':>6} {'marked':>8} right"
        )
        for folder in systems:
            frames = frames_of(folder, asked.frames)
            doubt.check_elements(frames[0].get_chemical_symbols())
            labels = teachers.label_all(teacher, frames)
            labelled = [dataset.with_label(*pair) for pair in zip(frames, labels, strict=True)]
            rows = calibration.compare(module, doubt.groups, labelled)
            expected = calibration.expected_errors(rows, doubt.groups)
            limits = calibration.of_atoms(doubt.thresholds, rows["numbers"])
            print(line(folder.name, rows, expected, limits), flush=True)
            for number in np.unique(rows["numbers"]):
                mine = rows["numbers"] == number
                part = {name: values[..., mine] for name, values in rows.items()}
                name = f"  {chemical_symbols[number]}"
                print(line(name, part, expected[mine], limits[mine]), flush=True)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
