"""LAMMPS as a library, driven by an embedded potential through `fix external`.

LAMMPS (A. P. Thompson et al., Comput. Phys. Commun. 271 (2022) 108171) integrates, keeps the thermostat and
writes restart files; energy, forces and virial come from an evaluator, called once per step with all atoms
in the order of their tags. Any triclinic cell is turned into the frame LAMMPS wants (lower-triangular cell)
and back on output. One process, one domain: the evaluator needs to see every atom.
"""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from getsei import cells
from getsei.dynamics import guards
from getsei.dynamics.lammps_library import lammps_frame, open_lammps, thickness_ratio
from getsei.dynamics.velocities import kinetic_energy, kinetic_temperature, masses_of
from getsei.errors import GuardError, UserError

FORCE_TOLERANCE_eV_per_A = 0.05
"""Minimisation ends early below this norm of the force vector."""
ZERO_MOMENTUM_EVERY = 1000
"""Steps between removals of the total momentum that rounding in single precision lets grow."""
FORGET = 0.5
"""Displacement of all atoms along each cell vector, in cell vectors, in a first call whose result is dropped.

An evaluator may keep a neighbour list with a skin, whose history decides the order of its sums. The
displacement makes it forget, so that the forces after a restart do not depend on what was evaluated before.
From every lattice translation, which would be no displacement at all, it is as far as it can be: half the
largest height of the cell.
"""
LMP_STYLE_GLOBAL, LMP_TYPE_SCALAR = 0, 0
"""What `extract_fix` is asked for; the numbers are part of LAMMPS' library interface."""
IMAGE_BITS, IMAGE_ZERO = 10, 512
"""LAMMPS packs three image flags of ten bits each, offset by 512, into one integer."""

BAROSTAT_DAMPING_ps = 1.0
"""Relaxation time of the thickness of the cell: some periods of the sound that crosses it."""
BAR_PER_MPa = 10.0

Watch = Callable[[int, np.ndarray, np.ndarray, float, np.ndarray, Callable[[], float]], None]
"""Called with step, positions, cell (both in the frame of LAMMPS), energy, forces, and the temperature."""


class Result(Protocol):
    """What an evaluator returns: energy (eV), forces (n_atoms, 3) in eV/Å, virial (3, 3) in eV."""

    energy: float
    forces: np.ndarray
    virial: np.ndarray


class Potential(Protocol):
    """Energy, forces and virial of positions (n_atoms, 3) in a cell (3, 3), both in Å, fully periodic."""

    def __call__(self, positions: np.ndarray, cell: np.ndarray) -> Result:
        """Evaluate one configuration."""


@dataclass(frozen=True)
class Frame:
    """The state of a simulation at one step.

    Attributes
    ----------
    step : int
        Step counter since the start of the run.
    positions : (n_atoms, 3) array
        Å, unwrapped, in the frame of the input cell.
    cell : (3, 3) array
        Cell vectors in Å as rows.
    temperature : float
        Kinetic temperature in K, of 3 n - 3 degrees of freedom.
    potential_energy, kinetic_energy : float
        eV.
    conserved_energy : float
        eV; total energy less what thermostat and barostat put in.
    pressure : float
        bar.
    max_force : float
        Largest force on an atom in eV/Å.
    """

    step: int
    positions: np.ndarray
    cell: np.ndarray
    temperature: float
    potential_energy: float
    kinetic_energy: float
    conserved_energy: float
    pressure: float
    max_force: float


class Engine:
    """A LAMMPS simulation of a fixed set of atoms, forces from an evaluator.

    The cell is fixed, but for its thickness (third vector) under a barostat.

    Parameters
    ----------
    species : (n_atoms,) sequence of str
        Element symbols.
    cell : (3, 3) array
        Cell vectors in Å as rows, of the starting structure; a restart file may hold another thickness.
    potential : Potential
        Called in the frame of LAMMPS with unwrapped positions.
    timestep_ps : float
        ps.

    Notes
    -----
    `watch` is called after every evaluation; what it raises stops the run at that step and is raised again
    by the method that ran it.
    """

    def __init__(
        self, species: Sequence[str], cell: np.ndarray, potential: Potential, timestep_ps: float
    ) -> None:
        self.species = [str(symbol) for symbol in species]
        self.masses = masses_of(self.species)
        self.lower, self.rotation = lammps_frame(cells.check(cell))
        self.potential = potential
        self.timestep_ps = timestep_ps
        self.watch: Watch | None = None
        self._failure: BaseException | None = None
        self._called = False
        self._energy = 0.0
        self._langevin = self._barostat = False
        self._bath_energy = 0.0
        self._forces = np.zeros((len(self.species), 3))
        self._positions = np.zeros((len(self.species), 3))
        self._elements, index = np.unique(self.species, return_inverse=True)
        self._types = index + 1
        self._lmp = open_lammps()
        self._command(
            "units metal",
            "atom_style atomic",
            "atom_modify map array sort 0 0",
            "boundary p p p",
            "box tilt large",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lmp.close()

    # -- start ---------------------------------------------------------------------------------------

    def create(self, positions: np.ndarray) -> None:
        """Fill the box with atoms at positions (n_atoms, 3) in Å, which may lie outside the cell."""
        (ax, _, _), (bx, by, _), (cx, cy, cz) = self.lower
        box = [0.0, ax, 0.0, by, 0.0, cz, bx, cx, cy]
        self._command(
            "region box prism " + " ".join(repr(float(x)) for x in box) + " units box",
            f"create_box {len(self._elements)} box",
        )
        for number, element in enumerate(self._elements, 1):
            self._command(f"mass {number} {float(masses_of([element])[0])!r}")
        fractional = np.asarray(positions, dtype=float) @ self.rotation.T @ np.linalg.inv(self.lower)
        images = np.floor(fractional).astype(int)
        inside = np.clip(fractional - images, 0.0, np.nextafter(1.0, 0.0)) @ self.lower
        n = len(self.species)
        made = self._lmp.create_atoms(
            n,
            list(range(1, n + 1)),
            self._types.tolist(),
            inside.ravel().tolist(),
            image=[self._lmp.encode_image_flags(*flags) for flags in images.tolist()],
        )
        if made != n:
            raise UserError(f"LAMMPS took {made} of {n} atoms; check positions and cell of the structure")
        self._couple()

    def read_restart(self, path: Path) -> None:
        """Continue from a restart file written by `write_restart`.

        Raises
        ------
        UserError
            If the file cannot be read or holds other atoms or another cell.
        """
        try:
            self._command(f'read_restart "{path}"')
        except Exception as error:
            raise UserError(
                f"{path}: LAMMPS cannot read this restart file ({_reason(error)}); delete it and run again"
            ) from error
        self._command("atom_modify sort 0 0")
        types = self._gather("type", 0, 1).ravel()
        if len(types) != len(self.species) or (types != self._types).any():
            raise UserError(
                f"{path}: this restart file holds other atoms than the structure; delete it and run again"
            )
        box = self._box()
        if not np.allclose(
            thickness_ratio(box, self.lower) * self.lower[2], box[2], atol=1e-6
        ) or not np.allclose(box[:2], self.lower[:2], atol=1e-9):
            raise UserError(
                f"{path}: this restart file has another cell than the structure; delete it and run again"
            )
        self.lower = box
        self._couple()

    def _couple(self) -> None:
        self._command(
            "pair_style zero 2.0 nocoeff",
            "pair_coeff * *",
            "comm_modify cutoff 3.0",
            "neighbor 1.0 bin",
            "neigh_modify every 10 delay 0 check yes",
            f"timestep {self.timestep_ps!r}",
            "fix model all external pf/callback 1 1",
            "fix_modify model energy yes virial yes",
            f"fix still all momentum {ZERO_MOMENTUM_EVERY} linear 1 1 1",
            "thermo_style custom step temp pe press ecouple",
            "thermo_modify lost error norm no",
        )
        self._lmp.set_fix_external_callback("model", self._evaluate, self._lmp)

    # -- run -----------------------------------------------------------------------------------------

    def minimise(self, steps: int) -> None:
        """Relax the positions with FIRE in the fixed cell, then set the step counter to 0."""
        if steps:
            self._run("min_style fire", f"minimize 0.0 {FORCE_TOLERANCE_eV_per_A} {steps} {10 * steps}")
        self._command("reset_timestep 0")

    def set_velocities(self, velocities: np.ndarray) -> None:
        """Give the atoms velocities (n_atoms, 3) in Å/ps, in the frame of the input cell."""
        turned = np.asarray(velocities, dtype=float) @ self.rotation.T
        self._lmp.scatter_atoms("v", 1, 3, (ctypes.c_double * turned.size)(*turned.ravel().tolist()))

    def conserve_energy(self) -> None:
        """Integrate at constant energy."""
        self._command("fix move all nve")

    def langevin(
        self, temperature: float, damping_ps: float, seed: int, stack_pressure_MPa: float | None = None
    ) -> None:
        """Integrate with Langevin friction on every atom; its random stream is not in the restart file.

        With a stack pressure, a barostat (G. J. Martyna, D. J. Tobias, M. L. Klein, J. Chem. Phys. 101 (1994)
        4177) scales the third cell vector until the normal stress is that pressure.
        """
        self._langevin, self._barostat = True, stack_pressure_MPa is not None
        self._command(
            f"fix move all nph {_barostat(stack_pressure_MPa)}" if self._barostat else "fix move all nve",
            f"fix heat all langevin {temperature!r} {temperature!r} {damping_ps!r} {seed} zero yes tally yes",
        )

    def nose_hoover(
        self, temperature: float, damping_ps: float, stack_pressure_MPa: float | None = None
    ) -> None:
        """Integrate with a Nosé-Hoover chain, and a barostat as in `langevin` where a pressure is given.

        The state of both travels in the restart file.
        """
        self._barostat = stack_pressure_MPa is not None
        bath = f"temp {temperature!r} {temperature!r} {damping_ps!r}"
        self._command(
            f"fix heat all npt {bath} {_barostat(stack_pressure_MPa)}"
            if self._barostat
            else f"fix heat all nvt {bath}"
        )

    def settle(self) -> Frame:
        """Evaluate the current configuration, ready to `advance`, and return it as a frame."""
        self._run("run 0 post no")
        return self._frame()

    def advance(self, steps: int) -> Frame:
        """Integrate a number of steps after `settle` or another `advance`; return the last as a frame.

        Raises
        ------
        GuardError
            If LAMMPS lost an atom, or from `watch`.
        """
        self._run(f"run {steps} pre no post no")
        if self._langevin:  # LAMMPS counts the heat of this bath anew in every run
            self._bath_energy += self._fix_energy("heat")
        return self._frame()

    def write_restart(self, path: Path) -> None:
        """Write positions, velocities, image flags and the thermostat's state to a file.

        Raises
        ------
        UserError
            If it cannot be written.
        """
        try:
            self._command(f'write_restart "{path}"')
        except Exception as error:
            raise UserError(
                f"{path}: cannot be written ({_reason(error)}); there is no space left, or the disk fails. "
                "Free some and run again; the last checkpoint is kept"
            ) from error

    # -- look ----------------------------------------------------------------------------------------

    @property
    def cell(self) -> np.ndarray:
        """Cell vectors (3, 3) in Å as rows, in the frame of the input cell."""
        return self.lower @ self.rotation

    @property
    def step(self) -> int:
        """Step counter since the start of the run."""
        return int(self._lmp.extract_global("ntimestep"))

    def positions(self) -> np.ndarray:
        """Return unwrapped positions (n_atoms, 3) in Å in the frame of the input cell."""
        wrapped = self._gather("x", 1, 3)
        images = self._gather("image", 0, 3)
        return (wrapped + images @ self.lower) @ self.rotation

    def last_positions(self) -> np.ndarray:
        """Return the positions (n_atoms, 3) in Å last handed to the potential; LAMMPS need not be alive."""
        return self._positions @ self.rotation

    def velocities(self) -> np.ndarray:
        """Return velocities (n_atoms, 3) in Å/ps in the frame of the input cell."""
        return self._gather("v", 1, 3) @ self.rotation

    def forces(self) -> np.ndarray:
        """Return the forces (n_atoms, 3) in eV/Å that LAMMPS holds, in the frame of the input cell."""
        return self._gather("f", 1, 3) @ self.rotation

    def thermo(self, name: str) -> float:
        """Return a thermodynamic quantity of LAMMPS by its keyword, in metal units."""
        return float(self._lmp.get_thermo(name))

    def temperature(self) -> float:
        """Return the kinetic temperature in K."""
        return kinetic_temperature(self._gather("v", 1, 3), self.masses)

    # -- inside --------------------------------------------------------------------------------------

    def _command(self, *lines: str) -> None:
        for line in lines:
            self._lmp.command(line)

    def _run(self, *lines: str) -> None:
        try:
            self._command(*lines)
        except Exception as error:
            if self._failure is None:
                reason, moment = _reason(error), guards.Moment(self.step, self.step * self.timestep_ps)
                if "Lost atoms" in reason:
                    raise GuardError(
                        f"guard lost-atoms {moment}: LAMMPS says {reason!r}, limit: none may leave the box. "
                        "Shorten md.timestep_fs or improve the potential"
                    ) from error
                raise
        if self._failure is not None:
            raise self._failure

    def _gather(self, name: str, kind: int, count: int) -> np.ndarray:
        flat = self._lmp.gather_atoms(name, kind, count)
        return np.ctypeslib.as_array(flat).reshape(-1, count).copy()

    def _fix_energy(self, name: str) -> float:
        return float(self._lmp.extract_fix(name, LMP_STYLE_GLOBAL, LMP_TYPE_SCALAR))

    def _box(self) -> np.ndarray:
        low, high, xy, yz, xz, _, _ = self._lmp.extract_box()
        lengths = np.subtract(high, low)
        return np.array([[lengths[0], 0, 0], [xy, lengths[1], 0], [xz, yz, lengths[2]]])

    def _evaluate(
        self, caller: object, step: int, nlocal: int, tag: np.ndarray, x: np.ndarray, f: np.ndarray
    ) -> None:
        # An exception must not leave a callback: LAMMPS would go on with the forces it finds.
        if self._failure is None:
            try:
                self._forces_into(step, nlocal, tag, x, f)
                return
            except BaseException as error:
                self._failure = error
        f[:] = 0.0
        self._lmp.force_timeout()

    def _forces_into(self, step: int, nlocal: int, tag: np.ndarray, x: np.ndarray, f: np.ndarray) -> None:
        moment = guards.Moment(step, step * self.timestep_ps)
        guards.check_count(nlocal, len(self.species), moment)
        order = tag.ravel() - 1
        # Positions jump by a cell vector when LAMMPS wraps them; the evaluator gets them unwrapped.
        packed = np.ctypeslib.as_array(self._lmp.extract_atom("image"), shape=(nlocal,))
        shift = np.arange(3) * IMAGE_BITS
        images = ((packed[:, None] >> shift) & (2 * IMAGE_ZERO - 1)) - IMAGE_ZERO
        if self._barostat:
            self.lower = self._box()
        self._positions[order] = x + images @ self.lower
        try:
            if not self._called:
                self.potential(self._positions + FORGET * self.lower.sum(axis=0), self.lower)
                self._called = True
            result = self.potential(self._positions, self.lower)
        except GuardError as error:
            raise GuardError(f"guard potential {moment}: {error}") from error
        self._energy, self._forces = float(result.energy), np.asarray(result.forces)
        if self.watch is not None:
            self.watch(step, self._positions, self.lower, self._energy, self._forces, self.temperature)
        f[:] = self._forces[order]
        self._lmp.fix_external_set_energy_global("model", self._energy)
        w = result.virial
        self._lmp.fix_external_set_virial_global(
            "model", [w[0, 0], w[1, 1], w[2, 2], w[0, 1], w[0, 2], w[1, 2]]
        )

    def _frame(self) -> Frame:
        velocities = self._gather("v", 1, 3)
        moving = kinetic_energy(velocities, self.masses)
        bath = self._bath_energy if self._langevin else self.thermo("ecouple")
        if self._langevin and self._barostat:
            bath += self._fix_energy("move")
        return Frame(
            step=self.step,
            positions=self.positions(),
            cell=self.cell,
            temperature=kinetic_temperature(velocities, self.masses),
            potential_energy=self._energy,
            kinetic_energy=moving,
            conserved_energy=self._energy + moving + bath,
            pressure=self.thermo("press"),
            max_force=float(np.sqrt(np.einsum("ij,ij->i", self._forces, self._forces).max())),
        )


def _barostat(stack_pressure_MPa: float) -> str:
    """Return the words that make LAMMPS scale the third cell vector, from the origin."""
    bar = repr(stack_pressure_MPa * BAR_PER_MPa)
    return f"z {bar} {bar} {BAROSTAT_DAMPING_ps!r} fixedpoint 0.0 0.0 0.0 flip no"


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
