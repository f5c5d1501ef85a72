"""A trajectory you already have: from the files of a config entry to the store."""

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from getsei import cells
from getsei.errors import UserError
from getsei.record_files import whole_file, write_field
from getsei.records import Trajectory
from getsei.settings import of_system
from getsei.trajectory import readers
from getsei.trajectory.files import REPLICA, find
from getsei.trajectory.frames import Source
from getsei.trajectory.intake import Block, Survey, log_survey, survey
from getsei.trajectory.timing import Options

STAGES = ("equilibrate", "produce")
CHUNK_BYTES = 1 << 24


def sources_of(settings: Mapping[str, Any], replica: int = 1) -> list[Source]:
    """Return the files of a config entry, understood but not read.

    Parameters
    ----------
    settings : mapping
        `trajectory` of a system.
    replica : int
        Number of the replica, from 1.
    """
    topology = settings.get("topology")
    return [
        readers.open_source(
            path,
            settings.get("format", "auto"),
            settings.get("types") or (),
            Path(topology.replace(REPLICA, str(replica))) if topology else None,
        )
        for path in find(settings["files"], replica)
    ]


def options_of(settings: Mapping[str, Any]) -> Options:
    """Return what a config entry says beside the files."""
    names = {item.name for item in dataclasses.fields(Options)}
    return Options(**{key: value for key, value in settings.items() if key in names})


def read(files: Sequence[str | Path], **settings: Any) -> Trajectory:
    """Read trajectory files into memory.

    Parameters
    ----------
    files : sequence of str or Path
        Files in the order of time, or patterns.
    **settings
        The other keys of `trajectory` in the configuration: ``frame_interval_fs``, ``types``, ``topology``, …

    Returns
    -------
    Trajectory
        Its `provenance` says what was understood.

    Raises
    ------
    UserError
        If a key is unknown, a file is malformed, or something is missing.
    """
    entry = of_system(trajectory={"files": [str(name) for name in files], **settings})["trajectory"]
    with tempfile.TemporaryDirectory(prefix="getsei-") as folder:
        path = Path(folder) / "trajectory.h5"
        store(
            sources_of(entry),
            path,
            options_of(entry),
            entry["equilibration_ps"],
            {"settings": {"trajectory": entry}},
        )
        return Trajectory.load(path)


def store(
    sources: Sequence[Source],
    path: Path,
    options: Options,
    equilibration_ps: float = 0.0,
    provenance: Mapping[str, Any] | None = None,
) -> Survey:
    """Read files into the binary store, block by block.

    Parameters
    ----------
    sources : sequence of Source
        Files in the order of time.
    path : Path
        The `Trajectory` written, whole or not at all.
    options : Options
        What the files may not tell.
    equilibration_ps : float
        Length of the beginning that is kept but not analysed, in ps.
    provenance : mapping, optional
        Stored beside that of the files.

    Returns
    -------
    Survey
        What was understood.

    Raises
    ------
    UserError
        If a file is malformed, or something is missing; the message names the key that tells it.
    """
    columns: dict[str, list[np.ndarray]] = {"cells": [], "temperature": [], "energy": []}
    with ExitStack() as spool, whole_file(path, Trajectory) as handle:
        fields = {item.name: item for item in dataclasses.fields(Trajectory)}
        grown = {name: spool.enter_context(_raw(path)) for name in ("positions", "offsets")}

        def write(block: Block) -> None:
            for name, raw in grown.items():
                raw.write(np.ascontiguousarray(getattr(block, name), dtype=np.float32).tobytes())
            for name, parts in columns.items():
                parts.append(getattr(block, name))

        found = survey(sources, options, write)
        if found.problems:
            raise UserError("\n  ".join(["the trajectory cannot be used yet:", *found.problems]))
        timing = found.timing
        segments, stage = split_stages(timing.segments, found.n_frames, timing.interval_ps, equilibration_ps)
        box = np.concatenate(columns["cells"])
        values = {
            "cells": box[:1] if found.constant_cell else box,
            "species": found.species,
            "stage": stage,
            "segments": segments,
            "temperature": np.concatenate(columns["temperature"]),
            "potential_energy": np.concatenate(columns["energy"]),
            "stages": list(STAGES),
            "frame_interval_ps": timing.interval_ps,
            "provenance": {**(provenance or {}), "intake": summary(found)},
        }
        if found.constant_cell:
            del grown["offsets"]
            values["offsets"] = np.zeros((1, 1, 3), dtype=np.float32)
        for name, raw in grown.items():
            _copy(raw, handle, fields[name], (found.n_frames, len(found.species), 3))
        for name, value in values.items():
            write_field(handle, fields[name], value)
    log_survey(found)
    return found


def _raw(path: Path) -> IO[bytes]:
    """Return a nameless file beside `path` for frames whose number is not known yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=path.parent)


def _copy(raw: IO[bytes], handle: h5py.File, item: dataclasses.Field, shape: tuple[int, int, int]) -> None:
    """Copy spooled vectors into one contiguous dataset, which later stages can map, piece by piece."""
    dataset = handle.create_dataset(item.name, shape=shape, dtype=np.float32)
    dataset.attrs["unit"], dataset.attrs["shape"] = item.metadata["unit"], item.metadata["shape"]
    per_frame = shape[1] * shape[2]
    chunk = max(1, CHUNK_BYTES // (4 * per_frame))
    raw.seek(0)
    for start in range(0, shape[0], chunk):
        stop = min(start + chunk, shape[0])
        values = np.frombuffer(raw.read(4 * per_frame * (stop - start)), np.float32)
        dataset[start:stop] = values.reshape(stop - start, *shape[1:])


def split_stages(
    segments: np.ndarray, n_frames: int, interval_ps: float, equilibration_ps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return segments and stage of every frame, the beginning being equilibration.

    Raises
    ------
    UserError
        If nothing is left after it.
    """
    first = int(np.ceil(equilibration_ps / interval_ps - 1e-9))
    if first > n_frames - 2:
        raise UserError(
            f"trajectory.equilibration_ps: {equilibration_ps:g} ps leaves fewer than two of {n_frames} "
            f"frames, {interval_ps:g} ps apart; lower it"
        )
    edges = sorted({*segments.ravel().tolist(), first})
    stage = (np.arange(n_frames) >= first).astype(np.uint8)
    return np.stack([edges[:-1], edges[1:]], axis=1), stage


def summary(found: Survey) -> dict[str, Any]:
    """Return what was understood, ready for JSON."""
    elements, counts = np.unique(found.species, return_counts=True)
    cell = found.first_cell
    timing = found.timing
    return {
        "files": found.files,
        "atoms": {str(e): int(n) for e, n in zip(elements, counts, strict=True)},
        "frames": found.n_frames,
        "frame_interval_ps": timing.interval_ps,
        "frame_interval_from": timing.origin,
        "segments": timing.segments.tolist(),
        "gaps": timing.gaps,
        "cell_A": cell.tolist(),
        "constant_cell": found.constant_cell,
        "volume_A3": list(found.volumes),
        "positions": "unwrapped in the files" if found.unwrapped else "unwrapped here",
        "largest_step_A": found.largest_step_A,
        "largest_followed_step_A": found.limit_A,
        "drift_of_centre_of_mass_A": found.drift_A.tolist(),
        "atoms_that_never_move": int(found.frozen.sum()),
        "notes": found.notes,
        "warnings": found.warnings,
    }


def regions_of(settings: Mapping[str, Any], cell: np.ndarray) -> list[list[Any]]:
    """Return the regions (name, low, high in Å along the third axis) that a config entry names.

    Raises
    ------
    UserError
        If one is empty or longer than the cell.
    """
    height = float(cells.heights(cell)[2])
    found = []
    for name, (low, high) in (settings.get("regions") or {}).items():
        if not 0.0 < high - low <= height + 1e-6:
            raise UserError(
                f"trajectory.regions.{name}: [{low}, {high}] is no range of the cell, which is "
                f"{height:.2f} Å high"
            )
        found.append([name, float(low), float(high)])
    return found
