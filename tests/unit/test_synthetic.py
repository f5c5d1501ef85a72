import numpy as np
import pytest
from getsei import selftest, synthetic

SIZE = {"n_ions": 24, "n_frames": 60, "seed": 7}


def test_shuffling_keeps_every_environment_and_its_label():
    truth = synthetic.environments(**SIZE)
    mixed = synthetic.shuffled(truth, seed=3)
    assert sorted(mixed.labels[4]) == sorted(truth.labels[4])
    before, after = truth.environments, mixed.environments
    assert np.diff(after.offsets).sum() == np.diff(before.offsets).sum()
    # An ion's height tells its type, and the first neighbour's element too: both moved with the label.
    np.testing.assert_allclose(after.positions[..., 2].T, 3.0 + 4.0 * mixed.labels, atol=1.6)
    first = after.species[after.offsets[:-1]].reshape(60, 24).T
    assert set(first[mixed.labels == 0].tolist()) == {3}
    stays = (mixed.labels[:, 1:] == mixed.labels[:, :-1]).mean()
    assert stays < (truth.labels[:, 1:] == truth.labels[:, :-1]).mean() - 0.1


def test_controls_hold_what_they_say():
    assert (np.diff(synthetic.frozen(**SIZE).labels, axis=1) == 0).all()
    assert len(np.unique(synthetic.frozen(**SIZE).labels)) > 3
    assert (synthetic.one_state(**SIZE, kind=3).labels == 3).all()


def test_chain_has_its_equilibrium_and_its_timescales():
    matrix = synthetic.transition_matrix()
    np.testing.assert_allclose(np.array(synthetic.POPULATIONS) @ matrix, synthetic.POPULATIONS, atol=1e-12)
    slowest = np.sort(np.linalg.eigvals(matrix).real)[-2]
    assert synthetic.timescales_ps()[0] == pytest.approx(-0.1 / np.log(slowest))
    assert (np.diff(synthetic.timescales_ps()) < 0).all()


@pytest.mark.parametrize("passed", [True, False])
def test_selftest_prints_a_table_and_tells_by_its_status(monkeypatch, capsys, passed):
    made_up = [
        selftest.number("a rate", 10.0, np.array([9.0, 8.0, 10.5]), 0.15),
        selftest.number(
            "another", 10.0, np.array([20.0, 15.0, 25.0] if not passed else [11.0, 10.5, 12.0]), 0.15
        ),
    ]
    monkeypatch.setattr(selftest, "everything", lambda seed: iter(made_up))
    assert selftest.main() == (0 if passed else 1)
    assert ("FAIL" not in capsys.readouterr().out) is passed


@pytest.mark.parametrize(
    ("control", "gate"),
    [
        ("shuffled", "raw label changes per frame"),
        ("frozen", "share of ions that change their state"),
        ("one_state", "silhouette above null"),
    ],
)
def test_negative_controls_are_recognised(monkeypatch, control, gate):
    monkeypatch.setattr(
        selftest, "TRAINING", {"steps": 120, "batch_size": 64, "dimensions": 16, "repeats": 0}
    )
    monkeypatch.setattr(selftest, "STATES", {"n_states": 6, "sample": 500, "dwell_frames": 2})
    sample = synthetic.shuffled(synthetic.environments(**SIZE)) if control == "shuffled" else None
    sample = sample or getattr(synthetic, control)(**SIZE)
    assert selftest.recognised(control, selftest.find_states(sample, 1, 6), gate).passed
