"""Any potential as an evaluator of energy, forces and virial: MACE models, CHGNet, ASE calculators.

`load` takes the part `potential` of a system's settings. It says in the log what was taken, on which device
and at which precision, and refuses a potential that lacks an element before anything is simulated.
"""

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import ase
import ase.data
import numpy as np
from ase.calculators.calculator import Calculator
from numpy.typing import ArrayLike

from getsei.errors import UserError
from getsei.potentials import models, sources
from getsei.potentials.models import Evaluation, Evaluator

with warnings.catch_warnings():
    # Imported after models, which imports mace before e3nn.
    warnings.simplefilter("ignore")
    import torch

log = logging.getLogger("getsei.binding")

CHGNET_ELEMENTS = tuple(
    symbol for symbol in ase.data.chemical_symbols[1:95] if symbol not in ("Po", "At", "Rn", "Fr", "Ra")
)
"""The 89 elements of the data CHGNet was trained on (B. Deng et al., Nat. Mach. Intell. 5 (2023) 1031)."""
PROBE_SPACING_A = 4.0
"""Distance of the atoms in the cell that asks an unknown calculator whether it knows the elements."""


class CalculatorEvaluator:
    """An ASE calculator bound to a fixed list of species.

    Parameters
    ----------
    calculator : ase.calculators.calculator.Calculator
        Gives energy, forces and stress of periodic cells.
    species : sequence of str
        Symbol of each atom.
    elements : sequence of str
        Symbols that the calculator knows, as far as is known.
    name : str
        For logs and provenance.
    cutoff_A : float
        Range of the interaction; NaN where the calculator does not say.
    quiet : bool
        Drop the warnings of the calculator.
    """

    def __init__(
        self,
        calculator: Calculator,
        species: Sequence[str],
        elements: Sequence[str],
        name: str,
        cutoff_A: float = float("nan"),
        *,
        quiet: bool = False,
    ) -> None:
        self.elements, self.name, self.cutoff_A = tuple(elements), name, cutoff_A
        self._quiet = quiet
        self._atoms = ase.Atoms(list(species), pbc=True)
        self._atoms.calc = calculator

    def __call__(self, positions: ArrayLike, cell: ArrayLike) -> Evaluation:
        """Evaluate positions (N, 3) in Å in the cell (3, 3) with rows in Å."""
        x, h = models.check_geometry(positions, cell, len(self._atoms))
        self._atoms.set_cell(h)
        self._atoms.set_positions(x)
        with warnings.catch_warnings():
            if self._quiet:
                warnings.simplefilter("ignore")
            energy = float(self._atoms.get_potential_energy())
            forces = np.array(self._atoms.get_forces(), dtype=np.float64)
            stress = np.array(self._atoms.get_stress(voigt=False), dtype=np.float64)
        return Evaluation(energy, forces, -stress * abs(float(np.linalg.det(h))))


def foundation_file(name: str) -> Path:
    """Return the file of a MACE foundation model, which mace-torch downloads once and keeps in its cache.

    Raises
    ------
    UserError
        If mace-torch knows no such model, or it is not in the cache and can not be downloaded.
    """
    from mace.calculators import foundations_models

    known = [known for known in foundations_models.mace_mp_names if known]
    if name not in known:
        raise UserError(
            f"potential.model: mace-torch knows no foundation model {name!r}; it knows {', '.join(known)}"
        )
    said = StringIO()
    try:
        with redirect_stdout(said):
            path = Path(foundations_models.download_mace_mp_checkpoint(name))
    except Exception as error:
        raise UserError(
            f"potential.model: the foundation model {name} can not be downloaded ({error}). Download "
            f"{foundations_models.mace_mp_urls[name]} on a machine with a network and give the path of the "
            "file in potential.model"
        ) from error
    for line in said.getvalue().splitlines():
        if line.strip() and not line.startswith("\r"):
            log.info("mace-torch: %s", line.strip())
    return path


def pick_device(asked: str) -> tuple[str, str]:
    """Return the device for a PyTorch model and why it was chosen.

    Parameters
    ----------
    asked : {"auto", "cpu", "cuda"}

    Raises
    ------
    UserError
        If CUDA is asked for and not there.
    """
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise UserError(
            "potential.device: cuda, but PyTorch sees no CUDA device on this machine; use device: auto or cpu"
        )
    if asked == "auto":
        return ("cuda", "a CUDA device is there") if there else ("cpu", "no CUDA device is there")
    return asked, "asked for"


def load(potential: Mapping[str, Any], species: Sequence[str], *, threads: int = 1) -> Evaluator:
    """Return the evaluator that the settings name, for a fixed list of species.

    Parameters
    ----------
    potential : mapping
        The part `potential` of a system's settings: model, sha256, trust, arguments, engine, dtype,
        device.
    species : sequence of str
        Symbol of each atom.
    threads : int
        Threads of PyTorch.

    Raises
    ------
    UserError
        If the potential can not be had, lacks an element, or gives no stress.
    """
    source = sources.parse(potential["model"])
    if potential.get("arguments") and source.kind != "ase":
        raise UserError("potential.arguments: only an ASE calculator (ase:package.module.Class) takes any")
    if source.kind == "chgnet":
        return _chgnet(potential, species, threads)
    if source.kind == "ase":
        return _calculator(source.name, potential, species, threads)
    path = foundation_file(source.name) if source.kind == "mace" else Path(source.name)
    return _mace(path, potential, species, threads)


def identity(potential: Mapping[str, Any]) -> str:
    """Return what tells a potential from every other: a file's SHA-256, or name, versions and arguments."""
    source = sources.parse(potential["model"])
    if source.kind == "file":
        return models.verify(source.name)
    if source.kind == "mace":
        return models.verify(foundation_file(source.name))
    if source.kind == "chgnet":
        return f"chgnet {sources.version_of('chgnet')}"
    arguments = json.dumps(potential.get("arguments") or {}, sort_keys=True, default=str)
    return f"{source.name} {sources.version_of(source.name.split('.')[0])} {arguments}"


def _mace(path: Path, potential: Mapping[str, Any], species: Sequence[str], threads: int) -> Evaluator:
    options = {
        "dtype": potential.get("dtype", "float32"),
        "threads": threads,
        "sha256": potential.get("sha256"),
        "trust": potential.get("trust", False),
    }
    engine, asked = potential.get("engine", "auto"), potential.get("device", "auto")
    device, why = pick_device(asked)
    if asked == "auto" and device == "cuda" and engine in ("auto", "native"):
        # A model that the native kernel runs is small: the kernel needs no GPU and gives the same digits.
        try:
            evaluator = models.load(path, species, engine="native", device="cpu", **options)
        except UserError:
            if engine == "native":
                raise
        else:
            log.info("potential: on the CPU although %s, since the native kernel runs this model", why)
            return evaluator
    if engine == "native":
        device, why = "cpu", "the native kernel runs there"
    evaluator = models.load(path, species, engine=engine, device=device, **options)
    log.info("potential: device %s (%s), %s", device, why, evaluator.name)
    return evaluator


def _chgnet(potential: Mapping[str, Any], species: Sequence[str], threads: int) -> Evaluator:
    models.element_indices(species, CHGNET_ELEMENTS, "chgnet")
    device, why = pick_device(potential.get("device", "auto"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from chgnet.model import CHGNet
        from chgnet.model.dynamics import CHGNetCalculator

        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(threads)
        model = CHGNet.load(use_device=device, verbose=False)
        with redirect_stdout(StringIO()):
            calculator = CHGNetCalculator(model, use_device=device, on_isolated_atoms="ignore")
    name = f"chgnet {model.version} float32" + (f" on {device}" if device != "cpu" else "")
    if potential.get("dtype") == "float64":
        log.warning("potential.dtype: float64, but CHGNet computes in float32")
    log.info("potential %s: device %s (%s), %d thread(s)", name, device, why, threads)
    cutoff = float(model.graph_converter.atom_graph_cutoff)
    return CalculatorEvaluator(calculator, species, CHGNET_ELEMENTS, name, cutoff, quiet=True)


def _calculator(path: str, potential: Mapping[str, Any], species: Sequence[str], threads: int) -> Evaluator:
    torch.set_num_threads(threads)
    calculator, version = sources.import_calculator(path, potential.get("arguments") or {}, "potential.model")
    elements = sorted(set(species))
    probe = CalculatorEvaluator(calculator, elements, elements, path)
    line = np.zeros((len(elements), 3))
    line[:, 0] = PROBE_SPACING_A * np.arange(len(elements))
    try:
        found = probe(line, PROBE_SPACING_A * np.diag([max(len(elements), 2), 2.0, 2.0]))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"potential.model: {path} gives no energy, forces and stress of {', '.join(elements)} "
            f"({reason}); use a calculator that knows these elements and gives the stress of periodic cells"
        ) from error
    if not np.isfinite([found.energy, *found.forces.ravel(), *found.virial.ravel()]).all():
        raise UserError(
            f"potential.model: {path} gives numbers that are not finite for {', '.join(elements)}"
        )
    name = f"{path} {version}"
    log.info("potential %s: its own device and precision; it knows %s", name, ", ".join(elements))
    return CalculatorEvaluator(calculator, species, elements, name)
