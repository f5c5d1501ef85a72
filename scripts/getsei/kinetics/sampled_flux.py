"""The flux of the model together with the flux of every resample."""

from dataclasses import dataclass

import numpy as np

from getsei.kinetics import bootstrap, chains, connected, transition_paths
from getsei.kinetics.endpoints import Endpoint
from getsei.kinetics.inputs import Settings
from getsei.records import Estimate, KoopmanModel, States
from getsei.units import PS_PER_NS


@dataclass(frozen=True)
class Sampled:
    """The flux of the model and of every resample, per step of the lag.

    Attributes
    ----------
    flux : Flux
        Of the model.
    drawn : Flux or None
        Of every resample; None where too few resamples keep the states connected.
    source, target : lists of int
        Indices among the active states.
    operators : (n_resamples, n, n) array
        Transition matrices of the resamples.
    resampling : Resampling
        The draws.
    """

    flux: transition_paths.Flux
    drawn: transition_paths.Flux | None
    source: list[int]
    target: list[int]
    operators: np.ndarray
    resampling: bootstrap.Resampling

    def interval(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the interval of an attribute of the flux; NaN without resamples."""
        value = getattr(self.flux, name)
        if self.drawn is None:
            return np.full(np.shape(value), np.nan), np.full(np.shape(value), np.nan)
        return bootstrap.interval(getattr(self.drawn, name))


def among_active(model: KoopmanModel, end: Endpoint) -> list[int]:
    """Return the indices of the states of one end among the active states; dropped states are left out."""
    return [index for index, state in enumerate(model.active) if int(state) in end.states]


def edge_events(model: KoopmanModel) -> np.ndarray:
    """Return how often each change of state was seen, (n_active, n_active): directly, or within the lag.

    A change by way of a third state within the lag shows in the pairs, not from frame to frame. One change
    lies in at most as many sliding pairs as the lag has frames, so pairs over frames is a lower bound.
    """
    frames = round(model.lag_ps / model.frame_interval_ps)
    seen = np.maximum(model.events, model.counts.sum(axis=0) // frames)
    np.fill_diagonal(seen, 0)
    return seen


def sample(states: States, model: KoopmanModel, source: Endpoint, target: Endpoint) -> Sampled:
    """Return the flux of the fitted model, and that of ions, replicas and blocks of time drawn again."""
    start, end = among_active(model, source), among_active(model, target)
    flux = transition_paths.reactive_flux(model.operator, start, end)
    settings = Settings(**model.provenance["settings"])
    lag = round(model.lag_ps / model.frame_interval_ps)
    resampling = bootstrap.draw(states.replica, settings.bootstrap, settings.seed, settings.time_blocks)
    data = connected.count(states, lag, resampling)
    drawn, share = connected.operators(data, resampling, model.soft_moments, reversible=settings.reversible)
    enough = share >= bootstrap.MIN_VALID_SHARE and len(states.replica) > 1
    resampled = transition_paths.reactive_flux(drawn, start, end) if enough else None
    return Sampled(
        flux=flux,
        drawn=resampled,
        source=start,
        target=end,
        operators=drawn if enough else drawn[:0],
        resampling=resampling,
    )


def throughput(flux: transition_paths.Flux, source: list[int]) -> np.ndarray:
    """Return the share of the flux through each state, (..., n)."""
    return transition_paths.throughput(flux.net, flux.total, source)


def without_lag(model: KoopmanModel, sampled: Sampled, events: int) -> Estimate:
    """Return the total flux of the continuous-time chain exp(t L), in 1/(ion ns).

    At a finite lag, passages that go back within it are missed. The generator L counts them: the chain
    1 + h L has the committors of the continuous chain and h times its flux for every h that keeps it
    stochastic (Metzner et al. 2009, section 2.2, for jump processes).

    Parameters
    ----------
    model : KoopmanModel
    sampled : Sampled
    events : int
        Sample size to quote.
    """
    value = _continuous(model.operator[None], model.lag_ps, sampled)
    samples = _continuous(sampled.operators, model.lag_ps, sampled)
    low, high = bootstrap.interval(samples)
    supported = bool(np.isfinite([value[0], low, high]).all())
    note = "from the generator log(T)/lag: what the flux would be at a lag of zero"
    if not np.isfinite(value[0]):
        note = "log(T)/lag is no generator of a connected chain"
    return Estimate(float(value[0]), float(low), float(high), "1/(ion ns)", events, supported, note)


def _continuous(operators: np.ndarray, lag_ps: float, sampled: Sampled) -> np.ndarray:
    totals = np.full(len(operators), np.nan)
    rates, valid = chains.generator(operators, lag_ps / PS_PER_NS)
    usable = np.flatnonzero(valid)
    usable = usable[chains.strongly_connected(rates[usable])]
    if len(usable):
        n = operators.shape[-1]
        step = 0.5 / np.abs(np.diagonal(rates[usable], axis1=-2, axis2=-1)).max(axis=-1)
        embedded = np.eye(n) + step[:, None, None] * rates[usable]
        flux = transition_paths.reactive_flux(embedded, sampled.source, sampled.target)
        totals[usable] = flux.total / step
    return totals
