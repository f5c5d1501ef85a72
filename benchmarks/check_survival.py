"""`make check-survival`: what the workflow survives, measured. Prints a table, exits 1 where a bar is missed.

python benchmarks/check_survival.py [--kills 20] [--fuzz 10000] [--only kills inputs fuzz reproduce slurm]

On two quiet cores: the undisturbed run that kills and reproduce begin with 2 to 3 min, reproduce another such
run, twenty kills 15 to 20 min, inputs and fuzz 5 min, slurm 10 min. With `--folder` the runs and what was
counted stay there, and the same command goes on where it was stopped.
"""

import argparse
import contextlib
import hashlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import hypothesis
import numpy as np
from hypothesis import HealthCheck, given, settings

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import fuzzing
import sandbox
from getsei.errors import UserError

CORES = ("--cores", "2")
MOMENT = (0.02, 0.35)
"""A kill comes so long after the start or the last kill, in durations of the undisturbed run."""
WITHOUT_TIME = {".log", ".tsv", ".png", ".svg"}
"""Files that tell how long something took, and pictures; all others must be the same to the byte."""
Row = tuple[str, str, str, bool]


def digests(results: Path) -> dict[str, str]:
    """Return the SHA-256 of every result that does not depend on the clock."""
    return {
        path.relative_to(results).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(results.rglob("*"))
        if path.is_file()
        and path.suffix not in WITHOUT_TIME
        and path.name not in ("ro-crate-metadata.json", "report.html")
        and not any(part.startswith(".") for part in path.relative_to(results).parts)
    }


def wrong_frames(results: Path) -> int:
    """Count frames of the segments that are missing, doubled or out of order."""
    wrong = 0
    for folder in results.glob("*/r*/md"):
        names = ["react", "equilibrate", *sorted(path.stem for path in folder.glob("produce*.h5"))]
        steps = [np.zeros(1, dtype=int)]
        for name in names:
            with h5py.File(folder / f"{name}.h5", "r") as handle:
                steps.append(handle["step"][()])
        every = np.diff(np.concatenate(steps))
        wrong += int((every != every[0]).sum())
    return wrong


def tell(text: str) -> None:
    """Say how far the test is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def small_run(folder: Path) -> sandbox.Workflow:
    """Run the small workflow in a folder without disturbance, or what is left of it; return it."""
    if not (folder / "Snakefile").is_file():
        sandbox.copy(folder).configure(sandbox.TINY)
    workflow = sandbox.Workflow(folder)
    tell(f"undisturbed run in {folder}")
    began = time.monotonic()
    done = workflow.run(*CORES, timeout=3600)
    if done.returncode != 0:
        raise SystemExit(f"the undisturbed run failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    took = folder / "seconds.txt"
    if not took.is_file():
        took.write_text(f"{time.monotonic() - began:.0f}\n", encoding="utf-8")
    tell(f"undisturbed run finished, {took.read_text().strip()} s")
    return workflow


@dataclass
class Tally:
    """What the killed runs came to; kept in a file, so that counting goes on another time."""

    kills: int = 0
    runs: int = 0
    recovered: int = 0
    wrong_frames: int = 0
    differing: int = 0

    def add(self, finished: bool, kills: int, wrong: int, differing: list[str]) -> None:
        """Count one run that was killed some times and then left alone."""
        self.runs += 1
        self.kills += kills
        self.recovered += kills if finished else 0
        self.wrong_frames += wrong
        self.differing += len(differing)


def random_kills(folder: Path, reference: dict[str, str], duration_s: float, kills: int) -> Iterator[Row]:
    """Kill the run at random moments, again and again; whenever one finishes, compare and begin anew.

    Every kill is SIGKILL to Snakemake and all it started, and is followed by plain running again. A kill
    counts as recovered when the run it belongs to then ends without further help.
    """
    book = folder / "kills.json"
    tally = Tally(**json.loads(book.read_text(encoding="utf-8"))) if book.is_file() else Tally()
    while tally.kills < kills:
        rng = random.Random(tally.runs + 1)
        shutil.rmtree(folder / "killed", ignore_errors=True)
        workflow = sandbox.copy(folder / "killed")
        workflow.configure(sandbox.TINY)
        here = 0
        while True:
            process = workflow.start(*CORES)
            try:
                limit = rng.uniform(*MOMENT) * duration_s if tally.kills + here < kills else 3600
                out, err = process.communicate(timeout=limit)
                break
            except subprocess.TimeoutExpired:
                sandbox.kill(process)
                here += 1
                tell(f"kill {tally.kills + here} of {kills}, {limit:.0f} s after the last one")
        finished = process.returncode == 0
        if not finished:
            print(out[-1000:] + err[-3000:], file=sys.stderr)
        found = digests(workflow.results)
        differing = [name for name, digest in reference.items() if found.get(name) != digest]
        tally.add(finished, here, wrong_frames(workflow.results) if finished else 0, differing)
        book.write_text(json.dumps(asdict(tally)), encoding="utf-8")
        ended = "finished" if finished else "FAILED"
        tell(
            f"run {tally.runs} {ended} after {here} kills; files unlike the reference: {differing or 'none'}"
        )
        shutil.rmtree(workflow.folder)
    yield (
        f"{tally.kills} random kills -9 in {tally.runs} runs",
        f"{tally.kills} recoveries",
        f"{tally.recovered} recoveries",
        tally.recovered == tally.kills,
    )
    yield ("frames lost, doubled or out of order", "0", str(tally.wrong_frames), tally.wrong_frames == 0)
    yield (
        "tables, stores, labels unlike the undisturbed run",
        "0",
        f"{tally.differing} of {tally.runs * len(reference)}",
        tally.differing == 0,
    )


def bad_inputs() -> Iterator[Row]:
    """Count the bad inputs that end in one clear message."""
    import bad_inputs as corpus

    clear = 0
    for case in corpus.CASES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                case.stop(Path(folder))
                said = "nothing"
            except UserError as error:
                said = str(error)
            except Exception as error:
                said = f"traceback: {error!r}"
            good = (
                case.says in said and len(said.splitlines()) <= 2 and len(list(Path(folder).iterdir())) <= 1
            )
        clear += good
        if not good:
            print(f"{case.name}: {said}", file=sys.stderr)
    total = len(corpus.CASES)
    yield (f"{total} bad inputs", f"{max(80, total)} clear errors", str(clear), clear == total >= 80)


def fuzz(examples: int) -> Iterator[Row]:
    """Fuzz the configuration and the readers."""
    each = -(-examples // len(fuzzing.TARGETS))
    failures, ran = [], 0
    for target in fuzzing.TARGETS:
        seed, done = 0, 0
        try:
            while done < each:  # where the strategy has few distinct samples, hypothesis stops early
                found = fuzz_one(target, each - done, seed)
                seed, done = seed + 1, done + found
        except Exception as error:
            failures.append(target.name)
            print(f"{target.name}: {error!r}", file=sys.stderr)
        ran += done
    yield (
        f"fuzz of {len(fuzzing.TARGETS)} readers",
        f"{examples} examples, no traceback",
        f"{ran} examples, {len(failures)} tracebacks {' '.join(failures)}".strip(),
        ran >= examples and not failures,
    )


def fuzz_one(target: fuzzing.Target, examples: int, seed: int) -> int:
    """Read up to so many samples of a target; return how many."""
    ran = 0
    with tempfile.TemporaryDirectory() as folder:

        def read(sample: object) -> None:
            nonlocal ran
            ran += 1
            target.read(sample, Path(folder))

        options = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
        hypothesis.seed(seed)(settings(max_examples=examples, **options)(given(target.strategy)(read)))()
    return ran


def reproduce(folder: Path, reference: dict[str, str]) -> Iterator[Row]:
    """Run again from nothing, with the same seeds, and compare to the byte."""
    found = digests(small_run(folder).results)
    differing = [name for name, digest in reference.items() if found.get(name) != digest]
    for name in differing:
        tell(f"differs: {name}")
    yield (
        "same seed, same machine, one thread, run twice",
        f"{len(reference)} files identical",
        f"{len(reference) - len(differing)} identical",
        not differing,
    )


def slurm() -> Iterator[Row]:
    """Run on a real one-node cluster."""
    command = [sys.executable, str(ROOT / "benchmarks/check_slurm.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout + done.stderr[-3000:], file=sys.stderr)
    last = (done.stdout.strip() or done.stderr.strip() or "nothing").splitlines()[-1]
    yield ("real SLURM run (make test-slurm)", "every line passes", last, done.returncode == 0)


def main(words: list[str] | None = None) -> int:
    """Measure what was asked for and print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--fuzz", type=int, default=10_000)
    parts = ("kills", "reproduce", "inputs", "fuzz", "slurm")
    parser.add_argument("--folder", type=Path, help="keep the runs here, and go on with them")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    chosen = parser.parse_args(words)
    warnings.simplefilter("ignore")
    rows: list[Row] = []
    with contextlib.chdir(ROOT):
        if "inputs" in chosen.only:
            rows += bad_inputs()
        if "fuzz" in chosen.only:
            rows += fuzz(chosen.fuzz)
    if {"kills", "reproduce"} & set(chosen.only):
        with tempfile.TemporaryDirectory(prefix="getsei-survival-") as name:
            folder = chosen.folder or Path(name)
            workflow = small_run(folder / "undisturbed")
            duration_s = float((workflow.folder / "seconds.txt").read_text(encoding="utf-8"))
            reference = digests(workflow.results)
            if "reproduce" in chosen.only:
                rows += reproduce(folder / "again", reference)
            if "kills" in chosen.only:
                rows += random_kills(folder, reference, duration_s, chosen.kills)
    if "slurm" in chosen.only:
        rows += slurm()
    width = [max(len(row[column]) for row in rows) for column in range(3)]
    for what, bar, found, met in rows:
        print(f"{what:{width[0]}}  {bar:{width[1]}}  {found:{width[2]}}  {'pass' if met else 'MISS'}")
    return 0 if all(row[3] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
