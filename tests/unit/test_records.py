"""Records survive the disk, and say what is wrong with a file that is not one."""

import dataclasses

import numpy as np
import pytest
from getsei import records
from getsei.errors import UserError


def trajectory():
    rng = np.random.default_rng(0)
    return records.Trajectory(
        positions=rng.normal(size=(4, 3, 3)).astype(np.float32),
        cells=np.eye(3)[None] * 9.0,
        species=np.array(["Li", "Cl", "Li"]),
        stage=np.array([0, 0, 1, 1]),
        segments=np.array([[0, 2], [2, 4]]),
        temperature=np.full(4, np.nan),
        potential_energy=np.zeros(4),
        stages=["react", "produce"],
        frame_interval_ps=0.1,
        provenance={"seed": np.int64(3), "note": "Å"},
    )


def test_round_trip(tmp_path):
    before = trajectory()
    before.save(tmp_path / "t.h5")
    after = records.Trajectory.load(tmp_path / "t.h5")
    for item in dataclasses.fields(before):
        left, right = getattr(before, item.name), getattr(after, item.name)
        if isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right
    assert [p.name for p in tmp_path.iterdir()] == ["t.h5"]


def test_units_are_in_the_file(tmp_path):
    import h5py

    trajectory().save(tmp_path / "t.h5")
    with h5py.File(tmp_path / "t.h5") as handle:
        assert handle["positions"].attrs["unit"] == "Å"


def test_frames_of_a_stage():
    assert trajectory().frames_of("produce").tolist() == [2, 3]
    with pytest.raises(UserError, match="no stage 'production'"):
        trajectory().frames_of("production")


def test_failed_write_leaves_nothing(tmp_path):
    broken = dataclasses.replace(trajectory(), provenance={"x": object()})
    with pytest.raises(TypeError):
        broken.save(tmp_path / "t.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not hdf5"])
def test_unreadable_file(tmp_path, content):
    path = tmp_path / "t.h5"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"t\.h5: not a readable Trajectory"):
        records.Trajectory.load(path)


def test_truncated_file(tmp_path):
    path = tmp_path / "t.h5"
    trajectory().save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"t\.h5"):
        records.Trajectory.load(path)


def test_other_record(tmp_path):
    trajectory().save(tmp_path / "t.h5")
    with pytest.raises(UserError, match="expected a States"):
        records.States.load(tmp_path / "t.h5")


def test_estimate_hides_what_is_not_supported():
    known = records.Estimate(1.5, 1.0, 2.0, "ps", 10)
    assert str(known) == "1.5 [1, 2] ps (n = 10)"
    poor = records.Estimate(1.5, 1.0, 2.0, "ps", 1, supported=False, note="one event")
    assert "1.5" not in str(poor)
    assert poor.as_dict()["value"] is None


def test_any_changed_byte_is_noticed_before_hdf5_sees_it(tmp_path):
    import records_factory

    path = tmp_path / "x.h5"
    records_factory.trajectory(records_factory.chain(n_states=2, n_ions=4, n_frames=5)).save(path)
    sound = path.read_bytes()
    records.Trajectory.load(path)
    for place in range(0, len(sound) - 100, len(sound) // 40):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        with pytest.raises(UserError, match="its content has changed"):
            records.Trajectory.load(path)
    for length in (0, 100, len(sound) // 2):
        path.write_bytes(sound[:length])
        with pytest.raises(UserError, match="not a readable Trajectory"):
            records.Trajectory.load(path)
