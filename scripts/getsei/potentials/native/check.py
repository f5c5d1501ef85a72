"""Never wrong in silence: the native kernel is compared with PyTorch on the system at hand before use."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from getsei.errors import GuardError, UserError
from getsei.potentials import models
from getsei.potentials.native import kernel

log = logging.getLogger("getsei.binding")

RATTLE_A = 0.05
LARGEST_SAMPLE = 600
"""Atoms compared at most: PyTorch in float64 needs some megabytes for each."""
FORCE_TOLERANCE = (2e-5, 1e-5)
"""Absolute (eV/Å) and relative to the largest force: rounding in float32 grows with the forces."""
ENERGY_TOLERANCE = (1e-6, 1e-6)
"""eV per atom, and relative to the largest force times 1 Å."""
VIRIAL_TOLERANCE = (2e-5, 1e-5)
"""eV per atom, and relative to the largest force times 1 Å."""


@dataclass(frozen=True)
class Deviation:
    """Largest deviations of an evaluator from its reference, and the largest force of the reference.

    Energy and virial in eV per atom, forces in eV/Å.
    """

    energy: float
    forces: float
    virial: float
    largest_force: float

    def excess(self) -> str:
        """Return what lies beyond its tolerance, or an empty string."""
        rows = (
            ("energy", self.energy, ENERGY_TOLERANCE, "eV/atom"),
            ("forces", self.forces, FORCE_TOLERANCE, "eV/Å"),
            ("virial", self.virial, VIRIAL_TOLERANCE, "eV/atom"),
        )
        bad = []
        for what, value, (absolute, relative), unit in rows:
            limit = absolute + relative * self.largest_force
            if not value <= limit:  # also catches NaN
                bad.append(f"{what} off by {value:.1e} {unit} (allowed {limit:.1e})")
        return "; ".join(bad)


def compare(one: models.Evaluation, reference: models.Evaluation) -> Deviation:
    """Return how far one evaluation is from another of the same atoms."""
    n = len(reference.forces)
    return Deviation(
        energy=abs(one.energy - reference.energy) / n,
        forces=float(np.abs(one.forces - reference.forces).max()),
        virial=float(np.abs(one.virial - reference.virial).max()) / n,
        largest_force=float(np.abs(reference.forces).max()),
    )


def sample(positions: NDArray, cell: NDArray, cutoff_A: float) -> tuple[NDArray, NDArray, NDArray]:
    """Return atom indices, rattled positions and a cell on which to compare.

    The whole system, if it is small; else the atoms around one of them, alone in a box wide enough.
    """
    rng = np.random.default_rng(0)
    chosen, box = np.arange(len(positions)), cell
    if len(positions) > LARGEST_SAMPLE:
        distance = np.linalg.norm(positions - positions[rng.integers(len(positions))], axis=1)
        chosen = np.sort(np.argsort(distance)[:LARGEST_SAMPLE])
        box = np.diag(np.ptp(positions[chosen], axis=0) + 2.0 * cutoff_A)
    return chosen, positions[chosen] + rng.normal(0.0, RATTLE_A, (len(chosen), 3)), box


class CheckedEvaluator:
    """The native kernel, compared with PyTorch at its first call and replaced by it if they differ.

    Parameters
    ----------
    make_native, make_reference : callable
        Evaluator of the kernel, and of PyTorch in float64, for the atoms with the given indices.
    make_fallback : callable, optional
        Evaluator to use if the comparison fails; without it a failure is an error.
    n_atoms : int
    """

    def __init__(
        self,
        make_native: Callable[[NDArray], kernel.NativeEvaluator],
        make_reference: Callable[[NDArray], models.Evaluator],
        make_fallback: Callable[[], models.Evaluator] | None,
        n_atoms: int,
    ):
        self._active = make_native(np.arange(n_atoms))
        self._pending: tuple | None = (make_native, make_reference, make_fallback)
        self.elements, self.cutoff_A, self.name = (
            self._active.elements,
            self._active.cutoff_A,
            self._active.name,
        )

    def __call__(self, positions: ArrayLike, cell: ArrayLike) -> models.Evaluation:
        """Evaluate positions (N, 3) in Å in the cell (3, 3) with rows in Å."""
        if self._pending is not None:
            self._check(positions, cell)
        return self._active(positions, cell)

    def _check(self, positions: ArrayLike, cell: ArrayLike) -> None:
        make_native, make_reference, make_fallback = self._pending
        x, h = models.check_geometry(positions, cell, len(positions))
        chosen, rattled, box = sample(x, h, self.cutoff_A)
        native = self._active if len(chosen) == len(x) else make_native(chosen)
        try:
            reference = make_reference(chosen)(rattled, box)
            # In both precisions, where the forces are so large that the kernel goes over to float64.
            found = (native.in_stated_precision(rattled, box), native(rattled, box))
        except GuardError as error:
            raise GuardError(f"the potential cannot be evaluated at the start: {error}") from error
        deviation = max((compare(one, reference) for one in found), key=lambda one: one.forces)
        excess = "; ".join(filter(None, dict.fromkeys(compare(one, reference).excess() for one in found)))
        if excess and make_fallback is None:
            raise UserError(f"{self.name} differs from PyTorch here: {excess}; set potential.engine: torch")
        if excess:
            self._active = make_fallback()
            log.warning("%s differs from PyTorch (%s): using %s", self.name, excess, self._active.name)
            self.name = self._active.name
        else:
            log.info(
                "%s agrees with PyTorch on %d atoms: energy %.1e, forces %.1e, virial %.1e (eV/atom, eV/Å)",
                self.name,
                len(chosen),
                deviation.energy,
                deviation.forces,
                deviation.virial,
            )
        self._pending = None  # lets go of the model
