"""Crystal facts: every shipped file, and files with a mistake."""

import numpy as np
import pytest
import spglib
import yaml
from ase.data import atomic_numbers
from ase.spacegroup import Spacegroup
from getsei import cells
from getsei.errors import UserError
from getsei.structures import crystals

NAMES = sorted(path.stem for path in crystals.LIBRARY.glob("*.yaml"))

ROCK_SALT = {
    "formula": "LiCl",
    "role": "product",
    "space_group": 225,
    "cell": [5.14, 5.14, 5.14, 90, 90, 90],
    "formula_units": 4,
    "charges": {"Li": 1, "Cl": -1},
    "sites": [
        {"occupancy": {"Li": 1.0}, "wyckoff": "4a", "position": [0, 0, 0]},
        {"occupancy": {"Cl": 1.0}, "wyckoff": "4b", "position": [0.5, 0.5, 0.5]},
    ],
    "min_distances_A": {"Cl-Li": 2.5},
    "source": "textbook",
}


def written(tmp_path, **changes):
    path = tmp_path / "crystal.yaml"
    path.write_text(yaml.safe_dump({**ROCK_SALT, **changes}))
    return path


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # spglib's own notice
@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_crystal_has_the_symmetry_of_its_space_group(name):
    crystal = crystals.load(name)
    sites = crystal.positions
    contents = [str(sorted(crystal.sites[o].occupancy.items())) for o in sites.orbit]
    numbers = np.unique(contents, return_inverse=True)[1]
    found = spglib.get_symmetry_dataset((crystal.cell, sites.fractional, numbers), symprec=1e-3)
    stated = Spacegroup(crystal.space_group, setting=crystal.origin_choice)
    # The occupied positions may be more symmetric than the group they are described in, never less.
    assert len(found.rotations) >= len(stated.get_symop())


@pytest.mark.parametrize(
    ("name", "pair", "distance"),
    [
        ("Li6PS5Cl_ordered", "P-S", 2.03),
        ("Li2S", "Li-S", 2.475),
        ("Li2O", "Li-O", 2.000),
        ("LiCl", "Cl-Li", 2.570),
        ("Na3PS4_tetragonal", "P-S", 2.05),
        ("Li7La3Zr2O12_tetragonal", "O-Zr", 2.10),
        ("Li3P", "Li-P", 2.46),
    ],
)
def test_shortest_bonds(name, pair, distance):
    crystal = crystals.load(name)
    sites = crystal.positions
    symbols = [next(iter(crystal.sites[o].occupancy)) for o in sites.orbit]
    found = cells.shortest_distances(sites.fractional @ crystal.cell, crystal.cell, symbols)
    assert found[pair] == pytest.approx(distance, abs=0.01)


@pytest.mark.parametrize("name", ["Li10GeP2S12_disordered", "Li7La3Zr2O12_tetragonal"])
def test_the_other_origin_is_refused(name, tmp_path):
    facts = yaml.safe_load((crystals.LIBRARY / f"{name}.yaml").read_text())
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump({**facts, "origin_choice": 2}))
    with pytest.raises(UserError, match=r"other\.yaml"):
        crystals.load(path)


@pytest.mark.parametrize("name", ["Li_bcc", "Li6PS5Cl_ordered", "Li3InCl6", "Li8ZrO6", "La2O3"])
def test_supercells_on_the_primitive_lattice_keep_density_and_distances(name):
    crystal = crystals.load(name)
    lattice = crystal.primitive
    transform = np.array([[2, 1, 0], [0, 1, 0], [1, 0, 3]]) @ lattice
    sites, cell = crystals.supercell(crystal, transform)
    whole = crystal.positions
    assert len(sites.fractional) / cells.volume(cell) == pytest.approx(
        len(whole.fractional) / cells.volume(crystal.cell)
    )
    major = np.array([next(iter(site.occupancy)) for site in crystal.sites])
    assert cells.shortest_distances(sites.fractional @ cell, cell, major[sites.orbit]) == pytest.approx(
        cells.shortest_distances(whole.fractional @ crystal.cell, crystal.cell, major[whole.orbit])
    )


def test_supercells_off_the_lattice_are_refused():
    with pytest.raises(UserError, match="not lattice vectors"):
        crystals.supercell(crystals.load("Li3P"), np.diag([0.7, 1.0, 1.0]))


def test_a_good_file_loads(tmp_path):
    crystal = crystals.load(written(tmp_path))
    assert crystal.counts == {"Li": 4, "Cl": 4}
    assert crystal.ordered


SITES = ROCK_SALT["sites"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"formula": "Li2Cl"}, "formula"),
        ({"formula_units": 2}, "formula_units"),
        ({"charges": {"Li": 1, "Cl": -2}}, "charges"),
        ({"charges": {"Li": 1}}, "different elements"),
        ({"cell": [5.14, 5.14, 5.14]}, "six positive numbers"),
        ({"cell": [3.0, 3.0, 3.0, 90, 90, 90]}, "Cl-Li 1.50 Å"),
        ({"sites": [{**SITES[0], "position": [0.1, 0, 0]}, SITES[1]]}, r"site 1 \(4a\) generates 24"),
        ({"sites": [{**SITES[0], "occupancy": {"Li": 1.2}}, SITES[1]]}, "at most 1"),
        ({"sites": [{**SITES[0], "occupancy": {"Xx": 1.0}}, SITES[1]]}, "Xx|different elements"),
        ({"sites": [{"wyckoff": "4a"}]}, "missing or of the wrong kind"),
        ({"colour": "white"}, "unknown key colour"),
        ({"space_group": "F m"}, "wrong kind"),
    ],
)
def test_mistakes_are_named_with_their_file(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as error:
        crystals.load(written(tmp_path, **changes))
    assert "crystal.yaml" in str(error.value)


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "crystal.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in ROCK_SALT.items() if key != "source"}))
    with pytest.raises(UserError, match="missing source"):
        crystals.load(path)


def test_broken_yaml_is_named(tmp_path):
    path = tmp_path / "crystal.yaml"
    path.write_text("formula: [LiCl")
    with pytest.raises(UserError, match="not readable as YAML"):
        crystals.load(path)


def test_an_unknown_crystal_lists_the_known_ones():
    with pytest.raises(UserError, match="Li6PS5Cl_ordered"):
        crystals.load("unobtainium")


def test_all_elements_are_real():
    assert all(element in atomic_numbers for name in NAMES for element in crystals.load(name).counts)
