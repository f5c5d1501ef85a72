"""Every format gives the same trajectory, whatever its conventions."""

import bz2
import dataclasses
import gzip
import lzma

import ase.io
import numpy as np
import pytest
import trajectory_files as make
from ase import units
from getsei import records
from getsei.errors import UserError
from getsei.trajectory import files, own, readers
from getsei.trajectory.timing import Options

FLOAT32_A = 4e-6
"""Two units in the last place of a float32 near 20 Å."""
TELL = {"timestep_fs": make.TIMESTEP_FS}
ASK = {"frame_interval_fs": 1000 * make.FRAME_PS}


def read(tmp_path, paths, options=None, types=(), topology=None, **more):
    sources = [readers.open_source(path, "auto", types, topology) for path in np.atleast_1d(paths)]
    out = tmp_path / "out.h5"
    found = own.store(sources, out, Options(**(options or {})), **more)
    return found, records.Trajectory.load(out)


def assert_same(trajectory, made, tolerance=FLOAT32_A):
    """Same atoms, cells and displacements; the first frame may be another image."""
    assert trajectory.species.tolist() == made.species.tolist()
    assert trajectory.frame_interval_ps == pytest.approx(make.FRAME_PS)
    cells = np.broadcast_to(trajectory.cells, made.cells.shape)
    assert np.abs(cells - made.cells).max() < 1e-5
    moved = trajectory.positions.astype(float) - made.positions
    whole = moved[0] @ np.linalg.inv(made.cells[0])
    assert np.abs(whole - np.rint(whole)).max() * 12 < tolerance
    assert np.abs(moved - moved[0]).max() < tolerance
    for frame, wrapped in enumerate(made.wrapped):
        images = (trajectory.in_cell(frame) - wrapped) @ np.linalg.inv(made.cells[frame])
        assert np.abs(images - np.rint(images)).max() * 12 < 2 * tolerance


LAMMPS = {
    "wrapped": {"columns": "x"},
    "scaled": {"columns": "xs"},
    "unwrapped": {"columns": "xu"},
    "scaled and unwrapped": {"columns": "xsu"},
    "image flags": {"columns": "x+i"},
    "scaled with image flags": {"columns": "xs+i"},
    "elements, shuffled": {"columns": "xs", "element": True, "shuffle": True},
}


@pytest.mark.parametrize("breathing", [0.0, 0.01], ids=["constant cell", "changing cell"])
@pytest.mark.parametrize("flavour", LAMMPS.values(), ids=LAMMPS)
def test_lammps_dump(tmp_path, flavour, breathing):
    made = make.make(breathing=breathing)
    path = make.lammps(tmp_path / "run.lammpstrj", made, **flavour)
    found, trajectory = read(tmp_path, path, TELL, () if flavour.get("element") else make.ELEMENTS)
    assert_same(trajectory, made)
    assert found.unwrapped == (flavour["columns"] in ("xu", "xsu", "x+i", "xs+i"))
    assert found.constant_cell == (breathing == 0)


def test_lammps_elements_from_masses(tmp_path):
    made = make.make(n_frames=4)
    path = make.lammps(tmp_path / "dump.0", made)
    data = make.data_file(tmp_path / "start.data", made)
    assert_same(read(tmp_path, path, TELL, topology=data)[1], made)


@pytest.mark.parametrize(("ending", "opener"), [("gz", gzip.open), ("bz2", bz2.open), ("xz", lzma.open)])
def test_compressed(tmp_path, ending, opener):
    made = make.make(n_frames=4)
    path = make.lammps(tmp_path / f"run.lammpstrj.{ending}", made, opener=opener)
    assert_same(read(tmp_path, path, TELL, make.ELEMENTS)[1], made)


def test_lammps_against_ase(tmp_path):
    """Another reader's word on scaled triclinic coordinates."""
    made = make.make(n_frames=3)
    path = make.lammps(tmp_path / "run.lammpstrj", made, columns="xs", shuffle=True)
    frames = ase.io.read(path, ":", format="lammps-dump-text")
    source = readers.open_source(path, types=make.ELEMENTS)
    for atoms, frame in zip(frames, source.frames(), strict=True):
        assert np.abs(atoms.cell - frame.cell).max() < 1e-9
        assert np.abs(atoms.positions - frame.positions).max() < 1e-6


def test_xdatcar_against_ase(tmp_path):
    path = make.xdatcar(tmp_path / "XDATCAR", make.make(n_frames=3))
    source = readers.open_source(path)
    for atoms, frame in zip(ase.io.read(path, ":", format="vasp-xdatcar"), source.frames(), strict=True):
        assert atoms.get_chemical_symbols() == source.species.tolist()
        assert np.abs(atoms.get_positions() - frame.positions).max() < 1e-6


FORMATS = {
    "extxyz": ("run.extxyz", make.extxyz, ASK),
    "ase": ("run.traj", make.ase_traj, ASK),
    "dcd": ("run.dcd", make.dcd, ASK),
    "xtc": ("run.xtc", make.xtc, {}),
    "h5md": ("run.h5md", make.h5md, {}),
    "getsei": ("trajectory.h5", make.store, {}),
}


@pytest.mark.parametrize("breathing", [0.0, 0.01], ids=["constant cell", "changing cell"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format(tmp_path, name, breathing):
    made = make.make(breathing=breathing)
    file, writer, options = FORMATS[name]
    path = writer(tmp_path / file, made)
    topology = make.extxyz(tmp_path / "top.extxyz", made.frames(slice(1))) if name in ("dcd", "xtc") else None
    assert_same(read(tmp_path, path, options, topology=topology)[1], made)
    assert readers.detect(path) == name


@pytest.mark.parametrize("breathing", [0.0, 0.01], ids=["constant cell", "changing cell"])
def test_vasp_files(tmp_path, breathing):
    made = make.make(breathing=breathing)
    expected = make.by_element(made)
    xdatcar = make.xdatcar(tmp_path / "XDATCAR", made, variable=breathing > 0)
    assert_same(read(tmp_path, xdatcar, ASK)[1], expected)
    found, trajectory = read(tmp_path, make.vasprun(tmp_path / "vasprun.xml", made))
    assert_same(trajectory, expected)
    assert trajectory.potential_energy == pytest.approx(-100.5)
    assert found.timing.origin == "times in the files"


def test_h5md_species_and_images(tmp_path):
    made = make.make(n_frames=6)
    path = make.h5md(tmp_path / "run.h5md", made, images=True, species="numbers")
    found, trajectory = read(tmp_path, path)
    assert found.unwrapped
    assert_same(trajectory, made)
    bare = make.h5md(tmp_path / "types.h5md", made, species="types", time=False)
    assert_same(read(tmp_path, bare, TELL, make.ELEMENTS)[1], made)
    assert "trajectory.types" in readers.open_source(bare).problems[0]


def test_left_handed_cell_is_the_same_lattice(tmp_path):
    made = make.make(n_frames=5)
    swapped = dataclasses.replace(made, cells=made.cells[:, [1, 0, 2]])
    _, trajectory = read(tmp_path, make.extxyz(tmp_path / "run.extxyz", swapped, wrapped=False), ASK)
    assert np.linalg.det(trajectory.cells[0]) > 0
    moved = trajectory.positions - made.positions
    assert np.abs(moved - moved[0]).max() < FLOAT32_A


def test_temperature_and_energy_are_taken_over(tmp_path):
    made = make.make(n_frames=3)
    images = make.atoms_of(made)
    for image in images:
        image.set_momenta(np.ones((len(image), 3)))
    kinetic = images[0].get_kinetic_energy() / (1.5 * len(images[0]) * units.kB)
    ase.io.write(tmp_path / "run.traj", images)
    _, trajectory = read(tmp_path, tmp_path / "run.traj", ASK)
    assert trajectory.temperature == pytest.approx(kinetic)


def test_a_temperature_that_is_told_is_not_passed_off_as_recorded(tmp_path):
    path = make.extxyz(tmp_path / "a.xyz", make.make(n_frames=3))
    trajectory = own.read([path], frame_interval_fs=100.0, temperature_K=77.0)
    assert np.isnan(trajectory.temperature).all()
    assert trajectory.provenance["settings"]["trajectory"]["temperature_K"] == 77.0


def test_names_of_files(tmp_path, monkeypatch):
    for name in ("run10.xyz", "run2.xyz", "other1.xyz", "other2.xyz"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert [str(p) for p in files.find(["run*.xyz"])] == ["run2.xyz", "run10.xyz"]
    assert [str(p) for p in files.find(["other{replica}.xyz"], 2)] == ["other2.xyz"]
    with pytest.raises(UserError, match=r"no file missing\*"):
        files.find(["missing*"])


def test_blocks_do_not_show(tmp_path, monkeypatch):
    """Reading a few frames at a time gives the same as reading all at once."""
    made = make.make(breathing=0.01)
    path = make.lammps(tmp_path / "run.lammpstrj", made)
    whole = read(tmp_path, path, TELL, make.ELEMENTS)[1]
    monkeypatch.setattr("getsei.trajectory.intake.BLOCK_BYTES", 4 * made.positions[0].nbytes)
    blocks = read(tmp_path, path, TELL, make.ELEMENTS)[1]
    assert np.abs(whole.positions - blocks.positions).max() < FLOAT32_A
    for name in ("positions", "offsets"):
        assert isinstance(getattr(blocks, name).base, np.memmap), f"{name} fill memory"
