"""A MACE model as an ASE calculator, on the fastest engine that runs it.

.. code-block:: python

    from ase.io import read
    from ase.optimize import FIRE
    from getsei.potentials.ase_calculator import MACEPotential

    atoms = read("interface.extxyz")
    atoms.calc = MACEPotential("my.safetensors")
    FIRE(atoms).run(fmax=0.05)
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from getsei.errors import UserError
from getsei.potentials import models

VOIGT = [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]
"""Rows and columns of the stress in the order of ASE: xx, yy, zz, yz, xz, xy."""


class BoundPotential(Calculator):
    """Anything that `load` binds to a list of species, bound anew whenever that list changes.

    Parameters
    ----------
    load : callable
        From symbols of the atoms to an evaluator.

    Raises
    ------
    UserError
        On the first evaluation: if the model cannot be used, lacks an element, or the atoms are not
        periodic in all directions.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, load: Callable[[list[str]], models.Evaluator]):
        super().__init__()
        self._load = load
        self._species: list[str] = []
        self._evaluator: models.Evaluator | None = None

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """Return what changed since the last evaluation: everything, or nothing.

        Exactly, whatever `tol`: the comparison within a tolerance that ASE makes takes a fifth of the time
        of a short dynamics.
        """
        known = self.atoms
        same = (
            known is not None
            and len(known) == len(atoms)
            and np.array_equal(known.positions, atoms.positions)
            and np.array_equal(known.numbers, atoms.numbers)
            and np.array_equal(known.cell[:], atoms.cell[:])
            and np.array_equal(known.pbc, atoms.pbc)
        )
        return [] if same else list(all_changes)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Evaluate energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of periodic atoms."""
        super().calculate(atoms, properties, system_changes)
        if not self.atoms.pbc.all():
            raise UserError(
                f"the atoms have pbc = {self.atoms.pbc.tolist()}; put molecules and slabs into a cell with "
                "vacuum and set atoms.pbc = True"
            )
        species = self.atoms.get_chemical_symbols()
        if species != self._species or self._evaluator is None:
            self._evaluator = self._load(species)
            self._species = species
        found: models.Evaluation = self._evaluator(self.atoms.positions, self.atoms.cell[:])
        self.results = {
            "energy": found.energy,
            "free_energy": found.energy,
            "forces": found.forces,
            "stress": -found.virial[VOIGT] / self.atoms.get_volume(),
        }


class MACEPotential(BoundPotential):
    """A MACE model file as an ASE calculator.

    Parameters
    ----------
    model : path
        ``.safetensors``, or a file pickled by mace-torch.
    engine : {"auto", "native", "torch"}
    dtype : {"float32", "float64"}
    **options
        Further options of `getsei.potentials.models.load`: device, threads, sha256, trust.
    """

    def __init__(
        self, model: str | Path, engine: models.Engine = "auto", dtype: str = "float32", **options: Any
    ):
        super().__init__(
            lambda species: models.load(Path(model), species, engine=engine, dtype=dtype, **options)
        )
