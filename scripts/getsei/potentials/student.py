"""The student as an ASE calculator, so that it can relax, follow and be compared like any other."""

from pathlib import Path
from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from getsei.potentials import models


class Student(Calculator):
    """A model file as an ASE calculator; binds itself anew whenever the list of species changes.

    Parameters
    ----------
    model : path
        MACE model, ``.safetensors``.
    engine : {"auto", "native", "torch"}
    dtype : {"float32", "float64"}
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, model: str | Path, engine: models.Engine = "auto", dtype: str = "float32"):
        super().__init__()
        self._model, self._engine, self._dtype = Path(model), engine, dtype
        self._species: list[str] = []
        self._evaluator: models.Evaluator | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Evaluate energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of periodic atoms."""
        super().calculate(atoms, properties, system_changes)
        species = self.atoms.get_chemical_symbols()
        if species != self._species or self._evaluator is None:
            self._evaluator = models.load(self._model, species, engine=self._engine, dtype=self._dtype)
            self._species = species
        found: models.Evaluation = self._evaluator(self.atoms.positions, self.atoms.cell[:])
        stress = -found.virial / self.atoms.get_volume()
        results: dict[str, Any] = {
            "energy": found.energy,
            "free_energy": found.energy,
            "forces": found.forces,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }
        self.results = results
