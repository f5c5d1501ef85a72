"""What can be checked before any job starts: files, elements and checksums that the configuration names.

Standard library and YAML only: the workflow calls this in Snakemake's own environment. Paths are, like all of
the configuration, relative to the folder in which Snakemake runs.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from getsei import provenance, settings, strict_yaml, tensors
from getsei.errors import UserError
from getsei.potentials import sources
from getsei.structures import names

DATA = ".safetensors"


def check_files(files: Iterable[str | Path]) -> None:
    """Refuse configuration files that YAML reads otherwise than they look.

    Raises
    ------
    UserError
        Naming the file and the line.
    """
    for path in files:
        strict_yaml.read(path)


def check(systems: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse settings that would only fail later.

    Parameters
    ----------
    systems : mapping
        As `settings.resolve` gives them.

    Raises
    ------
    UserError
        Naming every key and file at fault.
    """
    problems = settings.once({name: [f".{p}" for p in _problems(system)] for name, system in systems.items()})
    if problems:
        raise UserError("\n".join(problems))


def _problems(system: Mapping[str, Any]) -> Iterator[str]:
    if settings.is_own(system):
        return  # its files tell their elements when they are read
    elements: set[str] = set()
    complete = True
    for key in ("electrolyte", "metal"):
        name = system["interface"].get(key, names.NONE)
        if name == names.NONE:
            continue
        try:
            found = crystal_elements(name)
        except UserError as error:
            yield f"interface.{key}: {error}"
            return
        elements |= found
        complete &= bool(found)
    missing = sorted(set(system["mobile"]) - elements) if complete else []
    if missing:
        yield f"mobile: {', '.join(missing)} is in none of its crystals, which hold {_list(elements)}"
    try:
        check_potential(system["potential"], elements)
        if system["uncertainty"]["source"] == "auto":
            check_uncertainty(system["potential"]["model"])
    except UserError as error:
        yield str(error)


def crystal_elements(name: str) -> set[str]:
    """Return the elements on the sites of a crystal; none for a CIF or POSCAR, which is read later.

    Raises
    ------
    UserError
        If there is no such crystal, or its file is damaged.
    """
    folder, path = Path(names.FOLDER), Path(names.file_of(name))
    kind = names.kind_of(name)
    if kind is None:
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise UserError(f"no crystal {name!r} in {folder}; {hint}")
    elif not path.is_file():
        raise UserError(f"there is no file {path}")
    if kind in ("cif", "poscar"):
        return set()
    facts = strict_yaml.read(path)
    try:
        return {str(element) for site in facts["sites"] for element in site["occupancy"]}
    except (KeyError, TypeError, IndexError):
        raise UserError(f"{path}: it lists no sites with their occupancy") from None


def check_potential(potential: Mapping[str, Any], elements: set[str]) -> None:
    """Refuse a potential that is not there, lacks an element, or is a pickle that nobody vouches for.

    Raises
    ------
    UserError
        With what to do about it.
    """
    source = sources.parse(potential["model"])
    if source.kind == "file":
        path = Path(source.name)
        if not path.is_file():
            raise UserError(f"potential.model: there is no file {path}")
        pin = potential.get("sha256")
        if pin is None and path.suffix != DATA and not potential["trust"]:
            raise UserError(
                f"potential.model: {path} is a pickled model, and reading one runs whatever code it "
                f"holds. If you trust its origin, add sha256: {provenance.file_digest(path)}"
            )
        if pin is not None and provenance.file_digest(path) != pin.lower():
            raise UserError(
                f"potential.sha256: {path} has {provenance.file_digest(path)}; the file is "
                "damaged or was replaced"
            )
    sources.check_elements(potential, elements)


def check_uncertainty(model: str) -> None:
    """Refuse an uncertainty beside a model file that belongs to another one.

    Raises
    ------
    UserError
        With what to do about it.
    """
    source = sources.parse(model)
    path = sources.uncertainty_of(source.name)
    if source.kind != "file" or not path.is_file():
        return
    if tensors.facts(path).get("model_sha256") != provenance.file_digest(source.name):
        raise UserError(
            f"potential.model: {path} belongs to another model than {source.name}; delete it, calibrate it "
            "anew (docs/active-learning.md), or set uncertainty.source: none"
        )


def _list(elements: set[str]) -> str:
    return ", ".join(sorted(elements))
