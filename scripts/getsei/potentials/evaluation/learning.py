"""How the rounds of active learning and the epochs of their trainings went, from the files that they left."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from getsei import json_files

ROUND = "round.json"
"""What a round tells of itself, in its folder."""
CURVES = "training/results/*_train.txt"
"""Where mace-torch keeps the errors of every epoch, below the folder of a round."""


def rounds(folders: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Return what is known of each round; a folder without such files adds nothing.

    Parameters
    ----------
    folders : sequence of path
        One per round, in order.

    Returns
    -------
    list of dict
        ``round`` (number), ``told`` (its own numbers), and ``epochs``: validation errors by epoch.
    """
    found = []
    for number, folder in enumerate(map(Path, folders)):
        told = json_files.load(folder / ROUND) if (folder / ROUND).is_file() else {}
        epochs = [row for path in sorted(folder.glob(CURVES)) for row in curve(path)]
        if told or epochs:
            found.append({"round": number, "told": told, "epochs": epochs})
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
