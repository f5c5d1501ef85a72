import numpy as np
import pytest
from ase.calculators.morse import MorsePotential
from ase.data import atomic_numbers, covalent_radii
from getsei.potentials import dataset, pairs, sampling, teachers
from getsei.potentials.evaluation import contacts

ELEMENTS = ["Li", "S", "O"]


@pytest.fixture(scope="module")
def frames():
    return list(pairs.frames(ELEMENTS))


@pytest.fixture(scope="module")
def labels(frames):
    # A teacher that is soft and finite at the origin: pairs fall into each other.
    teacher = teachers.CalculatorTeacher(
        MorsePotential(epsilon=2.0, r0=1.8, rho0=2.0, rcut1=4.0, rcut2=5.0), "morse"
    )
    return teacher.label(frames)


def test_every_pair_is_there_and_meets_no_other(frames):
    assert len(frames) == 1 + pairs.CLOSE_FRAMES + len(pairs.WIDER)
    for frame in frames:
        assert len(frame) == 2 * 6
        distances = frame.get_all_distances(mic=True)
        partner = distances[np.arange(0, 12, 2), np.arange(1, 12, 2)]
        assert partner.max() <= pairs.FARTHEST_A
        distances[np.arange(0, 12, 2), np.arange(1, 12, 2)] = distances[
            np.arange(1, 12, 2), np.arange(0, 12, 2)
        ] = 99
        np.fill_diagonal(distances, 99)
        assert distances.min() > 6.0  # the reach of CHGNet


def test_frames_run_from_the_contact_inwards_and_then_outwards(frames):
    lithium = [frame.positions[1, 0] - frame.positions[0, 0] for frame in frames]
    bond = 2 * covalent_radii[atomic_numbers["Li"]]
    assert lithium[0] == pytest.approx(pairs.CONTACT_RATIO * bond)
    assert lithium[pairs.CLOSE_FRAMES] == pytest.approx(pairs.CLOSEST_A)
    assert np.all(np.diff(lithium[: pairs.CLOSE_FRAMES + 1]) < 0)
    assert np.all(np.diff(lithium[-7:]) > 0)


def test_pairs_repel_ever_more_below_the_contact(frames, labels):
    found = pairs.repelled(frames, labels)
    close = found[: pairs.CLOSE_FRAMES + 1]
    outward = np.array([label.forces[1::2, 0] for label in close])
    np.testing.assert_allclose([label.forces[::2, 0] for label in close], -outward)
    assert np.all(outward[1:] >= pairs.LEAST_FORCE_eV_per_A)
    assert np.all(np.diff(outward[1:], axis=0) > 0)
    assert np.all(np.diff([label.energy for label in close]) > 0)


def test_energy_forces_and_stress_belong_together(frames, labels):
    found = pairs.repelled(frames, labels)
    step = pairs.CLOSE_FRAMES // 2
    frame, moved, h = frames[step], frames[step].copy(), 1e-4
    moved.positions[1, 0] += h
    shifted = pairs._closer(moved, frames[0], labels[0])
    here = pairs._closer(frame, frames[0], labels[0])
    assert (shifted.energy - here.energy) / h == pytest.approx(-here.forces[1, 0], rel=1e-3)
    distances = np.diff(frame.positions[:, 0])[::2]
    work = -(distances * here.forces[1::2, 0]).sum()
    assert here.stress[0] * frame.get_volume() == pytest.approx(work)
    assert found[step].energy == here.energy


def test_what_the_teacher_knows_stays(frames, labels):
    crystal = sampling.tagged(frames[0], "crystal", "x", 0)
    found = pairs.repelled([crystal, *frames], [labels[0], *labels])
    assert found[0] is labels[0]
    assert found[1] is labels[0]
    assert all(a is b for a, b in zip(found[-7:], labels[-7:], strict=True))


def test_the_students_own_repulsion_is_mace_torchs(native_cache):
    """The same function in a model with all else zero."""
    import toy_mace
    from getsei.potentials.models import torch

    module = toy_mace.build(atomic_inter_scale=1.0, atomic_inter_shift=0.0)
    with torch.no_grad():
        for readout in module.readouts:
            for parameter in readout.parameters():
                parameter.zero_()
    from getsei.potentials import models

    evaluator = models.TorchEvaluator(module, ["Li", "S"], dtype="float64", device="cpu", threads=1)
    cell = np.eye(3) * 12.0
    energy, force = pairs.own_repulsion([0.9], 3, 16)
    far = evaluator(np.array([[0.0, 0, 0], [5.9, 0, 0]]), cell)
    near = evaluator(np.array([[0.0, 0, 0], [0.9, 0, 0]]), cell)
    assert near.energy - far.energy == pytest.approx(energy[0], rel=1e-6)
    assert near.forces[1, 0] == pytest.approx(force[0], rel=1e-6)


def test_pairs_are_trained_on_and_neither_dropped_nor_tested(frames, labels):
    kept, dropped = dataset.usable(frames, pairs.repelled(frames, labels))
    assert len(kept) == len(frames)
    assert not dropped
    assert dataset.split(kept)["train"] == kept
    assert len(dataset.unique(kept, ELEMENTS)) == len(kept)


def test_the_labels_pass_the_scan_that_the_bars_look_at(frames, labels):
    found = pairs.repelled(frames, labels)
    order = np.argsort([frame.positions[1, 0] for frame in frames])
    r = np.array([frames[row].positions[1, 0] for row in order])
    energy = np.array([found[row].energy for row in order])
    scan = contacts.PairScan("Li-Li", r[r < 1.5], energy[r < 1.5], 1.0, 3.0, 2.56)
    assert scan.attractive_A == 0.0
