"""Batches of mace-torch with random labels, as its trainer meets them."""

import numpy as np
from ase import Atoms
from getsei.potentials import dataset, models  # noqa: F401  (imports mace without its warnings)

# isort: split
from mace import data, tools


def batch(module, cells, seed=4):
    """Return one batch of all cells (positions, cell, species), each a graph of its own."""
    rng = np.random.default_rng(seed)
    keys = data.KeySpecification(
        info_keys={"energy": dataset.ENERGY, "stress": dataset.STRESS}, arrays_keys={"forces": dataset.FORCES}
    )
    numbers = tools.AtomicNumberTable(module.atomic_numbers.tolist())
    found = []
    for positions, cell, species in cells:
        atoms = Atoms(species, positions=positions, cell=cell, pbc=True)
        atoms.info[dataset.ENERGY], atoms.info[dataset.STRESS] = rng.normal(), rng.normal(size=6)
        atoms.arrays[dataset.FORCES] = rng.normal(size=(len(atoms), 3))
        configuration = data.config_from_atoms(atoms, key_specification=keys)
        found.append(data.AtomicData.from_config(configuration, z_table=numbers, cutoff=float(module.r_max)))
    return next(iter(tools.torch_geometric.dataloader.DataLoader(found, batch_size=len(found))))
