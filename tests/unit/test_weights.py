"""Models as data: nothing is run when one is read, and the numbers are those of the pickled module."""

import copy
import os
import pickle

import numpy as np
import pytest
import toy_mace
from getsei import provenance, tensors
from getsei.errors import UserError
from getsei.potentials import models, weights

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # e3nn still scripts its modules


@pytest.fixture(scope="module")
def module():
    return toy_mace.build()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, module):
    folder = tmp_path_factory.mktemp("models")
    toy_mace.save(module, folder / "toy.model")
    toy_mace.save(module, folder / "toy.safetensors")
    return folder


def forces(module, dtype="float64"):
    positions, cell, species = toy_mace.rattled_cell(skew=0.2)
    own = models.TorchEvaluator(copy.deepcopy(module), species, dtype=dtype, device="cpu", threads=1)
    own(positions, cell)  # TorchScript rounds its first call in a process otherwise than all later ones
    found = own(positions, cell)
    return np.array([found.energy, *found.forces.ravel(), *found.virial.ravel()])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rebuilt_module_gives_the_same_bits(folder, dtype):
    pickled = models.read_mace(folder / "toy.model", trust=True)
    rebuilt = models.read_mace(folder / "toy.safetensors")
    np.testing.assert_array_equal(forces(rebuilt, dtype), forces(pickled, dtype))


@pytest.mark.parametrize(
    "options",
    [{"hidden": "8x0e + 8x1o"}, {"layers": 1}, {"correlation": 3}, {"pair_repulsion": False}],
    ids=str,
)
def test_other_architectures_are_covered(tmp_path, options):
    module = toy_mace.build(**options)
    weights.save(module, tmp_path / "x.safetensors")
    rebuilt = weights.load(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(forces(rebuilt.double()), forces(module))


class Bomb:
    """Does something when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_pickle_is_not_read_unless_someone_vouches_for_it(tmp_path):
    mark, path = tmp_path / "it-ran", tmp_path / "evil.model"
    path.write_bytes(pickle.dumps(Bomb(mark)))
    digest = provenance.file_digest(path)
    with pytest.raises(UserError, match=rf"runs whatever code.*potential\.sha256: {digest}.*trust"):
        models.load(path, ["Li"])
    with pytest.raises(UserError, match=r"potential\.sha256 says 00"):
        models.load(path, ["Li"], sha256="00" * 32)
    # A card comes with the file, from the same hands: it vouches for nothing.
    path.with_suffix(".yaml").write_text(f"sha256: {digest}\n")
    with pytest.raises(UserError, match="runs whatever code"):
        models.load(path, ["Li"])
    # The ending decides how a file is read, so a pickle under the name of data is only damaged data.
    disguised = tmp_path / "evil.safetensors"
    disguised.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="not a safetensors file"):
        models.load(disguised, ["Li"])
    assert not mark.exists()
    with pytest.raises(UserError, match="cannot be read as a MACE model"):
        models.load(path, ["Li"], trust=True)
    assert mark.exists(), "the trap works: only the refusals above kept it shut"


def test_pinned_pickle_loads(folder):
    digest = provenance.file_digest(folder / "toy.model")
    assert models.load(folder / "toy.model", ["Li"], engine="torch", sha256=digest).cutoff_A == pytest.approx(
        4.0
    )


def forged(folder, tmp_path, **changes):
    arrays, facts = tensors.load(folder / "toy.safetensors")
    tensors.save(tmp_path / "forged.safetensors", arrays, facts | changes)
    return tmp_path / "forged.safetensors"


@pytest.mark.parametrize(
    "changes",
    [
        {"interaction_cls": "os.system"},
        {"gate": "exec"},
        {"max_ell": 10**6},
        {"num_interactions": -1},
        {"hidden_irreps": "999999999x0e"},
        {"hidden_irreps": 7},
        {"radial_MLP": [10**9]},
        {"radial_MLP": None},
        {"atomic_numbers": [3, 15, 16, 0]},
        {"atomic_numbers": []},
        {"heads": []},
        {"dtype": "float16"},
        {"correlation": 3},
        {"num_elements": 5},
    ],
    ids=str,
)
def test_forged_architecture_is_one_message(folder, tmp_path, changes):
    with pytest.raises(UserError, match=r"forged\.safetensors: "):
        weights.load(forged(folder, tmp_path, **changes))


def test_missing_weights_are_named(folder, tmp_path):
    arrays, facts = tensors.load(folder / "toy.safetensors")
    del arrays["scale_shift.scale"]
    tensors.save(tmp_path / "x.safetensors", arrays, facts)
    with pytest.raises(UserError, match=r"scale_shift\.scale"):
        weights.load(tmp_path / "x.safetensors")


def test_models_that_are_not_covered_are_refused(tmp_path):
    with pytest.raises(UserError, match="only a ScaleShiftMACE"):
        weights.save(toy_mace.torch.nn.Linear(2, 2), tmp_path / "x.safetensors")


def test_elements_are_read_from_the_header(folder):
    assert weights.elements(folder / "toy.safetensors") == ("Li", "P", "S", "Cl")


def test_command_line_converts_there_and_back(folder, tmp_path, capsys):
    assert weights.main(["export", str(folder / "toy.safetensors"), str(tmp_path / "out.model")]) == 0
    assert weights.main(["import", str(tmp_path / "out.model"), str(tmp_path / "back.safetensors")]) == 0
    assert (tmp_path / "back.safetensors").read_bytes() == (folder / "toy.safetensors").read_bytes()
    assert "sha256" in capsys.readouterr().out
    assert weights.main(["import", str(tmp_path / "out.model"), str(tmp_path / "back.safetensors")]) == 1
    assert "exists already" in capsys.readouterr().err


def test_embedded_model_is_the_one_of_its_card():
    root = provenance.ROOT.parent
    model = root / "config/potentials/getsei-small.safetensors"
    assert models.verify(model) == provenance.file_digest(model)
    assert weights.elements(model) == ("Li", "O", "P", "S", "Cl", "Ge", "Zr", "La")
    assert not list((root / "config").rglob("*.model")), "a pickled model in the repository"
