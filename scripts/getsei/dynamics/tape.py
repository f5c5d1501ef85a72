"""What a slow potential has said since the last checkpoint, on disk: a kill then costs a minute at most.

A checkpoint of the dynamics begins the simulation anew from a file, so its place belongs to the trajectory to
the last digit and cannot follow the clock. The results of the potential can: a run that was killed integrates
again from its last checkpoint, takes them from the tape, and comes to where it was in no time and to the bit.
"""

import logging
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from getsei.dynamics.engine import Potential, Result

log = logging.getLogger("getsei")

KEEP_EVERY_s = 60.0
"""Results go to disk this often; what is done sooner is not worth a tape."""
KEY_BYTES = 64


@dataclass(frozen=True)
class Recorded:
    """Energy (eV), forces (n_atoms, 3) in eV/Å and virial (3, 3) in eV from a tape."""

    energy: float
    forces: np.ndarray
    virial: np.ndarray


class Tape:
    """A potential whose results are kept, and replayed as long as the same configurations are asked for.

    Parameters
    ----------
    potential : Potential
        Called where the tape ends. Its results must depend on nothing but the configuration.
    path : Path
        File of the tape. One that ends within a result, is damaged, or has another key is used as far as it
        is good.
    key : str
        At most 64 characters that tell the potential and the start of the simulation from any other.
    n_atoms : int
    every_s : float
        Time between writes, s.
    clock : callable
        Returns seconds.
    """

    def __init__(
        self,
        potential: Potential,
        path: Path,
        key: str,
        n_atoms: int,
        every_s: float = KEEP_EVERY_s,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.potential, self.path, self.every_s, self.clock = potential, path, every_s, clock
        self._key = key.encode().ljust(KEY_BYTES)[:KEY_BYTES]
        self._entry = np.dtype(
            [
                ("asked", "<u4"),
                ("check", "<u4"),
                ("energy", "<f8"),
                ("virial", "<f8", (3, 3)),
                ("forces", "<f8", (n_atoms, 3)),
            ]
        )
        self._known = self._read()
        self._replayed = self._written = 0
        self._fresh: list[np.ndarray] = []
        self._last_write = clock()
        if len(self._known):
            log.info("replaying %d results of the potential kept since the last checkpoint", len(self._known))

    def __call__(self, positions: np.ndarray, cell: np.ndarray) -> Result:
        """Return what the potential says of positions (n_atoms, 3) in a cell (3, 3), both in Å."""
        asked = zlib.crc32(
            np.ascontiguousarray(cell, dtype=float), zlib.crc32(np.ascontiguousarray(positions))
        )
        if self._replayed < len(self._known):
            entry = self._known[self._replayed]
            if entry["asked"] == asked:
                self._replayed += 1
                return Recorded(float(entry["energy"]), entry["forces"].copy(), entry["virial"].copy())
            self._known = self._known[: self._replayed]
        result = self.potential(positions, cell)
        entry = np.zeros((), dtype=self._entry)
        entry["asked"], entry["energy"] = asked, result.energy
        entry["virial"], entry["forces"] = result.virial, result.forces
        entry["check"] = _check(entry)
        self._fresh.append(entry)
        if self.clock() - self._last_write >= self.every_s:
            self._write()
        return result

    def _read(self) -> np.ndarray:
        """Return the good results at the head of the file."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            content = b""
        whole = (len(content) - KEY_BYTES) // self._entry.itemsize
        if whole < 1 or content[:KEY_BYTES] != self._key:
            return np.zeros(0, dtype=self._entry)
        found = np.frombuffer(content, self._entry, count=whole, offset=KEY_BYTES)
        good = [_check(entry) == entry["check"] for entry in found]
        return found[: whole if all(good) else good.index(False)]

    def _write(self) -> None:
        """Put what was said since the last time behind what is known to be good."""
        kept = self._replayed + self._written
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("r+b" if kept else "wb") as handle:
            if not kept:
                handle.write(self._key)
            handle.truncate(KEY_BYTES + kept * self._entry.itemsize)
            handle.seek(0, os.SEEK_END)
            handle.write(np.array(self._fresh, dtype=self._entry).tobytes())
            handle.flush()
            os.fsync(handle.fileno())
        self._written += len(self._fresh)
        self._fresh.clear()
        self._last_write = self.clock()


def _check(entry: np.ndarray) -> int:
    blank = entry.copy()
    blank["check"] = 0
    return zlib.crc32(blank.tobytes())


def around(potential: Potential, path: Path, key: str, n_atoms: int) -> Potential:
    """Return the potential with a tape; without one where it counts the rebuilds of a neighbour list.

    Such a list makes the last digits depend on what was evaluated before, and is part of the compiled kernel,
    which needs no tape: it comes from checkpoint to checkpoint in seconds.
    """
    return potential if hasattr(potential, "rebuilds") else Tape(potential, path, key, n_atoms)
