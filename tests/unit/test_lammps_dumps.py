"""Dumps that LAMMPS itself wrote, of a triclinic box whose cell and atoms move, against what LAMMPS held."""

import numpy as np
import pytest
from getsei.dynamics.lammps_library import open_lammps
from getsei.trajectory import own

EVERY, FRAMES = 20, 12
COLUMNS = {
    "x": "id type x y z",
    "xs": "id type xs ys zs",
    "xu": "id type xu yu zu",
    "xsu": "id type xsu ysu zsu",
    "x+i": "id type x y z ix iy iz",
    "xs+i": "id element xs ys zs ix iy iz vx",
}
SETUP = """
units metal
atom_style atomic
boundary p p p
lattice bcc 3.5
region box prism 0 3 0 3 0 4 0.6 0.3 -0.4
create_box 2 box
create_atoms 1 box
set group all type/fraction 2 0.3 11
mass 1 6.94
mass 2 32.06
pair_style lj/cut 6.0
pair_coeff * * 0.02 2.9
velocity all create 900 7
timestep 0.002
fix move all npt temp 900 900 0.1 tri 0 0 0.5
neigh_modify every 1 delay 0 check yes
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run LAMMPS once, every kind of dump at a time; return the folder and unwrapped positions per frame."""
    folder = tmp_path_factory.mktemp("dumps")
    engine = open_lammps()
    engine.commands_string(SETUP)
    for name, columns in COLUMNS.items():
        engine.command(f"dump {name.replace('+', '_')} all custom {EVERY} {folder / name}.dump {columns}")
    engine.commands_string("dump_modify xs_i element Li S\ndump_modify x sort id\nthermo 1000")
    held = []
    for number in range(FRAMES):
        engine.command(f"run {EVERY if number else 0}")
        n = engine.get_natoms()
        positions = np.array(engine.gather_atoms("x", 1, 3)).reshape(n, 3)
        images = np.array(engine.gather_atoms("image", 0, 3)).reshape(n, 3)
        low, high, xy, yz, xz, *_ = engine.extract_box()
        lengths = np.subtract(high, low)
        cell = np.array([[lengths[0], 0, 0], [xy, lengths[1], 0], [xz, yz, lengths[2]]])
        held.append((positions + images @ cell, cell))
    types = np.array(engine.gather_atoms("type", 0, 1))
    engine.close()
    return folder, held, np.array(["Li", "S"])[types - 1]


@pytest.mark.parametrize("name", COLUMNS)
def test_what_lammps_dumps_is_what_it_held(run, name):
    folder, held, species = run
    told = {"timestep_fs": 2.0} | ({} if "element" in COLUMNS[name] else {"types": ["Li", "S"]})
    trajectory = own.read([folder / f"{name}.dump"], **told)
    assert trajectory.frame_interval_ps == pytest.approx(0.002 * EVERY)
    assert trajectory.species.tolist() == species.tolist()
    assert len(trajectory.positions) == FRAMES
    cells = np.array([cell for _, cell in held])
    assert np.ptp(cells, axis=0).max() > 0.05  # the box did breathe
    np.testing.assert_allclose([trajectory.cell(f) for f in range(FRAMES)], cells, atol=2e-4)
    truth = np.array([positions for positions, _ in held])
    moved = np.diff(np.asarray(trajectory.positions, dtype=float), axis=0)
    # A dump rounds to six digits; LAMMPS scales images with the cell, which the unwrapped path leaves out.
    fractional = np.array([p @ np.linalg.inv(c) for p, c in zip(truth, cells, strict=True)])
    assert np.diff(np.floor(fractional), axis=0).any()  # atoms do cross faces
    carried = np.floor(fractional[:-1]) @ np.diff(cells, axis=0)
    np.testing.assert_allclose(moved, np.diff(truth, axis=0) - carried, atol=2e-3)
