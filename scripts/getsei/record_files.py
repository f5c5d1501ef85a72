"""The one file format of all records.

Every record is one HDF5 file: arrays are datasets that carry their unit, everything else is a JSON
attribute. A file is written under a temporary name and renamed, so it exists whole or not at all.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, field
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from getsei import __version__, seals
from getsei.errors import UserError

SCHEMA_VERSION = 1
COMPRESS_FROM_BYTES = 1 << 16


def array(
    unit: str, shape: str, default: Callable[[], np.ndarray] | None = None, *, mapped: bool = False
) -> Any:
    """Declare an array field with its unit ("1" when it has none), its shape, and its default.

    A mapped array is stored as it is in memory and read only where it is used, so that a file larger than
    the memory can be worked through. It is read-only.
    """
    metadata = {"unit": unit, "shape": shape, "mapped": mapped}
    return field(metadata=metadata) if default is None else field(metadata=metadata, default_factory=default)


class Record:
    """A frozen dataclass that saves itself to HDF5 and loads itself back."""

    def save(self, path: str | Path) -> None:
        """Write the record, whole or not at all."""
        with whole_file(path, type(self)) as handle:
            for item in dataclasses.fields(self):  # type: ignore[arg-type]
                write_field(handle, item, getattr(self, item.name))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read the record.

        Raises
        ------
        UserError
            If the file is unreadable, holds another record, or was written by another schema version.
        """
        try:
            seals.check(path)
            with h5py.File(path, "r") as handle:
                kind, version = handle.attrs.get("record"), handle.attrs.get("schema_version")
                if kind != cls.__name__ or version != SCHEMA_VERSION:
                    raise UserError(
                        f"{path}: expected a {cls.__name__} of schema {SCHEMA_VERSION}, found {kind} of "
                        f"schema {version}; delete the file and run again"
                    )
                values = {
                    item.name: _read_array(handle[item.name], item.metadata)
                    if "unit" in item.metadata
                    else json.loads(handle.attrs[item.name])
                    for item in dataclasses.fields(cls)  # type: ignore[arg-type]
                    if item.name in handle or "unit" not in item.metadata or item.default_factory is MISSING
                }
        except UserError:
            raise
        except Exception as error:  # a damaged file makes h5py raise almost anything
            raise UserError(
                f"{path}: not a readable {cls.__name__} file ({error}); delete it and run again"
            ) from error
        return cls(**values)


@contextmanager
def whole_file(path: str | Path, kind: type[Record]) -> Iterator[h5py.File]:
    """Open a file for the fields of a record; it appears under its name when all went well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with h5py.File(partial, "w") as handle:
            handle.attrs["record"] = kind.__name__
            handle.attrs["schema_version"] = SCHEMA_VERSION
            handle.attrs["getsei_version"] = __version__
            yield handle
        seals.seal(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_field(handle: h5py.File, item: dataclasses.Field, value: Any) -> None:
    """Write one field of a record."""
    if "unit" in item.metadata:
        _write_array(handle, item.name, np.asarray(value), item.metadata)
    else:
        handle.attrs[item.name] = json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not belong in a record's attributes")


def _write_array(handle: h5py.File, name: str, value: np.ndarray, metadata: Mapping[str, Any]) -> None:
    if value.dtype.kind == "U":
        value = np.char.encode(value, "utf-8")
    large = value.ndim > 0 and value.nbytes >= COMPRESS_FROM_BYTES and not metadata["mapped"]
    options = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if large else {}
    dataset = handle.create_dataset(name, data=value, **options)
    dataset.attrs["unit"] = metadata["unit"]
    dataset.attrs["shape"] = metadata["shape"]


def _read_array(dataset: h5py.Dataset, metadata: Mapping[str, Any]) -> np.ndarray:
    place = dataset.id.get_offset()
    if metadata["mapped"] and place is not None and dataset.size:
        path = dataset.file.filename
        return np.asarray(np.memmap(path, dataset.dtype, mode="r", offset=place, shape=dataset.shape))
    value = np.asarray(dataset[()])
    return np.char.decode(value, "utf-8") if value.dtype.kind == "S" else value
