"""Arrays and facts in one file that is data only: safetensors, with JSON in its header.

Reading such a file runs nothing, unlike a pickle: the header is JSON, the rest raw numbers
(https://huggingface.co/docs/safetensors). Written whole or not at all; the same content gives the same bytes.
"""

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from getsei.errors import UserError

FACTS = "getsei"
"""Key of the JSON text in the header."""
MAX_HEADER_BYTES = 10_000_000
"""Longer headers are refused unread; the format itself stops at a hundred million."""


def save(path: str | Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Write arrays by name, and facts that JSON can hold."""
    from safetensors.numpy import save as to_bytes

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    # Copies in C order: safetensors writes the memory of an array as it lies.
    plain = {name: np.array(value, order="C") for name, value in arrays.items()}
    try:
        # The order of keys is kept: what follows a resumption is to have the bytes of the undisturbed run.
        partial.write_bytes(to_bytes(plain, metadata={FACTS: json.dumps(facts)}))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the facts of a file.

    Raises
    ------
    UserError
        If it is not such a file, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    found = facts(path)
    try:
        return load_file(path), found
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: a damaged safetensors file ({error})") from error


def facts(path: str | Path) -> dict[str, Any]:
    """Return the facts of a file without reading its arrays (standard library only).

    Raises
    ------
    UserError
        If it is not such a file.
    """
    try:
        with Path(path).open("rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            if length > MAX_HEADER_BYTES:
                raise ValueError("its header is too long")
            header = json.loads(handle.read(length))
        found = json.loads(header["__metadata__"][FACTS])
        if not isinstance(found, dict):
            raise ValueError("its facts are no mapping")
        return found
    except (OSError, ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        reason = f"its header has no entry {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path}: not a safetensors file of getsei ({reason})") from error
