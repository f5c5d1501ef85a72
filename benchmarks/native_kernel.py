"""Time the native kernel beside mace-torch on one thread: ``python benchmarks/native_kernel.py [model]``.

Prints the CPU time of the calling thread, so that other jobs disturb little; best of three blocks.
"""

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import numpy as np
from getsei.potentials import models

SHAPES = ((5, 5, 5), (8, 8, 8), (12, 13, 13))
SPACING_A = 2.75
"""About 24 neighbours within 5 Å, as in a sulphide electrolyte."""


def lattice(
    shape: tuple[int, int, int], elements: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return positions (Å), cell (Å) and random species of a rattled simple cubic lattice."""
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    positions = SPACING_A * grid + rng.normal(0.0, 0.1, grid.shape)
    return positions, SPACING_A * np.diag(shape), list(rng.choice(elements, size=len(grid)))


def time_per_call(evaluator: models.Evaluator, positions: np.ndarray, cell: np.ndarray, calls: int) -> float:
    """Return the best CPU time of one call in seconds, with atoms that move a little from call to call."""
    rng = np.random.default_rng(2)
    steps = [rng.normal(0.0, 0.01, positions.shape) for _ in range(4)]
    evaluator(positions, cell)
    best = np.inf
    for _ in range(3):
        started = time.thread_time()
        for call in range(calls):
            evaluator(positions + steps[call % 4], cell)
        best = min(best, (time.thread_time() - started) / calls)
    return best


def main() -> None:
    """Print one row per system size."""
    model = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "config/potentials/getsei-small.safetensors"
    elements = models.known_elements(models.read_mace(model))
    print(f"{model.name}: {len(elements)} elements; microseconds of one thread per atom and step")
    print(
        f"{'atoms':>6} {'native':>8} {'torch f32':>10} {'ratio':>6} {'max dF vs torch f64 (eV/Å)':>28} engine"
    )
    for shape in SHAPES:
        positions, cell, species = lattice(shape, elements)
        native = models.load(model, species, engine="native")
        torch = models.load(model, species, engine="torch")
        error = np.nan
        if len(species) <= 600:
            reference = models.load(model, species, engine="torch", dtype="float64")
            error = np.abs(native(positions, cell).forces - reference(positions, cell).forces).max()
        fast = time_per_call(native, positions, cell, max(1, 20000 // len(species)))
        slow = time_per_call(torch, positions, cell, 1)
        unit = 1e6 / len(species)
        print(
            f"{len(species):6d} {fast * unit:8.2f} {slow * unit:10.0f} {slow / fast:6.0f} {error:28.1e}",
            native.name,
            flush=True,
        )


if __name__ == "__main__":
    main()
