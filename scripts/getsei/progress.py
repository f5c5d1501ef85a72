"""Which systems have results, which failed and with what message (standard library only)."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from getsei import json_files
from getsei.errors import UserError

FINISHED, FAILED, OUTDATED, MISSING = "finished", "failed", "outdated", "missing"
DONE = re.compile(r": done in [0-9.]+ s$")
LINE = re.compile(r"^\d\d:\d\d:\d\d (?P<rule>\w+) (?P<where>\S*): (?P<message>.*)$")


@dataclass(frozen=True)
class Status:
    """How far a system came.

    Attributes
    ----------
    system : str
        Its name.
    state : str
        `FINISHED`, `FAILED`, `OUTDATED` (finished with other settings) or `MISSING` (never ran to its end).
    message : str
        The rule that failed and its last words; empty where nothing is wrong.
    """

    system: str
    state: str
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether the results of this system may be compared."""
        return self.state == FINISHED


def status_of(system: str, summary: str | Path, logs: str | Path, settings: Mapping[str, Any]) -> Status:
    """Tell how far a system came, from its summary and its logs.

    Parameters
    ----------
    system : str
        Its name.
    summary : path
        Where its summary is, or would be.
    logs : path
        Folder of its logs.
    settings : mapping
        Its settings now.
    """
    path = Path(summary)
    there = str(summary) != "" and path.is_file()
    found = failure(logs, after=path.stat().st_mtime if there else 0.0)
    if found:
        return Status(system, FAILED, found)
    if not there:
        return Status(system, MISSING, "its results were not made; no rule says why")
    try:
        made_with = json_files.load(path).get("settings")
    except UserError as error:
        return Status(system, FAILED, str(error))
    if made_with != json.loads(json.dumps(settings)):
        return Status(system, OUTDATED, "its results are of other settings; run it again")
    return Status(system, FINISHED)


def failure(logs: str | Path, after: float) -> str:
    """Return rule, place and last words of the newest log that is later than `after` and did not end well."""
    found = sorted((p.stat().st_mtime, p) for p in Path(logs).rglob("*.log"))
    for time, path in reversed(found):
        lines = [
            line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
        drawing = path.stem.startswith("plot_")  # a figure that failed takes no number away
        if time < after or drawing or any(DONE.search(line) for line in lines[-5:]):
            continue
        said = [match for match in map(LINE.match, lines) if match]
        if not said:
            return f"{path.stem}: stopped without a message; see {path.name}"
        traceback = lines[-1] if not LINE.match(lines[-1]) else ""
        where = f"{said[-1]['rule']} {said[-1]['where']}".strip()
        return f"{where}: {traceback or said[-1]['message']}"
    return ""


def survey(
    systems: Mapping[str, Mapping[str, Any]],
    summaries: Mapping[str, str],
    logs: str | Path,
    *,
    trusted: bool,
) -> list[Status]:
    """Tell how far each system came.

    Parameters
    ----------
    systems : mapping
        Settings by name.
    summaries : mapping
        Path of the summary by name, of the systems that have one.
    logs : path
        Folder that holds one folder of logs per system.
    trusted : bool
        Whether the summaries are known to be up to date, as they are where Snakemake made them just now.
    """
    return [
        Status(name, FINISHED)
        if trusted and name in summaries
        else status_of(name, summaries.get(name, ""), Path(logs) / name, settings)
        for name, settings in systems.items()
    ]


def load(statuses: Sequence[Status], summaries: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the summary of each system, and one without numbers for those that did not finish."""
    return [
        {**json_files.load(summaries[s.system]), "status": s.state} if s.ok else stub(s) for s in statuses
    ]


def stub(status: Status) -> dict[str, Any]:
    """Return a summary without numbers, for a system that has none."""
    return {
        "system": status.system,
        "status": status.state,
        "message": status.message,
        "numbers": {},
        "states": [],
        "checks": [],
        "failed": [],
        "elements": [],
        "choice_of_states": [],
    }
