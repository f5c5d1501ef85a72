"""What `potential.model` names: a file, a foundation model, CHGNet, or any ASE calculator.

No heavy import here: the workflow reads this module at every start.
"""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from getsei import strict_yaml
from getsei.errors import UserError

CHGNET = "chgnet"
UNCERTAINTY = ".uncertainty.safetensors"
MACE = "mace:"
ASE = "ase:"
FORMS = (
    "the path of a MACE model file, `mace:NAME` for a foundation model of mace-torch (such as "
    "mace:medium-mpa-0), `chgnet`, or `ase:package.module.Class` for an ASE calculator"
)


@dataclass(frozen=True)
class Source:
    """Where a potential comes from.

    Attributes
    ----------
    kind : {"file", "mace", "chgnet", "ase"}
    name : str
        Path, name of the foundation model, "chgnet", or import path.
    """

    kind: Literal["file", "mace", "chgnet", "ase"]
    name: str


def parse(model: str) -> Source:
    """Return what a value of `potential.model` names.

    Raises
    ------
    UserError
        If a prefix is not followed by a name.
    """
    if model == CHGNET:
        return Source("chgnet", CHGNET)
    for prefix, kind in ((MACE, "mace"), (ASE, "ase")):
        if model.startswith(prefix):
            name = model.removeprefix(prefix)
            if not name or (kind == "ase" and "." not in name):
                raise UserError(f"potential.model: {model!r} is incomplete; give {FORMS}")
            return Source(kind, name)  # type: ignore[arg-type]
    return Source("file", model)


def uncertainty_of(model: str | Path) -> Path:
    """Return where the uncertainty of a model file lies: beside it."""
    return Path(model).with_suffix(UNCERTAINTY)


def stated_elements(model: str) -> tuple[str, ...] | None:
    """Return the elements that the card beside a model file lists; None where nothing is stated.

    The card of ``name.safetensors`` is ``name.yaml``.

    Raises
    ------
    UserError
        If the card is not readable.
    """
    source = parse(model)
    card = Path(source.name).with_suffix(".yaml")
    if source.kind != "file" or not card.is_file():
        return None
    facts = strict_yaml.read(card)
    elements = facts.get("elements") if isinstance(facts, Mapping) else None
    return tuple(str(element) for element in elements) if elements else None


def check_elements(potential: Mapping[str, Any], needed: Iterable[str]) -> None:
    """Refuse a potential whose card lacks an element of the crystals.

    Parameters
    ----------
    potential : mapping
        The part `potential` of its settings.
    needed : iterable of str
        Symbols of the elements of its crystals.

    Raises
    ------
    UserError
        If an element is missing.
    """
    known = stated_elements(potential["model"])
    missing = sorted(set(needed) - set(known)) if known else []
    if missing:
        raise UserError(
            f"potential.model: {potential['model']} knows {', '.join(known or ())} but not "
            f"{', '.join(missing)}, which the crystals hold; give another potential ({FORMS})"
        )


def import_calculator(path: str, arguments: Mapping[str, Any], key: str) -> tuple[Any, str]:
    """Return an ASE calculator by its import path, and the version of its package.

    Raises
    ------
    UserError
        If it can not be imported or made; the message names `key`, the setting it came from.
    """
    module, _, attribute = path.rpartition(".")
    try:
        made = getattr(importlib.import_module(module), attribute)(**arguments)
    except Exception as error:  # whatever a stranger's constructor raises is the user's to know
        raise UserError(
            f"{key}: the calculator {path} can not be made ({error}); "
            "check its import path, its arguments and that its package is installed"
        ) from error
    if not hasattr(made, "get_property"):
        raise UserError(f"{key}: {path} makes a {type(made).__name__}; expected an ASE calculator")
    return made, version_of(module.split(".")[0])


def version_of(package: str) -> str:
    """Return the version of an installed distribution, "unknown" where there is none of this name."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
