"""The whole chain on a tiny protocol, and what runs again after a change."""

import csv
import json
from pathlib import Path

import pytest
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
ESTIMATE_KEYS = {"value", "low", "high", "unit", "n", "supported"}


def test_from_structure_to_report(workflow):
    workflow.configure(TINY)
    done = workflow.run("--cores", "2")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    results = workflow.folder / "results"
    for name in RESULTS:
        assert (results / "li6ps5cl" / name).stat().st_size > 0, name
    for figure in (results / "li6ps5cl/figures").glob("*.png"):
        assert figure.with_suffix(".svg").is_file()
    check_summary(json.loads((results / "li6ps5cl/summary.json").read_text()))
    check_comparison(results / "compare/systems.csv")
    check_export(results / "li6ps5cl/r1/trajectory/trajectory.extxyz")
    check_reruns(workflow)
    report = workflow.run("--report", "report.html")
    assert report.returncode == 0, report.stderr
    assert (workflow.folder / "report.html").stat().st_size > 10_000


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
    import ase.io

    frames = ase.io.read(path, ":")
    assert len(frames) >= 10
    assert frames[0].pbc.all()


def check_reruns(workflow):
    assert workflow.jobs() == {}, "a second run must do nothing"
    library = workflow.folder / "scripts/getsei"
    (library / "transport.py").touch()
    assert workflow.jobs() == {}, "a touched file must rerun nothing"

    changed = json.loads(json.dumps(TINY))
    changed["defaults"]["tpt"] = {"path_fraction": 0.9}
    workflow.configure(changed)
    jobs = workflow.jobs()
    assert "run_tpt" in jobs
    assert not {"run_md", "train_gcl", "assign_states", "fit_edmd"} & set(jobs)

    longer = json.loads(json.dumps(TINY))
    longer["defaults"]["md"]["production_ps"] = 1.2
    workflow.configure(longer)
    assert workflow.jobs()["run_md"] == 1, "a longer production only adds a segment"

    added = json.loads(json.dumps(TINY))
    added["systems"]["li7la3zr2o12"] = {"interface": {"electrolyte": "Li7La3Zr2O12_tetragonal"}}
    workflow.configure(added)
    jobs = workflow.jobs()
    assert jobs["build_interface"] == jobs["fit_edmd"] == jobs["compare_systems"] == 1
    assert jobs["run_md"] == 4

    workflow.configure(TINY)
    module = library / "transport.py"
    module.write_text(module.read_text() + "\n# a comment\n")
    jobs = workflow.jobs()
    assert "measure_transport" in jobs
    assert not {"run_md", "train_gcl", "fit_edmd", "run_tpt"} & set(jobs)
    module.write_text(module.read_text().removesuffix("\n# a comment\n"))
    assert workflow.jobs() == {}


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
