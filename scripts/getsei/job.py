"""Entry point shared by all scripts (standard library only)."""

import errno
import fcntl
import logging
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from getsei.errors import GuardError, UserError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def prepare(snakemake: Any) -> None:
    """Make the process safe before the first third-party import.

    Drops the site-packages of any other interpreter: Snakemake appends those of its own environment
    to the path of a script, so that a package missing from the rule's environment would silently come
    from there. Also bounds the threads of the numerical libraries by the rule's `threads`.
    """
    prefix = Path(sys.prefix).resolve()
    sys.path[:] = [
        entry for entry in sys.path if "site-packages" not in entry or prefix in Path(entry).resolve().parents
    ]
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(snakemake.threads)


@contextmanager
def logged(snakemake: Any) -> Iterator[logging.Logger]:
    """Log to the rule's file and to the terminal; turn a failure into one clear message.

    A `UserError` or a `GuardError` ends the process with its message alone, and so do a full disk, a file
    that may not be read or written, and a lack of memory; any other exception also leaves its traceback in
    the log.
    """
    path = Path(snakemake.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    claim = _claim(path)
    where = "/".join(str(value) for value in dict(snakemake.wildcards).values())
    name = f"{snakemake.rule} {where}".strip()
    handlers = [logging.FileHandler(path, mode="w", encoding="utf-8"), logging.StreamHandler(sys.stderr)]
    logging.basicConfig(
        level=logging.INFO,
        format=f"%(asctime)s {name}: %(message)s",
        datefmt="%H:%M:%S",
        handlers=handlers,
        force=True,
    )
    logging.captureWarnings(capture=True)
    log = logging.getLogger("getsei")
    started = time.perf_counter()
    try:
        yield log
    except (UserError, GuardError) as error:
        log.error("%s", error)
        sys.exit(1)
    except Exception as error:
        reason = machine_failure(error)
        if reason is None:
            log.exception("rule %s failed", snakemake.rule)
            raise
        log.error("%s", reason)
        sys.exit(1)
    except BaseException:
        log.exception("rule %s failed", snakemake.rule)
        raise
    finally:
        claim.close()
    log.info("done in %.1f s", time.perf_counter() - started)


def _claim(log_file: Path) -> IO[str]:
    """Lock the log of a rule; wait while a job that outlived its Snakemake still works on the same files."""
    handle = log_file.open("a", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"{log_file}: waiting for a job of an earlier run to end", file=sys.stderr, flush=True)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        pass  # a file system without locks
    return handle


def hold(folder: Path) -> IO[str]:
    """Claim a working folder for this process, until it ends in whatever way.

    The lock is the kernel's, so that a kill leaves none behind, unlike Snakemake's own.

    Returns
    -------
    file
        To be kept open.

    Raises
    ------
    UserError
        If another process holds the folder.
    """
    path = folder / ".snakemake" / "getsei.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.seek(0)
        who = handle.read().strip() or "unknown"
        handle.close()
        raise UserError(
            f"{folder}: another snakemake (process {who}) is at work in this folder; wait for it or stop it"
        ) from error
    handle.truncate(0)
    handle.write(f"{os.getpid()} on {platform.node()}")
    handle.flush()
    return handle


def machine_failure(error: BaseException | None) -> str | None:
    """Say in a line what the machine lacks, where that is what stopped a rule; None for anything else."""
    while error is not None:
        number = getattr(error, "errno", None)
        name = getattr(error, "filename", None)
        # HDF5 and compiled code give the number or the words of the system somewhere in their text, and HDF5
        # raises a RuntimeError where the disk is full when a file is closed.
        text = str(error)
        full = number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text or "errno = 28" in text
        if full:
            return (
                f"{name or 'the results folder'}: no space left on the device. Free some and run again; what "
                "is finished, and the last checkpoint, are kept"
            )
        if isinstance(error, OSError) and number in (errno.EACCES, errno.EPERM, errno.EROFS):
            return (
                f"{name or text}: permission denied. Make it readable and its folder writable, and run again"
            )
        if isinstance(error, MemoryError):
            return "out of memory. Run again with more (resources: mem_mb), or fewer jobs at a time (--cores)"
        error = error.__cause__ or error.__context__
    return None
