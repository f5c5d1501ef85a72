"""Deviations of the native kernel from mace-torch in float64, and from finite differences."""

import md_cases as cases
import numpy as np
from getsei.potentials.native import export
from md_bars import Bar

BARS = {"forces": (2e-5, "eV/Å"), "energy": (1e-6, "eV/atom"), "virial": (1e-6, "eV/Å³")}
DIFFERENCES = 1e-6
"""Relative: fourth-order differences with steps of 1e-4 Å leave less than this."""
HOT_PS = (0.1, 0.3, 1.0)
RATTLE_A = 0.3
"""Of the random cells: forces of tens of eV/Å."""


def deviations(one: cases.models.Evaluation, two: cases.models.Evaluation, volume: float) -> dict[str, float]:
    """Return the largest deviations, in the units of the bars."""
    return {
        "forces": float(np.abs(one.forces - two.forces).max()),
        "energy": abs(one.energy - two.energy) / len(one.forces),
        "virial": float(np.abs(one.virial - two.virial).max()) / volume,
    }


def configurations(tables: export.Tables) -> list[cases.Case]:
    """Return interfaces at rest, at 400 K and as they react at 1000 K, and random cells."""
    found = []
    for name in cases.systems():
        built = cases.interface(name)
        found.append(cases.moved(built, cases.native(tables, built), 0.0, 0))
        found.append(cases.moved(built, cases.native(tables, built), cases.COLD_K, 1000))
        for time_ps in HOT_PS:
            steps = round(1000 * time_ps)
            hot = cases.moved(built, cases.native(tables, built), cases.HOT_K, steps)
            found.append(cases.Case(f"{hot.name} {time_ps} ps", hot.positions, hot.cell, hot.species))
    elements = cases.models.known_elements(cases.embedded())
    for seed, (shape, skew) in enumerate(
        (((6, 6, 6), 0.0), ((4, 5, 6), 0.3), ((2, 2, 2), 0.2), ((1, 2, 3), 0.0))
    ):
        drawn = cases.lattice(shape, elements, seed, skew, RATTLE_A)
        found.append(
            cases.Case(f"random {'x'.join(map(str, shape))}", drawn.positions, drawn.cell, drawn.species)
        )
    return found


def measure() -> list[Bar]:
    """Print one row per configuration and return the bars."""
    tables = export.export(cases.embedded())
    print(f"{'configuration':>32} {'atoms':>6} {'max F':>6} {'bits':>4} " + " ".join(
        f"{engine + ' ' + what:>13}" for engine in ("native", "torch") for what in BARS))  # fmt: skip
    worst: dict[str, float] = dict.fromkeys(BARS, 0.0)
    found = configurations(tables)
    for case in found:
        volume = abs(float(np.linalg.det(case.cell)))
        reference = cases.torch(cases.embedded(), case, "float64")(case.positions, case.cell)
        kernel = cases.native(tables, case)
        native = deviations(kernel(case.positions, case.cell), reference, volume)
        bits = 64 if kernel.doubled else 32
        single = deviations(cases.torch(cases.embedded(), case)(case.positions, case.cell), reference, volume)
        numbers = " ".join(f"{each[what]:13.1e}" for each in (native, single) for what in BARS)
        largest = np.abs(reference.forces).max()
        print(f"{case.name:>32} {len(case):6d} {largest:6.1f} {bits:4d} {numbers}", flush=True)
        worst = {what: max(worst[what], native[what]) for what in BARS}
    bars = [
        Bar(f"{what} against mace-torch float64", *BARS[what][:1], worst[what], BARS[what][1])
        for what in BARS
    ]
    return [*bars, *differences(tables, found[1])]


def differences(tables: export.Tables, case: cases.Case) -> list[Bar]:
    """Return how far forces and virial are from differences of the energy along a random direction."""
    native, step = cases.native(tables, case, dtype="float64"), 1e-4
    rng = np.random.default_rng(3)
    here = native(case.positions, case.cell)
    direction, strain = rng.normal(size=case.positions.shape), rng.normal(size=(3, 3))
    strain = 0.1 * (strain + strain.T)

    def slope(energy) -> float:
        return (8 * (energy(step) - energy(-step)) - (energy(2 * step) - energy(-2 * step))) / (12 * step)

    def moved(s: float) -> float:
        return native(case.positions + s * direction, case.cell).energy

    def strained(s: float) -> float:
        deformation = np.eye(3) + s * strain
        return native(case.positions @ deformation, case.cell @ deformation).energy

    rows = {
        "forces": (slope(moved), -float(np.sum(here.forces * direction))),
        "virial": (slope(strained), -float(np.sum(here.virial * strain))),
    }
    return [
        Bar(f"{what} against finite differences", DIFFERENCES, abs(a - b) / max(1.0, abs(b)), "relative")
        for what, (a, b) in rows.items()
    ]
