import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones
from getsei.potentials import dataset, rounds, sampling, selection, teachers
from getsei.potentials.evaluation import accuracy


def labelled(chosen):
    teacher = teachers.CalculatorTeacher(LennardJones(sigma=2.3, epsilon=0.2, rc=4.5), "lj")
    rng = np.random.default_rng(1)
    frames = []
    for number, why in enumerate(chosen):
        atoms = sampling.displaced(bulk("LiCl", "rocksalt", a=5.1, cubic=True), rng, 0.1, 0.1, 0.0)
        frames.append(sampling.tagged(atoms, "bulk dynamics", f"t{number}", 0))
        frames[-1].info["chosen"] = why
    return [
        dataset.with_label(frame, label) for frame, label in zip(frames, teacher.label(frames), strict=True)
    ]


def student():
    return LennardJones(sigma=2.3, epsilon=0.25, rc=4.5)


def told(error, uncertainty=None):
    return {"force_rmse_meV_per_A": error, "uncertainty_mean_meV_per_A": uncertainty}


def test_only_frames_as_they_came_tell_the_error():
    frames = labelled([selection.SAMPLED, selection.UNCERTAIN, selection.SAMPLED, selection.SAMPLED])
    own = [frame for frame in frames if frame.info["chosen"] == selection.SAMPLED]
    found = rounds.on_policy(frames, student(), lambda frame: np.full(len(frame), 0.05))
    # The student's forces are a quarter too large.
    forces = np.concatenate([frame.arrays[dataset.FORCES] for frame in own])
    assert found["force_rmse_meV_per_A"] == pytest.approx(250.0 * np.sqrt((forces**2).mean()), rel=1e-6)
    assert found["frames"] == 3
    assert found["uncertainty_mean_meV_per_A"] == pytest.approx(50.0)
    assert found["uncertainty_95_meV_per_A"] == pytest.approx(50.0)
    assert rounds.on_policy(frames, student(), None)["uncertainty_mean_meV_per_A"] is None
    assert rounds.on_policy(labelled([selection.UNCERTAIN]), student(), None) is None


@pytest.mark.parametrize(
    ("number", "now", "before", "ends"),
    [
        (1, told(90.0), None, False),
        (2, None, told(90.0), False),
        (2, told(80.0, 60.0), told(90.0, 60.0), False),
        (2, told(89.0, 50.0), told(90.0, 60.0), False),
        (2, told(89.0, 59.0), told(90.0, 60.0), True),
        (2, told(95.0, 70.0), told(90.0, 60.0), True),
        (2, told(89.0), told(90.0), True),
        (2, told(80.0), told(90.0), False),
    ],
)
def test_the_rounds_end_when_neither_error_nor_uncertainty_falls(number, now, before, ends):
    stops, why = rounds.stop(number, now, before)
    assert stops is ends
    assert why


def test_a_review_tells_what_the_page_plots():
    frames = labelled([selection.SAMPLED] * 3)
    own = rounds.on_policy(frames, student(), None)
    validation = accuracy.summary(accuracy.residuals(frames, student()))
    found = rounds.review(
        2, frames, {"dropped": {"too close": 1}}, {"duplicates": 4}, own, validation, {"on_policy": own}
    )
    assert found["frames_by_kind"] == {"bulk dynamics": 3}
    assert found["atoms"] == 24
    assert found["duplicates_dropped"] == 4
    assert found["labels_dropped"] == {"too close": 1}
    assert found["validation"]["force_rmse_meV_per_A"] == pytest.approx(own["force_rmse_meV_per_A"])
    assert found["stop"] is True
    assert "no longer" in found["reason"]
