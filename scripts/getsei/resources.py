"""Where the files lie that the library reads: in the repository, or beside an installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_REPOSITORY = _PACKAGE.parents[1]

SHARED = _REPOSITORY if (_REPOSITORY / "workflow" / "schemas").is_dir() else _PACKAGE
"""Holds `workflow/schemas` and `config/structures`."""
