"""Gaps, repeats, joints, drift and broken files: each found, each with a word on what to do."""

import dataclasses
import shutil

import h5py
import numpy as np
import pytest
import trajectory_files as make
from getsei import records
from getsei.errors import UserError
from getsei.trajectory import inspect, own, readers
from getsei.trajectory.intake import survey
from getsei.trajectory.timing import Options

TELL = Options(timestep_fs=make.TIMESTEP_FS)
ASK = Options(frame_interval_fs=1000 * make.FRAME_PS)


def look(paths, options=TELL, types=make.ELEMENTS, topology=None):
    return survey([readers.open_source(path, "auto", types, topology) for path in paths], options)


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


def cut(path, keep=0.9):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


def edited(path, old, new, count=1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))
    return path


def replaced_line(path, number, line):
    lines = path.read_text().splitlines(keepends=True)
    lines[number] = line
    path.write_text("".join(lines))
    return path


def two_sizes(writer, path, other):
    """A file whose second half holds fewer atoms."""
    made = make.make(n_frames=4)
    writer(path, made)
    writer(other, make.make(n_frames=4).atoms(np.arange(60)))
    path.write_bytes(path.read_bytes() + other.read_bytes())
    return path


def not_a_number(made):
    wrapped = made.wrapped.copy()
    wrapped[2, 7, 1] = np.nan
    return dataclasses.replace(made, wrapped=wrapped)


def without_cell(path):
    images = make.atoms_of(make.make(n_frames=3))
    for image in images:
        image.cell, image.pbc = None, False
    make.write(path, images)
    return path


def swapped_bytes(path, width=4):
    content = np.frombuffer(path.read_bytes()[: path.stat().st_size // width * width], f"<u{width}")
    path.write_bytes(content.byteswap().tobytes())
    return path


def half_dcd(path, made):
    make.dcd(path, made)
    content = bytearray(path.read_bytes())
    content[48:52] = (0).to_bytes(4, "little")  # says that there is no cell; the frames say otherwise
    path.write_bytes(bytes(content))
    return path


def bare_h5md(path, made, *missing):
    make.h5md(path, made)
    with h5py.File(path, "a") as handle:
        for name in missing:
            del handle["particles/all"][name]
    return path


MADE = make.make(n_frames=5)
MALFORMED = {
    "dump, cut": (lambda f: cut(make.lammps(f / "a.dump", MADE)), "ends after|values for|last line"),
    "dump, cut in a header": (
        lambda f: (
            edited(make.lammps(f / "a.dump", MADE), "x y z\n", "x y z\n", 1)
            and truncate_lines(f / "a.dump", 73 * 4 + 3)
        ),
        "header",
    ),
    "dump, numeric types": (lambda f: make.lammps(f / "a.dump", MADE), "numeric types without elements"),
    "dump, other number of atoms": (
        lambda f: two_sizes(make.lammps, f / "a.dump", f / "b.dump"),
        "60 atoms, the first frame has 64",
    ),
    "dump, too few lines": (
        lambda f: replaced_line(make.lammps(f / "a.dump", MADE), 20, ""),
        "63 lines of atoms, the header says 64",
    ),
    "dump, not periodic": (
        lambda f: edited(make.lammps(f / "a.dump", MADE), "pp pp pp", "pp pp ff", -1),
        "not periodic",
    ),
    "dump, not a number": (lambda f: make.lammps(f / "a.dump", not_a_number(MADE)), "atom 8 is not a number"),
    "dump, letters": (
        lambda f: edited(make.lammps(f / "a.dump", MADE), "\n3 1 ", "\n3 one ", -1),
        "could not convert|no number",
    ),
    "dump, no cell": (
        lambda f: edited(make.lammps(f / "a.dump", MADE), "ITEM: BOX BOUNDS", "ITEM: OTHER", -1),
        "ITEM: ",
    ),
    "dump, other units": (
        lambda f: edited(
            make.lammps(f / "a.dump", MADE), "ITEM: TIMESTEP", "ITEM: UNITS\nlj\nITEM: TIMESTEP"
        ),
        "units lj",
    ),
    "dump, no positions": (
        lambda f: edited(make.lammps(f / "a.dump", MADE), "x y z", "vx vy vz", -1),
        "no pos",
    ),
    "dump, id twice": (
        lambda f: edited(make.lammps(f / "a.dump", MADE), "\n3 1 ", "\n2 1 ", -1),
        "lists an atom id twice",
    ),
    "XDATCAR, cut": (lambda f: cut(make.xdatcar(f / "XDATCAR", MADE)), "ends after|three coord|last line"),
    "XDATCAR, no elements": (
        lambda f: make.xdatcar(f / "XDATCAR", MADE, species_line=False),
        "no elements; give trajectory.types",
    ),
    "XDATCAR, not a number": (lambda f: make.xdatcar(f / "XDATCAR", not_a_number(MADE)), "not a number"),
    "XDATCAR, other number of atoms": (
        lambda f: two_sizes(make.xdatcar, f / "XDATCAR", f / "other"),
        "lists other atoms",
    ),
    "XDATCAR, no cell": (
        lambda f: replaced_line(make.xdatcar(f / "XDATCAR", MADE), 2, "Li P S\n"),
        "its cell",
    ),
    "XDATCAR, flat cell": (
        lambda f: replaced_line(make.xdatcar(f / "XDATCAR", MADE), 2, "0.0 0.0 0.0\n"),
        "has no cell",
    ),
    "vasprun, cut": (lambda f: cut(make.vasprun(f / "vasprun.xml", MADE)), "breaks off"),
    "vasprun, no atoms": (
        lambda f: edited(make.vasprun(f / "vasprun.xml", MADE), "atominfo>", "other>", -1),
        "names no atoms",
    ),
    "vasprun, lost positions": (
        lambda f: edited(make.vasprun(f / "vasprun.xml", MADE), "<v>", "<w>", 1).write_text("<?xml ?>") and f,
        "breaks off|malformed",
    ),
    "extxyz, cut": (lambda f: cut(make.extxyz(f / "a.xyz", MADE)), "ends after|malformed|last line"),
    "extxyz, no cell": (lambda f: without_cell(f / "a.xyz"), "has no cell"),
    "extxyz, not a number": (lambda f: make.extxyz(f / "a.xyz", not_a_number(MADE)), "not a number"),
    "extxyz, other number of atoms": (
        lambda f: two_sizes(make.extxyz, f / "a.xyz", f / "b.xyz"),
        "60 atoms, the first has 64",
    ),
    "extxyz, wrong count": (
        lambda f: edited(make.extxyz(f / "a.xyz", MADE), "64\n", "63\n"),
        "number of atoms",
    ),
    "ase, cut": (lambda f: cut(make.ase_traj(f / "a.traj", MADE)), "cut or damaged|no whole ASE"),
    "ase, not a number": (lambda f: make.ase_traj(f / "a.traj", not_a_number(MADE)), "not a number"),
    "dcd, cut": (lambda f: cut(make.dcd(f / "a.dcd", MADE)), "cut after frame 4"),
    "dcd, cut in the header": (lambda f: cut(make.dcd(f / "a.dcd", MADE), 0.02), "header"),
    "dcd, no cell": (lambda f: half_dcd(f / "a.dcd", MADE), "cut after|no cell|damaged"),
    "dcd, not a number": (lambda f: make.dcd(f / "a.dcd", not_a_number(MADE)), "not a number"),
    "xtc, cut": (lambda f: cut(make.xtc(f / "a.xtc", MADE)), "cut or damaged"),
    "xtc, wrong byte order": (lambda f: swapped_bytes(make.xtc(f / "a.xtc", MADE)), "bytes are swapped"),
    "xtc, of other data": (lambda f: make.extxyz(f / "a.xyz", MADE).rename(f / "a.xtc"), "is no XTC file"),
    "h5md, cut": (lambda f: cut(make.h5md(f / "a.h5md", MADE)), "no whole HDF5"),
    "h5md, no species": (lambda f: bare_h5md(f / "a.h5md", MADE, "species"), "no species"),
    "h5md, no box": (lambda f: bare_h5md(f / "a.h5md", MADE, "box"), "and a box"),
    "h5md, not a number": (lambda f: make.h5md(f / "a.h5md", not_a_number(MADE)), "not a number"),
    "store, cut": (lambda f: cut(make.store(f / "a.h5", MADE)), "no whole HDF5"),
    "gzip, cut": (lambda f: cut(gzipped(make.lammps(f / "a.dump", MADE))), "compressed file ends too early"),
    "empty": (lambda f: (f / "a.dump").write_text("") or f / "a.dump", "is empty"),
    "unknown": (lambda f: (f / "a.txt").write_text("hello\n") and f / "a.txt", "not recognised"),
}


def truncate_lines(path, number):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:number]))
    return path


def gzipped(path):
    import gzip

    packed = path.with_name(path.name + ".gz")
    with path.open("rb") as source, gzip.open(packed, "wb") as target:
        shutil.copyfileobj(source, target)
    return packed


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files(tmp_path, name):
    """Each is refused in words; whatever the parsers raise never gets through."""
    build, message = MALFORMED[name]
    path = build(tmp_path)
    path = next(iter(sorted(tmp_path.iterdir()))) if path == tmp_path else path
    types = () if "types" in name or "elements" in name else make.ELEMENTS
    topology = None
    if path.suffix in (".dcd", ".xtc"):
        topology = make.extxyz(tmp_path / "top.extxyz", MADE.frames(slice(1)))

    def store():
        sources = [readers.open_source(path, "auto", types, topology)]
        own.store(sources, tmp_path / "out.h5", Options(2.0, 100.0))

    with pytest.raises(UserError, match=message) as refused:
        store()
    assert path.name in str(refused.value)
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize("order", ["<", ">"])
def test_dcd_of_either_byte_order(tmp_path, order):
    """Half of the DCD files in the world have the other byte order; both are read, or refused in words."""
    path = make.dcd(tmp_path / "a.dcd", MADE)
    if order == ">":
        swap_dcd(path)
    topology = make.extxyz(tmp_path / "top.extxyz", MADE.frames(slice(1)))
    source = readers.open_source(path, topology=topology)
    frames = list(source.frames())
    assert len(frames) == 5
    assert np.abs(frames[3].positions - MADE.wrapped[3]).max() < 1e-5


def swap_dcd(path):
    """Turn the byte order of a DCD, but not that of the text in its header."""
    content = path.read_bytes()
    title = int.from_bytes(content[92:96], "little")
    n_atoms = len(MADE.species)
    out = bytearray()

    def turn(size, width):
        nonlocal content
        out.extend(np.frombuffer(content[:size], f"<u{width}").byteswap().tobytes())
        content = content[size:]

    turn(4, 4)
    out.extend(content[:4])
    content = content[4:]
    turn(84, 4)
    turn(8, 4)
    out.extend(content[: title - 4])
    content = content[title - 4 :]
    turn(16, 4)
    while content:
        turn(4, 4)
        turn(48, 8)
        turn(4, 4)
        turn(3 * (8 + 4 * n_atoms), 4)
    path.write_bytes(bytes(out))


def test_broken_end_can_be_dropped(tmp_path):
    path = cut(make.lammps(tmp_path / "a.dump", make.make(n_frames=10)), 0.87)
    with pytest.raises(UserError, match=r"trajectory\.truncated: drop"):
        look([path])
    found = look([path], dataclasses.replace(TELL, truncated="drop"))
    assert found.n_frames == 8
    assert any("broken end is dropped" in note for note in found.notes)


def test_files_of_other_atoms(tmp_path):
    made = make.make(n_frames=4)
    first = make.extxyz(tmp_path / "1.xyz", made)
    with pytest.raises(UserError, match="60 atoms, but"):
        look([first, make.extxyz(tmp_path / "2.xyz", made.atoms(np.arange(60)))], ASK)
    with pytest.raises(UserError, match="atom 1 is P, but Li"):
        look([first, make.extxyz(tmp_path / "3.xyz", made.atoms(np.arange(64)[::-1]))], ASK)


def test_lengths_in_nanometres_are_noticed(tmp_path):
    made = make.make(n_frames=3)
    small = dataclasses.replace(made, wrapped=made.wrapped / 10, cells=made.cells / 10)
    with pytest.raises(UserError, match="Lengths must be in Å"):
        look([make.extxyz(tmp_path / "a.xyz", small)], ASK)
    squeezed = dataclasses.replace(made, cells=made.cells * [[[1], [1], [0.55]]])
    path = make.extxyz(tmp_path / "b.xyz", squeezed)
    with pytest.raises(UserError, match="apart across the cell"):
        look([path], ASK)


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
