"""Crystals at rest: relaxed cell, density, stiffness, cohesion."""

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE, BFGSLineSearch

from getsei.errors import UserError
from getsei.potentials.evaluation.contacts import BOX_A

MAX_FORCE_eV_per_A = 0.005
"""Of atoms and, as some 0.05 GPa, of the cell. At four times that an axis of Li10GeP2S12 was 2 % short."""
ROUGH_FORCE_eV_per_A = 0.1
"""To here atoms fall along their forces; then the curvature is learnt: soft crystals creep without it."""
RELAX_STEPS = 200
"""Of each of the two."""
STRAINS = (-0.015, -0.0075, 0.0, 0.0075, 0.015)
"""Changes of all lengths at which the energy is fitted for the bulk modulus."""
SETTLE_STEPS = 40
"""Steps in which the atoms settle in a strained cell; a frozen crystal would be too stiff."""
AMU_PER_A3_g_per_cm3 = 1.66053907


@dataclass(frozen=True)
class Solid:
    """A crystal as a potential relaxes it.

    Attributes
    ----------
    formula : str
    lengths_A : tuple of 3 float
        Lattice constants, from `lattice_constants`.
    volume_A3 : float
        Of one atom.
    density_g_per_cm3 : float
    energy_eV : float
        Of one atom.
    cohesive_eV : float
        What it costs to take the crystal apart into isolated atoms, per atom. A potential under which it is
        not positive lets the crystal boil at any temperature.
    bulk_modulus_GPa : float or None
        None where the energy has no minimum within the strains.
    converged : bool
        Whether cell and positions were relaxed within `RELAX_STEPS`.
    """

    formula: str
    lengths_A: tuple[float, float, float]
    volume_A3: float
    density_g_per_cm3: float
    energy_eV: float
    cohesive_eV: float
    bulk_modulus_GPa: float | None
    converged: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers for a report."""
        return asdict(self) | {"lengths_A": list(self.lengths_A)}


def relaxed(
    atoms: Atoms, calculator: Calculator, max_force: float = MAX_FORCE_eV_per_A, steps: int = RELAX_STEPS
) -> tuple[Atoms, bool]:
    """Return a copy with cell and positions relaxed, and whether the forces fell below `max_force` (eV/Å)."""
    copy = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    copy.calc = calculator
    with warnings.catch_warnings():
        # The logarithm of the strain is inaccurate in its thirteenth digit.
        warnings.filterwarnings("ignore", message="logm result may be inaccurate")
        FIRE(FrechetCellFilter(copy), logfile=None).run(
            fmax=max(max_force, ROUGH_FORCE_eV_per_A), steps=steps
        )
        try:
            done = BFGSLineSearch(FrechetCellFilter(copy), logfile=None).run(fmax=max_force, steps=steps)
        except RuntimeError:  # no lower energy along the line: forces that are not those of the energy
            done = False
    return copy, bool(done)


def lattice_constants(published: Atoms, rest: Atoms) -> tuple[float, float, float]:
    """Return the lengths of a relaxed cell in Å, the mean of those that are equal in the published one.

    One ordering of a disordered crystal breaks its symmetry, the crystal as a whole does not. Between
    orderings of lithium that are nearly as good, one axis may grow by percents at the cost of the next.
    """
    before, after = published.cell.lengths(), rest.cell.lengths()
    equal = np.isclose(before[:, None], before[None, :], rtol=1e-4)
    return tuple(float(after[same].mean()) for same in equal)


def isolated_energies(elements: set[str], calculator: Calculator) -> dict[str, float]:
    """Return the energy of every element alone in an empty box, in eV."""
    return {
        element: float(
            Atoms(
                [element], positions=np.zeros((1, 3)), cell=[BOX_A] * 3, pbc=True, calculator=calculator
            ).get_potential_energy()
        )
        for element in sorted(elements)
    }


def cohesive_energy(atoms: Atoms, energy_eV: float, alone: Mapping[str, float]) -> float:
    """Return the energy of the isolated atoms less that of the crystal, in eV per atom."""
    return (sum(alone[symbol] for symbol in atoms.get_chemical_symbols()) - energy_eV) / len(atoms)


def bulk_modulus(atoms: Atoms, calculator: Calculator) -> float | None:
    """Return the bulk modulus in GPa from energies at strained cells, atoms settled in each.

    A parabola in the volume: B = V0 d2E/dV2 at its minimum.
    """
    volumes, energies = [], []
    for strain in STRAINS:
        copy = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
        copy.set_cell(atoms.cell[:] * (1.0 + strain), scale_atoms=True)
        copy.calc = calculator
        FIRE(copy, logfile=None).run(fmax=MAX_FORCE_eV_per_A, steps=SETTLE_STEPS)
        volumes.append(copy.get_volume())
        energies.append(copy.get_potential_energy())
    curve = np.polyfit(volumes, energies, 2)
    if curve[0] <= 0.0:
        return None
    lowest = -curve[1] / (2.0 * curve[0])
    if not min(volumes) < lowest < max(volumes):
        return None
    return float(2.0 * curve[0] * lowest / units.GPa)


def measure(atoms: Atoms, calculator: Calculator, alone: Mapping[str, float]) -> Solid:
    """Relax a crystal and measure it.

    Parameters
    ----------
    atoms : ase.Atoms
    calculator : ase.calculators.calculator.Calculator
    alone : mapping
        From `isolated_energies`.

    Raises
    ------
    UserError
        If the relaxation leads to numbers that are not finite.
    """
    rest, converged = relaxed(atoms, calculator)
    energy, volume = float(rest.get_potential_energy()), float(rest.get_volume())
    if not np.isfinite([energy, volume]).all():
        raise UserError(
            f"{atoms.get_chemical_formula()}: the potential gives no finite energy of the crystal"
        )
    return Solid(
        formula=atoms.get_chemical_formula(),
        lengths_A=lattice_constants(atoms, rest),
        volume_A3=volume / len(rest),
        density_g_per_cm3=float(rest.get_masses().sum()) * AMU_PER_A3_g_per_cm3 / volume,
        energy_eV=energy / len(rest),
        cohesive_eV=cohesive_energy(rest, energy, alone),
        bulk_modulus_GPa=bulk_modulus(rest, calculator),
        converged=converged,
    )
