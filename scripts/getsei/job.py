"""Entry point shared by all scripts (standard library only)."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

    A `UserError` or a `GuardError` ends the process with its message alone; any other exception also
    leaves its traceback in the log.
    """
    path = Path(snakemake.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
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
    except BaseException:
        log.exception("rule %s failed", snakemake.rule)
        raise
    log.info("done in %.1f s", time.perf_counter() - started)
