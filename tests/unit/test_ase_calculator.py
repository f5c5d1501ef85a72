import numpy as np
import pytest
import toy_mace
from ase.build import bulk
from ase.optimize import FIRE
from getsei.errors import UserError
from getsei.potentials.ase_calculator import MACEPotential

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # e3nn still scripts its modules


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    model = toy_mace.save(toy_mace.build(), tmp_path_factory.mktemp("model") / "toy.safetensors")
    return MACEPotential(model, engine="torch", dtype="float64")


@pytest.fixture
def salt(student):
    atoms = bulk("LiCl", "rocksalt", a=4.9, cubic=True)
    atoms.positions += 0.1 * np.random.default_rng(1).standard_normal(atoms.positions.shape)
    atoms.calc = student
    return atoms


def energies(atoms, change):
    """Energies of two copies, changed forth and back."""
    found = []
    for sign in (1, -1):
        copy = atoms.copy()
        copy.calc = atoms.calc
        change(copy, sign)
        found.append(copy.get_potential_energy())
    return found


def test_forces_are_the_gradient_of_the_energy(salt):
    step = 1e-4

    def move(copy, sign):
        copy.positions[2, 1] += sign * step

    up, down = energies(salt, move)
    assert salt.get_forces()[2, 1] == pytest.approx(-(up - down) / (2 * step), abs=1e-5)


@pytest.mark.parametrize(("component", "row", "column"), [(0, 0, 0), (3, 1, 2), (5, 0, 1)])
def test_stress_is_the_strain_derivative_in_the_order_of_ase(salt, component, row, column):
    step = 1e-5

    def strain(copy, sign):
        shear = np.zeros((3, 3))
        shear[row, column] += 0.5 * sign * step
        shear[column, row] += 0.5 * sign * step
        copy.set_cell(copy.cell[:] @ (np.eye(3) + shear), scale_atoms=True)

    up, down = energies(salt, strain)
    slope = (up - down) / (2 * step) / salt.get_volume()
    assert salt.get_stress()[component] == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_one_calculator_serves_several_lists_of_species(salt):
    one = salt.get_potential_energy()
    two = salt[::-1].repeat((2, 1, 1))
    two.calc = salt.calc
    assert two.get_potential_energy() == pytest.approx(2 * one, abs=1e-8)
    salt.calc.reset()
    assert salt.get_potential_energy() == pytest.approx(one, abs=1e-10)


def move(copy):
    copy.positions[0, 0] += 1e-13


def strain(copy):
    copy.set_cell(copy.cell[:] * (1 + 1e-13), scale_atoms=False)


def exchange(copy):
    copy.numbers[:2] = copy.numbers[1::-1]


@pytest.mark.parametrize("change", [move, strain, exchange])
def test_any_change_is_evaluated_anew_and_none_is_not(salt, change):
    salt.get_potential_energy()
    assert salt.calc.check_state(salt.copy()) == []
    copy = salt.copy()
    change(copy)
    assert salt.calc.check_state(copy)
    assert salt.calc.check_state(salt[:-1])


def test_atoms_that_are_not_periodic_are_refused_with_the_remedy(salt):
    salt.pbc = [True, True, False]
    with pytest.raises(UserError, match=r"set atoms\.pbc = True"):
        salt.get_potential_energy()


def test_the_native_engine_relaxes_atoms_as_torch_does(native_cache, salt, tmp_path):
    model = toy_mace.save(toy_mace.build(atomic_inter_scale=5.0), tmp_path / "toy.safetensors")
    found = []
    for engine in ("native", "torch"):
        atoms = salt.copy()
        atoms.calc = MACEPotential(model, engine=engine, dtype="float64")
        FIRE(atoms, logfile=None).run(steps=20)
        found.append((atoms.positions, atoms.get_potential_energy()))
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-4)
    assert found[0][1] == pytest.approx(found[1][1], abs=1e-5)
