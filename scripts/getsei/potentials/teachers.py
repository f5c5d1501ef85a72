"""Teachers: reference potentials whose energies, forces and stresses label the training frames.

The default teacher is CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031 (2023), 10.1038/s42256-023-00716-3),
whose weights come inside its wheel, so that labelling needs no network. Any ASE calculator serves too.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Protocol

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator

from getsei.errors import UserError
from getsei.potentials import sources

log = logging.getLogger("getsei")

LABELLING_ATOMS = 120
"""Atoms per evaluation: CHGNet's angle graph takes some 11 MB per atom while forces are computed."""
REPORT_EVERY_s = 20.0


@dataclass(frozen=True)
class Label:
    """What a teacher says about one frame.

    Attributes
    ----------
    energy : float
        Potential energy of the cell, eV.
    forces : numpy.ndarray
        Shape (n_atoms, 3), eV/Å.
    stress : numpy.ndarray
        Shape (6,), Voigt order xx yy zz yz xz xy, eV/Å³, positive under tension (as in ASE).
    """

    energy: float
    forces: np.ndarray
    stress: np.ndarray


class Teacher(Protocol):
    """Anything that labels frames and can drive a short dynamics."""

    name: str
    version: str

    def label(self, frames: list[Atoms]) -> list[Label]:
        """Return one label per frame."""
        ...

    def calculator(self) -> Calculator:
        """Return an ASE calculator with the same energy surface."""
        ...


class Chgnet:
    """CHGNet with the weights of its wheel, on the CPU."""

    def __init__(self) -> None:
        import torch
        from chgnet.model import CHGNet

        torch.set_default_dtype(torch.float32)
        self._model = CHGNet.load(use_device="cpu", verbose=False)
        # Atoms without neighbours are what a student needs to know too: they set the zero of its energies.
        self._model.graph_converter.set_isolated_atom_response("ignore")
        self.name = "chgnet"
        self.version = f"{metadata.version('chgnet')} (weights {self._model.version})"

    def label(self, frames: list[Atoms]) -> list[Label]:
        """Return one label per frame."""
        from pymatgen.io.ase import AseAtomsAdaptor

        structures = [AseAtomsAdaptor.get_structure(bare(frame)) for frame in frames]
        found = self._model.predict_structure(structures, task="efs", batch_size=len(structures))
        found = [found] if isinstance(found, Mapping) else found
        return [
            Label(
                energy=float(answer["e"]) * len(frame),
                forces=np.asarray(answer["f"], dtype=float),
                stress=to_voigt(np.asarray(answer["s"], dtype=float)) * units.GPa,
            )
            for frame, answer in zip(frames, found, strict=True)
        ]

    def calculator(self) -> Calculator:
        """Return an ASE calculator with the same energy surface."""
        from chgnet.model.dynamics import CHGNetCalculator

        return CHGNetCalculator(self._model, use_device="cpu", on_isolated_atoms="ignore")


class CalculatorTeacher:
    """Any ASE calculator.

    Parameters
    ----------
    calculator : ase.calculators.calculator.Calculator
        Must give energy, forces and stress of periodic cells.
    name, version : str
        Written into the model card.
    """

    def __init__(self, calculator: Calculator, name: str, version: str = "unknown") -> None:
        self._calculator, self.name, self.version = calculator, name, version

    def label(self, frames: list[Atoms]) -> list[Label]:
        """Return one label per frame."""
        labels = []
        for frame in frames:
            atoms = bare(frame)
            atoms.calc = self._calculator
            labels.append(Label(atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()))
        return labels

    def calculator(self) -> Calculator:
        """Return the calculator itself."""
        return self._calculator


def load(spec: str | Mapping[str, Any]) -> Teacher:
    """Return the teacher that the settings name.

    Parameters
    ----------
    spec : str or mapping
        ``"chgnet"``; ``{"model": ..., "sha256": ..., "device": ...}`` for a MACE model, by path or as
        ``mace:NAME``; or ``{"calculator": "package.module.Class", "arguments": {...}}`` for an ASE
        calculator.

    Raises
    ------
    UserError
        If the name is unknown, the model can not be used, or the calculator can not be imported or made.
    """
    if spec == "chgnet":
        return Chgnet()
    if isinstance(spec, Mapping) and "model" in spec:
        return _mace(str(spec["model"]), spec.get("sha256"), str(spec.get("device", "cpu")))
    if not isinstance(spec, Mapping) or "calculator" not in spec:
        raise UserError(
            f"potential_training.teacher: {spec!r} is neither 'chgnet' nor a mapping with the key "
            "'model' (a MACE model) or 'calculator' (the import path of an ASE calculator, such as "
            "ase.calculators.emt.EMT)"
        )
    path = str(spec["calculator"])
    key = "potential_training.teacher"
    made, version = sources.import_calculator(path, spec.get("arguments", {}), key)
    return CalculatorTeacher(made, path, version)


def _mace(model: str, sha256: str | None, device: str) -> Teacher:
    """Return a MACE model as a teacher; it is read at once, so that a mistake shows before anything runs."""
    # Imported here: CHGNet and calculators do without mace-torch.
    from getsei.potentials import calculators, models
    from getsei.potentials.ase_calculator import MACEPotential

    source = sources.parse(model)
    if source.kind not in ("file", "mace"):
        raise UserError(
            f"potential_training.teacher.model: {model} is no MACE model; give a path or mace:NAME"
        )
    path = calculators.foundation_file(source.name) if source.kind == "mace" else source.name
    models.read_mace(path, sha256=sha256)
    calculator = MACEPotential(path, dtype="float64", device=device, sha256=sha256)
    return CalculatorTeacher(calculator, model, f"sha256 {models.verify(path)}")


def bare(atoms: Atoms) -> Atoms:
    """Return a periodic copy without labels, velocities or calculator, its atoms inside the cell.

    A student that left its range threw an atom through 20 000 cells, and pymatgen's neighbour search takes
    memory for all the space between the atoms.
    """
    copy = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    copy.wrap()
    return copy


def to_voigt(tensor: np.ndarray) -> np.ndarray:
    """Return the six components xx yy zz yz xz xy of a symmetric (3, 3) tensor."""
    return np.array([tensor[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))])


def label_all(teacher: Teacher, frames: list[Atoms], batch_atoms: int = LABELLING_ATOMS) -> list[Label]:
    """Label frames in batches, smallest first, and log the pace.

    Parameters
    ----------
    teacher : Teacher
    frames : list of ase.Atoms
    batch_atoms : int
        Atoms per call; a larger frame is a batch of its own.

    Returns
    -------
    list of Label
        In the order of `frames`.
    """
    order = sorted(range(len(frames)), key=lambda index: len(frames[index]))
    labels: dict[int, Label] = {}
    started = reported = time.perf_counter()
    while len(labels) < len(order):
        chosen = [order[len(labels)]]
        for index in order[len(labels) + 1 :]:
            if sum(len(frames[i]) for i in [*chosen, index]) > batch_atoms:
                break
            chosen.append(index)
        labels |= dict(zip(chosen, teacher.label([frames[i] for i in chosen]), strict=True))
        now = time.perf_counter()
        if now - reported > REPORT_EVERY_s:
            reported = now
            log.info("labelled %d of %d frames in %.0f s", len(labels), len(order), now - started)
    return [labels[index] for index in range(len(frames))]


def elements_of(frames: Iterable[Atoms]) -> set[str]:
    """Return the element symbols that occur."""
    return {symbol for frame in frames for symbol in set(frame.get_chemical_symbols())}
