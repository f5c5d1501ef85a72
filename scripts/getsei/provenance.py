"""Content digests: which code and which inputs made a file (standard library only)."""

import ast
import hashlib
import platform
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The folder `scripts`, from which every module of the library is importable."""

SOURCES = (".cpp", ".hpp", ".j2", ".css", ".js")
"""Endings of files that a module reads from its own folder."""


def imported_files(source: Path) -> set[Path]:
    """Return the files under ROOT that `source` imports absolutely, and files beside it that it reads."""
    names: set[str] = set()
    found = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and str(node.value).endswith(SOURCES):
            beside = source.parent / str(node.value)
            found.update({beside} if beside.is_file() else ())
    for name in names:
        stem = ROOT.joinpath(*name.split("."))
        found.update(p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file())
    return found


def code_files(*names: str) -> list[Path]:
    """Return the named files and every library module they import, directly or not."""
    pending = {ROOT / name for name in names}
    seen: set[Path] = set()
    while pending:
        path = pending.pop()
        seen.add(path)
        if path.suffix == ".py":
            pending |= imported_files(path) - seen
    return sorted(seen)


def code_digest(*names: str) -> str:
    """Hash the named files and every library module they import, directly or not.

    Snakemake reruns a rule when this value, given as a parameter, changes: an edit of an imported
    module then reruns exactly the rules that use it, while a touched file reruns nothing.
    """
    digest = hashlib.sha256()
    for path in code_files(*names):
        digest.update(path.relative_to(ROOT).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of the named distributions ("absent" where not installed)."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found
