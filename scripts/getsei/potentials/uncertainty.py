"""How wrong the forces of a potential may be, atom by atom, without its teacher at hand.

A committee of models that differ from the potential in some of their weights disagrees where its training
data did not decide. It has groups of members of one origin. The disagreement of a group, times a factor for
each element fitted on frames that no training saw, is an estimate of the error of the force on an atom; the
expected error is the root mean square of the estimates of all groups. The members lie in one file beside
the model, which ends in ``.uncertainty.safetensors``, with what the calibration measured;
`getsei.potentials.calibration` makes it.
"""

import copy
import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from getsei import provenance, tensors
from getsei.errors import UserError
from getsei.extrapolation import Judge, Judgement
from getsei.potentials import models, sources
from getsei.potentials.native import build, export, kernel

log = logging.getLogger("getsei")

KIND = "uncertainty"
ORIGINS = {
    "readouts": "drawn from the posterior of the readouts",
    "student": "trained in an earlier round",
    "trained": "trained on bootstrap resamples",
}

Overlay = Mapping[str, np.ndarray]
"""Weights of a member, by name, that differ from those of the model."""


def in_quick_order(frames: Sequence[Atoms]) -> list[int]:
    """Return rows in an order in which an `Ensemble` seldom meets other elements or another composition."""

    def key(row: int) -> tuple[list[str], str]:
        return sorted(set(frames[row].get_chemical_symbols())), str(frames[row].symbols)

    return sorted(range(len(frames)), key=key)


class Ensemble:
    """Variants of one model, evaluated on the same atoms.

    Parameters
    ----------
    module : torch.nn.Module
        The model in float64.
    overlays : sequence of mapping
        What differs in each variant.
    """

    def __init__(self, module: Any, overlays: Sequence[Overlay]) -> None:
        self._variants = [_prepared(with_weights(module, overlay)) for overlay in overlays]
        self._species: list[str] = []
        self._bound: list[models.Evaluator] = []

    def forces(self, species: Sequence[str], positions: ArrayLike, cell: ArrayLike) -> NDArray[np.float64]:
        """Return the forces (n_variants, n_atoms, 3) in eV/Å."""
        if list(species) != self._species:
            self._species = list(species)
            before = self._bound or [None] * len(self._variants)
            self._bound = [
                _bound(variant, self._species, like)
                for variant, like in zip(self._variants, before, strict=True)
            ]
        return np.stack([evaluate(positions, cell).forces for evaluate in self._bound])


def with_weights(module: Any, overlay: Overlay) -> Any:
    """Return a copy of a module with some of its weights replaced.

    Raises
    ------
    UserError
        If a weight is of another shape, or of a name that the module lacks.
    """
    import torch

    changed = copy.deepcopy(module)
    state = changed.state_dict()
    for name, value in overlay.items():
        if name not in state or tuple(state[name].shape) != np.shape(value):
            raise UserError(f"the uncertainty does not fit the model: it has no {name} {np.shape(value)}")
        state[name].copy_(torch.from_numpy(np.array(value)))
    return changed


def _prepared(module: Any) -> Any:
    try:
        return export.export(module)
    except export.UnsupportedModelError:
        return module


def _bound(variant: Any, species: Sequence[str], like: models.Evaluator | None) -> models.Evaluator:
    if isinstance(variant, export.Tables):
        try:
            return kernel.NativeEvaluator(variant, species, like=like)
        except build.BuildError as error:
            raise UserError(f"the uncertainty needs the compiled evaluator here: {error}") from error
    return models.TorchEvaluator(variant, species, dtype="float32", device="cpu", threads=1)


def disagreement(forces: NDArray) -> NDArray[np.float64]:
    """Return how far the members lie from the model, (n_atoms,) in eV/Å: root mean square over members.

    Parameters
    ----------
    forces : (1 + n_members, n_atoms, 3) array
        Of the model and of its members, eV/Å.
    """
    return np.sqrt(((forces[1:] - forces[0]) ** 2).sum(axis=-1).mean(axis=0))


def by_group(forces: NDArray, sizes: Sequence[int]) -> NDArray[np.float64]:
    """Return the disagreement of every group of members, (n_groups, n_atoms) in eV/Å.

    Parameters
    ----------
    forces : (1 + n_members, n_atoms, 3) array
        Of the model and of its members, group after group.
    sizes : sequence of int
        Members of each group.
    """
    ends = 1 + np.cumsum(sizes)
    starts = ends - np.asarray(sizes)
    return np.stack(
        [
            disagreement(np.concatenate([forces[:1], forces[low:high]]))
            for low, high in zip(starts, ends, strict=True)
        ]
    )


@dataclass(frozen=True)
class Group:
    """Members of one origin.

    Attributes
    ----------
    origin : str
        Key of `ORIGINS`.
    members : sequence of mapping
        Weights that differ from the model's.
    scales : mapping
        Element to the factor that turns disagreement into an expected error.
    """

    origin: str
    members: Sequence[Overlay]
    scales: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Uncertainty:
    """A calibrated committee.

    Attributes
    ----------
    groups : sequence of Group
    thresholds : mapping
        Element to the expected error beyond which an atom is marked as extrapolated, eV/Å.
    model_sha256 : str
        Of the model file it belongs to.
    report : mapping
        What the calibration measured.
    """

    groups: Sequence[Group]
    thresholds: Mapping[str, float]
    model_sha256: str
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """What it is made of, in words."""
        counts = {
            origin: sum(len(group.members) for group in self.groups if group.origin == origin)
            for origin in ORIGINS
        }
        members = " and ".join(f"{count} {ORIGINS[origin]}" for origin, count in counts.items() if count)
        return f"committee: {members}"

    def expected_errors(self, module: Any) -> Callable[[Sequence[str], ArrayLike, ArrayLike], NDArray]:
        """Return the function from species, positions (Å) and cell (Å) to expected errors (n_atoms,), eV/Å.

        Its members are made ready once, whatever compositions it then meets; it raises a UserError at an
        element that was not calibrated.

        Parameters
        ----------
        module : torch.nn.Module
            The model in float64.
        """
        ensemble = Ensemble(module, [{}, *(member for group in self.groups for member in group.members)])
        sizes = [len(group.members) for group in self.groups]

        def expected(species: Sequence[str], positions: ArrayLike, cell: ArrayLike) -> NDArray[np.float64]:
            self.check_elements(species)
            factors = np.array([[group.scales[symbol] for symbol in species] for group in self.groups])
            found = by_group(ensemble.forces(species, positions, cell), sizes)
            return np.sqrt(((factors * found) ** 2).mean(axis=0))

        return expected

    def check_elements(self, species: Iterable[str]) -> None:
        """Raise a UserError if an element was not calibrated."""
        known = set.intersection(*(set(group.scales) for group in self.groups))
        strange = sorted(set(species) - known)
        if strange:
            raise UserError(f"the uncertainty of the potential was not calibrated for {', '.join(strange)}")

    def judge(self, module: Any, species: Sequence[str]) -> Judge:
        """Return the function that judges configurations of these species.

        Parameters
        ----------
        module : torch.nn.Module
            The model in float64.
        species : sequence of str

        Raises
        ------
        UserError
            If an element was not calibrated.
        """
        self.check_elements(species)
        return functools.partial(self.expected_errors(module), species)

    def save(self, model: str | Path) -> Path:
        """Write the uncertainty beside its model, and return the path."""
        path = sources.uncertainty_of(model)
        arrays = {
            f"{place}/{number}/{name}": np.asarray(value)
            for place, group in enumerate(self.groups)
            for number, member in enumerate(group.members)
            for name, value in member.items()
        }
        facts = {
            "kind": KIND,
            "groups": [
                {"origin": group.origin, "members": len(group.members), "scales": dict(group.scales)}
                for group in self.groups
            ],
            "thresholds_eV_per_A": dict(self.thresholds),
            "model_sha256": self.model_sha256,
            "report": dict(self.report),
        }
        tensors.save(path, arrays, facts)
        return path


def load(model: str | Path) -> Uncertainty | None:
    """Return the uncertainty that lies beside a model; None where there is none.

    Raises
    ------
    UserError
        If the file is damaged or belongs to another model.
    """
    path = sources.uncertainty_of(model)
    if not path.is_file():
        return None
    arrays, facts = tensors.load(path)
    try:
        if facts["kind"] != KIND:
            raise KeyError("kind")
        groups = [
            Group(
                origin=next(origin for origin in ORIGINS if origin == one["origin"]),
                members=[{} for _ in range(int(one["members"]))],
                scales={str(element): float(scale) for element, scale in one["scales"].items()},
            )
            for one in facts["groups"]
        ]
        for key, value in arrays.items():
            place, number, name = key.split("/")
            groups[int(place)].members[int(number)][name] = value
        found = Uncertainty(
            groups,
            {str(element): float(limit) for element, limit in facts["thresholds_eV_per_A"].items()},
            str(facts["model_sha256"]),
            facts["report"],
        )
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, StopIteration) as error:
        raise UserError(
            f"{path}: not the uncertainty of a potential as it is kept now; delete it, restore it, or "
            "calibrate it anew (docs/active-learning.md)"
        ) from error
    if found.model_sha256 != provenance.file_digest(Path(model)):
        raise UserError(
            f"{path}: belongs to another model than {model}; delete it, or calibrate it anew "
            "(docs/active-learning.md)"
        )
    return found


def doubt_of(model: str | Path) -> Callable[[Atoms], NDArray[np.float64]] | None:
    """Return a function from a frame to expected force errors (n_atoms,) in eV/Å; None without uncertainty.

    Parameters
    ----------
    model : path
        A ``.safetensors`` model.
    """
    found = load(model)
    if found is None:
        return None
    expected = found.expected_errors(models.read_mace(model))

    def doubt(atoms: Atoms) -> NDArray[np.float64]:
        return expected(atoms.get_chemical_symbols(), atoms.positions, atoms.cell[:])

    return doubt


def judgement(potential: Mapping[str, Any], species: Sequence[str], chosen: str = "auto") -> Judgement:
    """Return what there is to judge the trajectory of a system with.

    Parameters
    ----------
    potential : mapping
        The part `potential` of its settings.
    species : sequence of str
    chosen : {"auto", "none"}

    Raises
    ------
    UserError
        If the file beside the model is damaged, belongs to another model or lacks an element.
    """

    def nothing(why: str) -> Judgement:
        return Judgement(None, {}, why, {})

    source = sources.parse(potential["model"])
    if chosen == "none":
        return nothing("uncertainty.source is none")
    if source.kind != "file":
        return nothing(f"{source.name} comes without an uncertainty")
    found = load(source.name)
    if found is None:
        return nothing(f"there is no {sources.uncertainty_of(source.name).name} beside the model")
    module = models.read_mace(
        source.name, sha256=potential.get("sha256"), trust=potential.get("trust", False)
    )
    return Judgement(found.judge(module, species), found.thresholds, found.said, found.report)
