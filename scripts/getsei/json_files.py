"""JSON files handed from stage to stage (standard library only)."""

import json
from pathlib import Path
from typing import Any

from getsei.errors import UserError


def load(path: str | Path) -> dict[str, Any]:
    """Read a JSON file of the workflow that holds a mapping.

    Raises
    ------
    UserError
        If it is damaged.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("expected a mapping")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); delete it and run again") from error
    return found
