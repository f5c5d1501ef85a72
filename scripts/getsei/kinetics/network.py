"""The network of the flux for other programs: GraphML (Gephi, Cytoscape, networkx, igraph) and CSV."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from getsei.kinetics import bootstrap
from getsei.records import ReactiveFlux

NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
NODE_KEYS = {
    "name": "string",
    "role": "string",
    "population": "double",
    "stationary_probability": "double",
    "forward_committor": "double",
    "throughput": "double",
}
EDGE_KEYS = {
    "net_flux_per_ion_ns": "double",
    "net_flux_low": "double",
    "net_flux_high": "double",
    "gross_flux_per_ion_ns": "double",
    "probability_over_lag": "double",
    "events": "int",
    "supported": "boolean",
}
CSV_COLUMNS = (
    "from",
    "to",
    "from_name",
    "to_name",
    *EDGE_KEYS,
    "lag_ps",
    "frame_interval_ps",
)


def nodes(flux: ReactiveFlux) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the identifier, which is the number of the state everywhere else, and the data of each state."""
    for row, state in enumerate(flux.active):
        role = "source" if row in flux.source else "target" if row in flux.target else "intermediate"
        yield (
            str(int(state)),
            {
                "name": flux.names[row],
                "role": role,
                "population": float(flux.populations[row]),
                "stationary_probability": float(flux.stationary[row]),
                "forward_committor": float(flux.forward_committor[row]),
                "throughput": float(flux.throughput[row, 0]),
            },
        )


def edges(flux: ReactiveFlux) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield the rows among the active states and the data of every change of state with a probability."""
    for i, j in np.argwhere(flux.operator > 0):
        if i == j:
            continue
        events = int(flux.edge_events[i, j])
        low, high = float(flux.net_flux_low[i, j]), float(flux.net_flux_high[i, j])
        yield (
            int(i),
            int(j),
            {
                "net_flux_per_ion_ns": float(flux.net_flux[i, j]),
                "net_flux_low": low,
                "net_flux_high": high,
                "gross_flux_per_ion_ns": float(flux.gross_flux[i, j]),
                "probability_over_lag": float(flux.operator[i, j]),
                "events": events,
                "supported": bool(flux.supported and events >= bootstrap.MIN_EVENTS and np.isfinite(low)),
            },
        )


def rows(flux: ReactiveFlux) -> list[dict[str, Any]]:
    """Return the rows of `network.csv`."""
    active = [int(state) for state in flux.active]
    return [
        {
            "from": active[i],
            "to": active[j],
            "from_name": flux.names[i],
            "to_name": flux.names[j],
            **data,
            "lag_ps": flux.lag_ps,
            "frame_interval_ps": flux.frame_interval_ps,
        }
        for i, j, data in edges(flux)
    ]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def write_graphml(flux: ReactiveFlux, path: str | Path) -> None:
    """Write the network as GraphML, whole or not at all. Numbers that do not exist are left out."""
    root = ElementTree.Element("graphml", xmlns=NAMESPACE)
    for kind, keys in (("node", NODE_KEYS), ("edge", EDGE_KEYS)):
        for name, of in keys.items():
            attributes = {"id": name, "for": kind, "attr.name": name, "attr.type": of}
            ElementTree.SubElement(root, "key", attributes)
    graph = ElementTree.SubElement(root, "graph", id="reactive_flux", edgedefault="directed")
    description = (
        f"net reactive flux in 1/(ion ns); lag {flux.lag_ps:g} ps, frames {flux.frame_interval_ps:g} ps apart"
    )
    ElementTree.SubElement(graph, "desc").text = description

    def fill(element: ElementTree.Element, data: dict[str, Any]) -> None:
        for key, value in data.items():
            if not (isinstance(value, float) and not np.isfinite(value)):
                ElementTree.SubElement(element, "data", key=key).text = _text(value)

    for identifier, data in nodes(flux):
        fill(ElementTree.SubElement(graph, "node", id=identifier), data)
    for i, j, data in edges(flux):
        ends = {"source": str(int(flux.active[i])), "target": str(int(flux.active[j]))}
        fill(ElementTree.SubElement(graph, "edge", ends), data)
    ElementTree.indent(root)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        ElementTree.ElementTree(root).write(partial, encoding="utf-8", xml_declaration=True)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
