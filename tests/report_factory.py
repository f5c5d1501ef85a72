"""A folder of results of made-up systems, as a run would leave it, for the report."""

import json
import struct
import zlib
from pathlib import Path

import records_factory as factory
from getsei import captions, comparison, interphase, progress, ranking, summary, transport
from getsei.figures import compare_panels, panels, style
from getsei.kinetics import tables
from getsei.report import page

SYSTEMS = {
    "li6ps5cl": ("P", "S", "S", "S", "Cl"),
    "li10gep2s12": ("Ge", "P", "S", "S", "S"),
    "li7la3zr2o12": ("La", "Zr", "O", "O", "O"),
}
SETTINGS = {"mobile": ["Li"], "states": {"seed": 1}}
FAILED = progress.Status("li3ps4", progress.FAILED, "run_md li3ps4/r1/react: atoms <lost> & gone")


def png(width=1020, height=700):
    """Return a white picture."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\xff" * width for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def system(folder, name, framework, seed, *, drawn, size):
    """Write everything of one system and return its summary."""
    parts = factory.system(seed=seed, framework=framework, **size)
    run, found = [parts["trajectory"]], [parts["environments"]]
    measured = transport.measure(
        parts["states"], parts["koopman"], run, found, parts["interphase"], 1.0, 100, 1
    )
    own = folder / name
    for place, record in {
        "r1/trajectory/trajectory.h5": parts["trajectory"],
        "states/states.h5": parts["states"],
        "kinetics/flux.h5": parts["flux"],
    }.items():
        (own / place).parent.mkdir(parents=True, exist_ok=True)
        record.save(own / place)
    for place in ("transport", "interphase", "figures/panels"):
        (own / place).mkdir(parents=True)
    (own / "r1/trajectory/trajectory.extxyz").write_text("made up\n")
    flux = parts["flux"]
    tables.write(own / "kinetics/flux.csv", tables.FLUX_COLUMNS, tables.flux_rows(flux))
    tables.write(own / "kinetics/pathways.csv", tables.PATHWAY_COLUMNS, tables.pathway_rows(flux))
    transport.write_table(measured, own / "transport/mobility.csv")
    interphase.write_table(parts["interphase"], own / "interphase/interphase.csv")
    records = panels.Records(
        run[0], parts["states"], parts["koopman"], parts["flux"], measured, parts["interphase"]
    )
    for panel in captions.PANELS:
        target = own / f"figures/panels/{panel}.png"
        if drawn:
            style.save(panels.draw(panel, records), target, target.with_suffix(".svg"))
        else:
            target.write_bytes(png())
    inputs = summary.Inputs(
        run,
        found,
        parts["embedding"],
        parts["states"],
        parts["koopman"],
        parts["flux"],
        measured,
        parts["interphase"],
    )
    return {**summary.plain(summary.summarise(name, inputs, SETTINGS)), "status": progress.FINISHED}


def results(folder, *, systems=SYSTEMS, failed=(), drawn=False, size=None):
    """Write the results of some systems into a folder and return the summaries, stubs included."""
    size = size or {"n_ions": 30, "n_frames": 80}
    folder = Path(folder)
    made = [
        system(folder, name, framework, seed, drawn=drawn, size=size)
        for seed, (name, framework) in enumerate(systems.items())
    ]
    for one in made:
        (folder / one["system"] / "summary.json").write_text(json.dumps(one))
    everything = [*made, *(progress.stub(status) for status in failed)]
    compare = folder / "compare"
    (compare / "panels").mkdir(parents=True)
    for rows, columns, name in (
        (comparison.tidy_rows(everything), comparison.TIDY, "systems"),
        (comparison.claims_rows(made), comparison.CLAIMS, "claims"),
        (comparison.checks_rows(made), comparison.CHECKS, "checks"),
        (ranking.rows(everything), ranking.RANKING, "ranking"),
    ):
        comparison.write_rows(rows, columns, compare / f"{name}.csv")
    for panel in captions.COMPARISON:
        target = compare / f"panels/{panel.name}.png"
        if drawn:
            style.save(compare_panels.draw(panel.name, everything), target, target.with_suffix(".svg"))
        else:
            target.write_bytes(png())
    return everything


def report(folder, **options):
    """Write results and the page, and return the path of the page and the summaries."""
    everything = results(folder, **options)
    text = page.build(folder, everything, {s["system"]: SETTINGS for s in everything})
    path = Path(folder) / "report.html"
    path.write_text(text, encoding="utf-8")
    return path, everything
