"""The same transition matrix through other programs, where they are installed.

PyEMMA 2.5.12 hands its transition path theory on to deeptime, so their agreement with each other is no
second proof; the count of passages in the trajectories is the independent one.
"""

import importlib
import logging
import warnings
from collections.abc import Callable

import numpy as np

log = logging.getLogger("getsei")


def _deeptime(operator: np.ndarray, source: list[int], target: list[int]) -> float:
    markov = importlib.import_module("deeptime.markov")
    return float(markov.reactive_flux(operator, source, target).total_flux)


def _pyemma(operator: np.ndarray, source: list[int], target: list[int]) -> float:
    msm = importlib.import_module("pyemma.msm")
    return float(msm.tpt(msm.markov_model(operator), source, target).total_flux)


PROGRAMS: dict[str, Callable[[np.ndarray, list[int], list[int]], float]] = {
    "deeptime": _deeptime,
    "PyEMMA": _pyemma,
}


def total_fluxes(operator: np.ndarray, source: list[int], target: list[int]) -> dict[str, float]:
    """Return the total flux per step that each installed program finds.

    Parameters
    ----------
    operator : (n, n) array
        Row-stochastic.
    source, target : lists of int

    Returns
    -------
    dict
        Program to flux; without the programs that cannot be imported.
    """
    found = {}
    for name, compute in PROGRAMS.items():
        with warnings.catch_warnings():
            # Both are older than the Python and NumPy they run on and warn about it at import.
            for category in (DeprecationWarning, FutureWarning, SyntaxWarning, UserWarning):
                warnings.simplefilter("ignore", category)
            try:
                found[name] = compute(operator, list(source), list(target))
            except ImportError as error:
                log.info("no cross-check with %s: %s", name, error)
    return found
