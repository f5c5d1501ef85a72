"""The compiled kernel as an evaluator: memory, neighbour list and errors around one call of the library."""

import ctypes
import logging
from collections.abc import Sequence

import ase.data
import numpy as np
from numpy.typing import ArrayLike, NDArray

from getsei.errors import GuardError, UserError
from getsei.potentials import models
from getsei.potentials.native import build, neighbours
from getsei.potentials.native.export import Tables

log = logging.getLogger("getsei")

LARGE_FORCE_eV_per_A = 30.0
"""Single precision errs by up to 3e-7 of the largest force: beyond this, by more than 1e-5 eV/Å.

Only atoms that clash push so hard. Dynamics does not meet them, so that evaluating them again in double
precision costs next to nothing.
"""
SKIN_A = 1.5
"""Half of it is more than a lithium ion vibrates: a list lasts until ions have moved on, or one flies."""
LEAST_SKIN_A = 1e-3
"""Rounding of the reference positions must not outdate a list that was just made."""
ALIGNMENT = 64

_INT, _REAL, _POINTER = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p


class _Model(ctypes.Structure):
    """Mirror of `Model` in layout.hpp."""

    _fields_ = (
        *((name, _INT) for name in ("layers", "elements", "tables", "intervals", "hidden")),
        ("cutoff", _REAL),
        ("bend", _REAL),
        ("zbl_weight", _REAL * 4),
        ("zbl_exponent", _REAL * 4),
        ("zbl_power", _INT),
        *(
            (name, _POINTER)
            for name in (
                *(
                    "pair_table",
                    "zbl",
                    "atom_energy",
                    "radial",
                    "first_source",
                    "first_skip",
                    "up",
                    "up_back",
                ),
                *("skip", "skip_back", "mix", "mix_back", "linear", "quadratic", "update", "update_back"),
                *("readout", "mlp_in", "mlp_out"),
            )
        ),
    )


class _System(ctypes.Structure):
    """Mirror of `System` in layout.hpp."""

    _fields_ = (
        ("atoms", _INT),
        ("threads", _INT),
        *((name, _POINTER) for name in ("element", "positions", "reference")),
        ("cell", _REAL * 9),
        ("inverse", _REAL * 9),
        ("reach", _REAL),
        ("closest", _REAL),
        *(
            (name, _POINTER)
            for name in (
                *("first", "candidate", "image", "shifts", "wrapped", "edges", "edge_end"),
                *("B", "h", "u", "dh", "du", "partial", "forces"),
            )
        ),
        ("virial", _REAL * 9),
        ("energy", _REAL),
        ("culprit", _REAL * 3),
    )


DONE, STALE_LIST, NOT_FINITE, COINCIDENT = range(4)


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
    """Return zeros that begin on a cache line, so that no SIMD vector straddles two."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def _cubics(radial: NDArray, cutoff_A: float, bend_A: float) -> NDArray[np.float64]:
    """Return cubics in the place t within an interval: (T, tables, intervals, L, 4, K), highest power first.

    They are Hermite's: values and derivatives are exact at the knots; energy and force are continuous.
    """
    x, step = np.linspace(0.0, cutoff_A / (cutoff_A + bend_A), radial.shape[2], retstep=True)
    stretch = step * bend_A / (1.0 - x) ** 2  # Å of distance per interval
    value, slope = radial[:, :, :, 0], radial[:, :, :, 1] * stretch[:, None, None]
    v0, v1, s0, s1 = value[:, :, :-1], value[:, :, 1:], slope[:, :, :-1], slope[:, :, 1:]
    return np.stack([2 * (v0 - v1) + s0 + s1, 3 * (v1 - v0) - 2 * s0 - s1, s0, v0], axis=-2)


def _arrays(tables: Tables, used: NDArray, dtype: str) -> dict[str, NDArray]:
    """Return the model's arrays in the kernel's layout: channels padded with zeros, transposed maps added.

    Of the radial tables, only those of pairs of the elements `used` (indices) are taken: caches are small.
    """
    n, block = tables.channels, build.BLOCK
    padded = -(-n // block) * block

    def pack(array: NDArray, channel_axes: int = 1) -> NDArray:
        lead = array.ndim - channel_axes
        out = _aligned((*array.shape[:lead], *[padded] * channel_axes), np.dtype(dtype))
        out[(..., *[slice(n)] * channel_axes)] = array
        return out

    def back(array: NDArray) -> NDArray:
        return pack(np.swapaxes(array, -1, -2), 2)

    wanted = np.unique(tables.pair_table[np.ix_(used, used)])
    pair_table = np.searchsorted(wanted, tables.pair_table).clip(max=len(wanted) - 1)
    cubics = pack(_cubics(tables.radial[:, wanted], float(tables.cutoff_A), float(tables.bend_A)))
    blocked = np.moveaxis(cubics.reshape(*cubics.shape[:-1], padded // block, block), -2, 3)
    radial = _aligned(blocked.shape, np.dtype(dtype))
    radial[:] = blocked
    mlp_out = _aligned(tables.mlp_out.shape, np.dtype(dtype))
    mlp_out[:] = tables.mlp_out
    return {
        "pair_table": np.ascontiguousarray(pair_table, dtype=np.int32),
        "zbl": np.ascontiguousarray(tables.zbl, dtype=np.float64),
        "atom_energy": np.ascontiguousarray(tables.atom_energy, dtype=np.float64),
        "radial": radial,
        "first_source": pack(tables.first_source),
        "first_skip": pack(tables.first_skip),
        "up": pack(tables.up, 2),
        "up_back": back(tables.up),
        "skip": pack(tables.skip, 2),
        "skip_back": back(tables.skip),
        "mix": pack(tables.mix, 2),
        "mix_back": back(tables.mix),
        "linear": pack(tables.linear),
        "quadratic": pack(tables.quadratic),
        "update": pack(tables.update, 2),
        "update_back": back(tables.update),
        "readout": pack(tables.readout),
        "mlp_in": pack(tables.mlp_in.T),
        "mlp_out": mlp_out,
    }


class NativeEvaluator:
    """The kernel bound to one list of species.

    Parameters
    ----------
    tables : Tables
        The exported model.
    species : sequence of str
        Symbol of each atom.
    dtype : {"float32", "float64"}
        Precision of the arithmetic. With float32, atoms that push each other with more than
        `LARGE_FORCE_eV_per_A` are evaluated again in float64.
    skin_A : float
        Margin of the neighbour list beyond the cutoff.
    threads : int
        Threads that share the atoms; one if the compiler knows no OpenMP.
    target : str, optional
        Instruction set, a key of `build.TARGETS`; the best one of this processor by default.
    like : NativeEvaluator, optional
        One that was made before of the same tables; where it has the same elements its arrays are shared, for
        packing them takes longer than to evaluate a small frame.

    Raises
    ------
    BuildError
        If the library cannot be had on this machine.
    """

    def __init__(
        self,
        tables: Tables,
        species: Sequence[str],
        *,
        dtype: str = "float32",
        skin_A: float = SKIN_A,
        threads: int = 1,
        target: str | None = None,
        like: "NativeEvaluator | None" = None,
    ):
        self.elements = tuple(ase.data.chemical_symbols[z] for z in tables.atomic_numbers)
        self.cutoff_A = float(tables.cutoff_A)
        target = target or build.best_target()
        self.name = f"native {dtype} ({target})"
        self.rebuilds = self.doubled = 0
        self._double: NativeEvaluator | None = None
        self._remake = None
        if dtype == "float32":
            self._remake = lambda: NativeEvaluator(
                tables, species, dtype="float64", skin_A=0.0, threads=threads, target=target
            )
        self._skin_A = max(skin_A, LEAST_SKIN_A)
        self._index = models.element_indices(species, self.elements, "potential").astype(np.int32)
        used = np.unique(self._index)
        self._tables, self._packed = tables, (dtype, used.tolist())
        if like is not None and like._tables is tables and like._packed == self._packed:
            self._arrays = like._arrays
        else:
            self._arrays = _arrays(tables, used, dtype)
        padded = self._arrays["update"].shape[-1]
        library = build.library(channels=padded, lmax=tables.lmax, dtype=dtype, target=target)
        library.edge_size.restype = library.list_candidates.restype = ctypes.c_int64
        self._library, self._evaluate, self._edge_size = library, library.evaluate, int(library.edge_size())
        threads = max(1, min(threads, library.most_threads()))
        self._model = _Model(
            layers=len(tables.update),
            elements=len(self.elements),
            tables=self._arrays["radial"].shape[1],
            intervals=tables.radial.shape[2] - 1,
            hidden=len(tables.mlp_out),
            cutoff=self.cutoff_A,
            bend=float(tables.bend_A),
            zbl_weight=(_REAL * 4)(*tables.zbl_terms[:, 0]),
            zbl_exponent=(_REAL * 4)(*tables.zbl_terms[:, 1]),
            zbl_power=int(tables.zbl_power),
            **{name: array.ctypes.data for name, array in self._arrays.items()},
        )
        n, layers, harmonics = len(self._index), len(tables.update), (tables.lmax + 1) ** 2
        real, double = np.dtype(dtype), np.dtype(np.float64)
        self._work = {
            "wrapped": _aligned((n, 3), double),
            "edge_end": _aligned((n,), np.dtype(np.int64)),
            "B": _aligned((layers, n, harmonics, padded), real),
            "h": _aligned((layers, n, padded), real),
            "u": _aligned((layers, n, padded), real),
            "dh": _aligned((n, padded), real),
            "du": _aligned((threads, n, padded), real),
            "partial": _aligned((threads, n, 3), double),
        }
        self._system = _System(
            atoms=n,
            threads=threads,
            element=self._index.ctypes.data,
            closest=models.MIN_DISTANCE_A,
            **{name: array.ctypes.data for name, array in self._work.items()},
        )
        self._list: neighbours.Candidates | None = None
        self._cell = np.empty((0, 0))

    def __call__(self, positions: ArrayLike, cell: ArrayLike) -> models.Evaluation:
        """Evaluate positions (N, 3) in Å in the cell (3, 3) with rows in Å.

        Raises
        ------
        GuardError
            If a coordinate is not finite, or two atoms coincide.
        """
        found = self.in_stated_precision(positions, cell)
        largest = max(found.forces.max(), -found.forces.min())
        if self._remake is None or not largest > LARGE_FORCE_eV_per_A:
            return found
        try:
            return self._in_double(positions, cell)
        except build.BuildError as error:
            log.warning("large forces stay in single precision, which errs by 3e-7 of them: %s", error)
            self._remake = None
            return found

    def in_stated_precision(self, positions: ArrayLike, cell: ArrayLike) -> models.Evaluation:
        """Evaluate as a call does, but in float32 however large the forces are if that is the `dtype`."""
        x = np.ascontiguousarray(positions, dtype=np.float64)
        h = np.ascontiguousarray(cell, dtype=np.float64)
        if x.shape != (len(self._index), 3):
            raise UserError(f"expected positions ({len(self._index)}, 3), got {x.shape}")
        if not np.array_equal(h, self._cell):
            self._use_cell(x, h)
        forces = np.empty_like(x)
        system = self._system
        system.positions, system.forces = x.ctypes.data, forces.ctypes.data
        status = self._evaluate(ctypes.byref(self._model), ctypes.byref(system))
        if status == STALE_LIST:
            self._rebuild(x, h)
            status = self._evaluate(ctypes.byref(self._model), ctypes.byref(system))
        if status == NOT_FINITE:
            raise GuardError(
                f"non-finite coordinates of atom {system.culprit[0]:.0f}; the simulation has blown up"
            )
        if status == COINCIDENT:
            i, j, distance = system.culprit
            raise GuardError(
                f"atoms {i:.0f} and {j:.0f} are {distance:.2g} Å apart; the simulation has blown up"
            )
        if status != DONE:
            raise RuntimeError(f"the native kernel returned status {status}")
        virial = np.array(system.virial).reshape(3, 3)
        return models.Evaluation(system.energy, forces, 0.5 * (virial + virial.T))

    def _in_double(self, positions: ArrayLike, cell: ArrayLike) -> models.Evaluation:
        """Evaluate in double precision, with a list of its own that remembers nothing."""
        if self._double is None:
            self._double = self._remake()
        self._double._cell = np.empty((0, 0))
        self._double._list = None
        self.doubled += 1
        return self._double(positions, cell)

    def _use_cell(self, x: NDArray, h: NDArray) -> None:
        """Move the list to a new cell where its skin allows for the strain, else make it again."""
        reach = -1.0
        if self._list is not None and np.isfinite(h).all():
            reach = self._list.reach_A(h, self.cutoff_A)
        if reach <= 0.1 * self._skin_A:
            self._rebuild(x, h)
            return
        self._point(h, reach)

    def _rebuild(self, x: NDArray, h: NDArray) -> None:
        models.check_geometry(x, h, len(self._index))
        self._list = neighbours.build(self._library, x, h, self.cutoff_A + self._skin_A)
        self.rebuilds += 1
        # Room for all candidates: how many lie within the cutoff changes from step to step.
        self._edges = _aligned((len(self._list.atom) * self._edge_size,), np.dtype(np.uint8))
        self._system.edges = self._edges.ctypes.data
        for name, array in (("first", "first"), ("candidate", "atom"), ("image", "image")):
            setattr(self._system, name, getattr(self._list, array).ctypes.data)
        self._point(h, self._list.reach_A(h, self.cutoff_A))

    def _point(self, h: NDArray, reach: float) -> None:
        """Give the kernel the list's reference positions and translations in the cell `h`."""
        self._cell = h.copy()
        self._reference = np.ascontiguousarray(self._list.fractional @ h)
        self._shifts = np.ascontiguousarray(self._list.translations @ h)
        self._system.reference, self._system.shifts = self._reference.ctypes.data, self._shifts.ctypes.data
        self._system.cell[:] = h.ravel().tolist()
        self._system.inverse[:] = np.linalg.inv(h).ravel().tolist()
        self._system.reach = reach
