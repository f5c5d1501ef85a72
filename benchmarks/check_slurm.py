"""`make test-slurm`: the workflow through a real SLURM cluster of one node, started here and stopped again.

A run to the report during which a job of the molecular dynamics is cancelled by `scancel`; then a segment
whose time limit is too short, which must go on where it was stopped. Prints what it saw; exits 1 where a bar
is missed, 2 where there is no SLURM. `--only limit` leaves out the run to the report.
"""

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).parent)]

import sandbox
import slurm_cluster

PROFILE = ("--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "3")
CHECK_EVERY_s = 3
PACED = f"""
from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor
pace = property(lambda self: {CHECK_EVERY_s}, lambda self, seconds: None)
Executor.next_seconds_between_status_checks = pace
main()
"""
"""Snakemake as it is, but for how often it asks SLURM: the plugin waits ten seconds longer after every check
that found nothing new. Nothing else differs from the profile."""
LIMIT_MINUTES = 10.0
LONG_s = 110.0
"""Length of the segment that hits its limit of one minute, which SLURM enforces within 90 s: two attempts."""
MD = {**sandbox.TINY["defaults"]["md"], "segment_ps": 2.0, "production_ps": 4.0}
SETTINGS = {**sandbox.TINY, "defaults": {**sandbox.TINY["defaults"], "md": MD}}


def main() -> int:
    """Run what was asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("report", "limit"), nargs="+", default=("report", "limit"))
    parts = parser.parse_args().only
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the cluster is stopped too
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="getsei-slurm-"))
    try:
        slurm_cluster.install()
        with slurm_cluster.cluster(folder / "cluster", cpus=2, memory_mb=12000) as environment:
            paced = (sys.executable, "-c", PACED)
            workflow = sandbox.copy(folder / "workflow", environment=environment, program=paced)
            workflow.configure(SETTINGS)
            rows = [
                *(to_the_report(workflow) if "report" in parts else ()),
                *(over_the_limit(workflow) if "limit" in parts else ()),
            ]
    except slurm_cluster.NoClusterError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    minutes = (time.monotonic() - began) / 60
    rows.append(("wall time", f"under {LIMIT_MINUTES:g} min", f"{minutes:.1f} min", minutes < LIMIT_MINUTES))
    width = [max(len(row[column]) for row in rows) for column in range(3)]
    for what, bar, found, met in rows:
        print(f"{what:{width[0]}}  {bar:{width[1]}}  {found:{width[2]}}  {'pass' if met else 'MISS'}")
    return 0 if all(row[3] for row in rows) else 1


Row = tuple[str, str, str, bool]


def say(text: str) -> None:
    """Tell how far the test is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def to_the_report(workflow: sandbox.Workflow) -> list[Row]:
    """Run the whole workflow; cancel a job of the first production segment when it has a checkpoint."""
    cancelled: list[str] = []
    stop = threading.Event()
    mark = workflow.results / "li6ps5cl/r1/md/produce001.checkpoint/state.json"

    def cancel() -> None:
        while not stop.wait(0.05):
            if mark.is_file():
                found = squeue(workflow, "%i|%T|%k")
                running = [line.split("|")[0] for line in found if "|RUNNING|" in line and "run_md" in line]
                if running:
                    scancel(workflow, running[0])
                    say(f"cancelled job {running[0]}")
                    cancelled.append(running[0])
                    return

    watcher = threading.Thread(target=cancel)
    watcher.start()
    say("the quick DAG through SLURM")
    done = workflow.run(*PROFILE, timeout=1500)
    stop.set()
    watcher.join()
    show(workflow, done)
    said = done.stdout + done.stderr
    states = dict(line.split("|") for line in squeue(workflow, "%i|%T", "--states=all"))
    say("the report of Snakemake")
    report = workflow.run("--report", "report.html")
    ok = done.returncode == 0 and report.returncode == 0 and (workflow.folder / "report.html").is_file()
    jobs = sum(state == "COMPLETED" for state in states.values())
    killed = [states.get(job, "?") for job in cancelled]
    retried = killed == ["CANCELLED"] and "Trying to restart job" in said
    return [
        ("quick DAG through SLURM to the report", "finished", f"exit {done.returncode}, {jobs} jobs", ok),
        ("scancel of run_md", "retried", f"{' '.join(killed) or 'none'}; {resumed(workflow)}", retried),
        (
            "frames of the cancelled segment",
            "none lost or doubled",
            *frames(workflow, "produce001"),
        ),
    ]


def over_the_limit(workflow: sandbox.Workflow) -> list[Row]:
    """Ask for more production, in one segment that lasts longer than its limit; its retry must go on."""
    before = workflow.run(*PROFILE, "--", "results/li6ps5cl/r1/md/produce002.h5", timeout=1500)
    show(workflow, before)
    log = workflow.results / "logs/li6ps5cl/r1/run_md_produce002.log"
    speed = float(re.findall(r"([\d.]+) steps/s", log.read_text())[-1])
    length_ps = round(LONG_s * speed * 2e-3 / 4) * 4.0
    longer = {**MD, "segment_ps": length_ps, "production_ps": length_ps}
    workflow.configure({**SETTINGS, "defaults": {**SETTINGS["defaults"], "md": longer}})
    say(f"a segment of {length_ps:g} ps at {speed:g} steps/s, limit one minute")
    limit = ("--set-resources", "run_md:runtime=1", "--retries", "6")
    done = workflow.run(*PROFILE, *limit, "--", "results/li6ps5cl/r1/md/produce001.h5", timeout=1500)
    show(workflow, done)
    states = [line.split("|")[1] for line in squeue(workflow, "%i|%T", "--states=all")]
    over = states.count("TIMEOUT")
    said = resumed(workflow)
    return [
        (
            "time limit of 1 min",
            "hit, retried, resumed",
            f"{over} TIMEOUT; {said}",
            over > 0 and "going on" in said,
        ),
        ("frames of the resumed segment", "none lost or doubled", *frames(workflow, "produce001")),
    ]


def resumed(workflow: sandbox.Workflow) -> str:
    """Return what the last attempt at the first production segment said when it went on."""
    log = workflow.results / "logs/li6ps5cl/r1/run_md_produce001.log"
    found = re.findall(r"going on after \d+ of \d+ frames", log.read_text()) if log.is_file() else []
    return found[-1] if found else "began again"


def frames(workflow: sandbox.Workflow, segment: str) -> tuple[str, bool]:
    """Count the frames of a segment that are missing, doubled or out of order."""
    path = workflow.results / "li6ps5cl/r1/md" / f"{segment}.h5"
    if not path.is_file():
        return "no file", False
    with h5py.File(path, "r") as handle:
        steps = handle["step"][()]
    wrong = int((np.diff(steps) != steps[1] - steps[0]).sum())
    return f"{wrong} of {len(steps)}", wrong == 0


def squeue(workflow: sandbox.Workflow, fields: str, *options: str) -> list[str]:
    """Return the lines of squeue."""
    words = ["squeue", "-h", "-o", fields, *options]
    done = subprocess.run(words, env=workflow.environment, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def scancel(workflow: sandbox.Workflow, job: str) -> None:
    """Cancel a job."""
    subprocess.run(["scancel", job], env=workflow.environment, check=True)


def show(workflow: sandbox.Workflow, done: subprocess.CompletedProcess) -> None:
    """Print the end of what Snakemake and the failed jobs said, where a run failed."""
    if done.returncode != 0:
        print(done.stdout[-3000:] + done.stderr[-6000:], file=sys.stderr)
        for path in sorted((workflow.folder / ".snakemake/slurm_logs").rglob("*.log")):
            print(f"--- {path.name}\n{path.read_text()[-2000:]}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
