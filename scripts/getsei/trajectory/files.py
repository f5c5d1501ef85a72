"""Which files a config entry names (standard library only)."""

import re
from collections.abc import Sequence
from glob import glob
from pathlib import Path

from getsei.errors import UserError

REPLICA = "{replica}"
"""Stands for the number of the replica in names of files."""


def _number_key(name: str) -> list[str | int]:
    """Sort key that puts run2 before run10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def find(patterns: Sequence[str], replica: int = 1) -> list[Path]:
    """Return the files that names and patterns stand for.

    Parameters
    ----------
    patterns : sequence of str
        Names in the order of time; ``*``, ``?`` and ``[…]`` match names, which are sorted by the numbers in
        them; ``{replica}`` stands for `replica`.
    replica : int
        Number of the replica, from 1.

    Raises
    ------
    UserError
        If a name or a pattern matches no file.
    """
    found: list[Path] = []
    for pattern in patterns:
        name = pattern.replace(REPLICA, str(replica))
        matches = [name] if Path(name).is_file() else sorted(glob(name), key=_number_key)  # noqa: PTH207 (may be absolute)
        if not matches:
            raise UserError(f"trajectory.files: no file {name}; paths are relative to the project folder")
        found += map(Path, matches)
    return found
