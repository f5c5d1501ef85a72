"""A check: what was measured, what it may be, whether it holds, and what it means."""

from typing import Any

import numpy as np


def row(name: str, value: float, limit: float, *, passed: bool, meaning: str) -> dict[str, Any]:
    """Return one row of a table of checks.

    Parameters
    ----------
    name : str
        What is checked.
    value, limit : float
        Measured value and the limit it is compared with.
    passed : bool
        Whether the check holds.
    meaning : str
        One sentence for the reader: what a failure means.
    """
    return {
        "name": name,
        "value": float(np.real(value)),
        "limit": float(limit),
        "passed": bool(passed),
        "meaning": meaning,
    }
