import ase
import numpy as np
import pytest
import toy_mace
from getsei import provenance
from getsei.errors import GuardError, UserError
from getsei.potentials import models
from mace.calculators import MACECalculator

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # e3nn still scripts its modules


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_mace.save(toy_mace.build(), tmp_path_factory.mktemp("model") / "toy.safetensors")


@pytest.fixture(scope="module")
def cell():
    return toy_mace.rattled_cell(skew=0.2)


@pytest.mark.filterwarnings("ignore")  # the calculator of mace warns about its own defaults
def test_torch_engine_agrees_with_the_ase_calculator_of_mace(model, cell, tmp_path):
    positions, h, species = cell
    atoms = ase.Atoms(species, positions=positions, cell=h, pbc=True)
    pickled = toy_mace.save(toy_mace.build(), tmp_path / "toy.model")
    atoms.calc = MACECalculator(model_paths=str(pickled), device="cpu", default_dtype="float64")
    ours = models.load(model, species, engine="torch", dtype="float64")(positions, h)
    assert ours.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(ours.forces, atoms.get_forces(), atol=1e-10)
    np.testing.assert_allclose(ours.virial, -atoms.get_stress(voigt=False) * atoms.get_volume(), atol=1e-9)


def test_single_precision_is_close_to_double(model, cell):
    positions, h, species = cell
    single = models.load(model, species, engine="torch")
    double = models.load(model, species, engine="torch", dtype="float64")
    np.testing.assert_allclose(single(positions, h).forces, double(positions, h).forces, atol=1e-4)
    assert single.cutoff_A == pytest.approx(4.0)
    assert single.elements == ("Li", "P", "S", "Cl")


def test_unknown_element_is_named(model):
    with pytest.raises(UserError, match=r"knows Li, P, S, Cl but not Ge, O"):
        models.load(model, ["Li", "O", "Ge"])


def test_every_reading_is_a_model_of_its_own_and_of_the_file_as_it_is(tmp_path):
    path = toy_mace.save(toy_mace.build(), tmp_path / "toy.safetensors")
    one, two = models.read_mace(path), models.read_mace(path)
    first = next(one.parameters()).clone()
    next(one.parameters()).mul_(2.0)
    assert models.torch.equal(next(two.parameters()), first)
    other = toy_mace.build()
    with models.torch.no_grad():
        next(other.parameters()).mul_(3.0)
    toy_mace.save(other, path)
    assert not models.torch.equal(next(models.read_mace(path).parameters()), first)


def test_card_with_another_checksum_refuses_the_model(model, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(model.read_bytes())
    card = copy.with_suffix(".yaml")
    card.write_text(f"sha256: {provenance.file_digest(copy)}\n", encoding="utf-8")
    assert models.verify(copy) == provenance.file_digest(model)
    card.write_text("sha256: 00ff\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"copy\.yaml says 00ff"):
        models.load(copy, ["Li"])


def test_files_that_are_no_model_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such model file"):
        models.load(tmp_path / "absent.model", ["Li"])
    text = tmp_path / "text.model"
    text.write_text("not a model", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be read as a MACE model"):
        models.load(text, ["Li"], trust=True)
    other = toy_mace.save(toy_mace.torch.nn.Linear(2, 2), tmp_path / "other.model")
    with pytest.raises(UserError, match="holds a Linear"):
        models.load(other, ["Li"], trust=True)


def test_settings_out_of_range_are_refused(model):
    with pytest.raises(UserError, match=r"potential\.engine"):
        models.load(model, ["Li"], engine="fast")
    with pytest.raises(UserError, match=r"potential\.dtype"):
        models.load(model, ["Li"], dtype="float16")
    with pytest.raises(UserError, match="no atoms"):
        models.load(model, [])


@pytest.mark.skipif(
    toy_mace.torch.cuda.is_available(),
    reason="tests the refusal of cuda where there is none: run with CUDA_VISIBLE_DEVICES= set to nothing",
)
def test_missing_device_is_said(model):
    with pytest.raises(UserError, match="no CUDA device"):
        models.load(model, ["Li"], device="cuda")


def test_bad_geometry_is_refused(model, cell):
    positions, h, species = cell
    evaluator = models.load(model, species, engine="torch")
    with pytest.raises(UserError, match="expected positions"):
        evaluator(positions[:-1], h)
    with pytest.raises(UserError, match="no volume"):
        evaluator(positions, np.zeros((3, 3)))
    broken = positions.copy()
    broken[4, 1] = np.nan
    with pytest.raises(GuardError, match=r"non-finite coordinates \(atoms \[4\]\)"):
        evaluator(broken, h)
    broken[4] = positions[7]
    with pytest.raises(GuardError, match="Å apart"):
        evaluator(broken, h)
