"""Interatomic potentials: load a MACE model, verify it, and evaluate energy, forces and virial.

`load` returns an evaluator for one fixed list of species. Two engines give the same numbers: `torch` calls
the MACE module itself (Batatia et al., NeurIPS 2022, arXiv:2206.07697) and is the reference; `native` is the
compiled kernel of `getsei.potentials.native` for small scalar models, some thirty times faster on a CPU.
"""

import copy
import functools
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import ase.data
import numpy as np
from matscipy.neighbours import neighbour_list
from numpy.typing import ArrayLike, NDArray

from getsei import provenance, strict_yaml
from getsei.errors import GuardError, UserError
from getsei.potentials import weights

with warnings.catch_warnings():
    # mace sets an environment variable that e3nn needs to read its own constants, and both warn about it.
    warnings.simplefilter("ignore")
    import mace.modules
    import torch

log = logging.getLogger("getsei.binding")

Engine = Literal["auto", "native", "torch"]
DTYPES = {"float32": torch.float32, "float64": torch.float64}
MIN_DISTANCE_A = 0.01
"""Closer pairs than this are taken for coincident atoms: no potential means anything there."""


@dataclass(frozen=True)
class Evaluation:
    """Energy and its derivatives for one configuration.

    Attributes
    ----------
    energy : float
        Potential energy in eV.
    forces : ndarray of shape (N, 3)
        Minus the gradient with respect to the positions, in eV/Å.
    virial : ndarray of shape (3, 3)
        Minus the derivative with respect to strain, in eV. This is the sum of r_i f_i in LAMMPS' sign
        convention: positive under compression, and equal to -stress * volume with ASE's stress.
    """

    energy: float
    forces: NDArray[np.float64]
    virial: NDArray[np.float64]


class Evaluator(Protocol):
    """A potential bound to a fixed list of species; every direction is periodic."""

    elements: tuple[str, ...]
    """Symbols of the elements that the model knows."""
    cutoff_A: float
    """Distance in Å beyond which two atoms do not interact directly."""
    name: str
    """Engine and precision, for logs and provenance."""

    def __call__(self, positions: ArrayLike, cell: ArrayLike) -> Evaluation:
        """Evaluate positions (N, 3) in Å in the cell (3, 3) whose rows are the lattice vectors in Å."""


def verify(model: str | Path, sha256: str | None = None) -> str:
    """Return the SHA-256 of a model file after comparing it with what is stated of it.

    Stated by the caller, or by the model card beside the file: that of ``name.safetensors`` is ``name.yaml``;
    its key ``sha256`` holds the digest.

    Raises
    ------
    UserError
        If the file is missing or differs.
    """
    path = Path(model)
    if not path.is_file():
        raise UserError(f"{path}: no such model file; give the path of a MACE model in potential.model")
    digest = provenance.file_digest(path)
    card = path.with_suffix(".yaml")
    stated = {"potential.sha256": sha256}
    if card.is_file():
        facts = strict_yaml.read(card)
        stated[card.name] = facts.get("sha256") if isinstance(facts, dict) else None
    for who, expected in stated.items():
        if expected is not None and str(expected).lower() != digest:
            raise UserError(
                f"{path}: its SHA-256 is {digest}, but {who} says {expected}. The file is damaged or was "
                f"replaced; restore it, or correct {who} if you trust the new file"
            )
    return digest


@functools.lru_cache(maxsize=1)
def _built(model: str, digest: str) -> torch.nn.Module:
    """Return the module of a data file; building it takes ten times as long as copying it."""
    return weights.load(model)


def read_mace(
    model: str | Path, device: str = "cpu", *, sha256: str | None = None, trust: bool = False
) -> torch.nn.Module:
    """Read a MACE model as float64, on `device`, with gradients of its weights switched off.

    Parameters
    ----------
    model : path
        ``.safetensors`` as `getsei.potentials.weights` writes it, which is data only; or a module pickled by
        mace-torch, which runs code when it is read.
    device : str
    sha256 : str, optional
        What the file must hash to.
    trust : bool
        Read a pickled file whose `sha256` is not stated.

    Raises
    ------
    UserError
        If the file does not hold a MACE model, is a pickle that nobody vouches for, or the device is not
        there.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device {device}: PyTorch sees no CUDA device on this machine; use device: cpu")
    digest = verify(model, sha256)
    if Path(model).suffix == weights.SUFFIX:
        module = copy.deepcopy(_built(str(model), digest))
    elif sha256 is None and not trust:
        raise UserError(
            f"{model}: this is a pickled model, and reading one runs whatever code it holds. If you trust "
            f"its origin, pin it with potential.sha256: {digest} (potential.trust: true skips the pin)"
        )
    else:
        module = read_pickle(model)
    return module.to(device).double().eval().requires_grad_(requires_grad=False)


def read_pickle(model: str | Path) -> torch.nn.Module:
    """Read a module pickled by mace-torch, as it is. This runs whatever code the file holds.

    Raises
    ------
    UserError
        If the file does not hold a MACE model.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.load(model, map_location="cpu", weights_only=False)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{model}: cannot be read as a MACE model ({reason}); expected a file saved by mace-torch"
        ) from error
    if not isinstance(module, mace.modules.MACE):
        raise UserError(
            f"{model}: holds a {type(module).__name__}; expected a MACE model saved whole by mace-torch"
        )
    return module


def known_elements(module: torch.nn.Module) -> tuple[str, ...]:
    """Return the symbols of the elements of a MACE model, in the model's order."""
    return tuple(ase.data.chemical_symbols[int(z)] for z in module.atomic_numbers)


def element_indices(species: Sequence[str], elements: Sequence[str], name: str) -> NDArray[np.int64]:
    """Return for each atom the index of its element among `elements`.

    Raises
    ------
    UserError
        If the model lacks an element.
    """
    missing = sorted(set(species) - set(elements))
    if missing:
        raise UserError(
            f"{name}: the model knows {', '.join(elements)} but not {', '.join(missing)}; "
            "use a potential trained on them"
        )
    index = {element: i for i, element in enumerate(elements)}
    return np.array([index[symbol] for symbol in species], dtype=np.int64)


def check_geometry(positions: ArrayLike, cell: ArrayLike, n_atoms: int) -> tuple[NDArray, NDArray]:
    """Return positions and cell as contiguous float64 arrays after checking that they can be evaluated.

    Raises
    ------
    UserError
        If the shapes do not fit the atoms, or the cell has no volume.
    GuardError
        If a number is not finite.
    """
    x = np.ascontiguousarray(positions, dtype=np.float64)
    h = np.ascontiguousarray(cell, dtype=np.float64)
    if x.shape != (n_atoms, 3) or h.shape != (3, 3):
        raise UserError(f"expected positions ({n_atoms}, 3) and a cell (3, 3), got {x.shape} and {h.shape}")
    if not (np.isfinite(x).all() and np.isfinite(h).all()):
        bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
        raise GuardError(f"non-finite coordinates (atoms {bad[:5].tolist()}); the simulation has blown up")
    if abs(np.linalg.det(h)) < 1e-6:
        raise UserError(f"the cell has no volume: {h.tolist()}; give three independent lattice vectors in Å")
    return x, h


class TorchEvaluator:
    """The MACE module itself, called with a fresh neighbour list each time."""

    def __init__(
        self, module: torch.nn.Module, species: Sequence[str], *, dtype: str, device: str, threads: int
    ):
        self.elements = known_elements(module)
        self.cutoff_A = float(module.r_max)
        self.name = f"torch {dtype}" + (f" on {device}" if device != "cpu" else "")
        index = element_indices(species, self.elements, "potential")
        if device == "cpu":
            torch.set_num_threads(threads)
        self._module = module.to(device=device, dtype=DTYPES[dtype])
        self._device, self._dtype, self._n = device, DTYPES[dtype], len(index)
        self._constant = {
            "node_attrs": torch.eye(len(self.elements), dtype=self._dtype, device=device)[
                torch.as_tensor(index)
            ],
            "batch": torch.zeros(self._n, dtype=torch.int64, device=device),
            "ptr": torch.tensor([0, self._n], dtype=torch.int64, device=device),
            "head": torch.zeros(1, dtype=torch.int64, device=device),
        }

    def __call__(self, positions: ArrayLike, cell: ArrayLike) -> Evaluation:
        """Evaluate positions (N, 3) in Å in the cell (3, 3) with rows in Å."""
        x, h = check_geometry(positions, cell, self._n)
        i, j, d, s = neighbour_list("ijdS", positions=x, cell=h, pbc=[True] * 3, cutoff=self.cutoff_A)
        if d.size and d.min() < MIN_DISTANCE_A:
            k = int(d.argmin())
            raise GuardError(f"atoms {i[k]} and {j[k]} are {d[k]:.2g} Å apart; the simulation has blown up")

        def tensor(array: ArrayLike) -> torch.Tensor:
            return torch.as_tensor(np.asarray(array), dtype=self._dtype, device=self._device)

        graph = self._constant | {
            "positions": tensor(x),
            "cell": tensor(h),
            "edge_index": torch.as_tensor(np.stack([i, j]).astype(np.int64), device=self._device),
            "unit_shifts": tensor(s),
            "shifts": tensor(s @ h),
        }
        out = self._module(
            graph, training=False, compute_force=True, compute_virials=True, compute_stress=False
        )
        energy = float(out["energy"].detach().double().sum())
        forces = out["forces"].detach().double().cpu().numpy()
        virial = out["virials"].detach().double().cpu().numpy().reshape(3, 3)
        return Evaluation(energy, forces, 0.5 * (virial + virial.T))


def load(
    model: str | Path,
    species: Sequence[str],
    *,
    engine: Engine = "auto",
    dtype: Literal["float32", "float64"] = "float32",
    device: str = "cpu",
    threads: int = 1,
    sha256: str | None = None,
    trust: bool = False,
) -> Evaluator:
    """Load a MACE model for a fixed list of species.

    Parameters
    ----------
    model : path
        ``.safetensors`` of `getsei.potentials.weights`, or a file saved by mace-torch. A model card beside it
        (same stem, ``.yaml``) is used to verify it.
    species : sequence of str
        Chemical symbol of each atom, in the order of the positions.
    engine : {"auto", "native", "torch"}
        "auto" takes the native kernel where it can run the model, else torch, and logs which and why.
    dtype : {"float32", "float64"}
        Precision of the arithmetic; sums over atoms are always float64.
    device : str
        "cpu" or "cuda"; the native kernel runs on the CPU only, so that "auto" on "cuda" is torch.
    threads : int
        Threads that share one evaluation.
    sha256 : str, optional
        What the file must hash to. Required of a pickled model, which runs code when it is read,
    trust : bool
        unless this is set.

    Raises
    ------
    UserError
        If the model cannot be used, or `engine` is "native" and the native kernel cannot run it.
    """
    if engine not in ("auto", "native", "torch"):
        raise UserError(f"potential.engine: {engine!r}; expected auto, native or torch")
    if dtype not in DTYPES:
        raise UserError(f"potential.dtype: {dtype!r}; expected float32 or float64")
    if engine == "native" and device != "cpu":
        raise UserError(f"potential.engine: native runs on the CPU, not on {device}; use engine: auto")
    if not len(species):
        raise UserError("potential: no atoms given")
    module = read_mace(model, device, sha256=sha256, trust=trust)
    element_indices(species, known_elements(module), str(model))

    def torch_evaluator(dtype: str = dtype, chosen: ArrayLike = slice(None)) -> Evaluator:
        # A copy each: PyTorch converts a module in place.
        own, some = copy.deepcopy(module), np.asarray(species)[chosen]
        return TorchEvaluator(own, some, dtype=dtype, device=device, threads=threads)

    if engine == "torch" or device != "cpu":
        evaluator = torch_evaluator()
        log.info("potential %s: %s", model, evaluator.name)
        return evaluator
    try:
        evaluator = _native_evaluator(
            Path(model), module, species, dtype, threads, torch_evaluator, fall_back=engine == "auto"
        )
    except NativeUnavailableError as error:
        if engine == "native":
            raise UserError(
                f"{model}: the native kernel is not available: {error}; use engine: auto"
            ) from error
        evaluator = torch_evaluator()
        log.warning(
            "potential %s: %s, since the native kernel is not available: %s", model, evaluator.name, error
        )
        return evaluator
    log.info("potential %s: %s", model, evaluator.name)
    return evaluator


class NativeUnavailableError(Exception):
    """The native kernel cannot run this model here; the message says why."""


def _native_evaluator(
    model: Path,
    module: torch.nn.Module,
    species: Sequence[str],
    dtype: str,
    threads: int,
    torch_evaluator: Callable[..., Evaluator],
    *,
    fall_back: bool,
) -> Evaluator:
    """Return the native evaluator, which compares itself with PyTorch at its first call."""
    # Imported here because these modules build on this one.
    from getsei.potentials.native import build, check, export, kernel, stored

    try:
        tables = stored.tables(model, provenance.file_digest(model), module)
        return check.CheckedEvaluator(
            lambda chosen: kernel.NativeEvaluator(
                tables, np.asarray(species)[chosen], dtype=dtype, threads=threads
            ),
            lambda chosen: torch_evaluator("float64", chosen),
            torch_evaluator if fall_back else None,
            len(species),
        )
    except (export.UnsupportedModelError, build.BuildError) as error:
        raise NativeUnavailableError(str(error)) from error
