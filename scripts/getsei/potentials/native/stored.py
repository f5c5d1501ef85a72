"""Exported tables in a file beside the model, so that the next run need not make them again.

``name.tables.safetensors`` holds, besides the tables, the digest of the model they are of and that of the
exporter: another model or exporter never meets stale tables. Where the model's folder cannot be written, the
file lies in the cache of the compiled kernels, named after the digest.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np

from getsei import provenance, tensors
from getsei.errors import UserError
from getsei.potentials.native import build, export

log = logging.getLogger("getsei")

SUFFIX = ".tables.safetensors"
FIELDS = tuple(field.name for field in dataclasses.fields(export.Tables))


def places(model: Path, digest: str) -> tuple[Path, Path]:
    """Return where the tables of a model may lie, the first choice first."""
    return model.with_suffix(SUFFIX), build.cache_folder() / f"{digest}{SUFFIX}"


def tables(model: Path, digest: str, module: Any) -> export.Tables:
    """Return the stored tables of a model, or export and store them.

    Parameters
    ----------
    model : Path
        The model file.
    digest : str
        Its SHA-256.
    module : torch.nn.Module
        The model in float64.

    Raises
    ------
    UnsupportedModelError
        If the model is outside the class of the kernel, with the reason.
    """
    facts = {"model_sha256": digest, "exporter_sha256": provenance.file_digest(Path(export.__file__))}
    for path in places(model, digest):
        if path.is_file() and (found := _read(path, facts)) is not None:
            return found
    made = export.export(module)
    arrays = {name: np.asarray(getattr(made, name)) for name in FIELDS}
    for path in places(model, digest):
        try:
            tensors.save(path, arrays, facts)
        except OSError as error:
            log.info("%s: cannot be written (%s)", path, error)
        else:
            break
    return made


def _read(path: Path, facts: dict[str, str]) -> export.Tables | None:
    """Return the tables in a file if they are of the very model and exporter, else None."""
    try:
        if tensors.facts(path) != facts:
            return None
        arrays, _ = tensors.load(path)
        return export.Tables(**arrays)
    except (UserError, TypeError) as error:
        log.info("the stored tables are made anew: %s", error)
        return None
