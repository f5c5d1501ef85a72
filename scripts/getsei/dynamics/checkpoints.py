"""Checkpoints inside a segment: what is needed to go on after a kill, at any moment.

A checkpoint folder holds blocks of frames, one restart file and `state.json`, which is replaced last, in
one go: whatever else lies in the folder then belongs to a checkpoint that was never finished.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from getsei import provenance
from getsei.dynamics import frames
from getsei.dynamics.engine import Frame

log = logging.getLogger("getsei")
STATE = "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """How far a segment has come.

    Attributes
    ----------
    folder : Path
        Where it lies.
    digest : str
        Of everything the segment depends on; another one makes the checkpoint worthless.
    blocks : tuple of str
        Names of the blocks of frames, in order.
    restart : str
        Name of the restart file; empty before the first checkpoint.
    n_frames : int
        Frames in all blocks.
    conserved_energy : float or None
        Of the last frame, eV.
    sha256 : mapping
        File name to digest.
    """

    folder: Path
    digest: str
    blocks: tuple[str, ...] = ()
    restart: str = ""
    n_frames: int = 0
    conserved_energy: float | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def block_files(self) -> list[Path]:
        """Paths of the blocks, in order."""
        return [self.folder / name for name in self.blocks]

    @property
    def restart_file(self) -> Path:
        """Path of the restart file."""
        return self.folder / self.restart


def digest_of(
    settings: Mapping[str, Any],
    seed: int,
    species: Sequence[str],
    geometry: Sequence[np.ndarray],
    previous_restart: Path | None,
    potential: str,
) -> str:
    """Return a digest of everything that the frames of a segment depend on."""
    digest = hashlib.sha256()
    digest.update(json.dumps([dict(settings), seed, list(species), potential], sort_keys=True).encode())
    for numbers in geometry:
        digest.update(np.ascontiguousarray(numbers, dtype=float).tobytes())
    if previous_restart is not None:
        digest.update(provenance.file_digest(previous_restart).encode())
    return digest.hexdigest()


def find(folder: Path, digest: str) -> Checkpoint:
    """Return the checkpoint in a folder, or an empty one if there is none that belongs to the segment."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        found = Checkpoint(
            folder,
            state["digest"],
            tuple(state["blocks"]),
            state["restart"],
            state["n_frames"],
            state["conserved_energy"],
            state["sha256"],
        )
        files = [*found.block_files, found.restart_file]
        if found.digest != digest:
            log.info("the checkpoint in %s is of other settings; starting the segment again", folder)
        elif not all(path.is_file() for path in files):
            log.info("the checkpoint in %s lacks files; starting the segment again", folder)
        elif any(provenance.file_digest(path) != found.sha256[path.name] for path in files):
            log.info("the checkpoint in %s is damaged; starting the segment again", folder)
        else:
            return found
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError):
        log.info("the checkpoint in %s is damaged; starting the segment again", folder)
    shutil.rmtree(folder, ignore_errors=True)
    return Checkpoint(folder, digest)


def extend(
    checkpoint: Checkpoint, fresh: Sequence[Frame], write_restart: Callable[[Path], None]
) -> Checkpoint:
    """Add frames and the present state to a checkpoint; until this returns, the old one is the valid one.

    Parameters
    ----------
    checkpoint : Checkpoint
        The last one.
    fresh : sequence of Frame
        Frames since then, at least one.
    write_restart : callable
        Writes the present state of the simulation to the path it is given.
    """
    checkpoint.folder.mkdir(parents=True, exist_ok=True)
    last = fresh[-1]
    new = Checkpoint(
        checkpoint.folder,
        checkpoint.digest,
        (*checkpoint.blocks, f"frames_{last.step:012d}.h5"),
        f"state_{last.step:012d}.restart",
        checkpoint.n_frames + len(fresh),
        last.conserved_energy,
    )
    frames.save_block(new.block_files[-1], fresh)
    write_restart(new.restart_file)
    written = {path.name: provenance.file_digest(path) for path in (new.block_files[-1], new.restart_file)}
    new = replace(new, sha256={**checkpoint.sha256, **written})
    state = {
        "digest": new.digest,
        "blocks": new.blocks,
        "restart": new.restart,
        "n_frames": new.n_frames,
        "conserved_energy": new.conserved_energy,
        "sha256": dict(new.sha256),
    }
    partial = new.folder / f".{STATE}.part"
    partial.write_text(json.dumps(state), encoding="utf-8")
    partial.replace(new.folder / STATE)
    if checkpoint.restart:
        checkpoint.restart_file.unlink(missing_ok=True)
    return new
