import csv
import json

import numpy as np
import pytest
import toy_mace
from ase import Atoms
from getsei import extrapolation, preflight, ranking, tensors
from getsei.errors import UserError
from getsei.potentials import calibration, dataset, models, sampling, sources, uncertainty
from getsei.potentials.teachers import Label
from getsei.records import Estimate, Trajectory

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # e3nn still scripts its modules


def frames(count, seed, spread=0.05):
    """Rattled cells; half of them strongly, so that errors differ."""
    found = []
    for number in range(count):
        positions, cell, species = toy_mace.rattled_cell(seed=7)
        rng = np.random.default_rng([seed, number])
        amplitude = spread * (1 + 4 * (number % 2))
        atoms = Atoms(species, positions + amplitude * rng.normal(size=positions.shape), cell=cell, pbc=True)
        found.append(sampling.tagged(atoms, "crystal", f"t{seed}-{number}", 0))
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_mace.save(toy_mace.build(lmax=1), tmp_path_factory.mktemp("model") / "toy.safetensors")


@pytest.fixture(scope="module")
def parts(model):
    """Labels of a teacher that differs from the student in its readouts alone."""
    module = models.read_mace(model)
    rng = np.random.default_rng(5)
    other = {
        name: weights + 0.2 * rng.normal(size=weights.shape)
        for name, weights in calibration.last_layers(module).items()
    }
    teacher = uncertainty.Ensemble(module, [other])
    labelled = {}
    for number, name in enumerate(("train", "validation", "test")):
        labelled[name] = [
            dataset.with_label(
                f,
                Label(0.0, teacher.forces(f.get_chemical_symbols(), f.positions, f.cell[:])[0], np.zeros(6)),
            )
            for f in frames(12, number)
        ]
    return labelled


@pytest.fixture(scope="module")
def calibrated(model, parts):
    found = calibration.calibrate(model, parts, draws=6)
    found.save(model)
    return found


def test_the_forces_are_linear_in_the_readouts(model):
    module = models.read_mace(model)
    weights = calibration.last_layers(module)
    doubled = {name: 2 * value for name, value in weights.items()}
    nothing = {name: 0 * value for name, value in weights.items()}
    atoms = frames(1, 3)[0]
    one, two, zero = uncertainty.Ensemble(module, [{}, doubled, nothing]).forces(
        atoms.get_chemical_symbols(), atoms.positions, atoms.cell[:]
    )
    assert np.abs(one - zero).max() > 0.01
    assert two - zero == pytest.approx(2 * (one - zero), abs=1e-4)


def test_a_model_that_the_compiled_evaluator_cannot_run_goes_through_torch():
    module = toy_mace.build(channels=4, lmax=1, hidden="4x0e+4x1o")
    weights = calibration.last_layers(module)
    assert sum(value.size for value in weights.values()) == 4 + 16
    atoms = frames(1, 3)[0]
    other = {name: 1.1 * value for name, value in weights.items()}
    forces = uncertainty.Ensemble(module, [{}, other]).forces(
        atoms.get_chemical_symbols(), atoms.positions, atoms.cell[:]
    )
    assert (uncertainty.disagreement(forces) > 0).all()


def test_the_expected_error_has_the_size_and_the_order_of_the_actual_one(calibrated):
    test = calibrated.report["test"]
    assert calibrated.said == "committee: 6 drawn from the posterior of the readouts"
    assert test["atoms"] == 12 * 27
    assert 0.6 < test["error_over_expected"] < 1.7
    assert test["spearman_atoms"] > 0.2
    assert 0.0 < test["marked"] < 0.5
    assert test["precision"] > 2 * 0.02


def test_an_uncertainty_survives_its_file(model, calibrated):
    again = uncertainty.load(model)
    assert again.groups[0].scales == pytest.approx(calibrated.groups[0].scales)
    assert again.thresholds == pytest.approx(calibrated.thresholds)
    assert again.report["test"]["atoms"] == calibrated.report["test"]["atoms"]
    atoms = frames(1, 9)[0]
    doubt = uncertainty.doubt_of(model)
    direct = calibrated.judge(models.read_mace(model), atoms.get_chemical_symbols())
    assert doubt(atoms) == pytest.approx(direct(atoms.positions, atoms.cell[:]))
    assert doubt(atoms).shape == (27,)
    assert (doubt(atoms) > 0).all()


def test_an_ensemble_gives_the_same_after_other_atoms(model):
    module = models.read_mace(model)
    whole = frames(1, 9)[0]
    one_element = whole[[s == whole[0].symbol for s in whole.get_chemical_symbols()]]
    many = uncertainty.Ensemble(module, [{}])
    for atoms in (whole, whole[1:], one_element, whole):
        asked = (atoms.get_chemical_symbols(), atoms.positions, atoms.cell[:])
        assert np.array_equal(many.forces(*asked), uncertainty.Ensemble(module, [{}]).forces(*asked))
    order = uncertainty.in_quick_order([whole, one_element, whole[1:], one_element[1:], whole])
    assert {1, 3} in (set(order[:2]), set(order[-2:])), "frames of the same elements follow each other"


def test_members_are_made_ready_once_for_all_compositions(model, calibrated, monkeypatch):
    made = []
    prepare = uncertainty._prepared
    monkeypatch.setattr(uncertainty, "_prepared", lambda module: made.append(module) or prepare(module))
    doubt = uncertainty.doubt_of(model)
    whole = frames(1, 9)[0]
    for atoms in (whole, whole[1:], whole):
        assert len(doubt(atoms)) == len(atoms)
    assert len(made) == 1 + sum(len(group.members) for group in calibrated.groups)


def test_a_model_without_an_uncertainty_has_none(tmp_path):
    alone = toy_mace.save(toy_mace.build(), tmp_path / "alone.safetensors")
    assert uncertainty.load(alone) is None
    assert uncertainty.doubt_of(alone) is None
    found = uncertainty.judgement({"model": str(alone)}, ["Li"])
    assert found.judge is None
    assert "alone.uncertainty.safetensors" in found.note
    assert uncertainty.judgement({"model": "chgnet"}, ["Li"]).judge is None
    assert "none" in uncertainty.judgement({"model": str(alone)}, ["Li"], "none").note


def test_the_uncertainty_of_another_model_is_refused(tmp_path, calibrated):
    other = toy_mace.save(toy_mace.build(seed=2), tmp_path / "other.safetensors")
    calibrated.save(other)
    for read in (uncertainty.load, preflight.check_uncertainty):
        with pytest.raises(UserError, match=r"other\.uncertainty\.safetensors.* belongs to another model"):
            read(str(other))
    for fine in (str(tmp_path / "without.safetensors"), "chgnet", "mace:small"):
        preflight.check_uncertainty(fine)


def test_a_damaged_file_is_refused(tmp_path, model):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(model.read_bytes())
    sources.uncertainty_of(copy).write_bytes(model.read_bytes())
    with pytest.raises(UserError, match="not the uncertainty"):
        uncertainty.load(copy)


def test_an_element_without_a_factor_is_named(model, calibrated):
    with pytest.raises(UserError, match="Ge"):
        calibrated.judge(models.read_mace(model), ["Li", "Ge"])


def test_trained_members_keep_only_what_differs(tmp_path, model, parts):
    module = models.read_mace(model)
    weights = calibration.last_layers(module)
    name = next(iter(weights))
    paths = []
    for number in range(2):
        changed = uncertainty.with_weights(module, {name: weights[name] + 0.3 * (number + 1)})
        paths.append(toy_mace.save(changed, tmp_path / f"m{number}.safetensors"))
    few = {part: chosen[:4] for part, chosen in parts.items()}
    found = calibration.calibrate(model, few, draws=0, earlier=paths[:1], trained=paths)
    assert [group.origin for group in found.groups] == ["student", "trained"]
    assert found.said == "committee: 1 trained in an earlier round and 2 trained on bootstrap resamples"
    assert [list(member) for group in found.groups for member in group.members] == [[name]] * 3
    found.save(model.with_name("mixed.safetensors"))
    mixed = tensors.facts(sources.uncertainty_of(model.with_name("mixed.safetensors")))
    assert [group["members"] for group in mixed["groups"]] == [1, 2]
    larger = toy_mace.save(toy_mace.build(channels=16), tmp_path / "larger.safetensors")
    with pytest.raises(UserError, match=r"larger\.safetensors"):
        calibration.trained_members(module, [larger])


def test_disagreement_is_the_root_mean_square_over_members():
    forces = np.zeros((3, 2, 3))
    forces[1, 0] = [3.0, 0.0, 4.0]
    assert uncertainty.disagreement(forces) == pytest.approx([5.0 / np.sqrt(2.0), 0.0])
    assert uncertainty.by_group(forces, [1, 1]) == pytest.approx(np.array([[5.0, 0.0], [0.0, 0.0]]))


def test_factors_and_marks_of_a_known_answer():
    rng = np.random.default_rng(1)
    spread = rng.uniform(0.01, 0.2, 4000)
    numbers = np.where(np.arange(4000) < 3990, 3, 17)
    error = 2.0 * spread
    scales = calibration.fit_scales(spread, error, numbers, {"Li": 3, "Cl": 17})
    assert scales["Li"] == pytest.approx(2.0)
    assert scales["Cl"] == pytest.approx(2.0)  # too few atoms: that of all
    rows = {"disagreement": np.stack([spread, 3.0 * spread]), "numbers": numbers}
    groups = [uncertainty.Group("student", [], dict.fromkeys(("Li", "Cl"), x)) for x in (2.0, 2.0 / 3.0)]
    expected = calibration.expected_errors(rows, groups)
    assert expected == pytest.approx(error)
    rows = {**rows, "error": error, "frame": np.zeros(4000)}
    marked = calibration.assess(1.1 * expected, rows, np.full(4000, 0.3))
    assert marked["recall"] == 1.0
    assert marked["precision"] == pytest.approx((error > 0.3).sum() / (1.1 * error > 0.3).sum())


def test_frames_of_runs_are_calibrated_on_where_there_are_enough():
    def of_kind(kind, count):
        found = [Atoms("Li") for _ in range(count)]
        for frame in found:
            frame.info["kind"] = kind
        return found

    runs, mixtures = of_kind("open interface", calibration.MIN_RUN_FRAMES), of_kind("mixture", 3)
    assert calibration.of_runs([*mixtures, *runs]) == runs
    assert calibration.of_runs([*mixtures, *runs[1:]]) == [*mixtures, *runs[1:]]


def test_what_is_large_depends_on_the_element(tmp_path):
    species = trajectory().species
    limits = {**dict.fromkeys(species.tolist(), 0.5), "P": 1.0}
    for name, expected in (("below", 0.9), ("beyond", 1.1)):
        judgement = extrapolation.Judgement(
            lambda x, h, value=expected: np.where(species == "P", value, 0.1), limits, "made up", {}
        )
        extrapolation.measure(trajectory(), judgement, 1.0, 3.0, tmp_path / "u.csv", tmp_path / "u.json")
        found = extrapolation.Measured.load(tmp_path / "u.csv", tmp_path / "u.json")
        assert (found.shares["P"] == (name == "beyond")).all()


def trajectory(n_frames=12):
    positions, cell, species = toy_mace.rattled_cell()
    return Trajectory(
        positions=np.repeat(positions[None], n_frames, axis=0).astype(np.float32),
        cells=cell[None],
        species=np.array(species),
        stage=np.array([0] * 5 + [1] * (n_frames - 5)),
        segments=np.array([[0, n_frames]]),
        temperature=np.full(n_frames, 300.0),
        potential_energy=np.zeros(n_frames),
        stages=["react", "produce"],
        frame_interval_ps=0.5,
        provenance={},
    )


def run(folder, judge, interval_ps=1.0):
    limits = dict.fromkeys(trajectory().species.tolist(), 0.5)
    judgement = extrapolation.Judgement(judge, limits, "made up", {})
    extrapolation.measure(trajectory(), judgement, interval_ps, 3.0, folder / "u.csv", folder / "u.json")
    return extrapolation.Measured.load(folder / "u.csv", folder / "u.json")


def test_marks_follow_the_threshold(tmp_path):
    species = trajectory().species
    found = run(tmp_path, lambda x, h: np.where(species == "P", 0.7, 0.1))
    rows = list(csv.DictReader((tmp_path / "u.csv").read_text().splitlines()))
    assert [row["frame"] for row in rows] == ["0", "2", "4", "5", "7", "9", "11"]
    assert {row["extrapolated"] for row in rows} == {"yes"}
    numbers = extrapolation.numbers([found, found], "produce", ["Li"])
    assert numbers["extrapolated_share/Li"]["value"] == 0.0
    assert 0.0 < numbers["extrapolated_share"]["value"] < 1.0  # some lithium atoms have phosphorus around
    assert numbers["extrapolated_share/P"]["value"] == 1.0
    assert numbers["extrapolated_share/P"]["n"] == 2 * 4 * int((species == "P").sum())
    mean = 0.1 + 0.6 * (species == "P").mean()
    assert numbers["expected_force_error"]["value"] == pytest.approx(mean, rel=1e-3)


def test_surroundings_reach_across_the_cell():
    positions = np.array([[0.2, 0.0, 0.0], [9.5, 0.0, 0.0], [5.0, 0.0, 0.0]])
    marked = np.array([True, False, False])
    assert extrapolation.surrounded(positions, 10.0 * np.eye(3), marked, 1.0).tolist() == [True, True, False]
    assert not extrapolation.surrounded(positions, 10.0 * np.eye(3), ~np.ones(3, bool), 1.0).any()


def test_without_an_uncertainty_the_outputs_say_so(tmp_path):
    found = run(tmp_path, None)
    assert json.loads((tmp_path / "u.json").read_text())["available"] is False
    for measured in ([found], []):
        numbers = extrapolation.numbers(measured, "produce", ["Li"])
        assert list(numbers) == ["extrapolated_share"]
        assert numbers["extrapolated_share"]["value"] is None
        assert numbers["extrapolated_share"]["note"].startswith("not available: ")
    assert (
        ranking.short(Estimate(np.nan, np.nan, np.nan, "1", 0, False, "not available: x")) == "not available"
    )


def test_the_last_frame_of_every_stage_is_judged():
    stage = np.array([0, 0, 0, 1, 1, 1, 1])
    assert extrapolation.judged_frames(stage, 3).tolist() == [2, 3, 6]
    assert extrapolation.judged_frames(stage, 99).tolist() == [2, 6]
