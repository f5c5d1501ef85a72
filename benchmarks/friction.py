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
from getsei.dynamics.velocities import maxwell_velocities
from getsei.potentials.native import export, kernel
from getsei.units import FS_PER_PS
from scipy.constants import atomic_mass, elementary_charge, physical_constants

LAYERS = 8
EVERY_PS = 0.1
AVERAGED = 10
"""Looks at the temperatures of layers that are averaged: a layer of 100 atoms scatters by 40 K in one."""
EV_PER_U_A2_PER_PS2 = atomic_mass * 1e4 / elementary_charge
BOLTZMANN_eV_PER_K = physical_constants["Boltzmann constant in eV/K"][0]


def layer_temperatures(engine: Engine, masses: np.ndarray) -> np.ndarray:
    """Return the kinetic temperature in K of every eighth of the cell along its third vector."""
    places = np.linalg.solve(engine.cell.T, engine.positions().T)[2] % 1.0
    energy = 0.5 * EV_PER_U_A2_PER_PS2 * masses * (engine.velocities() ** 2).sum(axis=1)
    layer = np.minimum((places * LAYERS).astype(int), LAYERS - 1)
    count = np.bincount(layer, minlength=LAYERS)
    mean = np.bincount(layer, energy, minlength=LAYERS) / np.maximum(count, 1)
    return np.where(count > 0, mean / (1.5 * BOLTZMANN_eV_PER_K), np.nan)


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
            layers.append(layer_temperatures(engine, engine.masses))
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
