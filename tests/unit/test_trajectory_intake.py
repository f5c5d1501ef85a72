"""Gaps, repeats, joints and drift: each found, each with a word on what to do."""

import dataclasses

import numpy as np
import pytest
import trajectory_files as make
from getsei import records
from getsei.errors import UserError
from getsei.trajectory import inspect, own, readers
from getsei.trajectory.timing import Options
from trajectory_files import ASK, TELL, cut, look


def pieces(tmp_path, made, *bounds, writer=make.lammps, counting=True):
    """Write parts of a trajectory to files; steps go on counting or begin anew."""
    paths = []
    for number, (start, stop) in enumerate(bounds):
        path = tmp_path / f"run{number}.{'lammpstrj' if writer is make.lammps else 'XDATCAR'}"
        more = {"first": start} if writer is make.lammps and counting else {}
        paths.append(writer(path, made.frames(slice(start, stop)), **more))
    return paths


def test_files_that_continue_are_one_segment(tmp_path):
    made = make.make()
    found = look(pieces(tmp_path, made, (0, 12), (12, 30)))
    assert found.timing.segments.tolist() == [[0, 30]]
    assert found.timing.interval_ps == pytest.approx(make.FRAME_PS)
    assert found.timing.origin == "50 time steps of 2 fs"


def test_missing_frames_end_a_segment(tmp_path):
    made = make.make()
    found = look(pieces(tmp_path, made, (0, 12), (15, 30)))
    assert found.timing.segments.tolist() == [[0, 12], [12, 27]]
    assert found.timing.gaps == ["frame 13: 200 time steps after the frame before, not 50"]


def test_frames_repeated_by_a_restart_are_dropped(tmp_path):
    made = make.make()
    found = look(pieces(tmp_path, made, (0, 14), (11, 30)))
    assert found.n_frames == 30
    assert [file["dropped"] for file in found.files] == [0, 3]
    assert found.timing.segments.tolist() == [[0, 30]]
    assert any("3 repeated" in warning for warning in found.warnings)


def test_count_that_begins_anew(tmp_path):
    """The second run begins with the last frame of the first, which is dropped; it goes on from there."""
    made = make.make()
    found = look(pieces(tmp_path, made, (0, 14), (13, 30), counting=False))
    assert found.n_frames == 30
    assert found.timing.segments.tolist() == [[0, 30]]


@pytest.mark.parametrize(("joins", "segments"), [("auto", 1), ("never", 2), ("always", 1)])
def test_pieces_without_times(tmp_path, joins, segments):
    made = make.make(n_frames=60)
    paths = pieces(tmp_path, made, (0, 30), (30, 60), writer=make.xdatcar)
    found = look(paths, dataclasses.replace(ASK, joins=joins), ())
    assert len(found.timing.segments) == segments


@pytest.mark.parametrize(("joins", "segments"), [("auto", 2), ("always", 1)])
def test_gap_between_pieces_without_times(tmp_path, joins, segments):
    made = make.make(n_frames=60)
    paths = pieces(tmp_path, made, (0, 30), (40, 60), writer=make.xdatcar)
    found = look(paths, dataclasses.replace(ASK, joins=joins), ())
    assert len(found.timing.segments) == segments
    if segments == 2:
        assert "atoms have gone" in found.timing.gaps[0]


def test_gap_inside_a_file_without_times(tmp_path):
    made = make.make(n_frames=40, step_A=0.1)
    kept = made.frames(np.r_[0:20, 35:40])
    found = look([make.extxyz(tmp_path / "run.xyz", kept)], ASK)
    assert found.timing.segments.tolist() == [[0, 20], [20, 25]]


def test_another_run_with_the_same_steps_is_no_repeat(tmp_path):
    one, two = make.make(n_frames=10), make.make(n_frames=10, seed=5)
    paths = [make.lammps(tmp_path / f"{n}.dump", made) for n, made in enumerate((one, two))]
    found = look(paths)
    assert found.n_frames == 20
    assert found.timing.segments.tolist() == [[0, 10], [10, 20]]


def test_image_flags_that_begin_anew_do_not_jump(tmp_path):
    made = make.make()
    second = made.frames(slice(15, None))
    anew = dataclasses.replace(second, turns=second.turns - second.turns[0])
    paths = [
        make.lammps(tmp_path / "1.dump", made.frames(slice(15)), columns="x+i"),
        make.lammps(tmp_path / "2.dump", anew, columns="x+i", first=15),
    ]
    out = tmp_path / "out.h5"
    own.store([readers.open_source(path, types=make.ELEMENTS) for path in paths], out, TELL)
    moved = records.Trajectory.load(out).positions - made.positions
    assert np.abs(moved - moved[0]).max() < 4e-6


def test_fast_ions_are_followed_only_by_image_flags(tmp_path):
    """Steps longer than half the cell need the file's own flags; without them there is a warning."""
    made = make.make(n_frames=8)
    turns = made.turns + np.arange(8)[:, None, None] * (made.species == "Li")[:, None]
    fast = dataclasses.replace(made, turns=turns, positions=made.wrapped + turns @ made.cells[0])
    flagged = look([make.lammps(tmp_path / "a.dump", fast, columns="x+i")])
    assert flagged.largest_step_A > flagged.limit_A
    assert not flagged.warnings or "moves" not in flagged.warnings[0]
    wide = make.make(n_frames=8, step_A=2.0)
    assert any("can be followed" in w for w in look([make.lammps(tmp_path / "b.dump", wide)]).warnings)


def test_drift_and_frozen_atoms_are_reported(tmp_path):
    made = make.make()
    drifting = made.wrapped + np.linspace(0, 2.0, 30)[:, None, None]
    found = look([make.lammps(tmp_path / "a.dump", dataclasses.replace(made, wrapped=drifting))])
    assert found.drift_A == pytest.approx([2.0] * 3, abs=0.6)
    assert any("centre of mass drifts" in warning for warning in found.warnings)
    wrapped = np.where((made.species == "P")[:, None], made.wrapped[0], made.wrapped)
    found = look([make.lammps(tmp_path / "b.dump", dataclasses.replace(made, wrapped=wrapped))])
    assert found.frozen.sum() == 16
    assert any("16 of 64 atoms never move (16 P)" in warning for warning in found.warnings)


def test_nothing_moves(tmp_path):
    made = make.make(n_frames=6).frames([0] * 6)
    with pytest.raises(UserError, match="no atom moves in 6 frames"):
        look([make.lammps(tmp_path / "a.dump", made)])
    with pytest.raises(UserError, match="1 different frame"):
        look([make.extxyz(tmp_path / "a.xyz", made)], ASK)


def test_equilibration_is_left_out(tmp_path):
    path = make.lammps(tmp_path / "a.dump", make.make(n_frames=20))
    sources = [readers.open_source(path, types=make.ELEMENTS)]
    own.store(sources, tmp_path / "out.h5", TELL, equilibration_ps=0.5)
    trajectory = records.Trajectory.load(tmp_path / "out.h5")
    assert trajectory.segments.tolist() == [[0, 5], [5, 20]]
    assert trajectory.frames_of("produce").tolist() == list(range(5, 20))
    with pytest.raises(UserError, match="equilibration_ps"):
        own.store(sources, tmp_path / "out.h5", TELL, equilibration_ps=1.9)


def test_interval_of_the_config_goes_before_that_of_the_file(tmp_path):
    path = make.xtc(tmp_path / "a.xtc", make.make())
    topology = make.extxyz(tmp_path / "top.xyz", make.make(n_frames=1))
    found = look([path], Options(frame_interval_fs=200.0), topology=topology)
    assert found.timing.interval_ps == pytest.approx(0.2)
    assert any("frame_interval_fs says 0.2" in note for note in found.notes)


def test_regions():
    cell = np.diag([10.0, 10.0, 40.0])
    assert own.regions_of({"regions": {"metal": [0, 15], "electrolyte": [15, 40]}}, cell) == [
        ["metal", 0.0, 15.0],
        ["electrolyte", 15.0, 40.0],
    ]
    with pytest.raises(UserError, match=r"regions\.metal.*40\.00 Å high"):
        own.regions_of({"regions": {"metal": [0, 50]}}, cell)


def test_inspect_says_what_is_missing(tmp_path, capsys):
    made = make.make()
    path = make.lammps(tmp_path / "run.lammpstrj", made)
    assert inspect.main([str(path)]) == 1
    said = capsys.readouterr().out
    assert "trajectory.types" in said
    assert "trajectory.timestep_fs" in said
    assert "type 1" in said
    assert inspect.main([str(path), "--types", "Li,P,S", "--timestep-fs", "2"]) == 0
    said = capsys.readouterr().out
    assert "64: Li32 P16 S16" in said
    assert "3 ps, frames 0.1 ps apart" in said
    assert "      types: [Li, P, S]\n      timestep_fs: 2.0" in said
    assert inspect.main([str(cut(path)), "--types", "Li,P,S"]) == 1
    assert "drop" in capsys.readouterr().err
