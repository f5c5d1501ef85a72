"""Conservation of energy over 100 ps, and the statistics of 10 ps beside mace-torch."""

import sys
import time
from dataclasses import dataclass

import md_cases as cases
import numpy as np
from getsei import cells
from getsei.dynamics.engine import Engine, Frame
from getsei.potentials.native import export
from md_bars import Bar

ENERGY_PS, ENERGY_STEP_FS = 100.0, 1.0
DRIFT_meV = 0.1
EQUILIBRATE_STEPS = 5000
STATISTICS_PS, STATISTICS_STEP_FS = 10.0, 2.0
STATISTICS_K = 600.0
BLOCKS = 5
TEMPERATURE_ERRORS, BIN_ERRORS = 3.0, 2.0
"""How far two means may be apart, in standard errors of five blocks: of the temperature, and of all bins of
distance together (root mean square; 1.2 is expected of two runs of one potential)."""
RANGE_A, BIN_A = 6.0, 0.5
REPORT_EVERY_s = 10.0


def constant_energy(
    case: cases.Case,
    evaluator: cases.models.Evaluator,
    length_ps: float,
    step_fs: float,
    velocities: np.ndarray,
) -> list[Frame]:
    """Return frames every 0.1 ps of dynamics at constant energy."""
    every = round(100.0 / step_fs)
    with Engine(case.species, case.cell, evaluator, step_fs / 1000.0) as engine:
        engine.create(case.positions)
        engine.set_velocities(velocities)
        engine.conserve_energy()
        engine.settle()
        frames, total, told = [], round(10 * length_ps), time.monotonic()
        for number in range(1, total + 1):
            frames.append(engine.advance(every))
            if time.monotonic() - told > REPORT_EVERY_s:
                told = time.monotonic()
                print(
                    f"{number} of {total} frames, {frames[-1].temperature:.0f} K", file=sys.stderr, flush=True
                )
        return frames


def equilibrated(
    case: cases.Case, evaluator: cases.models.Evaluator, temperature_K: float
) -> tuple[cases.Case, np.ndarray]:
    """Return a case and velocities after Langevin dynamics with steps of 1 fs."""
    with Engine(case.species, case.cell, evaluator, 0.001) as engine:
        engine.create(case.positions)
        engine.minimise(100)
        engine.set_velocities(cases.maxwell_velocities(case.species, temperature_K, 1))
        engine.langevin(temperature_K, cases.BATH_PS, 17)
        engine.settle()
        engine.advance(EQUILIBRATE_STEPS)
        return cases.Case(case.name, engine.positions(), case.cell, case.species), engine.velocities()


def energy(name: str) -> list[Bar]:
    """Return the drift of the total energy of a system, a line fitted to 100 ps."""
    tables, built = export.export(cases.embedded()), cases.interface(name)
    case, velocities = equilibrated(built, cases.native(tables, built), cases.COLD_K)
    frames = constant_energy(case, cases.native(tables, case), ENERGY_PS, ENERGY_STEP_FS, velocities)
    totals = np.array([frame.conserved_energy for frame in frames]) * 1000.0 / len(case)
    slope, _ = np.polyfit(0.1 * np.arange(1, len(frames) + 1), totals, 1)
    kelvin = [frame.temperature for frame in frames]
    print(
        f"{name}: {len(case)} atoms, {ENERGY_PS:g} ps in steps of {ENERGY_STEP_FS:g} fs, "
        f"{np.mean(kelvin[:50]):.0f} to {np.mean(kelvin[-50:]):.0f} K, "
        f"fitted {slope * ENERGY_PS:+.4f} meV/atom, "
        f"last less first 5 ps {totals[-50:].mean() - totals[:50].mean():+.4f}, "
        f"spread {totals.std():.4f} meV/atom",
        flush=True,
    )
    return [Bar(f"drift in {ENERGY_PS:g} ps, {name}", DRIFT_meV, abs(slope) * ENERGY_PS, "meV/atom")]


@dataclass(frozen=True)
class Averages:
    """Means over a run, and their standard errors from blocks."""

    values: np.ndarray
    errors: np.ndarray


def pair_counts(case: cases.Case, frames: list[Frame], first: str, second: str) -> np.ndarray:
    """Return for every frame the neighbours of one element around another, per atom and distance bin."""
    species = np.array(case.species)
    edges = np.arange(0.0, RANGE_A + BIN_A / 2, BIN_A)
    rows = []
    for frame in frames:
        i, j, _, distance = cells.pairs(frame.positions, case.cell, RANGE_A, full=True)
        chosen = (species[i] == first) & (species[j] == second)
        rows.append(np.histogram(distance[chosen], edges)[0] / (species == first).sum())
    return np.array(rows)


def averaged(series: np.ndarray) -> Averages:
    """Return the mean over frames and its standard error from blocks."""
    blocks = np.array([block.mean(axis=0) for block in np.array_split(series, BLOCKS)])
    return Averages(blocks.mean(axis=0), blocks.std(axis=0, ddof=1) / np.sqrt(BLOCKS))


def statistics() -> list[Bar]:
    """Return how far temperature and pair distances of the native kernel are from those of mace-torch."""
    built = cases.crystal("Li6PS5Cl_ordered", (1, 1, 1))
    tables = export.export(cases.embedded())
    case, velocities = equilibrated(built, cases.native(tables, built), STATISTICS_K)
    runs = {
        "native": cases.native(tables, case),
        "torch": cases.torch(cases.embedded(), case),
    }
    pairs = (("Li", "S"), ("Li", "Li"), ("P", "S"), ("Li", "Cl"))
    found: dict[str, list[Averages]] = {}
    for engine, evaluator in runs.items():
        frames = constant_energy(case, evaluator, STATISTICS_PS, STATISTICS_STEP_FS, velocities)
        kelvin = np.array([[frame.temperature] for frame in frames])
        found[engine] = [averaged(kelvin), *(averaged(pair_counts(case, frames, *pair)) for pair in pairs)]
        print(
            f"{engine}: {len(case)} atoms, {STATISTICS_PS:g} ps, {found[engine][0].values[0]:.1f} ± "
            f"{found[engine][0].errors[0]:.1f} K",
            flush=True,
        )
    bars = []
    for number, name in enumerate(["temperature", *(f"neighbours {'-'.join(pair)}" for pair in pairs)]):
        one, two = found["native"][number], found["torch"][number]
        error = np.hypot(one.errors, two.errors)
        apart = np.abs(one.values - two.values)
        if number:
            # A rare neighbour in an empty bin says nothing, so that errors have a floor.
            error = np.maximum(error, 0.01 * two.values.max())
            shells = " ".join(
                f"{a:.2f}/{b:.2f}" for a, b in zip(one.values, two.values, strict=True) if a + b > 0.05
            )
            print(f"{name} per {BIN_A} Å, native/torch: {shells}", flush=True)
        limit = BIN_ERRORS if number else TEMPERATURE_ERRORS
        measured = float(np.sqrt(np.mean((apart / error)[one.values + two.values > 0] ** 2)))
        bars.append(Bar(f"{name}, native from torch", limit, measured, "standard errors"))
    return bars
