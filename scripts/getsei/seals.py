"""A checksum at the end of a file (standard library only).

The HDF5 library can crash on a damaged file before it says a word; so each of our files ends in the digest of
what comes before, which HDF5 does not look at, and no byte reaches the library unless the digest fits.
"""

import hashlib
from pathlib import Path

MAGIC = b"getsei seal 1\n"
LENGTH = len(MAGIC) + hashlib.sha256().digest_size
CHUNK = 1 << 20


def seal(path: Path) -> None:
    """Append the digest of a file to it."""
    digest = _digest(path, path.stat().st_size)
    with path.open("ab") as handle:
        handle.write(MAGIC + digest)


def check(path: str | Path) -> None:
    """Compare a sealed file with its digest; a file without one is left to its reader.

    Raises
    ------
    ValueError
        If they differ.
    """
    path = Path(path)
    size = path.stat().st_size
    if size < LENGTH:
        return
    with path.open("rb") as handle:
        handle.seek(size - LENGTH)
        end = handle.read()
    if end.startswith(MAGIC) and end[len(MAGIC) :] != _digest(path, size - LENGTH):
        raise ValueError("its content has changed since it was written")


def _digest(path: Path, size: int) -> bytes:
    """Return the SHA-256 of the first `size` bytes of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while size > 0:
            block = handle.read(min(CHUNK, size))
            digest.update(block)
            size -= len(block)
            if not block:
                break
    return digest.digest()
