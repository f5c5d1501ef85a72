"""The results of a system as an RO-Crate: what made them, from what, and a checksum of every file.

JSON-LD by the RO-Crate specification 1.1 (P. Sefton et al., 10.5281/zenodo.4541002), standard library only.

    python -m getsei.crate results/*/ro-crate-metadata.json   # recheck the checksums
"""

import json
import mimetypes
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from getsei import __version__, json_files, provenance
from getsei.errors import UserError

NAME = "ro-crate-metadata.json"
CONTEXT = "https://w3id.org/ro/crate/1.1/context"
METHOD = "https://arxiv.org/abs/2603.02284"
TYPES = {
    ".h5": "application/x-hdf5",
    ".extxyz": "chemical/x-xyz",
    ".safetensors": "application/octet-stream",
    ".restart": "application/octet-stream",
    ".yaml": "application/yaml",
    ".lock": "text/plain",
}


def files_of(folder: Path) -> list[Path]:
    """Return the result files in a folder, in order; hidden and temporary ones and the crate are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name != NAME
        and not any(
            part.startswith(".") or part.endswith((".checkpoint", ".failed"))
            for part in path.relative_to(folder).parts
        )
    )


def describe(
    folder: Path,
    system: str,
    settings: Mapping[str, Any],
    inputs: Iterable[Path],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Return the crate of the results of a system.

    Parameters
    ----------
    folder : Path
        Holds the results; the crate goes there too.
    system : str
        Name of the system.
    settings : mapping
        Its complete settings.
    inputs : iterable of Path
        Files that the results were made from: potential, crystals, code and environments.
    versions : mapping
        Of the software at hand.
    """
    results = [_file(path, path.relative_to(folder).as_posix()) for path in files_of(folder)]
    sources = [_file(path, _relative(path, folder)) for path in inputs]
    programs = [
        {"@id": f"#{name}", "@type": "SoftwareApplication", "name": name, "softwareVersion": version}
        for name, version in {"getsei": __version__, **versions}.items()
    ]
    seeds = [
        {"@id": f"#seed-{key}", "@type": "PropertyValue", "name": key, "value": value}
        for key, value in _seeds(settings, "")
    ]
    code = provenance.code_digest(*sorted(path.name for path in provenance.ROOT.glob("*.py")))
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"getsei run of {system}",
        "instrument": [_ref(program) for program in programs],
        "object": [_ref(entity) for entity in [*sources, *seeds, {"@id": "#settings"}, {"@id": "#code"}]],
        "result": [_ref(entity) for entity in results],
    }
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{system}: lithium transport through the interphase",
        "description": "Results of getsei: trajectories, states, Koopman operator, reactive flux, mobility.",
        "datePublished": time.strftime("%Y-%m-%d", time.gmtime()),
        "license": "The results belong to whoever made them.",
        "citation": {"@id": METHOD},
        "hasPart": [_ref(entity) for entity in results],
        "mentions": {"@id": "#run"},
    }
    graph = [
        {
            "@id": NAME,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        },
        root,
        run,
        {"@id": METHOD, "@type": "ScholarlyArticle", "name": "GET-SEI"},
        {
            "@id": "#settings",
            "@type": "PropertyValue",
            "name": "settings",
            "value": json.dumps(settings, sort_keys=True),
        },
        {"@id": "#code", "@type": "PropertyValue", "name": "digest of the scripts", "value": code},
        *programs,
        *seeds,
        *sources,
        *results,
    ]
    return {"@context": CONTEXT, "@graph": graph}


def _ref(entity: Mapping[str, Any]) -> dict[str, str]:
    return {"@id": entity["@id"]}


def _relative(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder, upwards where need be."""
    up, here = folder.resolve(), path.resolve()
    steps = 0
    while up not in here.parents:
        up, steps = up.parent, steps + 1
    return "../" * steps + here.relative_to(up).as_posix()


def _file(path: Path, name: str) -> dict[str, Any]:
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return {
        "@id": name,
        "@type": "File",
        "name": path.name,
        "encodingFormat": kind,
        "contentSize": path.stat().st_size,
        "sha256": provenance.file_digest(path),
    }


def _seeds(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, int]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _seeds(value, f"{prefix}{key}.")
        elif key == "seed":
            yield f"{prefix}{key}", value


def verify(path: Path) -> list[str]:
    """Return what differs from a crate: changed, missing and added files, one line each.

    Raises
    ------
    UserError
        If the crate itself is damaged.
    """
    folder = path.parent
    try:
        graph = json_files.load(path)["@graph"]
        stated = {entity["@id"]: entity["sha256"] for entity in graph if "sha256" in entity}
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not the RO-Crate of a run; run again to write it anew") from error
    problems = []
    for name, digest in stated.items():
        file = folder / name
        if not file.is_file():
            problems.append(f"{file}: missing")
        elif provenance.file_digest(file) != digest:
            problems.append(f"{file}: changed since the crate was written")
    added = {file.relative_to(folder).as_posix() for file in files_of(folder)} - stated.keys()
    return problems + [f"{folder / name}: not in the crate" for name in sorted(added)]


def main(words: list[str] | None = None) -> int:
    """Recheck crates; exit 1 where a file is missing or changed."""
    paths = [Path(word) for word in (sys.argv[1:] if words is None else words)]
    if not paths:
        print("no crates given; run the workflow first, it writes results/<system>/" + NAME, file=sys.stderr)
        return 1
    bad = 0
    for path in paths:
        try:
            problems = verify(path)
        except UserError as error:
            problems = [str(error)]
        wrong = [problem for problem in problems if not problem.endswith("not in the crate")]
        bad += len(wrong)
        print(f"{path.parent}: {'as it was written' if not wrong else f'{len(wrong)} files differ'}")
        for problem in problems:
            print(f"  {problem}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
