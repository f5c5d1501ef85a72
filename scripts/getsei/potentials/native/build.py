"""Compile the kernel for one model shape and load it; finished libraries are cached by content.

The cache is ``$GETSEI_CACHE`` or ``~/.cache/getsei``. A library is named after the digest of its source and
flags, so that an edit or another processor never meets a stale one; its own digest lies beside it, so that a
damaged one is not loaded but compiled again.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from getsei.provenance import file_digest

log = logging.getLogger("getsei")

SOURCE = Path(__file__).with_name("kernel.cpp")
GRADIENTS = Path(__file__).with_name("gradients.cpp")
HEADERS = tuple(
    SOURCE.with_name(name) for name in ("harmonics.hpp", "layout.hpp", "neighbours.hpp", "vectors.hpp")
)
"""Named one by one: the digest of the code follows these names (`getsei.provenance`)."""
BLOCK = 16
"""Channels that lie together in the radial tables, as in the source."""
# No -ffast-math: linked with it, a library switches the whole process to flush-to-zero (gcc before 13).
COMMON = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fno-math-errno", "-ffp-contract=fast", "-Wno-psabi")
TARGETS = {
    "avx512": (
        ("-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma", "-mprefer-vector-width=512"),
        64,
    ),
    "avx2": (("-mavx2", "-mfma"), 32),
    "generic": ((), 16),
}
"""Flags and bytes of a SIMD vector; "avx2" is the instruction set of x86-64-v3 that the kernel uses."""
COMPILE_LIMIT_S = 120
CPUINFO = Path("/proc/cpuinfo")


class BuildError(Exception):
    """The kernel cannot be compiled or loaded here; the message says why."""


def best_target(cpuinfo: Path = CPUINFO) -> str:
    """Return the fastest target that this processor runs, by what the kernel says of it."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return "generic"
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="ignore")
    except OSError:
        return "generic"
    flags = set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())
    if {"avx512f", "avx512vl", "avx512dq", "avx512bw", "fma"} <= flags:
        return "avx512"
    return "avx2" if {"avx2", "fma"} <= flags else "generic"


def cache_folder() -> Path:
    """Return the folder of compiled kernels, which need not exist."""
    stated = os.environ.get("GETSEI_CACHE")
    return (Path(stated) if stated else Path.home() / ".cache" / "getsei") / "native"


def compiler() -> str:
    """Return the path of a C++ compiler: ``$CXX``, else g++, c++ or clang++.

    Raises
    ------
    BuildError
        If there is none.
    """
    for name in filter(None, (os.environ.get("CXX"), "g++", "c++", "clang++")):
        if path := shutil.which(name):
            return path
    raise BuildError("no C++ compiler (looked for $CXX, g++, c++, clang++)")


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]}: {error}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise BuildError(f"{command[0]}: {next((line for line in lines if 'error' in line), lines[-1])}")


def _compile(source: Path, options: list[str], path: Path) -> None:
    """Compile to a file and put its digest beside it, whole or not at all."""
    command = compiler()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        fresh = Path(work) / path.name
        rest = [*options, str(source), "-o", str(fresh)]
        try:
            _run([command, "-fopenmp", *rest])
        except BuildError:  # this compiler knows no OpenMP, or no source
            _run([command, *rest])
        note = fresh.with_suffix(".sha256")
        note.write_text(file_digest(fresh), encoding="ascii")
        fresh.replace(path)
        note.replace(path.with_suffix(".sha256"))
    log.info("compiled the native kernel to %s", path)


def _intact(path: Path) -> bool:
    """Tell whether a cached library is the one that was compiled."""
    try:
        return path.with_suffix(".sha256").read_text(encoding="ascii") == file_digest(path)
    except (OSError, ValueError):
        return False


def library(
    *, channels: int, lmax: int, dtype: str, target: str | None = None, source: Path = SOURCE
) -> ctypes.CDLL:
    """Return the library of a source, compiled if not cached; `channels` are a multiple of BLOCK.

    Raises
    ------
    BuildError
        If it is not cached and cannot be compiled, or cannot be loaded.
    """
    target = target or best_target()
    flags, width = TARGETS[target]
    size = {"float32": 4, "float64": 8}[dtype]
    options = [
        *COMMON,
        *flags,
        f"-DREAL={'float' if size == 4 else 'double'}",
        f"-DLANES={width // size}",
        f"-DCHANNELS={channels}",
        f"-DLMAX={lmax}",
    ]
    digest = hashlib.sha256("\0".join([*options, platform.machine()]).encode())
    for file in (source, *HEADERS):
        digest.update(file.read_bytes())
    name = f"{source.stem}-{channels}-{lmax}-{dtype}-{target}-{digest.hexdigest()[:16]}.so"
    path = cache_folder() / name
    if path.is_file() and not _intact(path):
        log.warning("%s: damaged; compiling it again", path)
    if not _intact(path):
        try:
            _compile(source, options, path)
        except OSError as error:
            path = Path(tempfile.mkdtemp(prefix="getsei-")) / name
            log.warning(
                "%s: cannot be written (%s), so the kernel is compiled for this run only; set GETSEI_CACHE "
                "to a folder that can be",
                cache_folder(),
                error,
            )
            _compile(source, options, path)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise BuildError(f"{path}: cannot be loaded ({error}); delete it to compile it again") from error
