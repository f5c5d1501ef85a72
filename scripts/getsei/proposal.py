"""`make new SYSTEM=name CIF=file`: a commented entry for a new electrolyte, proposed from its crystal.

The other side is the metal of the mobile ion. Plane, supercell and strain come from the same search as the
interface itself, at the tabulated lattice constant of the metal; the potential's own may differ by some
percent, and the build says what the strain is then.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from getsei import cells, settings
from getsei.errors import UserError
from getsei.potentials import sources
from getsei.structures import crystals, interfaces, matching, names, ordering, surfaces
from getsei.structures.crystals import Crystal

ROOT = settings.SCHEMA.parents[2]
PLANES = ((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1))
STRAINS = (0.02, 0.04, 0.06)
"""Limits under which the smallest match is looked for."""
SLOW_THICKNESS_A = 12.0
"""Of either slab where the potential is CHGNet, which takes milliseconds per atom and step."""
EMBEDDED = "config/potentials/getsei-small.safetensors"


@dataclass(frozen=True)
class Ion:
    """What follows from the kind of mobile ion.

    Attributes
    ----------
    metal : str
        Crystal of its metal.
    cutoff_A : float
        Radius of an environment that holds the first shells of its metal and of its salts.
    min_distance_A : float
        Two ions of an ordering are never closer: below the shortest distances in its salts.
    gap_A : float
        Between the slabs, about the bond to sulphur.
    temperature_K : float
        Of production, below the melting point of its metal.
    """

    metal: str
    cutoff_A: float
    min_distance_A: float
    gap_A: float
    temperature_K: float


IONS = {
    "Li": Ion("Li_bcc", 5.0, 2.2, 2.5, 400.0),  # melts at 454 K
    "Na": Ion("Na_bcc", 5.5, 2.8, 3.0, 350.0),  # 371 K
    "K": Ion("K_bcc", 6.0, 3.2, 3.4, 310.0),  # 337 K
    "Mg": Ion("Mg_hcp", 5.0, 2.8, 2.6, 500.0),  # 923 K
}


@dataclass(frozen=True)
class Option:
    """A way to join electrolyte and metal.

    Attributes
    ----------
    miller : tuple of int
        Plane of the electrolyte.
    facet : tuple of int
        Plane of the metal.
    strain : float
        Largest principal strain on the metal (fraction).
    area : float
        Å².
    widths : tuple of float
        Of the cell along the interface in Å.
    n_atoms : int
        With the thicknesses asked for.
    terminations : int
        Cuts of the electrolyte along the plane.
    """

    miller: tuple[int, int, int]
    facet: tuple[int, int, int]
    strain: float
    area: float
    widths: tuple[float, float]
    n_atoms: int


def options(
    electrolyte: Crystal, metal: Crystal, thickness_A: tuple[float, float], min_width_A: float
) -> list[Option]:
    """Return the smallest matches of every low-index plane, fewest atoms first.

    Parameters
    ----------
    electrolyte, metal : Crystal
    thickness_A : tuple of float
        Of the electrolyte and of the metal.
    min_width_A : float
        Smallest width of the cell.
    """
    facets = [surfaces.lattice_plane(metal, tuple(index)) for index in interfaces.facets(metal, None)]
    densities = [sum(one.counts.values()) / cells.volume(one.cell) for one in (electrolyte, metal)]
    found: dict[tuple[float, ...], Option] = {}
    for miller in PLANES:
        plane = surfaces.lattice_plane(electrolyte, miller)
        layers = max(1, round(thickness_A[0] / plane.spacing))
        heights = (layers * plane.spacing, thickness_A[1])
        for strain in STRAINS:
            try:
                match = matching.match(
                    interfaces.planar(plane, electrolyte.cell),
                    [interfaces.planar(facet, metal.cell) for facet in facets],
                    min_width_A,
                    strain,
                    [str(facet.miller) for facet in facets],
                )
            except UserError:
                continue  # no match of this plane at this strain
            atoms = match.area * sum(d * h for d, h in zip(densities, heights, strict=True))
            option = Option(
                miller,
                facets[match.facet].miller,
                match.largest_strain,
                match.area,
                tuple(float(w) for w in matching.widths(match.target)),  # type: ignore[arg-type]
                round(atoms),
            )
            # Planes that symmetry makes equal have the same spacing, area and strain.
            found.setdefault(
                (round(plane.spacing, 3), round(match.area, 2), round(match.largest_strain, 4)), option
            )
    return sorted(found.values(), key=lambda option: (option.n_atoms, option.strain))


def choose(found: Sequence[Option]) -> Option:
    """Return the match of least strain among those with at most half as many atoms again as the smallest."""
    smallest = found[0].n_atoms
    return min(
        (o for o in found if o.n_atoms <= 1.5 * smallest), key=lambda o: (round(o.strain, 3), o.n_atoms)
    )


def min_distance(crystal: Crystal, start_A: float) -> float:
    """Return a distance (Å) that the mobile ions of an ordering can keep, `start_A` or a little less."""
    if crystal.ordered:
        return start_A
    for lower in np.arange(0.0, 1.01, 0.2):
        try:
            ordering.order(crystal, draws=2, min_mobile_distance_A=start_A - lower)
        except UserError:
            continue
        return round(float(start_A - lower), 2)
    raise UserError(
        f"{crystal.name}: the partly vacant positions can not be filled without ions closer than "
        f"{start_A - 1.0:.1f} Å; check occupancies and symmetry"
    )


def table(found: Sequence[Option]) -> str:
    """Return the matches as lines of text."""
    lines = ["plane      metal      strain  width x width (Å)   atoms"]
    for option in found:
        size = " x ".join(f"{width:.1f}" for width in option.widths)
        lines.append(
            f"{_bracket(option.miller):<10} {_bracket(option.facet):<10} {100 * option.strain:5.1f} %"
            f"  {size:<18} {option.n_atoms:>6}"
        )
    return "\n".join(lines)


def _bracket(miller: Sequence[int]) -> str:
    return "(" + " ".join(map(str, miller)) + ")"


def propose(name: str, file: str, metal_name: str | None = None) -> str:
    """Return a configuration file with one commented entry.

    Parameters
    ----------
    name : str
        Of the system.
    file : str
        CIF, POSCAR, file of crystal facts, or the name of one in config/structures.
    metal_name : str, optional
        Crystal of the other side; the metal of the mobile ion when not given, `none` for none.

    Raises
    ------
    UserError
        If the crystal can not be read, holds no ion on record, or matches no metal.
    """
    crystal = crystals.load(file)
    mobile = [ion for ion in IONS if ion in crystal.counts]
    if not mobile:
        raise UserError(f"{file}: {crystal.formula} holds none of {', '.join(IONS)}; write the entry by hand")
    ion = IONS[mobile[0]]
    distance = min_distance(crystal, ion.min_distance_A)
    metal_name = metal_name or ion.metal
    metal = None if metal_name == names.NONE else crystals.load(metal_name)
    elements = set(crystal.counts) | (set(metal.counts) if metal else set())
    known = set(sources.stated_elements(str(ROOT / EMBEDDED)) or ())
    embedded = elements <= known
    lines = [
        "# yaml-language-server: $schema=../workflow/schemas/config.schema.json",
        f"# {crystal.formula}{' | ' + metal.name if metal else ', alone'}: proposed from {file}.",
        "# config/README.md describes every key; what is not said here is taken from config/config.yaml.",
        f"#   snakemake --configfile config/{name}.yaml                      the run",
        f"#   snakemake --configfile config/{name}.yaml config/quick.yaml    a first look",
        f"run: [{name}]",
        "systems:",
        f"  {name}:",
        f"    mobile: [{', '.join(dict.fromkeys([mobile[0], *_plated(metal)]))}]",
    ]
    if embedded:
        lines += [
            f"    potential: # the embedded one knows {', '.join(sorted(elements))}",
            f"      model: {EMBEDDED}",
        ]
    else:
        lacks = ", ".join(sorted(elements - known))
        lines += [
            f"    potential: # the embedded one lacks {lacks}; CHGNet is general and slow: use a GPU",
            "      model: chgnet",
        ]
    lines += ["    interface:", f"      electrolyte: {file}"]
    if names.kind_of(file) in ("cif", "poscar"):
        charges = ", ".join(f"{el}: {q:g}" for el, q in crystal.charges.items())
        lines.append(
            f"      charges: {{{charges}}} # guessed so that the crystal is neutral; correct them if need be"
        )
    if metal is None:
        lines += [
            "      metal: none # the electrolyte alone, periodic",
            "      min_width_A: 18.0 # in every direction",
        ]
    else:
        lines += _interface_lines(crystal, metal, ion, embedded=embedded)
    if not crystal.ordered:
        lines += [
            "      ordering_draws: 8 # of these, the one of lowest Coulomb energy; every replica draws anew",
            f"      min_mobile_distance_A: {distance}",
        ]
    lines += [
        "    md:",
        f"      production_temperature_K: {ion.temperature_K} # below the melting point of the metal",
        "    environments:",
        f"      cutoff_A: {ion.cutoff_A} # the first shells of {mobile[0]} lie within",
    ]
    text = "\n".join(lines) + "\n"
    _check(text)
    return text


def _plated(metal: Crystal | None) -> list[str]:
    """Return the ions on record that a metal consists of."""
    return [ion for ion in IONS if metal is not None and ion in metal.counts]


def _interface_lines(crystal: Crystal, metal: Crystal, ion: Ion, *, embedded: bool) -> list[str]:
    default = settings.default_settings(settings.load_schema())["interface"]
    thickness = (
        (default["electrolyte_thickness_A"], default["metal_thickness_A"])
        if embedded
        else (SLOW_THICKNESS_A, SLOW_THICKNESS_A)
    )
    width = default["min_width_A"]
    found = options(crystal, metal, thickness, width)
    if not found:
        raise UserError(
            f"{crystal.name} and {metal.name} match within {STRAINS[-1]:.0%} on no low-index plane; write "
            "the entry by hand with another metal, a larger max_strain or min_width_A"
        )
    chosen = choose(found)
    allowed = float(np.ceil(100 * chosen.strain + 2) / 100)
    return [
        f"      metal: {metal.name}",
        "      # Smallest matches of the low-index planes; strain is put on the metal.",
        *(f"      #   {line}" for line in table(found).splitlines()),
        f"      miller: [{', '.join(map(str, chosen.miller))}]",
        f"      max_strain: {allowed:.2f} # above the strain found: the metal of the potential differs",
        "      termination: 0 # cuts the fewest bonds; interface/report.json lists the others",
        f"      electrolyte_thickness_A: {thickness[0]}",
        f"      metal_thickness_A: {thickness[1]}",
        f"      min_width_A: {width}",
        f"      gap_A: {ion.gap_A}",
    ]


def _check(text: str) -> None:
    """Refuse an entry that the workflow would refuse."""
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    added = yaml.safe_load(text)
    settings.resolve({**config, **added})


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the entry to config/NAME.yaml and print its table."""
    parser = argparse.ArgumentParser(prog="make new SYSTEM=name CIF=file [METAL=name]", description=__doc__)
    parser.add_argument("system", help="name of the system: lower-case letters, digits and _")
    parser.add_argument("file", help="CIF, POSCAR, or the name of a crystal in config/structures")
    parser.add_argument(
        "metal", nargs="?", default="", help="crystal of the other side; none for the crystal alone"
    )
    chosen = parser.parse_args(arguments)
    try:
        if not chosen.system or not chosen.file:
            raise UserError("say which: make new SYSTEM=name CIF=path/to/file.cif [METAL=Na_bcc]")
        target = Path("config") / f"{chosen.system}.yaml"
        if target.exists():
            raise UserError(f"{target} is there already; choose another name or remove it")
        text = propose(chosen.system, chosen.file, chosen.metal or None)
        target.write_text(text, encoding="utf-8")
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{text}\nwritten to {target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
