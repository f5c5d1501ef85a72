"""The flux network as GraphML, for Gephi, Cytoscape, yEd or networkx."""

from typing import Any
from xml.etree import ElementTree

import numpy as np

from getsei.records import ReactiveFlux

KEYS = (
    ("node", "name", "string"),
    ("node", "role", "string"),
    ("node", "forward_committor", "double"),
    ("edge", "net_flux_per_ion_ns", "double"),
    ("edge", "low", "double"),
    ("edge", "high", "double"),
    ("edge", "events", "long"),
)


def write(flux: ReactiveFlux) -> str:
    """Return the net flux between states as GraphML text; numbers that are not known are left out."""
    root = ElementTree.Element("graphml", xmlns="http://graphml.graphdrawing.org/xmlns")
    for place, name, kind in KEYS:
        entry = {"id": f"{place}_{name}", "for": place, "attr.name": name, "attr.type": kind}
        ElementTree.SubElement(root, "key", entry)
    graph = ElementTree.SubElement(root, "graph", id="flux", edgedefault="directed")
    for row, state in enumerate(flux.active):
        node = ElementTree.SubElement(graph, "node", id=f"s{int(state)}")
        role = "source" if row in flux.source else "target" if row in flux.target else "intermediate"
        _put(node, "node", name=flux.names[row], role=role, forward_committor=flux.forward_committor[row])
    for i, j in np.argwhere(np.nan_to_num(flux.net_flux) > 0):
        ends = {"source": f"s{int(flux.active[i])}", "target": f"s{int(flux.active[j])}"}
        _put(
            ElementTree.SubElement(graph, "edge", ends),
            "edge",
            net_flux_per_ion_ns=flux.net_flux[i, j],
            low=flux.net_flux_low[i, j],
            high=flux.net_flux_high[i, j],
            events=int(flux.edge_events[i, j]),
        )
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _put(parent: ElementTree.Element, place: str, **values: Any) -> None:
    for name, value in values.items():
        if isinstance(value, float | np.floating) and not np.isfinite(value):
            continue
        text = f"{value:.8g}" if isinstance(value, float | np.floating) else str(value)
        ElementTree.SubElement(parent, "data", key=f"{place}_{name}").text = text
