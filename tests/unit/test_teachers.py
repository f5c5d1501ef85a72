import numpy as np
import pytest
import toy_mace
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from getsei.errors import UserError
from getsei.potentials import teachers
from getsei.potentials.ase_calculator import MACEPotential


def lennard_jones():
    return teachers.load(
        {"calculator": "ase.calculators.lj.LennardJones", "arguments": {"sigma": 2.2, "rc": 6.0}}
    )


def argon(edge, seed):
    atoms = bulk("Ar", "fcc", a=edge, cubic=True)
    atoms.positions += 0.05 * np.random.default_rng(seed).standard_normal(atoms.positions.shape)
    return atoms


def test_any_ase_calculator_can_teach():
    teacher = lennard_jones()
    atoms = argon(3.6, 1)
    (label,) = teacher.label([atoms])
    atoms.calc = LennardJones(sigma=2.2, rc=6.0)
    assert label.energy == pytest.approx(atoms.get_potential_energy())
    assert label.forces == pytest.approx(atoms.get_forces())
    assert label.stress == pytest.approx(atoms.get_stress())
    assert teacher.name == "ase.calculators.lj.LennardJones"
    assert teacher.version[0].isdigit()


def test_an_atom_that_left_through_many_cells_is_labelled_where_it_is():
    atoms = argon(3.6, 1)
    far = atoms.copy()
    far.positions[2] += 20_000 * atoms.cell[0]
    assert np.ptp(teachers.bare(far).positions, axis=0).max() < 3.7
    one, other = lennard_jones().label([atoms, far])
    assert other.forces == pytest.approx(one.forces, abs=1e-6)


def test_labels_come_back_in_the_order_of_the_frames():
    frames = [argon(3.6, 1).repeat((2, 1, 1)), argon(3.5, 2), argon(3.4, 3).repeat((1, 1, 3)), argon(3.3, 4)]
    teacher = lennard_jones()
    together = teachers.label_all(teacher, frames, batch_atoms=9)
    assert [len(label.forces) for label in together] == [len(frame) for frame in frames]
    for frame, label in zip(frames, together, strict=True):
        assert label.energy == pytest.approx(teacher.label([frame])[0].energy)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dft", "neither 'chgnet'"),
        ({"arguments": {}}, "import path"),
        ({"calculator": "ase.calculators.nowhere.Nothing"}, "can not be made"),
        ({"calculator": "ase.calculators.lj.Nothing"}, "can not be made"),
        ({"calculator": "LennardJones"}, "can not be made"),
    ],
)
def test_an_unknown_teacher_is_named(spec, message):
    with pytest.raises(UserError, match=message):
        teachers.load(spec)


def test_bare_drops_labels_and_makes_periodic():
    atoms = Atoms("Li2", [[0, 0, 0], [0, 0, 3]], cell=[5, 5, 5], info={"energy": 1.0})
    atoms.arrays["forces"] = np.ones((2, 3))
    stripped = teachers.bare(atoms)
    assert stripped.pbc.all()
    assert not stripped.info
    assert set(stripped.arrays) == {"numbers", "positions"}


def test_voigt_order_is_that_of_ase():
    tensor = np.array([[1, 6, 5], [6, 2, 4], [5, 4, 3]])
    assert teachers.to_voigt(tensor).tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # raised inside chgnet, torch and pymatgen
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_chgnet_forces_are_the_gradient_of_its_energy():
    pytest.importorskip("chgnet")
    teacher = teachers.load("chgnet")
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.positions += 0.1 * np.random.default_rng(1).standard_normal(atoms.positions.shape)
    step = 0.01
    moved = []
    for sign in (1, -1):
        copy = atoms.copy()
        copy.positions[0, 0] += sign * step
        moved.append(copy)
    here, up, down = teacher.label([atoms, *moved])
    # float32 energies of some -30 eV carry 4e-6 eV, over 2 x 0.01 Å that is 4e-4 eV/Å; curvature adds more.
    assert here.forces[0, 0] == pytest.approx(-(up.energy - down.energy) / (2 * step), abs=0.02)
    assert np.abs(here.forces.sum(axis=0)).max() < 1e-3
    atoms.calc = teacher.calculator()
    assert here.stress == pytest.approx(atoms.get_stress(), abs=1e-5)
    assert here.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # e3nn still scripts its modules
def test_a_mace_model_teaches(tmp_path):
    module = toy_mace.build(channels=4, lmax=1)
    path = toy_mace.save(module, tmp_path / "teacher.safetensors")
    teacher = teachers.load({"model": str(path)})
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
    atoms.positions[0] += 0.1
    (label,) = teacher.label([atoms])
    atoms.calc = MACEPotential(path, engine="torch", dtype="float64")
    assert label.forces == pytest.approx(atoms.get_forces(), abs=2e-5)
    assert label.stress == pytest.approx(atoms.get_stress(), abs=1e-6)
    assert teacher.version.startswith("sha256 ")
    pickled = toy_mace.save(module, tmp_path / "teacher.model")
    with pytest.raises(UserError, match="sha256"):
        teachers.load({"model": str(pickled)})
    with pytest.raises(UserError, match="no MACE model"):
        teachers.load({"model": "chgnet"})
