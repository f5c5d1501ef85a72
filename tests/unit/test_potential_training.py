import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones
from getsei.errors import UserError
from getsei.potentials import dataset, dilute, pairs, sampling, teachers, training, weights
from getsei.potentials.ase_calculator import MACEPotential

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # e3nn still scripts its modules

TINY = training.Architecture(channels=4, cutoff_A=4.0)
ONE_EPOCH = training.Schedule(epochs=1, learning_rate=0.005, batch_size=2)


def labelled(count, seed):
    rng = np.random.default_rng(seed)
    teacher = teachers.CalculatorTeacher(LennardJones(sigma=2.3, epsilon=0.2, rc=4.5), "lj")
    frames = []
    for number in range(count):
        atoms = sampling.displaced(bulk("LiCl", "rocksalt", a=5.1, cubic=True), rng, 0.1, 0.1, 0.03)
        frames.append(sampling.tagged(atoms, "crystal", f"t{seed}-{number}", 0))
    frames += dilute.isolated_atoms(["Li", "Cl"])
    return dataset.usable(frames, teacher.label(frames))[0]


@pytest.fixture(scope="module")
def parts():
    return {"train": labelled(6, 1), "validation": labelled(2, 2), "test": labelled(2, 3)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("training")
    path = training.train(
        parts, folder / "work", folder / "student.safetensors", architecture=TINY, schedule=ONE_EPOCH, seed=1
    )
    return folder, path


def test_the_command_states_architecture_and_schedule(tmp_path):
    words = training.command(tmp_path, "x", TINY, ONE_EPOCH, {3: -0.5, 17: -1.0}, 7, "cpu")
    for expected in (
        "--hidden_irreps=4x0e",
        "--r_max=4.0",
        "--max_num_epochs=1",
        "--seed=7",
        "--E0s={3: -0.5, 17: -1.0}",
        "--pair_repulsion",
    ):
        assert expected in words


def test_an_empty_part_is_refused(tmp_path, parts):
    with pytest.raises(UserError, match="validation"):
        training.train(
            parts | {"validation": []},
            tmp_path,
            tmp_path / "m",
            architecture=TINY,
            schedule=ONE_EPOCH,
            seed=1,
        )


def test_going_on_from_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="no checkpoint"):
        training.hand_over(tmp_path / "a", tmp_path / "b", ONE_EPOCH, 1)


def test_what_is_handed_over_has_the_weights_but_neither_rate_nor_moments(tmp_path):
    import torch

    layer = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.5, amsgrad=True)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    (tmp_path / "a" / "checkpoints").mkdir(parents=True)
    torch.save(
        {
            "model": layer.state_dict(),
            "optimizer": optimizer.state_dict(),
            "lr_scheduler": scheduler.state_dict(),
        },
        tmp_path / "a" / "checkpoints" / "student_run-1_epoch-7.pt",
    )
    training.hand_over(tmp_path / "a", tmp_path / "b", ONE_EPOCH, 2)
    (path,) = training.checkpoints_of(tmp_path / "b")
    found = torch.load(path, weights_only=True)
    assert path.name == "student_run-2_epoch-0.pt"
    assert torch.equal(found["model"]["weight"], layer.weight)
    assert found["lr_scheduler"]["base_lrs"] == [ONE_EPOCH.learning_rate]
    again = torch.optim.Adam(layer.parameters(), amsgrad=True)
    again.load_state_dict(found["optimizer"])
    assert again.param_groups[0]["lr"] == ONE_EPOCH.learning_rate
    assert not again.state


def test_pairs_do_not_set_the_scale_of_a_model():
    def pushed(kind, force):
        frame = sampling.tagged(bulk("LiCl", "rocksalt", a=5.1, cubic=True), kind, kind, 0)
        frame.arrays[dataset.FORCES] = np.full((len(frame), 3), force)
        return frame

    frames = [pushed("mixture", 0.6), pushed("gas", -0.8), pushed(pairs.PAIR, 4000.0)]
    assert training.rms_force(frames) == pytest.approx(np.sqrt(0.5))


@pytest.mark.slow
def test_a_new_model_is_scaled_by_the_forces_without_pairs(trained, parts):
    _, path = trained
    scale = float(weights.load(path).scale_shift.scale)
    assert scale == pytest.approx(training.rms_force(parts["train"]), rel=1e-5)


def test_the_trainer_is_told_the_whole_schedule(tmp_path):
    schedule = training.Schedule(3, 0.5, 0.25, 2.0, 4.0, 8.0, 16.0, 32)
    words = training.command(tmp_path, "student", TINY, schedule, {3: -0.3}, 1, "cpu")
    for word in (
        "--max_num_epochs=3",
        "--lr=0.5",
        "--lr_scheduler_gamma=0.25",
        "--energy_weight=2.0",
        "--forces_weight=4.0",
        "--stress_weight=8.0",
        "--huber_delta=16.0",
        "--batch_size=32",
    ):
        assert word in words


@pytest.mark.slow
def test_the_next_round_goes_on_where_the_last_one_ended(trained, parts, tmp_path):
    folder, path = trained
    slow = training.Schedule(epochs=2, learning_rate=1e-7, batch_size=2)
    again = training.train(
        parts,
        tmp_path / "work",
        tmp_path / "next.safetensors",
        architecture=TINY,
        schedule=slow,
        seed=1,
        start=folder / "work",
    )
    atoms = parts["test"][0]
    before, after = (MACEPotential(model, engine="torch").get_forces(atoms) for model in (path, again))
    fresh = np.abs(before).max()
    # A rate of 1e-7 moves nothing: the weights are those of the first training. The average of the weights
    # (EMA) starts anew, hence the loose bound.
    assert np.abs(after - before).max() < 0.2 * fresh + 0.02
    assert re.search(r"epoch-\d", training.checkpoints_of(tmp_path / "work")[-1].name)


def test_a_resample_draws_whole_trajectories_and_keeps_the_isolated_atoms(parts):
    frames = [
        *parts["train"],
        *(sampling.tagged(f, "crystal", f.info["trajectory"], 1) for f in labelled(6, 1)[:6]),
    ]
    found = training.resampled(frames, 1)
    by_name = Counter(f.info["trajectory"] for f in found if f.info["kind"] == "crystal")
    assert set(by_name) < {f"t1-{number}" for number in range(6)}
    assert sum(by_name.values()) == 12
    assert all(count % 2 == 0 for count in by_name.values())
    isolated = [f for f in found if f.info["kind"] == dilute.ISOLATED]
    assert len(isolated) == sum(f.info["kind"] == dilute.ISOLATED for f in frames)
    assert [f.info["trajectory"] for f in training.resampled(frames, 2)] != [
        f.info["trajectory"] for f in found
    ]


MEMBER = """
import logging, sys
from pathlib import Path
from getsei.potentials import dataset, training
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
folder = Path(sys.argv[1])
parts = dataset.split(dataset.load(folder / "labelled.extxyz"))
parts["validation"] = parts["validation"] or parts["train"][:2]
training.train(
    parts | {"train": training.resampled(parts["train"], 1001)},
    folder / "member1",
    folder / "member1.safetensors",
    architecture=training.Architecture(channels=4, cutoff_A=4.0),
    schedule=training.Schedule(epochs=4, learning_rate=0.004),
    seed=training.member_seed(1, 1),
    start=Path(sys.argv[2]),
)
"""


def test_half_a_checkpoint_is_dropped_for_the_one_before(trained, tmp_path, caplog):
    whole = training.checkpoints_of(trained[0] / "work")[-1].read_bytes()
    (tmp_path / "checkpoints").mkdir()
    for epoch, content in enumerate((whole, whole, whole[: len(whole) // 2], b"")):
        (tmp_path / f"checkpoints/student_run-1_epoch-{epoch}.pt").write_bytes(content)
    training.drop_damaged(tmp_path)
    assert [path.stem[-1] for path in training.checkpoints_of(tmp_path)] == ["0", "1"]
    assert caplog.text.count("damaged") == 2


@pytest.mark.slow
def test_a_killed_member_of_a_committee_goes_on_where_it_was(trained, parts, tmp_path):
    folder, path = trained
    dataset.save(tmp_path / "labelled.extxyz", parts["train"])
    scripts = str(Path(training.__file__).resolve().parents[2])
    words = [sys.executable, "-c", MEMBER, str(tmp_path), str(folder / "work")]
    environment = {**os.environ, "PYTHONPATH": scripts}
    journal = tmp_path / "member1/training.log"
    first = subprocess.Popen(words, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        # An epoch is told before its checkpoint is written: that of epoch 1 is whole once epoch 2 is told.
        while first.poll() is None and not (journal.is_file() and "Epoch 2:" in journal.read_text()):
            time.sleep(0.02)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert not (tmp_path / "member1.safetensors").exists()
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    written = journal.read_text()
    assert [written.count(f"Epoch {number}:") for number in (0, 3)] == [1, 1]
    atoms = parts["test"][0]
    member, student = (
        MACEPotential(model, engine="torch").get_forces(atoms)
        for model in (tmp_path / "member1.safetensors", path)
    )
    assert np.abs(member - student).max() > 1e-4


@pytest.mark.slow
def test_a_failed_training_names_its_log(tmp_path, parts):
    broken = training.Architecture(channels=4, interactions=0, cutoff_A=4.0)
    with pytest.raises(UserError, match=r"training\.log"):
        training.train(parts, tmp_path / "w", tmp_path / "m", architecture=broken, schedule=ONE_EPOCH, seed=1)


def test_the_zero_of_the_energy_is_that_of_the_isolated_atoms(parts):
    found = training.energies_of_isolated_atoms(parts["train"])
    assert found == pytest.approx({3: 0.0, 17: 0.0}, abs=1e-6)
    dense = [frame for frame in parts["train"] if frame.info["kind"] != dilute.ISOLATED]
    with pytest.raises(UserError, match=r"no isolated atom of Li, Cl"):
        training.energies_of_isolated_atoms(dense)


@pytest.mark.slow
def test_a_trained_model_gives_isolated_atoms_their_energy(trained, parts):
    _, path = trained
    for frame in parts["train"]:
        if frame.info["kind"] == dilute.ISOLATED:
            assert MACEPotential(path, engine="torch").get_potential_energy(frame) == pytest.approx(
                0.0, abs=0.5
            )


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone can end a process with its parent")
def test_a_training_ends_with_the_job_that_started_it():
    child = (
        "from getsei.potentials import trainer; import time; "
        "trainer.end_with_parent(); print('.'); time.sleep(60)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-uc', {child!r}])"
    environment = {**os.environ, "PYTHONPATH": str(Path(training.__file__).resolve().parents[2])}
    words = [sys.executable, "-c", parent]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as job:
        assert any(line.strip() == "." for line in job.stdout)
        job.kill()
        # The pipe ends when the last process that holds it has ended.
        began = time.monotonic()
        job.stdout.read()
        assert time.monotonic() - began < 30
