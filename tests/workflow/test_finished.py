"""After a failure the systems that finished are compared and reported, and the others named."""

import csv
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import report_factory
import yaml
from getsei import progress, settings

COMMAND = (
    "finished",
    "--cores",
    "1",
    "--config",
    "finished_only=True",
    "--allowed-rules",
    "finished",
    "compare_systems",
    "build_report",
)


def test_failed_and_outdated_systems_are_named_and_the_rest_compared(workflow):
    config = yaml.safe_load((workflow.folder / "config/config.yaml").read_text())
    results = workflow.folder / "results"
    everything = report_factory.results(
        results,
        systems={name: report_factory.SYSTEMS[name] for name in ("li6ps5cl", "li7la3zr2o12")},
        size={"n_ions": 24, "n_frames": 60},
    )
    current = settings.resolve(config)
    for summary in everything:
        summary["settings"] = current[summary["system"]]
        if summary["system"] == "li7la3zr2o12":
            summary["settings"] = {**summary["settings"], "replicas": 9}
        (results / summary["system"] / "summary.json").write_text(json.dumps(summary))
    log = results / "logs/li10gep2s12/r1/run_md_react.log"
    log.parent.mkdir(parents=True)
    log.write_text("10:00:00 run_md li10gep2s12/r1/react: lost atoms\n")

    done = workflow.run(*COMMAND)
    assert done.returncode == 0, done.stdout + done.stderr
    with (results / "compare/ranking.csv").open(newline="") as handle:
        status = {row["system"]: row for row in csv.DictReader(handle)}
    assert status["li6ps5cl"]["status"] == progress.FINISHED
    assert status["li7la3zr2o12"]["status"] == progress.OUTDATED
    assert status["li10gep2s12"]["status"] == progress.FAILED
    assert "lost atoms" in status["li10gep2s12"]["note"]
    page = (results / "report.html").read_text()
    assert "lost atoms" in page
    assert "Without results: " in page
    assert "li6ps5cl" in done.stdout
    assert "look next: results/report.html" in done.stdout


def test_make_compares_the_rest_after_a_failure():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert "snakemake || { $(MAKE) --no-print-directory finished; exit 1; }" in makefile
    assert " ".join(("--config", *COMMAND[4:])) in makefile
    for profile in ("default", "slurm"):
        text = (Path(__file__).parents[2] / f"profiles/{profile}/config.yaml").read_text()
        assert yaml.safe_load(text)["keep-going"] is True
