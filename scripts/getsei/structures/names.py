"""Which file a crystal's name means; no heavy import, for the workflow reads this at every start."""

from pathlib import Path

FOLDER = "config/structures"
NONE = "none"
"""In place of the other side of the interface: the electrolyte alone, periodic."""


def kind_of(path: str | Path) -> str | None:
    """Return "facts", "cif" or "poscar" by the name of a file; None for the name of a shipped crystal."""
    name = Path(path).name.lower()
    if name.endswith((".yaml", ".yml")):
        return "facts"
    if name.endswith(".cif"):
        return "cif"
    if name.endswith((".vasp", ".poscar")) or name.startswith(("poscar", "contcar")):
        return "poscar"
    return None


def file_of(name: str) -> str:
    """Return the file of a crystal: itself, or the one in config/structures."""
    return name if kind_of(name) else f"{FOLDER}/{name}.yaml"
