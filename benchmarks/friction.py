"""What the thermostat does to a reacting stack: whether it can follow, how far it reacts, how hot it gets.

Friction on every atom takes heat out where it arises, and resists the motion of whole layers as well. A
global thermostat (Nosé-Hoover chain) resists nothing and leaves the heat where it is. Prints, for each bath,
the energy reached, the thickness, the widest gap, and the hottest and coldest eighth of the stack.
"""

import argparse

import md_cases as cases
import numpy as np
from getsei.dynamics import guards, protocol
from getsei.dynamics.engine import Engine
from getsei.dynamics.velocities import kinetic_energy, maxwell_velocities
from getsei.potentials.native import export, kernel
from getsei.units import FS_PER_PS, BOLTZMANN_eV_per_K

LAYERS = 8
EVERY_PS = 0.1
AVERAGED = 10
"""Looks at the temperatures of layers that are averaged: a layer of 100 atoms scatters by 40 K in one."""


def layer_temperatures(engine: Engine) -> np.ndarray:
    """Return the kinetic temperature in K of every eighth of the cell along its third vector."""
    places = np.linalg.solve(engine.cell.T, engine.positions().T)[2] % 1.0
    layer, moving = (places * LAYERS).astype(int), engine.velocities()
    rows = [np.flatnonzero(layer == number) for number in range(LAYERS)]
    energies = [kinetic_energy(moving[at], engine.masses[at]) for at in rows]
    return np.array(
        [
            2 * e / (3 * len(at) * BOLTZMANN_eV_per_K) if len(at) else np.nan
            for e, at in zip(energies, rows, strict=True)
        ]
    )


def react(case: cases.Case, bath: str, settings: dict, ps: float) -> None:
    """Run one reaction and print what became of the stack."""
    tables = export.export(cases.embedded())
    temperature, pressure = settings["react_temperature_K"], settings["stack_pressure_MPa"]
    timestep_ps = settings["timestep_fs"] / FS_PER_PS
    with Engine(case.species, case.cell, kernel.NativeEvaluator(tables, case.species), timestep_ps) as engine:
        engine.create(case.positions)
        engine.minimise(settings["minimise_steps"])
        engine.set_velocities(maxwell_velocities(engine.species, temperature, settings["seed"]))
        if bath == "chain":
            engine.nose_hoover(temperature, settings["thermostat_damping_fs"] / FS_PER_PS, pressure)
        else:
            seed = protocol.draw_seed(settings["seed"], 0)
            engine.langevin(temperature, float(bath) / FS_PER_PS, seed, pressure)
        engine.settle()
        gaps, layers = [], []
        for _ in range(round(ps / EVERY_PS)):
            frame = engine.advance(round(EVERY_PS / timestep_ps))
            gaps.append(guards.gap_A(frame.positions, frame.cell))
            layers.append(layer_temperatures(engine))
    windows = (
        np.array(layers[: len(layers) // AVERAGED * AVERAGED]).reshape(-1, AVERAGED, LAYERS).mean(axis=1)
    )
    print(
        f"{case.name:12s} {bath:>6s} fs  {frame.potential_energy:9.1f} eV  {frame.cell[2, 2]:6.1f} Å  "
        f"gap {max(gaps):4.1f} Å, in the end {gaps[-1]:4.1f}  layers {np.nanmin(windows):4.0f} to "
        f"{np.nanmax(windows):4.0f} K, in the last ps {np.nanmin(windows[-1]):4.0f} to "
        f"{np.nanmax(windows[-1]):4.0f}",
        flush=True,
    )


def main() -> None:
    """Read the command line and run one reaction after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", default="li10gep2s12", help="of config/config.yaml")
    parser.add_argument(
        "--baths", nargs="+", default=["100", "500", "1000", "chain"], help="damping in fs, or chain"
    )
    parser.add_argument("--ps", type=float, default=None, help="length (default: md.react_ps)")
    asked = parser.parse_args()
    cfg = cases.systems()[asked.system]
    case = cases.interface(asked.system, {})
    for bath in asked.baths:
        react(case, bath, cfg["md"], asked.ps or cfg["md"]["react_ps"])


if __name__ == "__main__":
    main()
