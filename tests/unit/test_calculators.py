"""Potentials of every kind: files, foundation models, CHGNet, ASE calculators."""

import logging

import ase.build
import numpy as np
import pytest
import toy_mace
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential
from getsei import provenance
from getsei.errors import UserError
from getsei.potentials import calculators, models, sources

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # e3nn scripts its modules

MORSE = {
    "model": "ase:ase.calculators.morse.MorsePotential",
    "arguments": {"epsilon": 0.4, "r0": 2.9, "rcut1": 4.0, "rcut2": 5.0},
}


class NoStress(EMT):
    """A calculator that keeps its stress to itself."""

    implemented_properties = ("energy", "forces")

    def get_stress(self, atoms=None):
        raise NotImplementedError("no stress here")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_mace.save(toy_mace.build(), tmp_path_factory.mktemp("model") / "toy.model")


def test_names_are_told_apart():
    assert sources.parse("chgnet").kind == "chgnet"
    assert sources.parse("mace:medium-mpa-0") == sources.Source("mace", "medium-mpa-0")
    assert sources.parse("ase:ase.calculators.emt.EMT").name == "ase.calculators.emt.EMT"
    assert sources.parse("some/where.model").kind == "file"
    for incomplete in ("mace:", "ase:EMT"):
        with pytest.raises(UserError, match="incomplete"):
            sources.parse(incomplete)


def test_a_calculator_gives_its_energy_forces_and_virial():
    atoms = ase.build.bulk("Li", cubic=True).repeat(3)
    atoms.rattle(0.1, seed=1)
    evaluate = calculators.load(MORSE, atoms.get_chemical_symbols())
    found = evaluate(atoms.positions, atoms.cell[:])
    atoms.calc = MorsePotential(**MORSE["arguments"])
    assert found.energy == pytest.approx(atoms.get_potential_energy())
    np.testing.assert_allclose(found.forces, atoms.get_forces())
    np.testing.assert_allclose(found.virial, -atoms.get_stress(voigt=False) * atoms.get_volume())


def test_the_virial_is_minus_the_derivative_with_respect_to_strain():
    atoms = ase.build.bulk("Cu", cubic=True)
    evaluate = calculators.load({"model": "ase:ase.calculators.emt.EMT"}, atoms.get_chemical_symbols())
    step = 1e-5
    energies = [
        evaluate(atoms.positions * scale, atoms.cell[:] * scale).energy for scale in (1 + step, 1 - step)
    ]
    derivative = (energies[0] - energies[1]) / (2 * step)
    assert np.trace(evaluate(atoms.positions, atoms.cell[:]).virial) == pytest.approx(-derivative, rel=1e-3)


def test_what_a_calculator_lacks_is_said_before_anything_runs():
    with pytest.raises(UserError, match=r"emt.EMT gives no energy.*of Li, S"):
        calculators.load({"model": "ase:ase.calculators.emt.EMT"}, ["Li", "S"])
    with pytest.raises(UserError, match="stress of periodic cells"):
        calculators.load({"model": f"ase:{__name__}.NoStress"}, ["Cu"])
    with pytest.raises(UserError, match=r"can not be made.*no_such"):
        calculators.load({"model": "ase:no_such.Calculator"}, ["Cu"])
    with pytest.raises(UserError, match="can not be made"):
        calculators.load({**MORSE, "arguments": "x"}, ["Cu"])
    with pytest.raises(UserError, match="expected an ASE calculator"):
        calculators.load({"model": "ase:collections.OrderedDict"}, ["Cu"])
    with pytest.raises(UserError, match="only an ASE calculator"):
        calculators.load({"model": "chgnet", "arguments": {"a": 1}}, ["Li"])


def test_a_model_file_with_its_checksum(model):
    positions, cell, species = toy_mace.rattled_cell()
    digest = provenance.file_digest(model)
    settings = {"model": str(model), "engine": "torch", "dtype": "float64", "sha256": digest.upper()}
    ours = calculators.load(settings, species)(positions, cell)
    theirs = models.load(model, species, engine="torch", dtype="float64", trust=True)(positions, cell)
    assert ours.energy == theirs.energy
    assert calculators.identity(settings) == digest
    with pytest.raises(UserError, match=r"potential.sha256 says 0000"):
        calculators.load({**settings, "sha256": 64 * "0"}, species)
    with pytest.raises(UserError, match="not Ge"):
        calculators.load(settings, ["Li", "Ge"])


def test_a_foundation_model_comes_from_the_cache_of_mace_torch(model, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    from mace.calculators import foundations_models

    name = "small-0b2"
    kept = "".join(c for c in foundations_models.mace_mp_urls[name].rsplit("/", 1)[1] if c.isalnum())
    (tmp_path / "mace").mkdir()
    (tmp_path / "mace" / kept).write_bytes(model.read_bytes())
    positions, cell, species = toy_mace.rattled_cell()
    settings = {"model": f"mace:{name}", "engine": "torch", "device": "cpu"}
    with pytest.raises(UserError, match=r"pin it with potential\.sha256: [0-9a-f]{64}"):
        calculators.load(settings, species)
    pin = {"sha256": provenance.file_digest(model)}
    with caplog.at_level(logging.INFO, "getsei"):
        evaluate = calculators.load(settings | pin, species)
    assert "device cpu (asked for)" in caplog.text
    assert np.isfinite(evaluate(positions, cell).energy)
    assert calculators.identity({"model": f"mace:{name}"}) == provenance.file_digest(model)
    with pytest.raises(UserError, match=r"no foundation model 'huge'; it knows small, medium"):
        calculators.load({"model": "mace:huge"}, species)


def test_a_foundation_model_that_can_not_be_downloaded_says_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    from mace.calculators import foundations_models

    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(foundations_models, "_urlretrieve_with_timeout", refuse)
    with pytest.raises(UserError, match=r"no network\). Download https://github.com/ACEsuit"):
        calculators.load({"model": "mace:small"}, ["Li"])


@pytest.mark.filterwarnings("ignore")  # CHGNet's own calculator warns
def test_chgnet_agrees_with_its_own_calculator():
    from chgnet.model.dynamics import CHGNetCalculator

    atoms = ase.build.bulk("Na", cubic=True)
    atoms.rattle(0.1, seed=2)
    evaluate = calculators.load({"model": "chgnet", "device": "cpu"}, atoms.get_chemical_symbols())
    found = evaluate(atoms.positions, atoms.cell[:])
    atoms.calc = CHGNetCalculator(use_device="cpu")
    assert found.energy == pytest.approx(float(atoms.get_potential_energy()), rel=1e-5)
    np.testing.assert_allclose(found.forces, atoms.get_forces(), atol=1e-4)
    np.testing.assert_allclose(found.virial, -atoms.get_stress(voigt=False) * atoms.get_volume(), atol=1e-3)
    with pytest.raises(UserError, match="not Po"):
        calculators.load({"model": "chgnet"}, ["Po"])
    assert calculators.identity({"model": "chgnet"}).startswith("chgnet 0.4")


def test_cuda_without_a_device_is_refused_and_auto_says_why(monkeypatch):
    monkeypatch.setattr(calculators.torch.cuda, "is_available", lambda: False)
    assert calculators.pick_device("auto") == ("cpu", "no CUDA device is there")
    with pytest.raises(UserError, match="no CUDA device"):
        calculators.pick_device("cuda")
    monkeypatch.setattr(calculators.torch.cuda, "is_available", lambda: True)
    assert calculators.pick_device("auto")[0] == "cuda"
    assert calculators.pick_device("cpu")[0] == "cpu"


def test_a_card_that_lacks_an_element_stops_the_workflow_before_any_job():
    embedded = {"model": str(models.provenance.ROOT.parent / "config/potentials/getsei-small.safetensors")}
    sources.check_elements(embedded, ["Li", "S"])
    sources.check_elements({"model": "chgnet"}, ["Na"])
    with pytest.raises(UserError, match=r"potential.model: .* not Na, which the crystals hold"):
        sources.check_elements(embedded, ["Na", "S"])
