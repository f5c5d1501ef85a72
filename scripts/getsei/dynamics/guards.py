"""Guards: a run whose numbers mean nothing any more stops, says why, and keeps what was sampled.

Every check is a function that raises `GuardError`; `Monitor` applies them while a simulation runs. Atom
indices in messages count from 0, as in ASE and in the stored trajectory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from getsei import cells
from getsei.errors import GuardError

CHECK_EVERY_STEPS = 10
"""Steps between looks at distances and temperature: at 2 fs and 3000 K lithium moves about 0.6 Å."""
MAX_ENERGY_JUMP_eV = 0.5
"""Per atom, against a running mean of the potential energy.

Melting costs lithium about 0.03 eV per atom, and its reaction with the sulfides releases about 1 eV per atom
of electrolyte when complete (Y. Zhu, X. He, Y. Mo, ACS Appl. Mater. Interfaces 7 (2015) 23685), over many
picoseconds: half an eV within `ENERGY_MEMORY_ps` is a fall into a hole of the potential. The first moments
after the minimisation need no exception: sharing the kinetic energy out costs 3/2 kT = 0.08 eV at 600 K.
"""
MAX_CONSERVED_DRIFT_eV = 0.05
"""Per atom, of the conserved energy against its running mean: beyond it the integration has broken down."""
MAX_GAP_A = 10.0
"""Of a stack under pressure: beyond it the two sides of a gap no longer feel each other."""
ENERGY_MEMORY_ps = 0.5
"""Time constant of the running means."""


@dataclass(frozen=True)
class Limits:
    """The range in which a simulation may move.

    Attributes
    ----------
    species : tuple of str
        Element of each atom.
    element_index : (n_atoms,) array
        Row of each atom in `min_distances`.
    min_distances : (n_elements, n_elements) array
        Shortest distance in Å allowed between two elements.
    fraction : float
        Share of the reference distance that `min_distances` is.
    max_temperature_K, max_force_eV_per_A : float
        Upper limits.
    """

    species: tuple[str, ...]
    element_index: np.ndarray
    min_distances: np.ndarray
    fraction: float
    max_temperature_K: float
    max_force_eV_per_A: float


@dataclass(frozen=True)
class Moment:
    """Where a simulation is: the words that go into every message."""

    step: int
    time_ps: float
    stage: str = "dynamics"

    def __str__(self) -> str:
        return f"at step {self.step} ({self.time_ps:.4f} ps, {self.stage})"


def limits_of(
    species: Sequence[str],
    bonds_A: Mapping[str, float],
    fraction: float,
    max_temperature_K: float,
    max_force_eV_per_A: float,
) -> Limits:
    """Derive the limits of a system from the bonds of its crystals.

    The reference distance of two elements is their shortest distance in the crystals, or the sum of their
    covalent radii (B. Cordero et al., Dalton Trans. 2008, 2832) where that is shorter or no crystal has the
    pair: a reaction may form P-P, S-S or Ge-Ge bonds that no starting crystal has.

    Parameters
    ----------
    species : (n_atoms,) sequence of str
        Element symbols.
    bonds_A : mapping
        Shortest crystal distance in Å by pair of elements, as in ``Li-S``.
    fraction : float
        Share of the reference distance below which a pair is a clash.
    max_temperature_K : float
        K.
    max_force_eV_per_A : float
        eV/Å.
    """
    elements, index = np.unique(np.asarray(species), return_inverse=True)
    radii = np.array([covalent_radii[atomic_numbers[str(element)]] for element in elements])
    reference = radii[:, None] + radii[None, :]
    known = [[bonds_A.get(cells.pair_key(str(a), str(b)), np.inf) for b in elements] for a in elements]
    return Limits(
        species=tuple(str(symbol) for symbol in species),
        element_index=index,
        min_distances=fraction * np.minimum(reference, np.array(known)),
        fraction=fraction,
        max_temperature_K=max_temperature_K,
        max_force_eV_per_A=max_force_eV_per_A,
    )


def check_finite(energy: float, forces: np.ndarray, species: Sequence[str], moment: Moment) -> None:
    """Stop where the potential returns NaN or infinity.

    Raises
    ------
    GuardError
        Naming the first atom at fault.
    """
    if np.isfinite(energy) and np.isfinite(forces).all():
        return
    bad = np.flatnonzero(~np.isfinite(forces).all(axis=1))
    which = f"force on atom {bad[0]} ({species[bad[0]]})" if len(bad) else "energy"
    value = forces[bad[0]] if len(bad) else energy
    raise GuardError(
        f"guard not-finite {moment}: the {which} is {value}, limit: finite numbers. The structure has left "
        "what the potential was trained on; look at the last frames, shorten md.timestep_fs or improve the "
        "potential"
    )


def check_forces(forces: np.ndarray, limits: Limits, moment: Moment) -> None:
    """Stop where a force (eV/Å) exceeds the limit.

    Raises
    ------
    GuardError
        Naming the atom.
    """
    squares = np.einsum("ij,ij->i", forces, forces)
    worst = int(squares.argmax())
    if squares[worst] <= limits.max_force_eV_per_A**2:
        return
    raise GuardError(
        f"guard force {moment}: the force on atom {worst} ({limits.species[worst]}) is "
        f"{np.sqrt(squares[worst]):.4g} eV/Å, limit {limits.max_force_eV_per_A:g} eV/Å "
        "(md.max_force_eV_per_A). Shorten md.timestep_fs, raise md.minimise_steps or interface.gap_A, or "
        "improve the potential"
    )


def check_distances(positions: np.ndarray, cell: np.ndarray, limits: Limits, moment: Moment) -> None:
    """Stop where two atoms are closer than their elements allow, counting every periodic image.

    Raises
    ------
    GuardError
        Naming the pair furthest below its limit.
    """
    if not limits.fraction:
        return
    i, j, _, distances = cells.pairs(positions, cell, float(limits.min_distances.max()))
    if len(i) == 0:
        return
    allowed = limits.min_distances[limits.element_index[i], limits.element_index[j]]
    worst = int(np.argmin(distances / allowed))
    if distances[worst] >= allowed[worst]:
        return
    a, b = int(i[worst]), int(j[worst])
    raise GuardError(
        f"guard distance {moment}: atoms {a} ({limits.species[a]}) and {b} ({limits.species[b]}) are "
        f"{distances[worst]:.3f} Å apart, limit {allowed[worst]:.3f} Å ({limits.fraction:g} times their "
        "shortest bond; md.min_distance_fraction). Shorten md.timestep_fs, raise md.minimise_steps or "
        "interface.gap_A, or improve the potential at short distances"
    )


def check_temperature(temperature: float, limits: Limits, moment: Moment) -> None:
    """Stop where the kinetic temperature (K) exceeds the limit.

    Raises
    ------
    GuardError
        With the temperature and the limit.
    """
    if temperature <= limits.max_temperature_K:
        return
    raise GuardError(
        f"guard temperature {moment}: {temperature:.0f} K over all {len(limits.species)} atoms, limit "
        f"{limits.max_temperature_K:g} K (md.max_temperature_K). Shorten md.timestep_fs or "
        "md.friction_damping_fs, or lower md.react_temperature_K"
    )


def gap_A(positions: np.ndarray, cell: np.ndarray) -> float:
    """Return the widest layer without an atom across the third cell vector, Å, in a periodic cell."""
    places = np.sort(np.linalg.solve(cell.T, positions.T)[2] % 1.0)
    height = abs(np.linalg.det(cell)) / np.linalg.norm(np.cross(cell[0], cell[1]))
    return float(np.diff(places, append=places[0] + 1.0).max() * height)


def check_gap(positions: np.ndarray, cell: np.ndarray, moment: Moment) -> None:
    """Stop where a stack has parted: nothing crosses the gap any more, and no pressure closes it soon.

    Raises
    ------
    GuardError
        With the width of the gap.
    """
    gap = gap_A(positions, cell)
    if gap <= MAX_GAP_A:
        return
    raise GuardError(
        f"guard gap {moment}: the stack has parted, {gap:.1f} Å across the third cell vector hold no atom, "
        f"limit {MAX_GAP_A:g} Å. Raise md.friction_damping_fs or md.stack_pressure_MPa, lower "
        "md.react_temperature_K, or improve the potential"
    )


def check_energy(change: float, limit: float, what: str, moment: Moment) -> None:
    """Stop where an energy per atom (eV) has left its running mean.

    Raises
    ------
    GuardError
        With the change and the limit.
    """
    if abs(change) <= limit:
        return
    raise GuardError(
        f"guard energy {moment}: the {what} changed by {change:+.3f} eV per atom against its running mean "
        f"over {ENERGY_MEMORY_ps:g} ps, limit {limit:g} eV per atom. Shorten md.timestep_fs or improve the "
        "potential"
    )


def check_count(n_found: int, n_atoms: int, moment: Moment) -> None:
    """Stop where atoms have left the box.

    Raises
    ------
    GuardError
        With both numbers.
    """
    if n_found != n_atoms:
        raise GuardError(
            f"guard lost-atoms {moment}: {n_found} atoms are left, expected {n_atoms}; an atom moved further "
            "than the box in one go. Shorten md.timestep_fs or improve the potential"
        )


class RunningMean:
    """Exponential running mean over time, and departures from it."""

    def __init__(self, memory_ps: float) -> None:
        self.memory_ps = memory_ps
        self.mean: float | None = None
        self.time_ps = 0.0

    def departure(self, value: float, time_ps: float) -> float:
        """Return the departure of a value from the mean so far, then let the mean follow it."""
        if self.mean is None:
            self.mean = value
        change = value - self.mean
        self.mean -= change * np.expm1(-max(0.0, time_ps - self.time_ps) / self.memory_ps)
        self.time_ps = time_ps
        return change


class Monitor:
    """Watches a running simulation.

    Finite numbers, forces and the potential energy are checked at every step; distances and temperature
    every `CHECK_EVERY_STEPS`; the conserved energy whenever a frame is stored.

    Parameters
    ----------
    limits : Limits
        What is allowed.
    stage : str
        For messages.
    timestep_ps : float
        ps.
    stacked : bool
        Whether a pressure holds the atoms together across the third cell vector, which then must not part.
    """

    def __init__(self, limits: Limits, stage: str, timestep_ps: float, *, stacked: bool = False) -> None:
        self.limits = limits
        self.stacked = stacked
        self.stage = stage
        self.timestep_ps = timestep_ps
        self.potential = RunningMean(ENERGY_MEMORY_ps)
        self.conserved = RunningMean(ENERGY_MEMORY_ps)

    def minimising(
        self,
        step: int,
        positions: np.ndarray,
        cell: np.ndarray,
        energy: float,
        forces: np.ndarray,
        temperature: Callable[[], float],
    ) -> None:
        """Check an evaluation during minimisation, which exists to remove clashes and large forces."""
        check_finite(energy, forces, self.limits.species, Moment(step, 0.0, "minimisation"))

    def moving(
        self,
        step: int,
        positions: np.ndarray,
        cell: np.ndarray,
        energy: float,
        forces: np.ndarray,
        temperature: Callable[[], float],
    ) -> None:
        """Check an evaluation during dynamics.

        Parameters
        ----------
        step : int
            Step counter.
        positions : (n_atoms, 3) array
            Å.
        cell : (3, 3) array
            Å, in the frame of the positions.
        energy : float
            eV.
        forces : (n_atoms, 3) array
            eV/Å.
        temperature : callable
            Returns the kinetic temperature in K; called only when it is looked at.
        """
        moment = self._moment(step)
        check_finite(energy, forces, self.limits.species, moment)
        check_forces(forces, self.limits, moment)
        change = self.potential.departure(energy / len(self.limits.species), moment.time_ps)
        check_energy(change, MAX_ENERGY_JUMP_eV, "potential energy", moment)
        if step % CHECK_EVERY_STEPS == 0:
            check_temperature(temperature(), self.limits, moment)
            check_distances(positions, cell, self.limits, moment)
            if self.stacked:
                check_gap(positions, cell, moment)

    def frame(self, step: int, conserved_energy: float) -> None:
        """Check the conserved energy (eV) of a stored frame."""
        moment = self._moment(step)
        change = self.conserved.departure(conserved_energy / len(self.limits.species), moment.time_ps)
        check_energy(change, MAX_CONSERVED_DRIFT_eV, "conserved energy", moment)

    def _moment(self, step: int) -> Moment:
        return Moment(step, step * self.timestep_ps, self.stage)
