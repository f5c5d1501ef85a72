"""The flux of a run once more through deeptime and PyEMMA, in an environment of their own.

PyEMMA is archived and its 2.5.12 builds on Python 3.10 and 3.11 only, so nothing but this module knows it,
and this module runs as a program: ``python -m getsei.kinetics.crosscheck flux.h5 table.csv``. PyEMMA hands
transition path theory on to deeptime: the two agree with each other by construction. What is independent of
getsei is their common code; the count of passages in the trajectories is independent of all three.
"""

import importlib
import importlib.metadata
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from getsei.errors import UserError
from getsei.kinetics import tables, transition_paths
from getsei.records import ReactiveFlux
from getsei.units import PS_PER_NS

TOLERANCE = 1e-10
"""Largest difference, relative to the largest entry."""
COLUMNS = ("program", "version", "quantity", "unit", "getsei", "other", "difference", "limit", "passed")
OWN_ENVIRONMENT = Path(".venv-crosscheck/bin/python")
"""Where `make crosscheck` installs both programs; without it the environment of the rule is used."""


def _deeptime(operator: np.ndarray, source: list[int], target: list[int]) -> Any:
    return importlib.import_module("deeptime.markov").reactive_flux(operator, source, target)


def _pyemma(operator: np.ndarray, source: list[int], target: list[int]) -> Any:
    msm = importlib.import_module("pyemma.msm")
    return msm.tpt(msm.markov_model(operator), source, target)


PROGRAMS: dict[str, Callable[[np.ndarray, list[int], list[int]], Any]] = {
    "deeptime": _deeptime,
    "PyEMMA": _pyemma,
}


def compare(flux: ReactiveFlux) -> list[dict[str, Any]]:
    """Compare committors, fluxes, rate and passage time of the same transition matrix.

    Parameters
    ----------
    flux : ReactiveFlux

    Returns
    -------
    list of dict
        One row per program and quantity; of arrays, the largest entry and the largest difference.

    Raises
    ------
    UserError
        If a program is not installed, or the record holds no flux.
    """
    if not np.isfinite(flux.forward_committor).all():
        raise UserError(f"there is no flux to compare: {flux.note}")
    ours = transition_paths.reactive_flux(flux.operator, flux.source, flux.target)
    per_ns = PS_PER_NS / flux.lag_ps
    rows = []
    for program, compute in PROGRAMS.items():
        with warnings.catch_warnings():
            # Both are older than the Python and NumPy they run on and warn about it at import.
            warnings.simplefilter("ignore")
            try:
                theirs = compute(flux.operator, list(flux.source), list(flux.target))
            except ImportError as error:
                raise UserError(
                    f"{program} is not installed in {sys.prefix} ({error}); run `make crosscheck`, or "
                    "`snakemake --sdm conda crosscheck`"
                ) from error
        for quantity, unit, scale, mine, other in (
            ("forward committor", "1", 1.0, ours.forward, theirs.forward_committor),
            ("backward committor", "1", 1.0, ours.backward, theirs.backward_committor),
            ("gross flux", "1/(ion ns)", per_ns, ours.gross, theirs.gross_flux),
            ("net flux", "1/(ion ns)", per_ns, ours.net, theirs.net_flux),
            ("total flux", "1/(ion ns)", per_ns, ours.total, theirs.total_flux),
            ("rate", "1/ns", per_ns, ours.rate, theirs.rate),
            ("mean first passage time", "ps", flux.lag_ps, ours.mfpt, theirs.mfpt),
        ):
            first, second = (np.asarray(value, dtype=np.float64) * scale for value in (mine, other))
            difference = float(np.abs(first - second).max() / np.abs(second).max())
            rows.append(
                {
                    "program": program,
                    "version": importlib.metadata.version(program),
                    "quantity": quantity,
                    "unit": unit,
                    "getsei": float(first.max()),
                    "other": float(second.max()),
                    "difference": difference,
                    "limit": TOLERANCE,
                    "passed": difference <= TOLERANCE,
                }
            )
    return rows


def run(flux: str | Path, table: str | Path) -> str:
    """Compare in the environment that holds both programs, and return what was printed.

    Raises
    ------
    UserError
        If the comparison fails; the message is its own.
    """
    interpreter = OWN_ENVIRONMENT if OWN_ENVIRONMENT.exists() else Path(sys.executable)
    done = subprocess.run(
        [str(interpreter), "-m", "getsei.kinetics.crosscheck", str(flux), str(table)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.stdout.strip())
    return done.stdout


def main(flux: str, table: str) -> int:
    """Write the table, print it, and return 0 where everything agrees."""
    try:
        rows = compare(ReactiveFlux.load(flux))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    tables.write(table, COLUMNS, rows)
    for row in rows:
        verdict = "agrees" if row["passed"] else "DIFFERS"
        print(
            f"{row['program']} {row['version']}: {row['quantity']} {row['other']:.6g} {row['unit']}, "
            f"largest relative difference {row['difference']:.1e}, {verdict}"
        )
    differing = [row for row in rows if not row["passed"]]
    if differing:
        print(f"{len(differing)} of {len(rows)} quantities differ; see {table}", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
