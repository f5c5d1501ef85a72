"""Errors on labelled frames, by kind of frame, element and system.

Errors are computed on whole trajectories that no training saw. Their intervals come from a bootstrap over
trajectories, because the frames of one trajectory resemble one another.
"""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers

from getsei.errors import UserError
from getsei.potentials import dataset

MEV = 1000.0
QUANTITIES = {"energy_meV_per_atom": "meV/atom", "force_meV_per_A": "meV/Å", "stress_GPa": "GPa"}
BOOTSTRAP = 200
MIN_TRAJECTORIES = 3
"""Fewer independent trajectories support no interval."""
PARITY_POINTS = 3000
"""Force components kept for the figure of predicted against reference values."""
GROUPS = {"errors_by_kind": "kind", "errors_by_system": "system"}


@dataclass(frozen=True)
class Residuals:
    """What a potential says of one frame less what the label says.

    Attributes
    ----------
    kind, system, trajectory : str
    numbers : (n_atoms,) atomic numbers
    energy : float
        eV per atom; NaN without a label.
    forces : (n_atoms, 3) eV/Å
    stress : (6,) GPa, or None without a label
    reference_energy : float
        The label, eV per atom.
    reference_forces : (n_atoms, 3) eV/Å
    """

    kind: str
    system: str
    trajectory: str
    numbers: np.ndarray
    energy: float
    forces: np.ndarray
    stress: np.ndarray | None
    reference_energy: float
    reference_forces: np.ndarray


def residuals(
    frames: Iterable[Atoms], calculator: Calculator, system_of: Callable[[Atoms], str] | None = None
) -> list[Residuals]:
    """Return what a potential says less what the labels say.

    Parameters
    ----------
    frames : iterable of ase.Atoms
        With the labels of `getsei.potentials.dataset`.
    calculator : ase.calculators.calculator.Calculator
        The potential.
    system_of : callable, optional
        Names the system of a frame; its elements by default.

    Raises
    ------
    UserError
        If a frame carries no label.
    """
    found = []
    for frame in frames:
        if dataset.ENERGY not in frame.info or dataset.FORCES not in frame.arrays:
            raise UserError("a frame carries no teacher label; run label_frames on it first")
        atoms = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=True)
        atoms.calc = calculator
        energy, reference = atoms.get_potential_energy(), float(frame.info[dataset.ENERGY])
        label = frame.info.get(dataset.STRESS)
        stress = None
        if label is not None:
            stress = (atoms.get_stress() - voigt(np.asarray(label, dtype=float))) / units.GPa
        found.append(
            Residuals(
                kind=str(frame.info.get("kind", "frame")),
                system=system_of(frame) if system_of else chemical_system(frame),
                trajectory=str(frame.info.get("trajectory", "")),
                numbers=frame.numbers.copy(),
                energy=float(energy - reference) / len(atoms),
                forces=atoms.get_forces() - frame.arrays[dataset.FORCES],
                stress=stress,
                reference_energy=reference / len(atoms),
                reference_forces=np.array(frame.arrays[dataset.FORCES], dtype=float),
            )
        )
    return found


def voigt(stress: np.ndarray) -> np.ndarray:
    """Return xx yy zz yz xz xy of a stress given so, or as nine numbers."""
    flat = stress.ravel()
    return flat if flat.size == 6 else flat[[0, 4, 8, 5, 2, 1]]


def chemical_system(frame: Atoms) -> str:
    """Return the elements of a frame, as in Cl-Li-P-S."""
    return "-".join(sorted(set(frame.get_chemical_symbols())))


def named_system(names: Sequence[str]) -> Callable[[Atoms], str]:
    """Return a function that reads the crystal off the name of a frame's trajectory, which begins with it."""
    longest_first = sorted(names, key=len, reverse=True)

    def of(frame: Atoms) -> str:
        trajectory = str(frame.info.get("trajectory", ""))
        return next((name for name in longest_first if trajectory.startswith(name)), chemical_system(frame))

    return of


def _interval(sums: np.ndarray, counts: np.ndarray, trajectory: np.ndarray, seed: int) -> list[float] | None:
    """Return the 95 % interval of sqrt(sum/count) over resampled trajectories, or None if too few."""
    names, index = np.unique(trajectory, return_inverse=True)
    if len(names) < MIN_TRAJECTORIES:
        return None
    total, weight = np.bincount(index, sums), np.bincount(index, counts)
    drawn = np.random.default_rng(seed).integers(len(names), size=(BOOTSTRAP, len(names)))
    values = np.sqrt(total[drawn].sum(axis=1) / weight[drawn].sum(axis=1))
    return [float(x) for x in np.quantile(values, [0.025, 0.975])]


def summary(rows: Sequence[Residuals], seed: int = 1) -> dict[str, Any]:
    """Return root mean square errors of a set of frames, with intervals and sample sizes.

    Parameters
    ----------
    rows : sequence of Residuals
    seed : int
        Of the bootstrap over trajectories.

    Returns
    -------
    dict
        ``energy_meV_per_atom``, ``force_meV_per_A`` (per Cartesian component) and ``stress_GPa``, each with
        ``rmse``, ``interval95`` (None below three trajectories) and ``n``; the stress is None where no frame
        has one; ``force_mae_meV_per_A``; ``frames``, ``trajectories``, ``atoms``.
    """
    trajectory = np.array([row.trajectory for row in rows])
    energy = np.array([row.energy for row in rows]) * MEV
    square = np.array([(row.forces**2).sum() for row in rows]) * MEV**2
    components = np.array([row.forces.size for row in rows], dtype=float)
    absolute = sum(np.abs(row.forces).sum() for row in rows) * MEV
    stressed = np.array([row.stress is not None for row in rows])
    stress = np.array([(row.stress**2).sum() for row in rows if row.stress is not None])

    def entry(sums: np.ndarray, counts: np.ndarray, whose: np.ndarray) -> dict[str, Any]:
        return {
            "rmse": float(np.sqrt(sums.sum() / counts.sum())),
            "interval95": _interval(sums, counts, whose, seed),
            "n": int(counts.sum()),
        }

    return {
        "frames": len(rows),
        "trajectories": len(set(trajectory)),
        "atoms": int(sum(len(row.numbers) for row in rows)),
        "energy_meV_per_atom": entry(energy**2, np.ones(len(rows)), trajectory),
        "force_meV_per_A": entry(square, components, trajectory),
        "force_mae_meV_per_A": float(absolute / components.sum()),
        "stress_GPa": entry(stress, np.full(len(stress), 6.0), trajectory[stressed])
        if stressed.any()
        else None,
    }


def by_group(rows: Sequence[Residuals], group: str) -> dict[str, dict[str, Any]]:
    """Return the summary of all frames under ``all``, and of each group (attribute of `Residuals`)."""
    names = sorted({getattr(row, group) for row in rows})
    return {
        "all": summary(rows),
        **{name: summary([row for row in rows if getattr(row, group) == name]) for name in names},
    }


def by_element(
    rows: Sequence[Residuals], elements: Sequence[str], seed: int = 1
) -> dict[str, dict[str, Any]]:
    """Return the force error on the atoms of each element: rmse in meV/Å, interval, number of atoms."""
    found = {}
    for element in elements:
        number = atomic_numbers[element]
        parts = [(row.trajectory, row.forces[row.numbers == number]) for row in rows]
        parts = [(name, force) for name, force in parts if len(force)]
        if not parts:
            continue
        sums = np.array([(force**2).sum() for _, force in parts]) * MEV**2
        counts = np.array([force.size for _, force in parts], dtype=float)
        found[element] = {
            "force_rmse_meV_per_A": float(np.sqrt(sums.sum() / counts.sum())),
            "interval95": _interval(sums, counts, np.array([name for name, _ in parts]), seed),
            "atoms": int(counts.sum() // 3),
        }
    return found


def parity(rows: Sequence[Residuals], seed: int = 1) -> dict[str, Any]:
    """Return reference and predicted values for a figure: all energies, a sample of the force components."""
    symbols = {number: symbol for symbol, number in atomic_numbers.items()}
    reference = np.concatenate([row.reference_forces.ravel() for row in rows])
    predicted = reference + np.concatenate([row.forces.ravel() for row in rows])
    element = np.repeat(np.concatenate([row.numbers for row in rows]), 3)
    size = min(PARITY_POINTS, len(reference))
    chosen = np.sort(np.random.default_rng(seed).choice(len(reference), size, replace=False))
    energies = np.array([row.reference_energy for row in rows])
    return {
        "energy_reference_eV_per_atom": np.round(energies, 5).tolist(),
        "energy_error_eV_per_atom": [round(row.energy, 6) for row in rows],
        "energy_kind": [row.kind for row in rows],
        "force_reference_eV_per_A": np.round(reference[chosen], 4).tolist(),
        "force_predicted_eV_per_A": np.round(predicted[chosen], 4).tolist(),
        "force_element": [symbols[number] for number in element[chosen]],
    }


def report(rows: Sequence[Residuals], elements: Sequence[str]) -> dict[str, Any]:
    """Return all errors and the parity as one JSON-ready dictionary."""
    return {
        **{key: by_group(rows, group) for key, group in GROUPS.items()},
        "errors_by_element": by_element(rows, elements),
        "parity": parity(rows),
    }


def without_energies(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report whose energy errors are left out."""
    return {
        **found,
        **{
            group: {name: {**entry, "energy_meV_per_atom": None} for name, entry in found[group].items()}
            for group in GROUPS
        },
        "parity": {
            key: [] if key.startswith("energy") else values for key, values in found["parity"].items()
        },
    }


def write_table(found: Mapping[str, Any], path: str | Path) -> None:
    """Write the errors of a report as CSV: one line per kind of frame, system and element."""
    with Path(path).open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(["group", "name", "quantity", "rmse", "low95", "high95", "unit", "n"])
        for group, label in GROUPS.items():
            for name, entry in found[group].items():
                for key, unit in QUANTITIES.items():
                    if entry[key] is None or (name == "all" and label != "kind"):
                        continue
                    low, high = entry[key]["interval95"] or ("", "")
                    row = [key.split("_")[0], entry[key]["rmse"], low, high, unit, entry[key]["n"]]
                    table.writerow([label, name, *row])
        for element, entry in found["errors_by_element"].items():
            low, high = entry["interval95"] or ("", "")
            value = entry["force_rmse_meV_per_A"]
            table.writerow(["element", element, "force", value, low, high, "meV/Å", 3 * entry["atoms"]])
