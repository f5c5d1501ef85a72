"""Broken, truncated and mixed-up files: each found, each with a word on what to do."""

import dataclasses
import shutil

import h5py
import numpy as np
import pytest
import trajectory_files as make
from getsei.errors import UserError
from getsei.trajectory import own, readers
from getsei.trajectory.timing import Options
from trajectory_files import ASK, TELL, cut, look


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
