"""How the rounds of active learning and the epochs of their trainings went, from the files that they left."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from getsei import json_files

ROUND = "round.json"
"""What a round tells of itself, in its folder."""
CURVES = "training/results/*_train.txt"
"""Where mace-torch keeps the errors of every epoch, below the folder of a round or of a final training."""
FINAL = "final"
"""How the folders of the trainings begin that follow the rounds."""


def rounds(folders: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Return what is known of each round and final training; a folder without such files adds nothing.

    Parameters
    ----------
    folders : sequence of path
        One per round, in order, and those of the final trainings.

    Returns
    -------
    list of dict
        ``name`` (round or final training, and its number), ``told`` (what a round says of itself), and
        ``epochs``: validation errors by epoch.
    """
    found = []
    for number, folder in enumerate(map(Path, folders)):
        after = folder.name.removeprefix(FINAL)
        name = f"{FINAL} {after}" if folder.name != after else f"round {number}"
        told = json_files.load(folder / ROUND) if (folder / ROUND).is_file() else {}
        epochs = [row for path in sorted(folder.glob(CURVES)) for row in curve(path)]
        if told or epochs:
            found.append({"name": name, "told": told, "epochs": epochs})
    return found


def curve(path: Path) -> list[dict[str, float]]:
    """Return epoch, force error (meV/Å) and energy error (meV/atom) of validation from mace-torch's log.

    Lines that are not whole, as after a kill, are left out; an epoch that was run again counts once.
    """
    found: dict[int, dict[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
            if row["mode"] != "eval" or row["epoch"] is None:
                continue
            epoch = int(row["epoch"])
            found[epoch] = {
                "epoch": epoch,
                "force_meV_per_A": 1000.0 * float(row["rmse_f"]),
                "energy_meV_per_atom": 1000.0 * float(row["rmse_e_per_atom"]),
            }
        except (ValueError, KeyError, TypeError):
            continue
    return [found[epoch] for epoch in sorted(found)]


COLUMNS = (
    "training",
    "frames",
    "atoms",
    "frames_so_far",
    "labels_dropped",
    "own_dynamics_force_rmse_meV_per_A",
    "own_dynamics_low95",
    "own_dynamics_high95",
    "own_dynamics_frames",
    "uncertainty_mean_meV_per_A",
    "validation_force_rmse_meV_per_A",
    "validation_energy_rmse_meV_per_atom",
    "epochs",
)
"""Of the table of rounds; the errors on its own dynamics are those of the student before the round.
Validation errors of a final training are those of its last epoch."""


def table(found: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """Return one row per round or final training, in the order of `COLUMNS`; None where nothing is known."""
    rows, so_far = [], 0
    for entry in found:
        told = entry["told"]
        own, validation = told.get("on_policy") or {}, told.get("validation") or {}
        last = entry["epochs"][-1] if entry["epochs"] else {}
        so_far += told.get("frames", 0)
        low, high = own.get("interval95") or (None, None)
        rows.append(
            [
                entry["name"],
                told.get("frames"),
                told.get("atoms"),
                so_far or None,
                sum(told["labels_dropped"].values()) if told else None,
                own.get("force_rmse_meV_per_A"),
                low,
                high,
                own.get("frames"),
                own.get("uncertainty_mean_meV_per_A"),
                validation.get("force_rmse_meV_per_A", last.get("force_meV_per_A")),
                validation.get("energy_rmse_meV_per_atom", last.get("energy_meV_per_atom")),
                len(entry["epochs"]) or None,
            ]
        )
    return rows


def write_table(found: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Write the rounds as CSV."""
    with Path(path).open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(COLUMNS)
        writer.writerows(table(found))
