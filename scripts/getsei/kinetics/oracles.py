"""The same transition matrix through deeptime, where it is installed.

`crosscheck` compares more, in an environment of its own.
"""

import importlib
import logging
import warnings

import numpy as np

log = logging.getLogger("getsei")


def deeptime_total_flux(operator: np.ndarray, source: list[int], target: list[int]) -> float | None:
    """Return the total flux per step that deeptime finds; None where it is not installed.

    Parameters
    ----------
    operator : (n, n) array
        Row-stochastic.
    source, target : lists of int
    """
    with warnings.catch_warnings():
        # deeptime is older than the Python and NumPy it runs on and warns about it at import.
        for category in (DeprecationWarning, FutureWarning, SyntaxWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        try:
            markov = importlib.import_module("deeptime.markov")
        except ImportError as error:
            log.info("no cross-check with deeptime: %s", error)
            return None
        return float(markov.reactive_flux(operator, list(source), list(target)).total_flux)
