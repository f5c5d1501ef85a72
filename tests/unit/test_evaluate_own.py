"""A user's own model beside their own labelled frames: make evaluate."""

import csv
import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from getsei import evaluate
from getsei.errors import UserError
from getsei.potentials import dataset
from getsei.potentials.evaluation import candidate, labelled

MODEL = "ase:ase.calculators.lj.LennardJones"
ARGUMENTS = '{"sigma": 2.3, "epsilon": 0.4, "rc": 6.0}'
SHIFTS = {"Cu": -3300.0, "Ag": -4000.0, "Au": 12.0}


def true(atoms):
    atoms.calc = LennardJones(sigma=2.3, epsilon=0.4, rc=6.0)
    return atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()


def frames(n=8, elements=("Cu", "Ag"), noise_eV_per_A=0.05, seed=1):
    """Return random alloys with noisy labels of a Lennard-Jones crystal, unlabelled in any format yet."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        atoms = bulk("Cu", "fcc", a=3.6, cubic=True).repeat((2, 1, 1))
        atoms.symbols[:] = rng.choice(elements, len(atoms))
        atoms.positions += 0.05 * rng.standard_normal(atoms.positions.shape)
        energy, forces, stress = true(atoms.copy())
        forces = forces + noise_eV_per_A * rng.standard_normal(forces.shape)
        found.append((atoms, energy, forces, stress))
    return found


def save(path, found, form="dft", shifts=None, kinds=("hot", "cold")):
    """Write frames as extxyz with labels in one of the common forms."""
    written = []
    for number, (atoms, energy, forces, stress) in enumerate(found):
        frame = atoms.copy()
        energy = energy + sum((shifts or {}).get(symbol, 0.0) for symbol in frame.get_chemical_symbols())
        if form == "calculator":
            frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces, stress=stress)
        elif form == "virial":
            frame.info["REF_energy"], frame.arrays["REF_forces"] = energy, forces
            matrix = stress[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
            frame.info["REF_virial"] = -matrix * frame.get_volume()
        else:
            frame.info["dft_energy"], frame.arrays["dft_forces"] = energy, forces
            frame.info["dft_stress"] = stress
        frame.info["config_type"] = kinds[number % len(kinds)]
        written.append(frame)
    write(path, written, format="extxyz")
    return path


@pytest.mark.parametrize("form", ["dft", "calculator", "virial"])
def test_labels_are_found_under_common_names(tmp_path, form):
    made = frames(3)
    found = labelled.load([save(tmp_path / "x.extxyz", made, form)])
    assert len(found.frames) == 3
    for frame, (_, energy, forces, stress) in zip(found.frames, made, strict=True):
        assert frame.info[dataset.ENERGY] == pytest.approx(energy, abs=1e-6)
        assert frame.arrays[dataset.FORCES] == pytest.approx(forces, abs=1e-6)
        tensor = np.asarray(frame.info[dataset.STRESS]).ravel()
        tensor = tensor if tensor.size == 6 else tensor[[0, 4, 8, 5, 2, 1]]
        assert tensor == pytest.approx(stress, abs=1e-6)
    assert [frame.info["kind"] for frame in found.frames] == ["hot", "cold", "hot"]


def test_a_label_of_its_own_name_is_taken_when_told(tmp_path):
    made = frames(2)
    for atoms, energy, forces, _ in made:
        atoms.info["pbe_e"], atoms.arrays["pbe_f"] = energy, forces
    write(tmp_path / "x.extxyz", [atoms for atoms, *_ in made])
    with pytest.raises(UserError, match=r"no frame carries energy and forces.*pbe_e.*--energy-key"):
        labelled.load([tmp_path / "x.extxyz"])
    found = labelled.load([tmp_path / "x.extxyz"], "pbe_e", "pbe_f")
    assert found.frames[0].info[dataset.ENERGY] == pytest.approx(made[0][1])


def test_bad_frames_are_left_out_and_counted(tmp_path):
    made = frames(4)
    made[1][2][0, 0] = np.nan
    path = save(tmp_path / "x.extxyz", made)
    bare = Atoms("Cu", cell=np.eye(3) * 9, pbc=True)
    write(path, bare, append=True)
    found = labelled.load([path])
    assert len(found.frames) == 3
    assert dict(found.dropped) == {"with numbers that are not finite": 1, "without energy or forces": 1}


def test_molecules_without_a_cell_get_a_box_and_no_stress(tmp_path):
    frame = Atoms("CuAg", positions=[[0, 0, 0], [0, 0, 2.5]])
    frame.info["dft_energy"], frame.arrays["dft_forces"] = -1.0, np.zeros((2, 3))
    frame.info["dft_stress"] = np.zeros(6)
    write(tmp_path / "x.extxyz", frame)
    found = labelled.load([tmp_path / "x.extxyz"])
    assert found.frames[0].cell.lengths() == pytest.approx([15, 15, 17.5])
    assert dataset.STRESS not in found.frames[0].info
    assert "vacuum" in found.notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "holds no frame|not readable"),
        (b"\x00\x01binary", "not readable"),
        (b"2\nProperties=species:S:1:pos:R:3 dft_energy=1\nCu 0 0 0\n", "not readable"),
        (
            b'1\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3\nCu 0 0 0\n',
            "no frame carries energy",
        ),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    path = tmp_path / "bad.extxyz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        labelled.load([path])
    assert "bad.extxyz" in str(error.value)


def errors_of(made, found):
    """Return the model's energies (of the true potential) less the labels."""
    return np.array([energy for _, energy, _, _ in made]) - np.array(
        [frame.info[dataset.ENERGY] for frame in found.frames]
    )


def test_offsets_of_elements_are_recovered(tmp_path):
    made = frames(12)
    found = labelled.load([save(tmp_path / "x.extxyz", made, shifts=SHIFTS)])
    offsets = labelled.fit_offsets(found.frames, errors_of(made, found))
    assert offsets.applied
    assert offsets.rank == 2
    assert offsets.undetermined == ()
    assert offsets.per_element_eV == pytest.approx({"Ag": -4000.0, "Cu": -3300.0}, abs=1e-6)
    assert "another zero" in offsets.said


def test_equal_zeros_are_left_alone(tmp_path):
    made = frames(12)
    found = labelled.load([save(tmp_path / "x.extxyz", made)])
    offsets = labelled.fit_offsets(found.frames, errors_of(made, found))
    assert not offsets.applied
    assert set(offsets.per_element_eV.values()) == {0.0}
    assert "same zero" in offsets.said


def test_a_fit_can_be_refused(tmp_path):
    made = frames(4)
    found = labelled.load([save(tmp_path / "x.extxyz", made, shifts=SHIFTS)])
    assert not labelled.fit_offsets(found.frames, errors_of(made, found), "never").applied


def test_compositions_that_do_not_tell_elements_apart_are_named(tmp_path):
    # Gold and silver always one to one, copper free: only the sum of the two is determined.
    rng = np.random.default_rng(3)
    made = []
    for number in range(8):
        atoms = bulk("Cu", "fcc", a=3.6, cubic=True).repeat((2, 1, 1))
        pairs = 1 + number % 3
        atoms.symbols[:] = ["Au"] * pairs + ["Ag"] * pairs + ["Cu"] * (8 - 2 * pairs)
        atoms.positions += 0.02 * rng.standard_normal(atoms.positions.shape)
        made.append((atoms, *true(atoms.copy())))
    found = labelled.load([save(tmp_path / "x.extxyz", made, shifts=SHIFTS)])
    offsets = labelled.fit_offsets(found.frames, errors_of(made, found))
    assert offsets.undetermined == ("Ag", "Au")
    assert offsets.rank == 2
    assert offsets.per_element_eV["Cu"] == pytest.approx(-3300.0, abs=1e-6)
    total = offsets.per_element_eV["Ag"] + offsets.per_element_eV["Au"]
    assert total == pytest.approx(SHIFTS["Ag"] + SHIFTS["Au"], abs=1e-6)
    assert "only their sums" in offsets.said


def test_too_few_frames_for_the_fit_are_told(tmp_path):
    made = frames(3)
    found = labelled.load([save(tmp_path / "x.extxyz", made, shifts=SHIFTS)])
    offsets = labelled.fit_offsets(found.frames, errors_of(made, found))
    assert "not told" in offsets.said
    assert not offsets.tell


def test_energies_that_the_fit_takes_up_are_not_told(tmp_path, capsys):
    data = save(tmp_path / "mine.extxyz", frames(3), shifts=SHIFTS)
    out = tmp_path / "out"
    assert evaluate.main([MODEL, str(data), "--arguments", ARGUMENTS, "--output", str(out)]) == 0
    assert "energy" not in capsys.readouterr().out.splitlines()[-2]
    (model,) = json.loads((out / "evaluation.json").read_text())["potentials"]
    assert model["errors_by_kind"]["all"]["energy_meV_per_atom"] is None
    assert "energy" not in (out / "errors.csv").read_text().split("\n", 1)[1]


def test_model_and_teacher_go_from_file_to_page(tmp_path, capsys):
    data = save(tmp_path / "mine.extxyz", frames(8, noise_eV_per_A=0.05), shifts=SHIFTS)
    out = tmp_path / "out"
    words = [MODEL, str(data), "--arguments", ARGUMENTS, "--teacher", MODEL, "--output", str(out)]
    assert evaluate.main(words) == 0
    said = capsys.readouterr().out
    assert "another zero" in said
    assert "8 frames, 64 atoms (Cu, Ag)" in said
    numbers = json.loads((out / "evaluation.json").read_text())
    model, teacher = numbers["potentials"]
    force = model["errors_by_kind"]["all"]["force_meV_per_A"]["rmse"]
    assert force == pytest.approx(50.0, rel=0.15)
    # Energies were labelled without noise: what is left is rounding.
    assert model["errors_by_kind"]["all"]["energy_meV_per_atom"]["rmse"] < 0.01
    assert set(model["errors_by_kind"]) == {"all", "hot", "cold"}
    assert model["offsets_eV"] == pytest.approx({"Ag": -4000.0, "Cu": -3300.0}, abs=1e-3)
    # The teacher has other parameters, hence other forces.
    assert teacher["errors_by_kind"]["all"]["force_meV_per_A"]["rmse"] > force
    assert numbers["between"]["force_meV_per_A"]["rmse"] > 0
    with (out / "frames.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 16
    assert {row["kind"] for row in rows} == {"hot", "cold"}
    page = (out / "index.html").read_text()
    assert "Constants added to the energies" in page
    assert "Cu-Ag" in page
    assert (out / "parity.png").stat().st_size > 20_000
    assert (out / "errors.csv").read_text().startswith("group,name,quantity")


def test_the_limit_is_told():
    def summary(force):
        return {"errors_by_kind": {"all": {"force_meV_per_A": {"rmse": force}}}}

    offsets = labelled.Offsets({}, False, 0, (), "")
    student, teacher = (
        evaluate.Compared(name, "", [], offsets, summary(f)) for name, f in (("s", 120), ("t", 110))
    )
    assert "t is the limit" in evaluate.verdict(student, teacher, {"force_meV_per_A": {"rmse": 60}})
    assert "t is not the limit" in evaluate.verdict(student, teacher, {"force_meV_per_A": {"rmse": 150}})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.safetensors", "{data}"], "MODEL: nowhere.safetensors: no such file"),
        (["{pickle}", "{data}"], "OPTIONS='--sha256"),
        ([MODEL, "{data}", "--arguments", "[1"], "not a JSON mapping"),
        (["ase:ase.calculators.nothing.Here", "{data}"], "can not be made"),
        ([MODEL, "missing.extxyz"], "missing.extxyz: no such file"),
    ],
)
def test_mistakes_end_in_one_message(tmp_path, capsys, words, message):
    pickle = tmp_path / "m.model"
    pickle.write_bytes(b"x")
    data = save(tmp_path / "mine.extxyz", frames(2))
    assert evaluate.main([word.format(data=data, pickle=pickle) for word in words]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # e3nn still scripts its modules
def test_a_student_is_read_from_its_file(tmp_path):
    import toy_mace

    model = toy_mace.save(toy_mace.build(atomic_numbers=[3, 16]), tmp_path / "toy.safetensors")
    positions, cell, species = toy_mace.rattled_cell(symbols=["Li", "S"])
    frame = Atoms(species, positions=positions, cell=cell, pbc=True)
    frame.calc = candidate.from_settings({"model": str(model), "engine": "torch"}).calculator
    labels = (frame.get_potential_energy(), frame.get_forces(), frame.get_stress())
    data = save(tmp_path / "mine.extxyz", [(frame.copy(), *labels)] * 2)
    words = [str(model), str(data), "--engine", "torch", "--output", str(tmp_path / "out")]
    assert evaluate.main(words) == 0
    numbers = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    errors = numbers["potentials"][0]["errors_by_kind"]["all"]
    assert errors["force_meV_per_A"]["rmse"] < 0.1
    assert errors["energy_meV_per_atom"]["rmse"] < 0.01
    assert errors["stress_GPa"]["rmse"] < 1e-4
