"""One segment of a run: start or go on, integrate, store frames, survive a kill."""

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import ase
import ase.io
import h5py
import numpy as np

from getsei import provenance
from getsei.dynamics import checkpoints, frames, guards, protocol, tape
from getsei.dynamics.checkpoints import Checkpoint
from getsei.dynamics.engine import Engine, Frame, Potential
from getsei.dynamics.velocities import maxwell_velocities
from getsei.errors import GuardError, UserError
from getsei.units import FS_PER_PS, PS_PER_NS

log = logging.getLogger("getsei")

REPORT_EVERY_s = 10.0


class NamedPotential(Potential, Protocol):
    """A potential that can say what it is."""

    name: str


@dataclass(frozen=True)
class System:
    """What a segment needs to know of the system.

    Attributes
    ----------
    species : (n_atoms,) sequence of str
        Element symbols.
    positions : (n_atoms, 3) array
        Of the structure the run starts from, Å.
    cell : (3, 3) array
        Rows in Å.
    bonds_A : mapping
        Shortest bond of each pair of elements, by `cells.pair_key`.
    """

    species: Sequence[str]
    positions: np.ndarray
    cell: np.ndarray
    bonds_A: Mapping[str, float]


@dataclass(frozen=True)
class Outputs:
    """Files of a segment."""

    frames: Path
    restart: Path
    thermo: Path

    @property
    def checkpoint(self) -> Path:
        """Folder of the last checkpoint, there until the next segment or the trajectory is begun."""
        return protocol.checkpoint_of(self.frames)

    @property
    def tape(self) -> Path:
        """File of what a slow potential has said since the last checkpoint."""
        return self.frames.with_suffix(".tape")

    @property
    def failed(self) -> Path:
        """Folder of what was sampled before a guard fired."""
        return self.frames.with_suffix(".failed")


def run_segment(
    system: System,
    evaluator: NamedPotential,
    settings: Mapping[str, Any],
    outputs: Outputs,
    previous_restart: Path | None,
    seed: int,
    origin: Mapping[str, Any],
) -> None:
    """Run one segment to its end, from its last checkpoint if there is one.

    Interrupted or not, the same input gives the same files: every checkpoint starts the neighbour lists and
    the random stream of the thermostat anew.

    Parameters
    ----------
    system : System
        Atoms and cell.
    evaluator : NamedPotential
        Energy, forces and virial.
    settings : mapping
        As `protocol.parameters` gives them.
    outputs : Outputs
        Files to write.
    previous_restart : Path or None
        Restart of the segment before; None starts from the structure.
    seed : int
        Of velocities and of the Langevin bath.
    origin : mapping
        Provenance to store with the frames; its ``potential`` ties checkpoints to the potential.

    Raises
    ------
    GuardError
        If a guard fires; what was sampled lies in `outputs.failed`.
    UserError
        If the restart file does not fit the segment.
    """
    every = protocol.frame_steps(settings)
    total = settings["n_steps"] // every
    outputs.frames.parent.mkdir(parents=True, exist_ok=True)
    if previous_restart is not None:
        check_restart(previous_restart)
        protocol.discard_checkpoint(previous_restart.with_suffix(".h5"))
    digest = checkpoints.digest_of(
        settings,
        seed,
        system.species,
        (system.positions, system.cell),
        previous_restart,
        str(origin.get("potential", "")) + evaluator.name,
    )
    checkpoint = checkpoints.find(outputs.checkpoint, digest)
    if checkpoint.n_frames:
        log.info("going on after %d of %d frames", checkpoint.n_frames, total)
    attributes = {"settings": dict(settings), "engine": evaluator.name, "seed": seed, "origin": dict(origin)}
    if checkpoint.n_frames < total:
        start = _Start(system, evaluator, settings, previous_restart, seed)
        checkpoint = _integrate(start, outputs, checkpoint, total, every, attributes)
    attributes["restart_sha256"] = checkpoint.sha256[checkpoint.restart]
    table = frames.join_blocks(checkpoint.block_files, outputs.frames, system.species, attributes)
    frames.save_thermo(outputs.thermo, table, settings["timestep_fs"])
    partial = outputs.restart.with_name(f".{outputs.restart.name}.part")
    shutil.copyfile(checkpoint.restart_file, partial)
    partial.replace(outputs.restart)
    shutil.rmtree(outputs.failed, ignore_errors=True)
    outputs.tape.unlink(missing_ok=True)


def check_restart(path: Path) -> None:
    """Compare the restart file of a segment with its digest, which lies with its frames.

    Raises
    ------
    UserError
        If it has changed. A restart file without frames, or of an older version, is left to LAMMPS.
    """
    try:
        with h5py.File(path.with_suffix(".h5"), "r") as handle:
            written = handle.attrs.get("restart_sha256")
    except OSError:
        return
    if written is not None and written != provenance.file_digest(path):
        raise UserError(
            f"{path}: this restart file has changed since it was written; delete it and run again"
        )


@dataclass(frozen=True)
class _Start:
    """What a segment starts from."""

    system: System
    evaluator: NamedPotential
    settings: Mapping[str, Any]
    previous_restart: Path | None
    seed: int


def _integrate(
    start: _Start,
    outputs: Outputs,
    checkpoint: Checkpoint,
    total: int,
    every: int,
    attributes: Mapping[str, Any],
) -> Checkpoint:
    """Go on from a checkpoint to the last frame and return the last checkpoint.

    Every stretch between checkpoints starts from a file, in a fresh LAMMPS: reading a restart rounds
    positions, so that only this makes a resumed run identical to one that was never interrupted.
    """
    settings, system = start.settings, start.system
    per_checkpoint = max(1, round(settings["checkpoint_ps"] * FS_PER_PS / settings["frame_interval_fs"]))
    timestep_ps = settings["timestep_fs"] / FS_PER_PS
    progress = _Progress(settings, total, every)
    limits = guards.limits_of(
        system.species,
        system.bonds_A,
        settings["min_distance_fraction"],
        settings["max_temperature_K"],
        settings["max_force_eV_per_A"],
    )
    stacked = settings["stack_pressure_MPa"] != "none"
    monitor = guards.Monitor(limits, settings["name"], timestep_ps, stacked=stacked)
    while checkpoint.n_frames < total:
        fresh: list[Frame] = []
        key = f"{checkpoint.digest[:48]} {checkpoint.n_frames}"
        potential = tape.around(start.evaluator, outputs.tape, key, len(system.species))
        with Engine(system.species, system.cell, potential, timestep_ps) as engine:
            try:
                offset = _begin(engine, monitor, start, checkpoint, every)
                for _ in range(min(per_checkpoint, total - checkpoint.n_frames)):
                    frame = engine.advance(every)
                    frame = replace(frame, conserved_energy=frame.conserved_energy + offset)
                    fresh.append(frame)
                    monitor.frame(frame.step, frame.conserved_energy)
                    progress.tell(frame, checkpoint.n_frames + len(fresh))
            except GuardError as error:
                _keep(outputs, checkpoint, fresh, engine, attributes, str(error))
                raise GuardError(
                    f"{error}. {checkpoint.n_frames + len(fresh)} frames of {settings['name']} sampled "
                    f"before and the last structure are in {outputs.failed}"
                ) from error
            checkpoint = checkpoints.extend(checkpoint, fresh, engine.write_restart)
            outputs.tape.unlink(missing_ok=True)
    return checkpoint


def _begin(
    engine: Engine, monitor: guards.Monitor, start: _Start, checkpoint: Checkpoint, every: int
) -> float:
    """Bring an engine to the last checkpoint; return what makes the conserved energy continuous (eV)."""
    settings = start.settings
    restart = checkpoint.restart_file if checkpoint.n_frames else start.previous_restart
    if restart is None:
        engine.create(start.system.positions)
        engine.watch = monitor.minimising
        began = time.perf_counter()
        engine.minimise(settings["minimise_steps"])
        log.info("minimised in %.1f s", time.perf_counter() - began)
        engine.set_velocities(maxwell_velocities(engine.species, settings["temperature_K"], start.seed))
    else:
        engine.read_restart(restart)
        expected = settings["start_step"] + checkpoint.n_frames * every
        if engine.step != expected:
            raise UserError(
                f"{restart}: this restart file is of step {engine.step}, expected {expected}; delete the "
                "segments in its folder and run again"
            )
    engine.watch = monitor.moving
    _heat(engine, settings, start.seed)
    conserved = engine.settle().conserved_energy
    return 0.0 if checkpoint.conserved_energy is None else checkpoint.conserved_energy - conserved


def _heat(engine: Engine, settings: Mapping[str, Any], seed: int) -> None:
    """Give an engine the thermostat of the stage, and the barostat of a stack under pressure.

    Friction on every atom takes the heat of the reaction out where it arises; production uses one global
    friction that fluctuates around zero (W. G. Hoover, Phys. Rev. A 31 (1985) 1695; G. J. Martyna,
    M. L. Klein, M. Tuckerman, J. Chem. Phys. 97 (1992) 2635), because friction on every atom slows diffusion
    and rates down (J. E. Basconi, M. R. Shirts, J. Chem. Theory Comput. 9 (2013) 2887).

    Neither may be much faster or slower than the defaults. A slow chain lags behind a reaction that goes on:
    over the first picosecond at 500 K two sulfide interfaces were 40 and 50 K too hot at 500 fs, 30 and 20 K
    at 200 fs. Friction resists the motion of whole layers, too: a layer of mass m that is to move at v needs
    a force m v / damping. Li10GeP2S12|Li, 40 ps at 500 K and 20 MPa (benchmarks/friction.py): -2674 eV and a
    gap of 5 Å at 100 fs (10 Å and parted in another run), -2728 eV and no gap (3 Å) at 500 fs. Its hottest
    eighth was 550 K at 100 fs, 600 at 500, 720 at 1000, and 900 beside one of 190 K with a global thermostat.
    """
    pressure = None if settings["stack_pressure_MPa"] == "none" else settings["stack_pressure_MPa"]
    temperature = settings["temperature_K"]
    if settings["stage"] == "produce":
        engine.nose_hoover(temperature, settings["thermostat_damping_fs"] / FS_PER_PS, pressure)
    else:
        bath = protocol.draw_seed(seed, engine.step)
        engine.langevin(temperature, settings["friction_damping_fs"] / FS_PER_PS, bath, pressure)


def _keep(
    outputs: Outputs,
    checkpoint: Checkpoint,
    fresh: Sequence[Frame],
    engine: Engine,
    attributes: Mapping[str, Any],
    message: str,
) -> None:
    """Keep what was sampled before a guard fired, and where the atoms were when it did."""
    shutil.rmtree(outputs.failed, ignore_errors=True)
    outputs.failed.mkdir(parents=True)
    blocks = checkpoint.block_files
    if fresh:
        last_block = outputs.failed / ".last_block.h5"
        frames.save_block(last_block, fresh)
        blocks = [*blocks, last_block]
    path = outputs.failed / "frames.h5"
    table = frames.join_blocks(blocks, path, engine.species, attributes)
    frames.save_thermo(outputs.failed / "thermo.csv", table, engine.timestep_ps * FS_PER_PS)
    (outputs.failed / "message.txt").write_text(message + "\n", encoding="utf-8")
    atoms = ase.Atoms(engine.species, engine.last_positions(), cell=engine.cell, pbc=True)
    ase.io.write(outputs.failed / "last.extxyz", atoms, format="extxyz")
    for block in outputs.failed.glob(".last_block.h5"):
        block.unlink()


class _Progress:
    """Tells pace and time to go, not too often."""

    def __init__(self, settings: Mapping[str, Any], total: int, every: int) -> None:
        self.settings = settings
        self.total = total
        self.every = every
        self.done_at_start: int | None = None
        self.began = self.told = time.perf_counter()

    def tell(self, frame: Frame, done: int) -> None:
        """Log a line if the last one is long ago or the segment is complete."""
        now = time.perf_counter()
        if self.done_at_start is None:
            self.done_at_start, self.began, self.told = done, now, now
            return
        if now - self.told < REPORT_EVERY_s and done < self.total:
            return
        self.told = now
        pace = (done - self.done_at_start) * self.every / max(now - self.began, 1e-9)
        log.info(
            "%s step %d, %.0f K, %.3f eV, %.1f steps/s, %.2f ns/day, %.0f s to go",
            self.settings["name"],
            frame.step,
            frame.temperature,
            frame.potential_energy,
            pace,
            pace * self.settings["timestep_fs"] / FS_PER_PS / PS_PER_NS * 86400,
            (self.total - done) * self.every / pace,
        )
