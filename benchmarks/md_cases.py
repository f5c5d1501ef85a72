"""Cells, models and evaluators that `bench_md.py` measures."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import numpy as np
import toy_mace
import yaml
from getsei import settings
from getsei.dynamics import protocol
from getsei.dynamics.engine import Engine
from getsei.dynamics.velocities import maxwell_velocities
from getsei.potentials import models
from getsei.potentials.native import export, kernel
from getsei.structures import building, crystals, names, ordering

CONFIG = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
MODEL = ROOT / CONFIG["defaults"]["potential"]["model"]
SPACING_A = 2.75
"""Of a simple cubic lattice with about 24 neighbours within 5 Å, as in a sulphide electrolyte."""
SMALL_A = {"electrolyte_thickness_A": 12.0, "metal_thickness_A": 12.0}
"""Thinnest slabs of an interface: what is measured here does not depend on thickness."""
HOT_K, COLD_K = 1000.0, 400.0
BATH_PS = 0.1


@dataclass(frozen=True)
class Case:
    """Atoms to evaluate: positions (N, 3) and cell (3, 3) in Å."""

    name: str
    positions: np.ndarray
    cell: np.ndarray
    species: list[str]

    def __len__(self) -> int:
        return len(self.species)


def embedded() -> Any:
    """Return a fresh copy of the embedded potential as a module in float64."""
    return models.read_mace(MODEL)


def random_model(channels: int = 32, cutoff_A: float = 5.0, **options: Any) -> Any:
    """Return a model of the class with random weights, in the shape of the embedded one."""
    return toy_mace.build(channels=channels, cutoff_A=cutoff_A, radial_MLP=[64, 64, 64], **options)


def native(tables: export.Tables, case: Case, **options: Any) -> kernel.NativeEvaluator:
    """Return the kernel bound to the atoms of a case."""
    return kernel.NativeEvaluator(tables, case.species, **options)


def torch(module: Any, case: Case, dtype: str = "float32") -> models.TorchEvaluator:
    """Return mace-torch bound to the atoms of a case; the module is converted in place."""
    return models.TorchEvaluator(module, case.species, dtype=dtype, device="cpu", threads=1)


def lattice(
    shape: tuple[int, int, int],
    elements: tuple[str, ...],
    seed: int = 1,
    skew: float = 0.0,
    rattle_A: float = 0.1,
) -> Case:
    """Return a rattled simple cubic lattice of random species."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    cell = SPACING_A * np.diag(shape) @ (np.eye(3) + skew * np.array([[0, 0, 0], [1, 0, 0], [-0.7, 0.5, 0]]))
    positions = grid / shape @ cell + rng.normal(0.0, rattle_A, grid.shape)
    return Case(f"{len(elements)} elements", positions, cell, list(rng.choice(elements, size=len(grid))))


def crystal(name: str, repeats: tuple[int, int, int]) -> Case:
    """Return a supercell of an ordered crystal of config/structures, rattled by 0.05 Å."""
    loaded = crystals.load(ROOT / names.file_of(name))
    atoms = ordering.order(loaded).atoms.repeat(repeats)
    noise = np.random.default_rng(1).normal(0.0, 0.05, atoms.positions.shape)
    return Case(name, atoms.positions + noise, atoms.cell[:], atoms.get_chemical_symbols())


def systems() -> Mapping[str, Mapping[str, Any]]:
    """Return the settings of the systems of config.yaml, without those whose crystals are files of a user."""
    return settings.resolve(CONFIG)


def interface(name: str, thickness: Mapping[str, float] = SMALL_A) -> Case:
    """Return the interface of a system of config.yaml, by default with slabs as thin as they come."""
    cfg = systems()[name]["interface"] | thickness
    pair = [crystals.load(ROOT / names.file_of(cfg["electrolyte"]), cfg["charges"])]
    pair.append(crystals.load(ROOT / names.file_of(cfg["metal"])))
    module = embedded()
    tables = export.export(module)
    atoms = building.from_settings(
        pair, cfg, 1, lambda species: kernel.NativeEvaluator(tables, species)
    ).atoms
    return Case(name, atoms.positions, atoms.cell[:], atoms.get_chemical_symbols())


def moved(case: Case, evaluator: models.Evaluator, temperature_K: float, steps: int) -> Case:
    """Return a case after a minimisation and Langevin dynamics with steps of 1 fs."""
    with Engine(case.species, case.cell, evaluator, 0.001) as engine:
        engine.create(case.positions)
        engine.minimise(100)
        if steps:
            engine.set_velocities(maxwell_velocities(case.species, temperature_K, 1))
            engine.langevin(temperature_K, BATH_PS, protocol.draw_seed(1, 0))
            engine.settle()
            engine.advance(steps)
        return Case(f"{case.name} {temperature_K:g} K", engine.positions(), case.cell, case.species)
