"""The whole chain on a tiny protocol with two replicas: a second Snakemake meanwhile, what runs again after a
change, and damage to any file on the way.
"""

import csv
import json
import os
import re
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from getsei import json_files, records, tensors
from getsei.dynamics import runner
from getsei.errors import UserError
from getsei.structures import stored
from getsei.trajectory import store
from sandbox import TINY

pytestmark = pytest.mark.slow

RESULTS = (
    "r1/interface/structure.extxyz",
    "r1/trajectory/trajectory.h5",
    "r1/trajectory/trajectory.extxyz",
    "states/states.csv",
    "kinetics/koopman.csv",
    "kinetics/flux.csv",
    "transport/mobility.csv",
    "summary.json",
)
TWO_REPLICAS = {
    "systems": {
        "li6ps5cl": {"interface": {"electrolyte": "Li6PS5Cl_disordered", "electrolyte_thickness_A": 9.0}}
    },
    "defaults": {**TINY["defaults"], "replicas": 2},
}
ESTIMATE_KEYS = {"value", "low", "high", "unit", "n", "supported"}


def test_from_structure_to_report(workflow):
    workflow.configure(TWO_REPLICAS)
    first = workflow.start("--cores", "2")
    check_second_is_refused(workflow)
    out, err = first.communicate(timeout=900)
    assert first.returncode == 0, out[-4000:] + err[-8000:]
    results = workflow.folder / "results"
    for name in RESULTS:
        assert (results / "li6ps5cl" / name).stat().st_size > 0, name
    for figure in (results / "li6ps5cl/figures").glob("*.png"):
        assert figure.with_suffix(".svg").is_file()
    check_summary(json.loads((results / "li6ps5cl/summary.json").read_text()))
    check_comparison(results / "compare/systems.csv")
    check_export(results / "li6ps5cl/r1/trajectory/trajectory.extxyz")
    check_replicas(results / "li6ps5cl")
    check_reruns(workflow)
    check_damage_is_named(results / "li6ps5cl")
    check_damage_is_mended(workflow)
    report = workflow.run("--report", "report.html")
    assert report.returncode == 0, report.stderr
    assert (workflow.folder / "report.html").stat().st_size > 10_000


def check_second_is_refused(workflow):
    lock = workflow.folder / ".snakemake/getsei.lock"
    for _ in range(600):
        if lock.is_file() and lock.read_text():
            break
        time.sleep(0.1)
    second = workflow.run("--cores", "1")
    said = second.stdout + second.stderr
    assert second.returncode != 0
    assert "another snakemake" in said
    assert "Traceback" not in said


def check_replicas(folder):
    """Each replica has an ordering and a run of its own; states and kinetics hold the ions of both."""
    one, two = (ase.io.read(folder / f"r{number}/interface/structure.extxyz") for number in (1, 2))
    assert one.get_chemical_formula() == two.get_chemical_formula()
    chlorine = [np.sort(atoms.positions[atoms.symbols == "Cl"], axis=0) for atoms in (one, two)]
    assert not np.allclose(*chlorine, atol=0.1)
    runs = [records.Trajectory.load(folder / f"r{number}/trajectory/trajectory.h5") for number in (1, 2)]
    assert not np.allclose(runs[0].temperature, runs[1].temperature)
    states = records.States.load(folder / "states/states.h5")
    ions = [int((run.species == "Li").sum()) for run in runs]
    assert [int((states.replica == name).sum()) for name in np.unique(states.replica)] == ions


def check_summary(summary):
    numbers = [value for value in walk(summary) if set(value) >= ESTIMATE_KEYS]
    assert len(numbers) > 10
    for number in numbers:
        if number["supported"] and number["value"] is not None:
            low, high = number["low"], number["high"]
            assert low is None or low <= number["value"] + 1e-9
            assert high is None or high >= number["value"] - 1e-9
        else:
            assert number["value"] is None


def walk(node):
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from walk(child)
    elif isinstance(node, list):
        for child in node:
            yield from walk(child)


def check_comparison(path):
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(line for line in handle if not line.startswith("#")))
    assert {row["system"] for row in rows} == {"li6ps5cl"}
    assert {"quantity", "value", "low", "high", "unit", "n", "supported"} <= set(rows[0])


def check_export(path):
    images = ase.io.read(path, ":")
    assert len(images) >= 10
    assert images[0].pbc.all()


def check_reruns(workflow):
    assert workflow.jobs() == {}, "a second run must do nothing"
    library = workflow.folder / "scripts/getsei"
    (library / "transport.py").touch()
    assert workflow.jobs() == {}, "a touched file must rerun nothing"

    changed = json.loads(json.dumps(TWO_REPLICAS))
    changed["defaults"]["tpt"] = {"path_fraction": 0.9}
    workflow.configure(changed)
    jobs = workflow.jobs()
    assert "run_tpt" in jobs
    assert not {"run_md", "train_gcl", "assign_states", "fit_edmd"} & set(jobs)

    longer = json.loads(json.dumps(TWO_REPLICAS))
    longer["defaults"]["md"]["production_ps"] = 1.2
    workflow.configure(longer)
    assert workflow.jobs()["run_md"] == 2, "a longer production only adds a segment"

    added = json.loads(json.dumps(TWO_REPLICAS))
    added["systems"]["li7la3zr2o12"] = {"interface": {"electrolyte": "Li7La3Zr2O12_tetragonal"}}
    workflow.configure(added)
    jobs = workflow.jobs()
    assert jobs["fit_edmd"] == jobs["compare_systems"] == 1
    assert jobs["build_interface"] == 2
    assert jobs["run_md"] == 8

    workflow.configure(TWO_REPLICAS)
    module = library / "transport.py"
    module.write_text(module.read_text() + "\n# a comment\n")
    jobs = workflow.jobs()
    assert "measure_transport" in jobs
    assert not {"run_md", "train_gcl", "fit_edmd", "run_tpt"} & set(jobs)
    module.write_text(module.read_text().removesuffix("\n# a comment\n"))
    assert workflow.jobs() == {}


READERS = {
    "interface/structure.extxyz": stored.load_structure,
    "interface/report.json": json_files.load,
    "md/react.h5": store.read_piece,
    "md/equilibrate.h5": store.read_piece,
    "md/produce001.h5": store.read_piece,
    "md/produce002.h5": store.read_piece,
    "md/react.restart": runner.check_restart,
    "md/equilibrate.restart": runner.check_restart,
    "md/produce001.restart": runner.check_restart,
    "md/produce002.restart": runner.check_restart,
    "trajectory/trajectory.h5": records.Trajectory.load,
    "trajectory/uncertainty.json": json_files.load,
    "environments/environments.h5": records.Environments.load,
    "gcl/embedding.h5": records.Embedding.load,
    "gcl/encoder.safetensors": tensors.load,
    "states/states.h5": records.States.load,
    "kinetics/koopman.h5": records.KoopmanModel.load,
    "kinetics/flux.h5": records.ReactiveFlux.load,
    "interphase/interphase.h5": records.Interphase.load,
    "transport/transport.h5": records.Transport.load,
    "summary.json": json_files.load,
    "ro-crate-metadata.json": json_files.load,
}
"""Every file that a later job reads, and what it reads it by."""
SHOWN = {".csv", ".graphml", ".png", ".svg"}
"""Tables and pictures, and the exports that no job reads."""
EXPORTS = {"trajectory/trajectory.extxyz", "states/states.extxyz"}


def check_damage_is_named(folder):
    """Cut or emptied, each file that a later job reads is refused by name."""
    seen = set()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = re.sub(r"^r[0-9]+/", "", path.relative_to(folder).as_posix())
        if path.suffix in SHOWN or name in EXPORTS:
            continue
        seen.add(name)
        content, times = path.read_bytes(), path.stat()
        READERS[name](path)
        for damaged in (b"", content[: len(content) // 2], content[: len(content) // 2] + b"\0" * 64):
            path.write_bytes(damaged)
            with pytest.raises(UserError, match=re.escape(path.name)):
                READERS[name](path)
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # Snakemake goes by it
    assert seen == set(READERS)


def check_damage_is_mended(workflow):
    """A damaged file stops what reads it, with its name; without it the same results come back."""
    target = "results/li6ps5cl/summary.json"
    summary, path = (
        workflow.results / "li6ps5cl" / name for name in ("summary.json", "transport/transport.h5")
    )
    before = summary.read_bytes(), path.read_bytes()
    path.write_bytes(before[1][: len(before[1]) // 2])
    stopped = workflow.run("--cores", "2", "--", target)
    said = stopped.stdout + stopped.stderr
    assert stopped.returncode != 0
    assert "transport.h5: not a readable" in said
    assert "delete it and run again" in said
    path.unlink()
    mended = workflow.run("--cores", "2", "--", target)
    assert mended.returncode == 0, mended.stdout[-2000:] + mended.stderr[-4000:]
    assert (summary.read_bytes(), path.read_bytes()) == before


def test_logs_hold_no_traceback_for_a_damaged_model(workflow):
    (workflow.folder / "config/potentials/damaged.safetensors").write_bytes(b"not a model")
    broken = json.loads(json.dumps(TINY))
    broken["defaults"]["potential"] = {"model": "config/potentials/damaged.safetensors"}
    workflow.configure(broken)
    done = workflow.run("--cores", "1")
    assert done.returncode != 0
    log = (workflow.folder / "results/logs/li6ps5cl/r1/build_interface.log").read_text()
    assert "damaged.safetensors" in log
    assert "Traceback" not in log


def test_quick_configuration_is_valid(workflow):
    jobs = workflow.jobs("--configfile", "config/quick.yaml")
    assert jobs["build_interface"] == 3
    assert Path(workflow.folder / "config/quick.yaml").is_file()


def test_make_quick_runs_the_quick_configuration():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert "\tsnakemake --configfile config/quick.yaml\n" in makefile
