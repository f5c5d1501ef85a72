"""Every figure of a system on its own, one column wide, for the report and for a paper."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from getsei.figures import dynamics, flux_map, interphase, kinetics, pathways, snapshots, style, transport
from getsei.figures import states as states_figure
from getsei.records import Interphase, KoopmanModel, ReactiveFlux, States, Trajectory, Transport


@dataclass(frozen=True)
class Records:
    """What the figures of one system are drawn from; the trajectory is that of its first replica."""

    trajectory: Trajectory
    states: States
    koopman: KoopmanModel
    flux: ReactiveFlux
    transport: Transport
    interphase: Interphase


@style.themed
def single(draw: Callable[[Axes], None], height: float, records: Records, *, key: bool = False) -> Figure:
    """Return a figure of one column with one panel, without the letter and title of the composite.

    Parameters
    ----------
    draw : callable
        Draws into an Axes.
    height : float
        Inches, without the key.
    records : Records
    key : bool
        Whether to add the key of the states.
    """
    names = records.states.names
    lines = -(-len(names) // 2) if key else 0
    fig = Figure(figsize=(style.ONE_COLUMN_IN, height + 0.2 * lines + (0.25 if key else 0)))
    axes = fig.add_subplot()
    draw(axes)
    axes.set_title("")
    if key:
        style.state_legend(fig, range(len(names)), names, 2, width=24)
    style.despine(fig)
    return fig


@style.themed
def pair(upper: Callable[[Axes], None], lower: Callable[[Axes], None], height: float) -> Figure:
    """Return a figure of one column with two panels that share their horizontal axis."""
    fig = Figure(figsize=(style.ONE_COLUMN_IN, height))
    axes = fig.subplots(2, 1)
    upper(axes[0])
    lower(axes[1])
    style.despine(fig)
    return fig


def draw(name: str, found: Records) -> Figure:
    """Return one of the figures that `getsei.captions` describes.

    Raises
    ------
    KeyError
        If there is no such figure.
    """
    return PANELS[name](found)


def _energy(found: Records) -> Figure:
    run = found.trajectory
    times = np.arange(len(run.positions)) * run.frame_interval_ps
    per_atom = run.potential_energy / len(run.species)

    def heat(axes: Axes) -> None:
        dynamics.series(axes, run, times, run.temperature, "temperature (K)")
        style.panel(axes, "a", f"n = {len(run.species)} atoms")
        axes.set_xlabel("")

    def energy(axes: Axes) -> None:
        dynamics.series(axes, run, times, per_atom, "energy (eV/atom)")
        style.panel(axes, "b", "potential energy")

    return pair(heat, energy, 3.6)


def _mobility(found: Records, key: str, name: str, what: str) -> Figure:
    return single(
        lambda axes: transport.by_state(axes, found.transport, key, name, what), 2.3, found, key=True
    )


PANELS: dict[str, Callable[[Records], Figure]] = {
    "snapshots": lambda r: snapshots.by_element(r.trajectory),
    "energy": _energy,
    "composition": lambda r: single(lambda a: interphase.composition(a, r.interphase), 2.4, r),
    "growth": lambda r: pair(
        lambda a: interphase.thickness(a, r.interphase), lambda a: interphase.inventory(a, r.interphase), 3.8
    ),
    "bonds": lambda r: single(lambda a: interphase.courses(a, r.interphase, bonds=True), 2.4, r),
    "shells": lambda r: single(lambda a: interphase.courses(a, r.interphase, bonds=False), 2.6, r),
    "snapshot_states": lambda r: snapshots.by_state(r.trajectory, r.states),
    "state_map": lambda r: single(lambda a: states_figure.z_over_time(a, r.states), 2.5, r, key=True),
    "embedding": lambda r: single(lambda a: states_figure.projection(a, r.states), 2.6, r, key=True),
    "coordination": lambda r: single(lambda a: states_figure.coordination(a, r.states), 2.6, r, key=True),
    "timescales": lambda r: single(lambda a: kinetics.timescales(a, r.koopman), 2.5, r),
    "chapman": lambda r: single(lambda a: kinetics.chapman_kolmogorov(a, r.koopman), 2.4, r, key=True),
    "escape": lambda r: single(lambda a: kinetics.escape_rates(a, r.koopman), 2.2, r, key=True),
    "flux_map": lambda r: single(
        lambda a: flux_map.network(a, r.flux, r.koopman, r.states, r.interphase), 2.9, r, key=True
    ),
    "pathways": lambda r: _pathways(r),
    "mobility": lambda r: _mobility(r, "mobility", "mobility (Å²/ps)", "ions"),
    "score": lambda r: _mobility(r, "mobility_score", "mobility score (Å²/ps)", "exits"),
    "mobility_density": lambda r: single(
        lambda a: transport.against(
            a, r.transport, "density", r.transport.ion_density, "density of mobile ions (nm$^{-3}$)"
        ),
        2.9,
        r,
    ),
    "mobility_anions": lambda r: single(
        lambda a: transport.against(
            a,
            r.transport,
            "anion_coordination",
            r.transport.ion_anion_coordination,
            "anions in the first shell",
        ),
        2.9,
        r,
    ),
    "diffusion": lambda r: single(lambda a: transport.diffusion(a, r.transport), 2.2, r),
}


def _pathways(found: Records) -> Figure:
    def body(axes: Axes) -> None:
        if found.flux.pathways:
            pathways.pathways(axes, found.flux)
        else:
            style.message(axes, f"There are no pathways to show. {found.flux.note}")

    return single(body, 2.6, found, key=True)
