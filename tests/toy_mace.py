"""Random-weight MACE models of the class that the native kernel covers, and cells to try them on."""

import warnings

import numpy as np
from getsei.potentials import weights  # imports mace before e3nn, which needs that order

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from e3nn import o3
    from mace import modules

ATOMIC_NUMBERS = [3, 15, 16, 17]
SYMBOLS = ["Li", "P", "S", "Cl"]


def build(
    *,
    channels=8,
    lmax=2,
    correlation=2,
    layers=2,
    cutoff_A=4.0,
    first="RealAgnosticInteractionBlock",
    hidden=None,
    pair_repulsion=True,
    atomic_numbers=ATOMIC_NUMBERS,
    seed=1,
    **others,
):
    """Return a small ScaleShiftMACE in float64 with random weights."""
    torch.manual_seed(seed)
    previous = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = modules.ScaleShiftMACE(
                **{
                    "r_max": cutoff_A,
                    "num_bessel": 8,
                    "num_polynomial_cutoff": 5,
                    "max_ell": lmax,
                    "interaction_cls": modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
                    "interaction_cls_first": modules.interaction_classes[first],
                    "num_interactions": layers,
                    "num_elements": len(atomic_numbers),
                    "hidden_irreps": o3.Irreps(hidden or f"{channels}x0e"),
                    "MLP_irreps": o3.Irreps("16x0e"),
                    "atomic_energies": -np.arange(1.0, len(atomic_numbers) + 1),
                    "avg_num_neighbors": 12.0,
                    "atomic_numbers": list(atomic_numbers),
                    "correlation": correlation,
                    "gate": torch.nn.functional.silu,
                    "pair_repulsion": pair_repulsion,
                    "atomic_inter_scale": 0.8,
                    "atomic_inter_shift": 0.1,
                    "radial_MLP": [16, 16],
                    **others,
                }
            )
    finally:
        torch.set_default_dtype(previous)
    return module


def save(module, path):
    """Save a module, as data or as mace-torch does it (by the ending of the name), and return the path."""
    if path.suffix == weights.SUFFIX:
        weights.save(module, path)
        return path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(module, path)
    return path


def rattled_cell(n_side=3, spacing_A=2.7, seed=2, symbols=SYMBOLS, skew=0.0):
    """Return positions, cell and species of a rattled simple cubic lattice of random species."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(n_side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    cell = spacing_A * n_side * (np.eye(3) + skew * np.array([[0, 0, 0], [1, 0, 0], [-0.7, 0.5, 0]]))
    positions = (grid / n_side) @ cell + rng.normal(0.0, 0.15, (len(grid), 3))
    return positions, cell, [symbols[k] for k in rng.integers(len(symbols), size=len(grid))]
