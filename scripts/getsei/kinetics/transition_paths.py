"""Transition path theory: committors, reactive flux, rate. Arrays in, arrays out, stacks welcome.

P. Metzner, C. Schütte, E. Vanden-Eijnden, Multiscale Model. Simul. 7 (2009) 1192,
https://doi.org/10.1137/070699500; F. Noé et al., PNAS 106 (2009) 19011,
https://doi.org/10.1073/pnas.0905466106.
"""

from dataclasses import dataclass

import numpy as np

from getsei.errors import UserError
from getsei.kinetics import chains

CONSERVATION_TOLERANCE = 1e-12
"""Largest imbalance of a state, relative to the flux through it or the total flux, whichever is larger."""


@dataclass(frozen=True)
class Flux:
    """Reactive flux of a stack of chains, per step of the chain.

    Attributes
    ----------
    stationary : (..., n) array
    forward : (..., n) array
        Probability to reach the target before the source.
    backward : (..., n) array
        Probability to have left the source more recently than the target.
    gross : (..., n, n) array
        f_ij = pi_i q-_i T_ij q+_j, i != j.
    net : (..., n, n) array
        max(0, f_ij - f_ji).
    total : (...) array
        Passages per step.
    rate : (...) array
        Total over the probability sum(pi q-) of being on the way from the source.
    mfpt : (...) array
        1 / rate, in steps.
    """

    stationary: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    gross: np.ndarray
    net: np.ndarray
    total: np.ndarray
    rate: np.ndarray
    mfpt: np.ndarray


def committor(operator: np.ndarray, source: list[int], target: list[int]) -> np.ndarray:
    """Return the probability to reach the target before the source, from each state, (..., n).

    Solves sum_j T_ij q_j = q_i outside both sets, q = 0 on the source and 1 on the target.
    """
    n = operator.shape[-1]
    between = np.setdiff1d(np.arange(n), [*source, *target])
    q = np.zeros(operator.shape[:-1])
    q[..., list(target)] = 1.0
    if len(between):
        inner = operator[..., between[:, None], between]
        into = operator[..., between[:, None], np.asarray(target)].sum(axis=-1)
        solved = np.linalg.solve(np.eye(len(between)) - inner, into[..., None])[..., 0]
        q[..., between] = np.clip(solved, 0.0, 1.0)
    return q


def check_sets(source: list[int], target: list[int], n: int) -> None:
    """Raise unless source and target are disjoint, not empty and within the states."""
    if not source or not target:
        raise UserError("tpt: source and target must each hold at least one state")
    if set(source) & set(target):
        raise UserError(
            f"tpt: source {sorted(source)} and target {sorted(target)} share states; choose disjoint sets"
        )
    outside = [state for state in (*source, *target) if not 0 <= state < n]
    if outside:
        raise UserError(f"tpt: no state {outside[0]}; the chain has states 0..{n - 1}")


def reactive_flux(operator: np.ndarray, source: list[int], target: list[int]) -> Flux:
    """Return the reactive flux from source to target, without assuming detailed balance.

    Parameters
    ----------
    operator : (..., n, n) array
        Row-stochastic, strongly connected.
    source, target : lists of int
        Disjoint sets of states.

    Raises
    ------
    UserError
        If the sets overlap, are empty or not states, or the chain is not strongly connected.
    """
    n = operator.shape[-1]
    check_sets(source, target, n)
    if not chains.strongly_connected(operator).all():
        raise UserError(
            "tpt: not every state can be reached from every other; restrict the chain to its largest "
            "connected set first"
        )
    weights = chains.stationary(operator)
    forward = committor(operator, source, target)
    # The backward process started at a state visits the source before the target: the roles are swapped.
    backward = committor(chains.time_reversed(operator, weights), target, source)
    gross = (weights * backward)[..., :, None] * operator * forward[..., None, :]
    gross[..., np.arange(n), np.arange(n)] = 0.0
    total = gross[..., list(source), :].sum(axis=(-2, -1))
    rate = total / (weights * backward).sum(axis=-1)
    return Flux(
        stationary=weights,
        forward=forward,
        backward=backward,
        gross=gross,
        net=np.maximum(gross - np.swapaxes(gross, -1, -2), 0.0),
        total=total,
        rate=rate,
        mfpt=1.0 / rate,
    )


def imbalance(flux: np.ndarray, source: list[int], target: list[int]) -> float:
    """Return the largest |in - out| of a state between source and target, over what flows through it.

    A state that carries less than the total, a dead end for instance, is measured against the total: what
    flows through it may be nothing but rounding.

    The total leaving the source is compared with that reaching the target in the same way.

    Parameters
    ----------
    flux : (n, n) array
        Gross or net flux of one chain.
    source, target : lists of int
    """
    into, out = flux.sum(axis=0), flux.sum(axis=1)
    between = np.setdiff1d(np.arange(len(flux)), [*source, *target])
    ends = (
        out[list(source)].sum() - into[list(source)].sum(),
        into[list(target)].sum() - out[list(target)].sum(),
    )
    largest = np.maximum(np.maximum(into, out)[between], ends[0])
    off = np.divide(np.abs(into - out)[between], largest, out=np.zeros(len(between)), where=largest > 0)
    return float(max(off.max(initial=0.0), abs(ends[0] - ends[1]) / max(ends[0], np.finfo(float).tiny)))


def throughput(net: np.ndarray, total: np.ndarray, source: list[int]) -> np.ndarray:
    """Return the share of the flux that passes each state, (..., n): into it, or out of it at the source.

    Independent of any decomposition into paths.
    """
    share = net.sum(axis=-2)
    share[..., list(source)] = net[..., list(source), :].sum(axis=-1)
    return share / total[..., None]
