"""Time all engines side by side, the kernel alone and under LAMMPS."""

import copy
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import md_cases as cases
import numpy as np
from getsei.dynamics import guards, protocol
from getsei.dynamics.engine import Engine
from getsei.dynamics.velocities import maxwell_velocities
from getsei.potentials.native import build, export
from md_bars import Bar

CRYSTAL = "Li6PS5Cl_ordered"
REPEATS = ((1, 1, 2), (1, 2, 5), (2, 4, 5), (5, 5, 6))
SHAPES = ((5, 5, 5), (8, 8, 8), (12, 13, 13), (20, 20, 20))
TEMPERATURE_K = 300.0
TIMESTEP_PS = 0.002
BLOCKS = 3
CALLS_ATOMS = 12_000
"""Atoms evaluated in one block, so that large cells do not take longer."""
SLOWER = 30
"""How many times fewer of them mace-torch evaluates."""
BAR_CHANNELS = 32
"""Width of the models that the limits of time are for."""
SMALL = 200
"""Below this many atoms the overhead of a step may count for more."""


def best(
    work: Callable[[], object], calls: int, blocks: int, clock: Callable[[], float] = time.thread_time
) -> float:
    """Return the least time in one of several blocks, in seconds per call."""
    found = np.inf
    for _ in range(blocks):
        started = clock()
        for _ in range(calls):
            work()
        found = min(found, (clock() - started) / calls)
    return found


def alone(
    evaluator: cases.models.Evaluator,
    case: cases.Case,
    calls: int,
    clock: Callable[[], float] = time.thread_time,
) -> float:
    """Return microseconds per atom and call, with atoms that move a little from call to call."""
    rng = np.random.default_rng(2)
    steps = [case.positions + rng.normal(0.0, 0.01, case.positions.shape) for _ in range(4)]
    turn = iter(range(10**9))
    evaluator(case.positions, case.cell)
    blocks = BLOCKS if calls > 1 else 1
    return best(lambda: evaluator(steps[next(turn) % 4], case.cell), calls, blocks, clock) * 1e6 / len(case)


def end_to_end(
    evaluator: cases.models.Evaluator, case: cases.Case, steps: int, guarded: bool = True
) -> float:
    """Return microseconds per atom and step of Langevin dynamics under LAMMPS, with the guards of a run."""
    with Engine(case.species, case.cell, evaluator, TIMESTEP_PS) as engine:
        engine.create(case.positions)
        engine.minimise(20 if steps > 10 else 0)
        if guarded:
            limits = guards.limits_of(case.species, {}, 0.0, 1e6, 1e6)
            engine.watch = guards.Monitor(limits, "benchmark", TIMESTEP_PS).moving
        engine.set_velocities(maxwell_velocities(case.species, TEMPERATURE_K, 1))
        engine.langevin(TEMPERATURE_K, cases.BATH_PS, protocol.draw_seed(1, 0))
        engine.settle()
        engine.advance(min(steps, 50))
        blocks = BLOCKS if steps > 1 else 1
        return best(lambda: engine.advance(steps), 1, blocks) * 1e6 / len(case) / steps


@dataclass(frozen=True)
class Row:
    """Atoms and the model to time on them; the bar on the time is for models of `BAR_CHANNELS`."""

    case: cases.Case
    label: str
    tables: export.Tables
    module: Any


def rows() -> list[Row]:
    """Return what to time: the embedded potential, and one of the width that has a bar if it is wider."""
    embedded = cases.embedded()
    numbers = [int(number) for number in embedded.atomic_numbers]
    models = [(f"{export.check_class(embedded)[0]} channels", embedded)]
    if export.check_class(embedded)[0] != BAR_CHANNELS:
        shaped = cases.random_model(BAR_CHANNELS, atomic_numbers=numbers)
        models.insert(0, (f"{BAR_CHANNELS} random", shaped))
    elements = tuple(cases.models.known_elements(embedded))
    atoms = [*(cases.crystal(CRYSTAL, repeats) for repeats in REPEATS)]
    atoms += [cases.lattice(shape, elements) for shape in SHAPES]
    found = []
    for number, (label, module) in enumerate(models):
        tables = export.export(module)
        found += [Row(case, label, tables, module) for case in (atoms[: len(REPEATS)] if number else atoms)]
    four = cases.random_model(BAR_CHANNELS)
    lattice = cases.lattice(SHAPES[1], tuple(cases.models.known_elements(four)))
    return [*found, Row(lattice, f"{BAR_CHANNELS} random", export.export(four), four)]


def measure() -> list[Bar]:
    """Print one row per cell and model, and return the bars."""
    print(
        f"{cases.MODEL.name}, one thread, CPU µs per atom and step; native: {build.best_target()} unless said"
    )
    heads = ("native", "f64", "avx2", "generic", "torch f32", "LAMMPS+native", "LAMMPS+torch", "ratio")
    print(
        f"{'atoms':>6} {'elements':>8} {'model':>13} " + " ".join(f"{head:>13}" for head in heads), flush=True
    )
    bars = []
    order = list(build.TARGETS)
    runnable = order[order.index(build.best_target()) :]
    for row in rows():
        case, elements = row.case, len(set(row.case.species))
        calls = max(2, CALLS_ATOMS // len(case))
        few, torch = max(1, calls // SLOWER), cases.torch(copy.deepcopy(row.module), case)
        times = [
            alone(cases.native(row.tables, case), case, calls),
            alone(cases.native(row.tables, case, dtype="float64"), case, calls),
            *(
                alone(cases.native(row.tables, case, target=target), case, calls)
                if target in runnable
                else np.nan
                for target in ("avx2", "generic")
            ),
            alone(torch, case, few),
        ]
        # A random mixture, or random weights, fall downhill, which the guards take for a failure.
        guarded = case.name == CRYSTAL and row.label.endswith("channels")
        whole = end_to_end(cases.native(row.tables, case), case, calls, guarded)
        slow = end_to_end(torch, case, few, guarded)
        numbers = " ".join(f"{value:13.1f}" for value in (*times, whole, slow, slow / whole))
        print(f"{len(case):6d} {elements:8d} {row.label:>13} {numbers}", flush=True)
        what = f"{len(case)} atoms, {elements} elements, {row.label}"
        if row.tables.channels == BAR_CHANNELS:
            limit = 20.0 if len(case) < SMALL else 12.0
            bars.append(Bar(f"LAMMPS + native, {what}", limit, whole, "µs/atom/step"))
        bars.append(
            Bar(f"torch over native under LAMMPS, {what}", 20.0, slow / whole, "times", at_least=True)
        )
    return bars


REPLICA = """
import sys; sys.path.insert(0, {folder!r})
import md_cases as cases, md_speed
case = cases.crystal(md_speed.CRYSTAL, md_speed.REPEATS[1])
evaluator = cases.native(md_speed.export.export(cases.embedded()), case)
print("ready", flush=True)
for _ in sys.stdin:
    print(md_speed.end_to_end(evaluator, case, {steps}), flush=True)
"""
REPLICA_STEPS, REPLICA_ROUNDS = 400, 4


def replicas() -> list[Bar]:
    """Time one replica and two at once by turns, in processes of their own; the best of each counts."""
    program = REPLICA.format(folder=str(cases.ROOT / "benchmarks"), steps=REPLICA_STEPS)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    started = [subprocess.Popen([sys.executable, "-c", program], **pipes) for _ in range(2)]

    def run(processes: Sequence[subprocess.Popen]) -> float:
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        return max(float(process.stdout.readline()) for process in processes)

    try:
        for process in started:
            while process.stdout.readline().strip() not in ("ready", ""):  # what imports say comes before
                pass
        rounds = [(run(started[:1]), run(started[1:]), run(started)) for _ in range(REPLICA_ROUNDS)]
    finally:
        for process in started:
            process.communicate()
    for one, other, two in rounds:
        print(
            f"µs of CPU per atom and step: {one:.2f} alone, {other:.2f} alone, {two:.2f} at once", flush=True
        )
    alone = min(min(one, other) for one, other, _ in rounds)
    loss = 100.0 * (min(two for _, _, two in rounds) / alone - 1.0)
    return [Bar("loss of each of two replicas at once", 10.0, loss, "% of CPU time")]


def threads() -> list[Bar]:
    """Print how much sooner an evaluation ends with several threads, by the clock: no bar, but a choice."""
    tables = export.export(cases.embedded())
    counts = [count for count in (1, 2, 4, 8) if count <= (os.cpu_count() or 1)]
    print(
        f"{'atoms':>6} "
        + " ".join(f"{f'{count} threads':>11}" for count in counts)
        + "  µs per atom by the clock"
    )
    for repeats in REPEATS[1:]:
        case = cases.crystal(CRYSTAL, repeats)
        calls = max(2, CALLS_ATOMS // len(case))
        times = []
        for count in counts:
            evaluator = cases.native(tables, case, threads=count)
            times.append(alone(evaluator, case, calls, time.perf_counter))
        row = " ".join(f"{value:11.2f}" for value in times)
        print(f"{len(case):6d} {row}  best {times[0] / min(times):.2f} times sooner", flush=True)
    return []


def shapes() -> list[Bar]:
    """Print what wider models and longer cutoffs cost; random weights serve for that."""
    case = cases.crystal(CRYSTAL, REPEATS[1])
    print(
        f"{len(case)} atoms of {CRYSTAL}, random weights; CPU µs per atom and evaluation, float32, one thread"
    )
    heads = ("channels", "cutoff Å", "lmax", "layers", "native", "torch", "parameters")
    print(" ".join(f"{head:>10}" for head in heads), flush=True)
    grid = [
        (32, 5.0, 2, 2), (64, 5.0, 2, 2), (96, 5.0, 2, 2), (128, 5.0, 2, 2),
        (32, 6.0, 2, 2), (64, 6.0, 2, 2), (32, 5.0, 3, 2), (64, 5.0, 3, 2), (32, 5.0, 2, 1), (32, 5.0, 2, 3),
    ]  # fmt: skip
    for channels, cutoff, lmax, layers in grid:
        module = cases.random_model(channels, cutoff, lmax=lmax, layers=layers)
        size = sum(weight.numel() for weight in module.parameters())
        fast = alone(cases.native(export.export(module), case), case, 20)
        slow = alone(cases.torch(module, case), case, 1)
        row = f"{channels:10d} {cutoff:10.1f} {lmax:10d} {layers:10d} {fast:10.1f} {slow:10.0f} {size:10d}"
        print(row, flush=True)
    return []
