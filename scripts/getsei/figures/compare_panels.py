"""The comparison in figures of one column."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from getsei import ranking
from getsei.figures import compare, style
from getsei.figures.compare import Quantity

POINTS = {
    "transport": (
        Quantity("diffusion/interphase", "diffusion in the interphase", "D (cm²/s)"),
        Quantity("diffusion/electrolyte", "diffusion in the electrolyte", "D (cm²/s)"),
        Quantity("total_flux", "total reactive flux", "passages per ion and ns"),
        Quantity("mfpt", "mean first passage", "time (ps)"),
        Quantity("pathway_diversity", "pathway diversity", "effective number of pathways"),
    ),
    "correlations": (
        Quantity(
            "correlation/all/density given anion_coordination",
            "mobility and ion density, given anions",
            "partial Spearman correlation",
            zero=False,
        ),
        Quantity(
            "correlation/all/anion_coordination given density",
            "mobility and anions, given density",
            "partial Spearman correlation",
            zero=False,
        ),
    ),
}
BY_STATE = (
    ("mobility", "mobility (Å²/ps)"),
    ("residence_time", "residence time (ps)"),
    ("mobility_score", "mobility score (Å²/ps)"),
)


@style.themed
def draw(name: str, summaries: Sequence[Mapping[str, Any]]) -> Figure:
    """Return one of the figures that `captions.COMPARISON` describes.

    Parameters
    ----------
    name : str
        transport, correlations, states or bonds.
    summaries : sequence of mappings
        Contents of the summary.json of each system, or stubs of those that failed.
    """
    by_name = {s["system"]: s for s in summaries}
    rows = [by_name[place.system] for place in ranking.ordered(summaries)]
    count = len(POINTS[name]) if name in POINTS else len(BY_STATE) if name == "states" else 1
    fig = Figure(figsize=(style.ONE_COLUMN_IN, count * (0.62 + 0.24 * len(rows)) + 0.1))
    axes = fig.subplots(count, 1, squeeze=False)[:, 0]
    for number, place in enumerate(axes):
        if name in POINTS:
            quantity = POINTS[name][number]
            compare.dots(place, rows, quantity)
            title = quantity.title
        elif name == "states":
            compare.by_state(place, rows, *BY_STATE[number])
            title = BY_STATE[number][1].split(" (")[0]
        else:
            compare.bonds(place, rows)
            title = "starting bonds left"
        compare.name_systems(place, rows, named=True)
        style.panel(place, "abcdef"[number], title)
    style.despine(fig)
    return fig
