"""How far a student can be trusted: errors on unseen trajectories, contacts, lattices, stability.

Errors are computed on whole trajectories that no training saw. Their intervals come from a bootstrap over
trajectories, because the frames of one trajectory resemble one another.
"""

import csv
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers, covalent_radii
from ase.filters import UnitCellFilter
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import FIRE

from getsei.errors import UserError
from getsei.potentials import dataset, sampling

log = logging.getLogger("getsei")

MEV = 1000.0
SHORTEST_WELL_RATIO = 0.65
"""No pair is bound at a distance below this share of the sum of its covalent radii."""
QUANTITIES = {"energy_meV_per_atom": "meV/atom", "force_meV_per_A": "meV/Å", "stress_GPa": "GPa"}
BOOTSTRAP = 200
MIN_TRAJECTORIES = 3
"""Fewer independent trajectories support no interval."""
BOX_A = 16.0
"""Edge of the empty box of a pair scan: beyond twice the reach of a two-layer model of 5 Å plus the pair."""
WALL_eV = 5.0
"""A thermal collision at 3000 K carries 0.26 eV: 5 eV is out of reach for any trajectory."""
LANGEVIN_FRICTION_per_fs = 0.01


@dataclass(frozen=True)
class Residuals:
    """Student minus teacher on one frame.

    Attributes
    ----------
    kind, trajectory : str
    numbers : (n_atoms,) atomic numbers
    energy : float
        eV per atom.
    forces : (n_atoms, 3) eV/Å
    stress : (6,) GPa
    """

    kind: str
    trajectory: str
    numbers: np.ndarray
    energy: float
    forces: np.ndarray
    stress: np.ndarray


@dataclass(frozen=True)
class PairScan:
    """A pair of atoms in an empty box, brought together.

    Attributes
    ----------
    pair : str
        Two element symbols, such as ``Li-S``.
    distances : (n,) Å
    energies : (n,) eV, zero at the largest distance
    wall_A : float
        Largest distance at which the energy exceeds the lowest one outside it by `WALL_eV`; 0 without a wall.
    well_A : float
        Distance of the lowest energy outside the wall.
    bond_A : float
        Sum of the covalent radii.
    """

    pair: str
    distances: np.ndarray
    energies: np.ndarray
    wall_A: float
    well_A: float
    bond_A: float

    @property
    def holds(self) -> bool:
        """Whether a wall keeps a hot pair apart, with no bound state at an unphysically short distance."""
        return self.wall_A > 0.0 and self.well_A > SHORTEST_WELL_RATIO * self.bond_A


@dataclass(frozen=True)
class Stability:
    """What a molecular dynamics run of an interface showed.

    Attributes
    ----------
    name : str
    atoms, steps, steps_asked : int
    time_ps : float
    mean_temperature_K, max_temperature_K : float
        Over the second half, and over all samples.
    max_force_eV_per_A : float
    min_contact_ratio : float
        Shortest distance over the sum of covalent radii, over all samples.
    survived : bool
        Whether all steps were done within the limits.
    """

    name: str
    atoms: int
    steps: int
    steps_asked: int
    time_ps: float
    mean_temperature_K: float
    max_temperature_K: float
    max_force_eV_per_A: float
    min_contact_ratio: float
    survived: bool


def residuals(frames: Iterable[Atoms], calculator: Calculator) -> list[Residuals]:
    """Return student minus teacher for labelled frames.

    Parameters
    ----------
    frames : iterable of ase.Atoms
        With the labels of `getsei.potentials.dataset`.
    calculator : ase.calculators.calculator.Calculator
        The student.

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
        energy = (atoms.get_potential_energy() - frame.info[dataset.ENERGY]) / len(atoms)
        stress = np.asarray(frame.info[dataset.STRESS], dtype=float).ravel()
        if stress.size == 9:
            stress = stress[[0, 4, 8, 5, 2, 1]]
        found.append(
            Residuals(
                kind=str(frame.info["kind"]),
                trajectory=str(frame.info["trajectory"]),
                numbers=frame.numbers.copy(),
                energy=float(energy),
                forces=atoms.get_forces() - frame.arrays[dataset.FORCES],
                stress=(atoms.get_stress() - stress) / units.GPa,
            )
        )
    return found


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
        ``rmse``, ``interval95`` (None below three trajectories) and ``n``; ``force_mae_meV_per_A``;
        ``frames``, ``trajectories``, ``atoms``.
    """
    trajectory = np.array([row.trajectory for row in rows])
    energy = np.array([row.energy for row in rows]) * MEV
    ones = np.ones(len(rows))
    square = np.array([(row.forces**2).sum() for row in rows]) * MEV**2
    components = np.array([row.forces.size for row in rows], dtype=float)
    stress = np.array([(row.stress**2).sum() for row in rows])
    sixes = 6 * ones
    absolute = sum(np.abs(row.forces).sum() for row in rows) * MEV

    def entry(sums: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
        return {
            "rmse": float(np.sqrt(sums.sum() / counts.sum())),
            "interval95": _interval(sums, counts, trajectory, seed),
            "n": int(counts.sum()),
        }

    return {
        "frames": len(rows),
        "trajectories": len(set(trajectory)),
        "atoms": int(sum(len(row.numbers) for row in rows)),
        "energy_meV_per_atom": entry(energy**2, ones),
        "force_meV_per_A": entry(square, components),
        "force_mae_meV_per_A": float(absolute / components.sum()),
        "stress_GPa": entry(stress, sixes),
    }


def by_kind(rows: Sequence[Residuals]) -> dict[str, dict[str, Any]]:
    """Return the summary of each kind of frame, and of all under ``all``."""
    kinds = sorted({row.kind for row in rows})
    return {
        "all": summary(rows),
        **{kind: summary([row for row in rows if row.kind == kind]) for kind in kinds},
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


def pair_scan(first: str, second: str, calculator: Calculator, distances: np.ndarray) -> PairScan:
    """Bring two atoms together in an empty box.

    Parameters
    ----------
    first, second : str
    calculator : ase.calculators.calculator.Calculator
    distances : (n,) array
        Å, rising.
    """
    energies = []
    for distance in distances:
        atoms = Atoms([first, second], [[0, 0, 0], [distance, 0, 0]], cell=[BOX_A] * 3, pbc=True)
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
    energy = np.asarray(energies) - energies[-1]
    wall, well = wall_and_well(distances, energy)
    bond = float(sum(covalent_radii[atomic_numbers[element]] for element in (first, second)))
    return PairScan(f"{first}-{second}", distances, energy, wall, well, bond)


def wall_and_well(distances: np.ndarray, energies: np.ndarray) -> tuple[float, float]:
    """Return where a pair that comes from outside is stopped, and where it is bound most.

    Parameters
    ----------
    distances : (n,) array
        Å, rising.
    energies : (n,) array
        eV.

    Returns
    -------
    wall, well : float
        Å; the wall is 0 if the energy never rises by `WALL_eV` above the lowest one outside.
    """
    lowest_outside = np.minimum.accumulate(energies[::-1])[::-1]
    stopped = np.flatnonzero(energies - lowest_outside >= WALL_eV)
    first = int(stopped[-1]) if stopped.size else 0
    wall = float(distances[first]) if stopped.size else 0.0
    return wall, float(distances[first + int(np.argmin(energies[first:]))])


def pair_scans(elements: Sequence[str], calculator: Calculator, distances: np.ndarray) -> list[PairScan]:
    """Scan every pair of elements."""
    return [pair_scan(*pair, calculator, distances) for pair in combinations_with_replacement(elements, 2)]


def relaxed_lengths(
    atoms: Atoms, calculator: Calculator, max_force: float = 0.02, steps: int = 150
) -> np.ndarray:
    """Return the three cell lengths in Å after relaxing cell and positions."""
    copy = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    copy.calc = calculator
    FIRE(UnitCellFilter(copy), logfile=None).run(fmax=max_force, steps=steps)
    return copy.cell.lengths()


def cohesive_energy(atoms: Atoms, calculator: Calculator) -> float:
    """Return what it costs to take a crystal apart into isolated atoms, in eV per atom.

    A potential under which it is not positive lets the crystal boil at any temperature.
    """
    symbols = atoms.get_chemical_symbols()
    alone = {}
    for element in set(symbols):
        atom = Atoms([element], positions=np.zeros((1, 3)), cell=[BOX_A] * 3, pbc=True, calculator=calculator)
        alone[element] = atom.get_potential_energy()
    copy = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True, calculator=calculator)
    return float(sum(alone[element] for element in symbols) - copy.get_potential_energy()) / len(atoms)


def stability(
    name: str,
    atoms: Atoms,
    calculator: Calculator,
    *,
    stages: Sequence[tuple[float, int]],
    timestep_fs: float,
    every: int,
    max_force: float,
    min_contact: float,
    seed: int,
) -> Stability:
    """Run Langevin dynamics and watch for collapse.

    Parameters
    ----------
    name : str
    atoms : ase.Atoms
        Relaxed for 100 steps before the first stage.
    calculator : ase.calculators.calculator.Calculator
    stages : sequence of (temperature in K, steps)
    timestep_fs : float
    every : int
        Steps between two looks.
    max_force : float
        eV/Å; beyond it the run counts as broken.
    min_contact : float
        Share of the sum of covalent radii; below it the run counts as broken.
    seed : int
    """
    walker = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    walker.calc = calculator
    FIRE(walker, logfile=None, maxstep=0.1).run(fmax=0.1, steps=100)
    rng = np.random.default_rng(seed)
    thermalize_momenta(walker, temperature_K=stages[0][0], rng=rng)
    temperatures, forces, contacts, done = [], [], [], 0
    asked = sum(steps for _, steps in stages)
    broken = False
    for temperature, steps in stages:
        motion = Langevin(
            walker,
            timestep_fs * units.fs,
            temperature_K=temperature,
            friction=LANGEVIN_FRICTION_per_fs / units.fs,
            rng=rng,
            fixcm=False,
        )
        for _ in range(steps // every):
            motion.run(every)
            done += every
            temperatures.append(walker.get_temperature())
            forces.append(float(np.abs(walker.get_forces()).max()))
            contacts.append(sampling.contact_ratio(walker))
            broken = not np.isfinite(forces[-1]) or forces[-1] > max_force or contacts[-1] < min_contact
            if broken:
                break
        if broken:
            break
    half = temperatures[len(temperatures) // 2 :]
    return Stability(
        name=name,
        atoms=len(walker),
        steps=done,
        steps_asked=asked,
        time_ps=done * timestep_fs / 1000,
        mean_temperature_K=float(np.mean(half)),
        max_temperature_K=float(np.max(temperatures)),
        max_force_eV_per_A=float(np.max(forces)),
        min_contact_ratio=float(np.min(contacts)),
        survived=not broken,
    )


def scan_distances() -> np.ndarray:
    """Return the distances of the pair scans in Å: 0.5 to 5.0, finer than any feature of the model."""
    return np.linspace(0.5, 5.0, 91)


def report(
    test: Sequence[Residuals],
    scans: Sequence[PairScan],
    lattices: Mapping[str, Mapping[str, Sequence[float]]],
    cohesion: Mapping[str, Mapping[str, float]],
    runs: Sequence[Stability],
    elements: Sequence[str],
) -> dict[str, Any]:
    """Return everything measured as one JSON-ready dictionary."""
    return {
        "errors_by_kind": by_kind(test),
        "errors_by_element": by_element(test, elements),
        "pair_scans": {
            scan.pair: {
                "wall_A": round(scan.wall_A, 3),
                "well_A": round(scan.well_A, 3),
                "holds": scan.holds,
            }
            for scan in scans
        },
        "lattices_A": {
            name: {who: [float(x) for x in v] for who, v in both.items()} for name, both in lattices.items()
        },
        "cohesive_energies_eV_per_atom": {name: dict(both) for name, both in cohesion.items()},
        "stability": [asdict(run) for run in runs],
    }


def write_table(found: Mapping[str, Any], path: str | Path) -> None:
    """Write the errors of a report as CSV: one line per kind of frame and per element."""
    with Path(path).open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(["group", "name", "quantity", "rmse", "low95", "high95", "unit", "n"])
        for kind, entry in found["errors_by_kind"].items():
            for key, unit in QUANTITIES.items():
                low, high = entry[key]["interval95"] or ("", "")
                table.writerow(
                    ["kind", kind, key.split("_")[0], entry[key]["rmse"], low, high, unit, entry[key]["n"]]
                )
        for element, entry in found["errors_by_element"].items():
            low, high = entry["interval95"] or ("", "")
            value = entry["force_rmse_meV_per_A"]
            table.writerow(["element", element, "force", value, low, high, "meV/Å", 3 * entry["atoms"]])
