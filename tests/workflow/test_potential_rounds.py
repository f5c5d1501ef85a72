"""Two rounds of active learning and two final trainings, with a teacher of no cost and in seconds."""

import json

import numpy as np
import pytest
import sandbox
import yaml
from getsei.potentials import dataset, models, pairs, starts, teachers, uncertainty

pytestmark = pytest.mark.slow

MOTION = {"relax_steps": 2, "steps": 4, "every": 2, "temperatures_K": [300.0]}
SCHEDULE = {"epochs": 1, "learning_rate": 0.01, "batch_size": 8}
TRAINING = {
    "teacher": {
        "calculator": "ase.calculators.lj.LennardJones",
        "arguments": {"sigma": 2.2, "epsilon": 0.1, "rc": 5.0, "smooth": True},
    },
    "rounds": 2,
    "elements": ["Li", "S", "Cl"],
    "electrolytes": ["LiCl"],
    "products": ["Li2S"],
    "frame_weights": {},
    "orderings": 1,
    "frames_per_amplitude": 1,
    "starts_per_round": 1,
    "frames_per_round": 20,
    "parts": 2,
    "teacher_md": MOTION,
    "student_md": MOTION,
    "architecture": {"channels": 4, "interactions": 1, "max_ell": 1, "correlation": 1, "cutoff_A": 4.0},
    "schedules": [SCHEDULE, {**SCHEDULE, "huber_delta": 0.1}],
    "final_schedules": [SCHEDULE, {**SCHEDULE, "energy_weight": 2.0}],
    "committee": {"readouts": 2, "students": 1},
}


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    """A folder in which both rounds and the final trainings were run, and their settings."""
    workflow = sandbox.copy(tmp_path_factory.mktemp("rounds"))
    path = workflow.folder / "config/config.yaml"
    config = yaml.safe_load(path.read_text())
    config["potential_training"] |= TRAINING
    path.write_text(yaml.safe_dump(config))
    wanted = ("round1/round.json", "final1/student.uncertainty.safetensors")
    done = workflow.run("--cores", "2", *(f"results/potential/{name}" for name in wanted), timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return workflow, config["potential_training"]


def test_every_start_was_moved_and_labelled_once(rounds):
    workflow, cfg = rounds
    for number in range(2):
        folder = workflow.results / f"potential/round{number}"
        frames = dataset.load(folder / "frames.extxyz")
        labelled = dataset.load(folder / "labelled.extxyz")
        counts = json.loads((folder / "counts.json").read_text())
        assert len(labelled) == counts["kept"] > 0
        assert counts["kept"] + sum(counts["dropped"].values()) == len(frames)
        names = {frame.info["trajectory"] for frame in frames}
        assert {start.trajectory for start in starts.of_round(cfg, number)} <= names
        assert all(dataset.FORCES in frame.arrays for frame in labelled)
        assert not (folder / "moved").exists() or not list((folder / "moved").iterdir())


def test_pairs_repel_although_their_labels_were_divided_among_jobs(rounds):
    workflow, cfg = rounds
    folder = workflow.results / "potential/round0"
    frames, labelled = (
        [f for f in dataset.load(folder / name) if f.info["kind"] == pairs.PAIR]
        for name in ("frames.extxyz", "labelled.extxyz")
    )
    expected = pairs.repelled(frames, teachers.load(cfg["teacher"]).label(frames))
    assert len(labelled) == len(frames) > pairs.CLOSE_FRAMES
    for frame, label in zip(labelled, expected, strict=True):
        assert np.allclose(frame.arrays[dataset.FORCES], label.forces, atol=1e-6)


def test_the_student_learnt_and_the_round_says_what(rounds):
    workflow, _ = rounds
    first, second = (workflow.results / f"potential/round{number}" for number in range(2))
    told = json.loads((second / "round.json").read_text())
    assert told["on_policy"]["frames"] > 0
    assert told["on_policy"]["uncertainty_mean_meV_per_A"] > 0
    assert models.verify(first / "student.safetensors") != models.verify(second / "student.safetensors")


def test_final_trainings_learn_from_all_rounds_one_after_another(rounds):
    workflow, _ = rounds
    folder = workflow.results / "potential"
    frames = [f for n in range(2) for f in dataset.load(folder / f"round{n}/labelled.extxyz")]
    learnt = dataset.load(folder / "final1/training/train.extxyz")
    assert len(learnt) == len(dataset.split(frames)["train"])
    made = [folder / name / "student.safetensors" for name in ("round1", "final0", "final1")]
    assert len({models.verify(student) for student in made}) == 3
    logs = [(student.parent / "training/training.log").read_text() for student in made[1:]]
    assert ["energy_weight=2.000" in log for log in logs] == [False, True]
    assert "1 trained in an earlier round" in uncertainty.load(made[-1]).said


def test_more_jobs_ask_for_no_other_frames(rounds):
    workflow, _ = rounds
    path = workflow.folder / "config/config.yaml"
    config = yaml.safe_load(path.read_text())
    config["potential_training"]["parts"] = 3
    path.write_text(yaml.safe_dump(config))
    frames = "results/potential/round0/frames.extxyz"
    before = (workflow.folder / frames).read_bytes()
    done = workflow.run("--cores", "2", frames)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (workflow.folder / frames).read_bytes() == before
