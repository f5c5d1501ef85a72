"""The model card: what a student is, what it was taught, how well it does and where it must not go."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ase import Atoms

from getsei import provenance
from getsei.potentials.teachers import Teacher

KNOWN_LIMITS = (
    "A student copies its teacher: CHGNet softens the energy surface away from equilibrium, so that barriers "
    "come out low and rates high (Deng et al. 2025, 10.1038/s41524-024-01500-6).",
    "No charges and nothing beyond two message-passing layers of the cutoff: no long-range electrostatics.",
    "Trained on cells of a few hundred atoms, on the electrolytes, products and temperatures listed here; "
    "other phases, compositions or pressures are extrapolation.",
    "Contacts below the guard distance are kept apart by the pair repulsion, not by data.",
)


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


def write(
    path: str | Path,
    model: Path,
    cfg: Mapping[str, Any],
    teacher: Teacher,
    parts: Mapping[str, Sequence[Atoms]],
    counts: Sequence[Mapping[str, Any]],
    report: Mapping[str, Any],
) -> None:
    """Write the card as YAML.

    Parameters
    ----------
    path : path
    model : Path
        The model file; its SHA-256 goes into the card.
    cfg : mapping
        The settings `potential_training`.
    teacher : Teacher
    parts : mapping
        Frames of ``train``, ``validation`` and ``test``.
    counts : sequence of mapping
        What labelling kept and dropped in every round.
    report : mapping
        From `getsei.potentials.evaluation.report`.
    """
    dropped = Counter[str]()
    for count in counts:
        dropped.update(count["dropped"])
    text = {
        "name": model.stem,
        "sha256": provenance.file_digest(model),
        "elements": list(cfg["elements"]),
        "cutoff_A": cfg["architecture"]["cutoff_A"],
        "dtype": "float32",
        "teacher": {"name": teacher.name, "version": teacher.version},
        "architecture": dict(cfg["architecture"]),
        "training": {key: cfg[key] for key in ("rounds", "seed", "schedules")},
        "data": {"parts": sizes(parts), "dropped": dict(dropped)},
        "errors": {key: report[key] for key in ("errors_by_kind", "errors_by_element")},
        "lattices_A": report["lattices_A"],
        "cohesive_energies_eV_per_atom": report["cohesive_energies_eV_per_atom"],
        "pair_scans": report["pair_scans"],
        "stability": report["stability"],
        "known_limits": list(KNOWN_LIMITS),
        "versions": provenance.versions("mace-torch", "torch", "ase", "numpy"),
        "licence": "MIT; the teacher CHGNet is BSD-3-Clause",
    }
    Path(path).write_text(
        yaml.safe_dump(text, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8"
    )
