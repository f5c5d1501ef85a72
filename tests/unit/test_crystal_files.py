"""Crystals from CIF and POSCAR: the same as the facts they were written from, and files with a mistake."""

from collections import Counter

import numpy as np
import pytest
from ase.spacegroup import Spacegroup
from getsei import cells
from getsei.errors import UserError
from getsei.structures import building, charges, crystals, interfaces, ordering, surfaces

OPTIONS = {
    "metal_lattice_A": 3.46,
    "miller": (0, 0, 1),
    "electrolyte_thickness_A": 10.0,
    "metal_thickness_A": 10.0,
    "min_width_A": 8.5,
    "max_strain": 0.06,
    "gap_A": 2.5,
    "ordering_draws": 1,
    "min_mobile_distance_A": 2.2,
    "seed": 1,
}
POSCAR = """Li2S, antifluorite
1.0
5.7158 0 0
0 5.7158 0
0 0 5.7158
Li S
8 4
Direct
0.25 0.25 0.25
0.75 0.25 0.25
0.25 0.75 0.25
0.75 0.75 0.25
0.25 0.25 0.75
0.75 0.25 0.75
0.25 0.75 0.75
0.75 0.75 0.75
0 0 0
0 0.5 0.5
0.5 0 0.5
0.5 0.5 0
"""


def cif_of(name, path, symmetry="operations"):
    """Write crystal facts as a CIF, with the space group as operations, as a number, or not at all."""
    crystal = crystals.load(name)
    group = Spacegroup(crystal.space_group, setting=crystal.origin_choice)
    a, b, c, alpha, beta, gamma = crystal.parameters
    lines = ["data_test"]
    for key, value in zip(("length_a", "length_b", "length_c"), (a, b, c), strict=True):
        lines.append(f"_cell_{key} {value}(2)")
    for key, value in zip(("angle_alpha", "angle_beta", "angle_gamma"), (alpha, beta, gamma), strict=True):
        lines.append(f"_cell_{key} {value}")
    if symmetry == "number":
        lines.append(f"_space_group_IT_number {crystal.space_group}")
    if symmetry == "operations":
        lines += ["loop_", "_space_group_symop_operation_xyz"]
        lines += [f"'{text}'" for text in operations(group)]
    lines += ["loop_", "_atom_site_label", "_atom_site_type_symbol"]
    lines += [f"_atom_site_fract_{x}" for x in "xyz"] + ["_atom_site_occupancy"]
    for number, site in enumerate(crystal.sites):
        for element, share in site.occupancy.items():
            x, y, z = site.position
            charge = f"{abs(crystal.charges[element]):g}{'+' if crystal.charges[element] > 0 else '-'}"
            lines.append(f"{element}{number} {element}{charge} {x:.6f} {y:.6f} {z:.6f} {share}")
    path.write_text("\n".join(lines) + "\n")
    return path


def operations(group):
    for rotation, translation in group.get_symop():
        rows = []
        for row, shift in zip(rotation, translation, strict=True):
            terms = [f"{'+' if n > 0 else '-'}{x}" for n, x in zip(row, "xyz", strict=True) if n]
            rows.append("".join(terms) + f"+{shift:.8f}")
        yield ",".join(rows)


def site_picture(crystal):
    """Return which contents sit where, whatever the order of the sites."""
    found = Counter()
    for point, orbit in zip(crystal.positions.fractional, crystal.positions.orbit, strict=True):
        place = tuple((np.round(point, 3) % 1.0 + 0.0).tolist())
        found[(place, tuple(sorted(crystal.sites[orbit].occupancy.items())))] += 1
    return found


@pytest.mark.parametrize(
    "name",
    [
        "Li6PS5Cl_disordered",
        "Li10GeP2S12_disordered",
        "Li3InCl6",
        "Li7La3Zr2O12_cubic",
        "Li3P",
        "Na3PS4_tetragonal",
    ],
)
def test_a_cif_holds_the_same_crystal_as_the_facts(name, tmp_path):
    facts, read = crystals.load(name), crystals.load(cif_of(name, tmp_path / "a.cif"))
    assert site_picture(read) == site_picture(facts)
    assert read.charges == facts.charges
    np.testing.assert_allclose(read.cell, facts.cell, atol=1e-9)
    assert np.linalg.det(read.primitive) == pytest.approx(abs(np.linalg.det(facts.primitive)))
    for element, count in facts.counts.items():
        assert read.counts[element] == pytest.approx(count, rel=0.02)
    ordered = ordering.order(read, draws=6)
    assert ordered.atoms.symbols.formula.count() == {el: round(n) for el, n in facts.counts.items()}


def test_a_space_group_number_serves_where_no_operations_are_listed(tmp_path, caplog):
    read = crystals.load(cif_of("Li2S", tmp_path / "a.cif", "number"))
    assert site_picture(read) == site_picture(crystals.load("Li2S"))
    assert "no symmetry operations" in caplog.text
    alone = crystals.load(cif_of("Li2S", tmp_path / "b.cif", "none"), {"Li": 1, "S": -1})
    assert len(alone.positions.orbit) == 2
    assert "states no symmetry" in caplog.text


def test_a_poscar_holds_the_same_crystal_as_the_facts(tmp_path):
    path = tmp_path / "POSCAR"
    path.write_text(POSCAR)
    read, facts = crystals.load(path), crystals.load("Li2S")
    assert (read.formula, read.formula_units, read.role) == ("Li2S", 4, "electrolyte")
    assert site_picture(read) == site_picture(facts)
    assert abs(np.linalg.det(read.primitive)) == pytest.approx(0.25)
    plane = surfaces.lattice_plane(read, (1, 1, 1))
    assert plane.spacing == pytest.approx(surfaces.lattice_plane(facts, (1, 1, 1)).spacing)


def test_a_supercell_with_noise_has_the_lattice_of_its_cell(tmp_path):
    atoms = ordering.order(crystals.load("Li2S")).atoms.repeat((2, 1, 1))
    atoms.rattle(0.005, seed=1)
    path = tmp_path / "relaxed.vasp"
    atoms.write(path, format="vasp", direct=True, sort=True)
    read = crystals.load(path)
    assert np.linalg.det(read.primitive) == pytest.approx(1 / 8)
    interface = interfaces.build(read, crystals.load("Li_bcc"), **OPTIONS)
    counts = interface.atoms[interface.atoms.arrays["region"] == 1].symbols.formula.count()
    assert counts["Li"] == 2 * counts["S"]


def test_cartesian_scaled_and_left_handed_cells(tmp_path):
    atoms = ordering.order(crystals.load("Li3P")).atoms
    path = tmp_path / "POSCAR_scaled"
    cell, points = atoms.cell[:][[1, 0, 2]], atoms.positions
    order = np.argsort(atoms.get_chemical_symbols(), kind="stable")
    lines = ["left-handed", f"-{atoms.get_volume()}", *(" ".join(map(str, row / 3)) for row in cell)]
    lines += ["Li P", "6 2", "Selective dynamics", "Cartesian"]
    lines += [" ".join(map(str, points[k] / 3)) + " T T T" for k in order]
    path.write_text("\n".join(lines) + "\n\n0 0 0\n")
    read = crystals.load(path)
    distances = [
        cells.shortest_distances(one.positions, one.cell[:], one.get_chemical_symbols())
        for one in (atoms, ordering.order(read).atoms)
    ]
    assert distances[1] == pytest.approx(distances[0], abs=1e-6)


def test_a_site_may_hold_two_elements_and_be_partly_vacant(tmp_path):
    path = tmp_path / "mixed.cif"
    cif_of("LiCl", path)
    text = path.read_text().replace("Li0 Li1+ 0.000000 0.000000 0.000000 1.0", "")
    path.write_text(text + "Li0 Li 0 0 0 0.5\nMg0 Mg 0 0 0 0.25\n")
    read = crystals.load(path)
    assert read.charges == {"Li": 1, "Mg": 2, "Cl": -1}
    ordered = ordering.order(read, np.diag([2, 2, 1]), min_mobile_distance_A=2.0)
    assert ordered.atoms.symbols.formula.count() == {"Li": 8, "Mg": 4, "Cl": 16}
    assert ordered.occupancies[1] == {"Li": 0.5, "Mg": 0.25} or ordered.occupancies[0] == {
        "Li": 0.5,
        "Mg": 0.25,
    }


def test_refined_occupancies_are_made_neutral_by_the_vacant_element(tmp_path):
    path = cif_of("Li7La3Zr2O12_cubic", tmp_path / "a.cif")
    path.write_text(path.read_text().replace(" 0.349", " 0.355").replace(" 0.94", " 0.95"))
    read = crystals.load(path)
    assert read.counts["Li"] == pytest.approx(56.88)
    assert ordering.neutral_counts(read, 1.0)["Li"] == 56
    assert ordering.neutral_counts(read, 2.0)["Li"] == 112


CIF_FAULTS = {
    "cut short": (
        lambda t: t[: t.index("_atom_site_occupancy") + 60],
        "not readable|expected a number",
    ),
    "no cell": (lambda t: t.replace("_cell_length_a", "_cell_length_q"), "_cell_length_a is missing"),
    "unknown value": (
        lambda t: t.replace("0.250000 0.250000 0.250000", "? 0.25 0.25"),
        "of atom .*expected",
    ),
    "not a number": (lambda t: t.replace("0.250000 0.250000", "nan 0.25"), "expected a number"),
    "no atoms": (lambda t: t[: t.index("loop_\n_atom")], "no structure in this CIF"),
    "no element": (
        lambda t: t.replace("S2-", "Qq2-").replace("S0", "Qq0").replace("S1", "Qq1"),
        "element",
    ),
    "too full": (lambda t: t.replace("0.250000 1.0", "0.250000 1.7"), "occupancy 1.7"),
    "overlap": (lambda t: t.replace("0.250000 0.250000 0.250000", "0.010000 0.000000 0.000000"), "Å apart"),
    "no charges": (lambda t: t.replace("0.250000 1.0", "0.250000 0.6"), "neutral.*interface.charges"),
    "bad operation": (lambda t: t.replace("'+x", "'+q", 1), "symmetry operation"),
    "empty": (lambda _: "", "no structure"),
}


@pytest.mark.parametrize("fault", CIF_FAULTS)
def test_mistakes_in_a_cif_are_named(fault, tmp_path):
    path = cif_of("Li2S", tmp_path / "broken.cif")
    edit, message = CIF_FAULTS[fault]
    text = path.read_text()
    assert edit(text) != text
    path.write_text(edit(text))
    with pytest.raises(UserError, match=message) as error:
        crystals.load(path)
    assert "broken.cif" in str(error.value)


POSCAR_FAULTS = {
    "cut short": (
        lambda t: "\n".join(t.splitlines()[:-1]),
        "ends before line 20; expected the position",
    ),
    "no species": (lambda t: t.replace("Li S\n", ""), "line 6 holds numbers; put the species above"),
    "unknown species": (lambda t: t.replace("Li S\n", "Li Qq\n"), "line 6: unknown element Qq"),
    "mixed counts": (lambda t: t.replace("8 4", "8 4 2"), "line 7 must hold one number"),
    "few counts": (lambda t: t.replace("8 4", "8"), "line 7 is '8'"),
    "too many atoms": (lambda t: t.replace("8 4", "8 3"), "line 20 holds one more position"),
    "no mode": (lambda t: t.replace("Direct\n", ""), "expected Direct or Cartesian"),
    "not a number": (lambda t: t.replace("0.75 0.75 0.75", "0.75 nan 0.75"), "line 16 .* three numbers"),
    "no cell": (lambda t: t.replace("0 0 5.7158", "0 5.7158 0"), "no volume"),
    "short cell": (lambda t: t.replace("0 0 5.7158", "0 0"), "line 5 .*a cell vector"),
}


@pytest.mark.parametrize("fault", POSCAR_FAULTS)
def test_mistakes_in_a_poscar_are_named(fault, tmp_path):
    edit, message = POSCAR_FAULTS[fault]
    assert edit(POSCAR) != POSCAR
    path = tmp_path / "POSCAR"
    path.write_text(edit(POSCAR))
    with pytest.raises(UserError, match=message) as error:
        crystals.load(path)
    assert "POSCAR" in str(error.value)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"Li": 3, "P": 1, "S": 4}, {"Li": 1, "P": 5, "S": -2}),
        ({"Li": 3, "P": 1}, {"Li": 1, "P": -3}),
        ({"Na": 3, "Sb": 1, "S": 4}, {"Na": 1, "Sb": 5, "S": -2}),
        (
            {"Li": 6.25, "Al": 0.25, "La": 3, "Zr": 2, "O": 12.05},
            {"Li": 1, "Al": 3, "La": 3, "Zr": 4, "O": -2},
        ),
        ({"Li": 1, "B": 1, "H": 4}, {"Li": 1, "B": 3, "H": -1}),
        ({"Li": 8, "In": 8}, {"Li": 0, "In": 0}),
    ],
)
def test_usual_charges_make_the_crystal_neutral(counts, expected):
    assert charges.guess(counts, {}, "a.cif") == expected


def test_stated_charges_are_kept_and_must_fit():
    assert charges.guess({"Fe": 3, "O": 4}, {"Fe": 8 / 3}, "a.cif")["Fe"] == pytest.approx(8 / 3)
    with pytest.raises(UserError, match="holds no Q"):
        charges.guess({"Li": 1, "Cl": 1}, {"Q": 1}, "a.cif")
    with pytest.raises(UserError, match=r"on record for Pu; state it, as in interface.charges: \{Pu"):
        charges.guess({"Pu": 1, "O": 2}, {}, "a.cif")
    with pytest.raises(UserError, match="states its charges itself"):
        crystals.load("Li2S", {"Li": 1})


def test_other_terminations_are_cut_where_the_report_says():
    args = (crystals.load("Li7La3Zr2O12_tetragonal"), crystals.load("Li_bcc"))
    best, next_best = (interfaces.build(*args, **OPTIONS, termination=number) for number in (0, 1))
    listed = best.report["termination"]["possible"]
    strengths = [(one["rigid"], one["strength"]) for one in listed]
    assert strengths == sorted(strengths)
    assert next_best.report["termination"]["cut_A"] == pytest.approx(listed[1]["at_A"])
    assert best.report["termination"]["cut_A"] != next_best.report["termination"]["cut_A"]
    assert best.report["composition"]["Zr"] == next_best.report["composition"]["Zr"]
    with pytest.raises(UserError, match=r"interface.termination: .* has \d+ of them; choose 0 to"):
        interfaces.build(*args, **OPTIONS, termination=999)


@pytest.mark.parametrize(
    ("electrolyte", "other", "lattice"),
    [
        ("Li3PS4_beta_ordered", "Mg_hcp", 3.2094),
        ("Na3PS4_tetragonal", "K_bcc", 5.328),
        ("Li6PS5Cl_ordered", "LiIn", 6.786),
        ("Li6PS5Cl_ordered", "Li15Ge4", 10.783),
    ],
)
def test_other_metals_and_alloys(electrolyte, other, lattice):
    options = {**OPTIONS, "metal_lattice_A": lattice, "max_strain": 0.09}
    report = interfaces.build(crystals.load(electrolyte), crystals.load(other), **options).report
    assert report["metal_strain"]["largest"] <= 0.09
    assert set(crystals.load(other).counts) <= set(report["composition"])


def test_a_second_electrolyte_as_the_other_side():
    first, second = crystals.load("Li6PS5Cl_ordered"), crystals.load("Li3InCl6")
    options = {
        **OPTIONS,
        "metal_lattice_A": second.parameters[0],
        "metal_miller": (0, 0, 1),
        "max_strain": 0.1,
    }
    interface = interfaces.build(first, second, **options)
    assert [name for name, *_ in interface.report["regions"]] == ["counterpart", "electrolyte"]
    lower = interface.atoms[interface.atoms.arrays["region"] == 0]
    counts = lower.symbols.formula.count()
    assert counts["Li"] == 3 * counts["In"]
    assert counts["Cl"] == 6 * counts["In"]
    assert interface.report["metal_facet"] == [0, 0, 1]


def test_the_electrolyte_alone_is_periodic_and_wide_enough():
    crystal = crystals.load("Li6PS5Cl_disordered")
    interface = building.build_bulk(
        crystal, min_width_A=11.0, ordering_draws=1, min_mobile_distance_A=2.2, seed=1
    )
    assert cells.heights(interface.atoms.cell[:]).min() >= 11.0
    assert interface.report["composition"] == {"Li": 192, "P": 32, "S": 160, "Cl": 32}
    assert interface.report["regions"] == [["electrolyte", 0.0, pytest.approx(2 * 9.86026)]]
    assert set(interface.atoms.arrays["region"]) == {1}


def test_a_metal_is_no_electrolyte():
    with pytest.raises(UserError, match=r"interface.electrolyte: Li_bcc is a metal"):
        interfaces.build(crystals.load("Li_bcc"), crystals.load("Li_bcc"), **OPTIONS)
