"""Speed and accuracy of the native kernel beside mace-torch, bar by bar.

Prints every bar with its limit, what was measured and pass or MISS; the exit status is 1 if one is missed.
The whole takes about 20 minutes of one core; --list says what each part takes. A part that was measured with
this very code, model and processor is not measured again (--fresh does), so that a run that was stopped
goes on, and parts can be run one by one. Times are CPU times of one thread, which other jobs disturb less
than they disturb the clock; they still want a quiet machine.
"""

import argparse
import contextlib
import functools
import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import md_accuracy
import md_cases as cases
import md_long
import md_speed
from getsei import provenance
from getsei.potentials.native import build
from md_bars import Bar

CODE = (
    *("getsei/dynamics/engine.py", "getsei/dynamics/guards.py", "getsei/dynamics/protocol.py"),
    *("getsei/potentials/models.py", "getsei/structures/building.py"),
)
"""What is measured, with all that it imports."""
BUSY = 0.5
"""Load per core, averaged over a minute, above which a time is worth less."""


@dataclass(frozen=True)
class Part:
    """Something to measure, and about how many minutes it takes on a quiet core."""

    measure: Callable[[], list[Bar]]
    minutes: float


def all_parts() -> dict[str, Part]:
    """Return the parts by name, in the order in which they run."""
    return {
        "speed": Part(md_speed.measure, 4.0),
        "replicas": Part(md_speed.replicas, 0.5),
        "threads": Part(md_speed.threads, 0.5),
        "shapes": Part(md_speed.shapes, 1.5),
        "accuracy": Part(md_accuracy.measure, 2.0),
        **{f"energy-{name}": Part(functools.partial(md_long.energy, name), 2.0) for name in cases.systems()},
        "statistics": Part(md_long.statistics, 3.0),
    }


def fingerprint() -> str:
    """Return what changes with the code, the benchmark, the model or the processor."""
    digest = hashlib.sha256(provenance.code_digest(*CODE).encode())
    for path in (cases.MODEL, *sorted(Path(__file__).parent.glob("md_*.py"))):
        digest.update(provenance.file_digest(path).encode())
    digest.update(processor().encode())
    return digest.hexdigest()[:12]


def processor() -> str:
    """Return the name of the processor and the instruction set that is used."""
    lines = build.CPUINFO.read_text(encoding="ascii").splitlines() if build.CPUINFO.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {build.best_target()}"


class Tee(io.TextIOBase):
    """Writes to a stream and remembers."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.said = stream, ""

    def write(self, text: str) -> int:
        """Write and remember."""
        self.said += text
        return self.stream.write(text)

    def flush(self) -> None:
        """Flush the stream."""
        self.stream.flush()


def result(name: str, part: Part, folder: Path, key: str, fresh: bool) -> list[Bar]:
    """Return the bars of a part: measured now and stored, or as stored by an earlier run."""
    path = folder / f"{name}.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if stored.get("key") == key and not fresh:
        print(f"\n== {name}, as measured {stored['when']} (--fresh measures again)\n{stored['text']}", end="")
        return [Bar(**bar) for bar in stored["bars"]]
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    print(f"\n== {name}: about {part.minutes:g} min from {time.strftime('%H:%M')} on", flush=True)
    tee, started = Tee(sys.stdout), time.perf_counter()
    with contextlib.redirect_stdout(tee):
        if load > BUSY:
            print(f"the machine is busy (load {load:.1f} per core): times will be worse than they could be")
        bars = part.measure()
        print(f"took {(time.perf_counter() - started) / 60:.1f} min", flush=True)
    facts = {"key": key, "when": time.strftime("%Y-%m-%d %H:%M"), "text": tee.said}
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(facts | {"bars": [asdict(bar) for bar in bars]}), encoding="utf-8")
    partial.replace(path)
    return bars


def main(arguments: Sequence[str]) -> int:
    """Run the parts and return the exit status."""
    parts = all_parts()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts), metavar="PART")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured before")
    parser.add_argument("--list", action="store_true", help="print the parts with their minutes, and end")
    parser.add_argument("--folder", type=Path, default=cases.ROOT / "results/benchmarks/md")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        for name, part in parts.items():
            print(f"{name:20} {part.minutes:4.1f} min")
        return 0
    key = fingerprint()
    print(f"{processor()}; code {key}")
    bars = [
        bar
        for name in parts
        if name in chosen.only
        for bar in result(name, parts[name], chosen.folder, key, chosen.fresh)
    ]
    width = max([len(bar.name) for bar in bars], default=0)
    print(f"\n{'bar':{width}}  {'limit':>12}  {'measured':>10}")
    for bar in bars:
        print(bar.line(width))
    missed = sum(not bar.passed for bar in bars)
    print(f"{len(bars) - missed} of {len(bars)} bars passed")
    left = [name for name in parts if name not in chosen.only]
    if left:
        print(f"not run: {', '.join(left)} (make bench-md ARGUMENTS='--only {' '.join(left)}')")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
