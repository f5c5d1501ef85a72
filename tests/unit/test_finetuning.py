import numpy as np
import pytest
import toy_mace
import yaml
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.io import write
from getsei import finetune
from getsei.errors import UserError
from getsei.potentials import finetuning, models, sampling, sources, training, weights
from getsei.potentials.ase_calculator import MACEPotential

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # e3nn still scripts its modules

ZERO_eV = {"Li": -7.0, "Cl": -120.0}
"""Of the made-up DFT code; a model's zeros are others."""


def dft(path, count=9, seed=1):
    """Write frames with the labels of a made-up code under the names that many codes use."""
    rng = np.random.default_rng(seed)
    frames = []
    for number in range(count):
        salt = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
        if number % 3 == 0:
            del salt[0]  # another composition, so that both zeros are determined
        atoms = sampling.displaced(salt, rng, 0.1, 0.1, 0.02)
        atoms.calc = LennardJones(sigma=2.3, epsilon=0.2, rc=4.5)
        frame = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
        shift = sum(ZERO_eV[symbol] for symbol in atoms.get_chemical_symbols())
        frame.info["DFT_energy"] = atoms.get_potential_energy() + shift
        frame.arrays["DFT_forces"] = atoms.get_forces()
        frames.append(frame)
    write(path, frames, format="extxyz")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "toy.safetensors"
    return toy_mace.save(toy_mace.build(channels=4, lmax=1).float(), path)


@pytest.mark.slow
def test_a_model_learns_from_a_users_dft_and_keeps_its_shape(model, tmp_path, capsys):
    data = dft(tmp_path / "dft.extxyz")
    own = tmp_path / "own.safetensors"
    words = [str(model), str(data), "--output", str(own), "--epochs", "8", "--learning-rate", "0.04"]
    assert finetune.main(words) == 0
    card = yaml.safe_load(own.with_suffix(".yaml").read_text())
    errors = card["errors_on_test_frames"]
    assert errors["after"]["force_rmse_meV_per_A"] < 0.9 * errors["before"]["force_rmse_meV_per_A"]
    assert "another zero" in card["energies"]
    assert card["heads"] == "one"
    before, after = weights.architecture(weights.load(model)), weights.architecture(weights.load(own))
    of_the_labels = {"atomic_energies", "atomic_inter_shift", "atomic_inter_scale"}
    assert {key for key in before if before[key] != after[key]} <= of_the_labels
    assert models.verify(own) == card["sha256"]
    assert sources.uncertainty_of(own).is_file()
    assert str(errors["after"]["force_rmse_meV_per_A"]) in capsys.readouterr().out
    assert sorted(p.suffix for p in tmp_path.iterdir() if p.name.startswith(".")) == []
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
    atoms.calc = MACEPotential(own, engine="torch")
    assert atoms.get_potential_energy() == pytest.approx(4 * sum(ZERO_eV.values()), abs=8.0)
    assert finetune.main(words) == 1
    assert "exists already" in capsys.readouterr().err


@pytest.mark.slow
def test_frames_to_replay_make_a_second_head_that_goes_again(model, tmp_path, monkeypatch):
    def nothing(*_, **__):
        raise UserError("too few frames")

    # A tuned model is worth keeping without an uncertainty.
    monkeypatch.setattr(finetuning.calibration, "calibrate", nothing)
    data, replay = dft(tmp_path / "dft.extxyz"), dft(tmp_path / "old.extxyz", 6, seed=2)
    own = tmp_path / "own.safetensors"
    card = finetuning.finetune(
        finetuning.Start.load(str(model)),
        [data],
        own,
        replay=[replay],
        schedule=training.Schedule(epochs=1, learning_rate=0.001),
    )
    assert card["heads"] == "two, with replay"
    assert not sources.uncertainty_of(own).exists()
    assert list(weights.load(own).heads) == [finetuning.HEAD]
    assert set(card["data"]["files"]) == {"dft.extxyz", "old.extxyz"}


def test_the_head_that_is_kept_gives_the_same_forces():
    both = toy_mace.build(
        channels=4,
        lmax=1,
        heads=["pt_head", finetuning.HEAD],
        atomic_energies=np.array([[-1.0, -2, -3, -4], [-2.0, -3, -4, -5]]),
        atomic_inter_scale=[0.8, 0.9],
        atomic_inter_shift=[0.1, 0.2],
        MLP_irreps=toy_mace.o3.Irreps("16x0e"),
    )
    positions, cell, species = toy_mace.rattled_cell()
    two = models.TorchEvaluator(both, species, dtype="float64", device="cpu", threads=1)
    two._constant["head"] += 1
    one = models.TorchEvaluator(finetuning.single(both), species, dtype="float64", device="cpu", threads=1)
    wanted, found = two(positions, cell), one(positions, cell)
    assert found.energy == pytest.approx(wanted.energy, abs=1e-9)
    assert found.forces == pytest.approx(wanted.forces, abs=1e-9)


def frames(names):
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
    return [sampling.tagged(atoms, "dft", name, 0) for name in names]


def test_no_part_stays_empty_and_no_trajectory_is_in_two():
    parts = finetuning.split(frames(["a", "a", "b", "c"]))
    names = {part: {f.info["trajectory"] for f in chosen} for part, chosen in parts.items()}
    assert all(names.values())
    assert sum(len(chosen) for chosen in parts.values()) == 4
    assert not names["train"] & names["test"]
    with pytest.raises(UserError, match="2 trajectories"):
        finetuning.split(frames(["a", "b"]))


def test_an_element_that_the_model_lacks_is_named(model):
    start = finetuning.Start.load(str(model))
    with pytest.raises(UserError, match="Ge"):
        finetuning.energies_of_elements(start, [sampling.tagged(bulk("Ge"), "dft", "a", 0)])


@pytest.mark.parametrize(
    "words", [["", "x.extxyz"], ["chgnet", "x.extxyz"], ["missing.safetensors", "x.extxyz"]]
)
def test_what_cannot_be_tuned_is_refused(words, capsys, tmp_path):
    assert finetune.main([*words, "--output", str(tmp_path / "o.safetensors")]) == 1
    assert "Traceback" not in capsys.readouterr().err
