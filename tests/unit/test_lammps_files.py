"""Files for LAMMPS give the energies and forces of the model they were made from."""

import warnings

import numpy as np
import pytest
import torch
import toy_mace
from getsei import cells
from getsei.errors import UserError
from getsei.potentials import lammps_files, models

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # e3nn scripts its modules


@pytest.fixture
def model(tmp_path):
    return toy_mace.save(toy_mace.build(), tmp_path / "toy.safetensors")


def neighbours(evaluator, positions, cell):
    return cells.pairs(positions, cell, evaluator.cutoff_A, full=True)


class Unified:
    """What LAMMPS hands to a unified ML-IAP model, all neighbours being local atoms."""

    def __init__(self, elements, i, j, vectors):
        self.nlocal = self.ntotal = len(elements)
        self.npairs = len(i)
        self.elems, self.pair_i, self.pair_j, self.rij = elements, i, j, vectors
        self.eatoms = np.zeros(self.nlocal)
        self.energy, self.forces = 0.0, np.zeros((self.nlocal, 3))

    def forward_exchange(self, given, taken, width):
        taken[:] = given

    def reverse_exchange(self, given, taken, width):
        taken[:] = given

    def update_pair_forces_gpu(self, pair_forces):
        # As LAMMPS does in MLIAPDataPy: what acts on i acts on j in the opposite direction.
        pair_forces = pair_forces.numpy()
        np.add.at(self.forces, self.pair_i, pair_forces)
        np.add.at(self.forces, self.pair_j, -pair_forces)


def test_unified_mliap_model_gives_the_same_forces(model, tmp_path):
    target = tmp_path / "toy-mliap.pt"
    lammps_files.write(model, target, "mliap")
    loaded = torch.load(target, weights_only=False)
    positions, cell, species = toy_mace.rattled_cell(n_side=3)
    reference = models.load(model, species, engine="torch", dtype="float64")
    expected = reference(positions, cell)
    i, j, vectors, _ = neighbours(reference, positions, cell)
    assert list(loaded.element_types) == list(reference.elements)
    assert 2 * loaded.rcutfac == pytest.approx(reference.cutoff_A)
    order = {element: index for index, element in enumerate(loaded.element_types)}
    data = Unified(np.array([order[symbol] for symbol in species]), i, j, vectors)
    loaded.compute_forces(data)
    assert data.forces == pytest.approx(expected.forces, abs=1e-9)
    assert data.energy == pytest.approx(expected.energy, abs=1e-8)
    assert data.eatoms.sum() == pytest.approx(data.energy)


def test_torchscript_model_gives_the_same_forces(model, tmp_path):
    target = tmp_path / "toy-mace.pt"
    lammps_files.write(model, target, "mace")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = torch.jit.load(target)
    positions, cell, species = toy_mace.rattled_cell(n_side=3)
    reference = models.load(model, species, engine="torch", dtype="float64")
    expected = reference(positions, cell)
    i, j, vectors, _ = neighbours(reference, positions, cell)
    shifts = vectors - (positions[j] - positions[i])
    n = len(species)
    index = [reference.elements.index(symbol) for symbol in species]
    found = loaded(
        {
            "positions": torch.tensor(positions, requires_grad=True),
            "cell": torch.tensor(cell),
            "edge_index": torch.tensor(np.stack([i, j])),
            "shifts": torch.tensor(shifts),
            "unit_shifts": torch.tensor(shifts @ np.linalg.inv(cell)),
            "node_attrs": torch.eye(len(reference.elements), dtype=torch.float64)[index],
            "batch": torch.zeros(n, dtype=torch.int64),
            "ptr": torch.tensor([0, n]),
        },
        torch.ones(n, dtype=torch.float64),
        compute_virials=False,
    )
    assert found["forces"].detach().numpy() == pytest.approx(expected.forces, abs=1e-9)
    assert float(found["total_energy_local"].detach()) == pytest.approx(expected.energy, abs=1e-8)


def test_command_tells_how_to_use_the_file(model, tmp_path, capsys):
    target = tmp_path / "toy-mliap.pt"
    assert lammps_files.main([str(model), str(target), "--dtype", "float32"]) == 0
    said = capsys.readouterr().out
    assert "sha256" in said
    assert f"pair_style mliap unified {target} 0" in said
    assert "pair_coeff * * Li P S Cl" in said
    assert torch.load(target, weights_only=False).dtype == torch.float32


def test_mistakes_are_named(model, tmp_path, capsys):
    target = tmp_path / "there.pt"
    target.write_bytes(b"x")
    assert lammps_files.main([str(model), str(target)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert lammps_files.main([str(tmp_path / "nowhere.safetensors"), str(tmp_path / "new.pt")]) == 1
    assert "no such model" in capsys.readouterr().err
    module = toy_mace.build()
    module.heads = ["one", "two"]
    with pytest.raises(UserError, match="one, two"):
        lammps_files.convert(module, "mliap")
