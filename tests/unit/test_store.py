import json

import ase.io
import h5py
import numpy as np
import pytest
from getsei import records
from getsei.errors import UserError
from getsei.trajectory import store

SPECIES = ["Li", "S", "Li"]
CELL = np.diag([5.0, 6.0, 7.0]) + np.eye(3, k=-1)
INTERVAL = 50
LENGTHS = {"react": 4, "equilibrate": 3, "produce001": 5, "produce002": 2}


def write(folder, name, first, **changes):
    count = LENGTHS[name]
    species = changes.get("species", SPECIES)
    steps = changes.get("steps", INTERVAL * np.arange(first, first + count))
    path = folder / f"{name}.h5"
    with h5py.File(path, "w") as handle:
        frames = np.arange(first, first + count, dtype=np.float32)
        handle["positions"] = frames[:, None, None] + np.zeros((count, len(species), 3), np.float32)
        handle["cells"] = np.broadcast_to(changes.get("cell", CELL), (count, 3, 3))
        handle["species"] = np.char.encode(np.asarray(species), "utf-8")
        handle["step"] = np.asarray(steps)
        handle["temperature"] = 300.0 + frames
        handle["potential_energy"] = -frames
        settings = {
            "stage": name.rstrip("0123456789"),
            "timestep_fs": 2.0,
            "frame_interval_fs": changes.get("frame_interval_fs", 100.0),
        }
        handle.attrs["settings"] = json.dumps(settings)
        handle.attrs["engine"] = "morse"
        handle.attrs["seed"] = "5"
        handle.attrs["origin"] = json.dumps({"potential_sha256": "abc"})
    return path


def write_run(folder, **changes):
    paths, first = [], 1
    for name, count in LENGTHS.items():
        paths.append(write(folder, name, first, **changes.get(name, {})))
        first += count
    return paths


def test_joined_segments_are_one_trajectory(tmp_path):
    joined = store.join(write_run(tmp_path), {"system": "toy"})
    assert joined.positions.dtype == np.float32
    assert np.array_equal(joined.positions[:, 0, 0], np.arange(1, 15))
    assert joined.stages == ["react", "equilibrate", "produce"]
    assert np.array_equal(joined.segments, [[0, 4], [4, 7], [7, 14]])
    assert np.array_equal(joined.frames_of("produce"), np.arange(7, 14))
    assert joined.frame_interval_ps == pytest.approx(0.1)
    assert np.array_equal(joined.temperature, 300.0 + np.arange(1, 15))
    assert joined.provenance["system"] == "toy"
    assert [piece["file"] for piece in joined.provenance["segments"]] == [f"{name}.h5" for name in LENGTHS]
    assert joined.provenance["segments"][0]["potential_sha256"] == "abc"
    joined.save(tmp_path / "trajectory.h5")
    again = records.Trajectory.load(tmp_path / "trajectory.h5")
    assert np.array_equal(again.positions, joined.positions)
    assert again.provenance == joined.provenance


@pytest.mark.parametrize(
    ("name", "steps", "message"),
    [
        ("react", [100, 150, 200, 250], "react.h5: frame 0 is of step 100, expected step 50"),
        ("equilibrate", [250, 350, 400], "equilibrate.h5: frame 1 is of step 350, expected step 300"),
        ("equilibrate", [200, 250, 300], "frame 0 is of step 200, expected step 250"),
        ("produce001", [400, 400, 450, 500, 550], "frame 1 is of step 400, expected step 450"),
        ("produce002", [700, 650], "produce002.h5: frame 0 is of step 700, expected step 650"),
    ],
)
def test_missing_doubled_and_reordered_frames_are_refused(tmp_path, name, steps, message):
    with pytest.raises(UserError, match=message):
        store.join(write_run(tmp_path, **{name: {"steps": steps}}), {})


def test_segments_in_another_order_or_left_out_are_refused(tmp_path):
    react, equilibrate, first, second = write_run(tmp_path)
    for paths in (
        [react, first, second],
        [react, equilibrate, second, first],
        [react, equilibrate, first, first],
    ):
        with pytest.raises(UserError, match="missing, doubled or out of order"):
            store.join(paths, {})
    with pytest.raises(UserError, match="no segment files"):
        store.join([], {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"species": ["Li", "Li", "S"]}, "its atoms differ"),
        ({"species": ["Li", "S"]}, "its atoms differ"),
        ({"cell": 1.01 * CELL}, "its cell differ"),
        ({"frame_interval_fs": 50.0}, "its frame_interval_fs differ"),
    ],
)
def test_segments_of_another_system_are_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=f"produce001.h5: {message} from those of react.h5"):
        store.join(write_run(tmp_path, produce001=changes), {})


def test_a_damaged_segment_is_named(tmp_path):
    paths = write_run(tmp_path)
    paths[1].write_bytes(paths[1].read_bytes()[:1000])
    with pytest.raises(UserError, match=r"equilibrate.h5: not a readable segment"):
        store.join(paths, {})
    paths[1].unlink()
    with pytest.raises(UserError, match=r"equilibrate.h5: not a readable segment"):
        store.join(paths, {})


def test_a_changing_cell_adds_nothing_to_displacements(tmp_path):
    paths = write_run(tmp_path)
    # An atom five cells up, in a cell whose thickness shrinks by a hundredth after the first frame.
    shrinking = CELL * np.array([1.0, 1.0, 0.99])[:, None]
    with h5py.File(paths[0], "r+") as handle:
        cells = handle["cells"][()]
        cells[1:] = shrinking
        handle["cells"][...] = cells
        positions = np.tile(0.3 * CELL.sum(0) + 5 * CELL[2], (*handle["positions"].shape[:2], 1))
        positions[1:] = 0.3 * shrinking.sum(0) + 5 * shrinking[2]
        handle["positions"][...] = positions
    joined = store.join(paths[:1], {})
    moved = joined.positions[1] - joined.positions[0]
    assert np.allclose(moved, 0.3 * (shrinking - CELL).sum(0), atol=1e-4)
    assert np.allclose(joined.in_cell(1), positions[1], atol=1e-4)
    assert len(joined.cells) == joined.positions.shape[0]


def test_ase_reads_the_export(tmp_path):
    joined = store.join(write_run(tmp_path), {})
    assert store.export_extxyz(joined, tmp_path / "t.extxyz") == 1
    frames = ase.io.read(tmp_path / "t.extxyz", ":")
    assert len(frames) == 14
    assert frames[0].get_chemical_symbols() == SPECIES
    assert np.allclose(frames[8].positions, 9.0)
    assert np.allclose(frames[3].cell[:], CELL)
    assert frames[13].info["time_ps"] == pytest.approx(1.4)
    assert [frame.info["stage"] for frame in frames[3:8:2]] == ["react", "equilibrate", "produce"]
    assert frames[0].pbc.all()


def test_a_long_export_is_strided(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "EXPORT_ATOM_FRAMES", 10)
    joined = store.join(write_run(tmp_path), {})
    assert store.export_extxyz(joined, tmp_path / "t.extxyz") == 5
    assert [f.info["time_ps"] for f in ase.io.read(tmp_path / "t.extxyz", ":")] == pytest.approx(
        [0.1, 0.6, 1.1]
    )
