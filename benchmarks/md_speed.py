"""Time all engines side by side, the kernel alone and under LAMMPS."""

import subprocess
import sys
import time
from collections.abc import Callable

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
SMALL = 200
"""Below this many atoms the overhead of a step may count for more."""


def best(work: Callable[[], object], calls: int, blocks: int) -> float:
    """Return the least CPU time of this thread in one of several blocks, in seconds per call."""
    found = np.inf
    for _ in range(blocks):
        started = time.thread_time()
        for _ in range(calls):
            work()
        found = min(found, (time.thread_time() - started) / calls)
    return found


def alone(evaluator: cases.models.Evaluator, case: cases.Case, calls: int) -> float:
    """Return microseconds per atom and call, with atoms that move a little from call to call."""
    rng = np.random.default_rng(2)
    steps = [case.positions + rng.normal(0.0, 0.01, case.positions.shape) for _ in range(4)]
    turn = iter(range(10**9))
    evaluator(case.positions, case.cell)
    blocks = BLOCKS if calls > 1 else 1
    return best(lambda: evaluator(steps[next(turn) % 4], case.cell), calls, blocks) * 1e6 / len(case)


def end_to_end(evaluator: cases.models.Evaluator, case: cases.Case, steps: int) -> float:
    """Return microseconds per atom and step of Langevin dynamics under LAMMPS, guarded for a crystal."""
    with Engine(case.species, case.cell, evaluator, TIMESTEP_PS) as engine:
        engine.create(case.positions)
        engine.minimise(20 if steps > 10 else 0)
        if case.name.startswith(CRYSTAL):  # a random mixture falls downhill, which guards take for a failure
            limits = guards.limits_of(case.species, {}, 0.0, 1e6, 1e6)
            engine.watch = guards.Monitor(limits, "benchmark", TIMESTEP_PS).moving
        engine.set_velocities(maxwell_velocities(case.species, TEMPERATURE_K, 1))
        engine.langevin(TEMPERATURE_K, cases.BATH_PS, protocol.draw_seed(1, 0))
        engine.settle()
        engine.advance(min(steps, 50))
        blocks = BLOCKS if steps > 1 else 1
        return best(lambda: engine.advance(steps), 1, blocks) * 1e6 / len(case) / steps


def measure() -> list[Bar]:
    """Print one row per cell and return the bars."""
    module = cases.embedded()
    tables, four = export.export(module), cases.random_model()
    print(
        f"{cases.MODEL.name}, one thread, CPU µs per atom and step; native: {build.best_target()} unless said"
    )
    heads = ("native", "f64", "avx2", "generic", "torch f32", "LAMMPS+native", "LAMMPS+torch", "ratio")
    print(f"{'atoms':>6} {'elements':>16} " + " ".join(f"{head:>13}" for head in heads), flush=True)
    eight = tuple(cases.models.known_elements(module))
    rows = [
        *((cases.crystal(CRYSTAL, repeats), tables, cases.embedded) for repeats in REPEATS),
        *((cases.lattice(shape, eight), tables, cases.embedded) for shape in SHAPES),
        (
            cases.lattice(SHAPES[1], tuple(cases.models.known_elements(four))),
            export.export(four),
            lambda: four,
        ),
    ]
    bars = []
    order = list(build.TARGETS)
    runnable = order[order.index(build.best_target()) :]
    for number, (case, table, fresh) in enumerate(rows):
        calls = max(2, CALLS_ATOMS // len(case))
        few, torch = max(1, calls // SLOWER), cases.torch(fresh(), case)
        times = [
            alone(cases.native(table, case), case, calls),
            alone(cases.native(table, case, dtype="float64"), case, calls),
            *(
                alone(cases.native(table, case, target=target), case, calls) if target in runnable else np.nan
                for target in ("avx2", "generic")
            ),
            alone(torch, case, few),
        ]
        whole = end_to_end(cases.native(table, case), case, calls)
        slow = end_to_end(torch, case, few)
        label = f"{len(set(case.species))} random weights" if number == len(rows) - 1 else case.name[:16]
        row = " ".join(f"{value:13.1f}" for value in (*times, whole, slow, slow / whole))
        print(f"{len(case):6d} {label:>16} {row}", flush=True)
        what = f"{len(case)} atoms, {label}"
        bars += [
            Bar(f"LAMMPS + native, {what}", 20.0 if len(case) < SMALL else 12.0, whole, "µs/atom/step"),
            Bar(f"torch over native under LAMMPS, {what}", 20.0, slow / whole, "times", at_least=True),
        ]
    return [*bars, replicas()]


ONE_REPLICA = """
import sys; sys.path.insert(0, {folder!r})
import md_cases as cases, md_speed
case = cases.crystal(md_speed.CRYSTAL, md_speed.REPEATS[1])
evaluator = cases.native(md_speed.export.export(cases.embedded()), case)
print("ready", flush=True); sys.stdin.readline()
print(md_speed.end_to_end(evaluator, case, 400), flush=True)
"""


def replicas() -> Bar:
    """Run one replica, then two at once, in processes of their own; return the loss of the slower one."""
    command = [sys.executable, "-c", ONE_REPLICA.format(folder=str(cases.ROOT / "benchmarks"))]

    def run(count: int) -> float:
        pipes = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.DEVNULL,
            "text": True,
        }
        started = [subprocess.Popen(command, **pipes) for _ in range(count)]
        for process in started:
            while process.stdout.readline().strip() not in ("ready", ""):  # what imports say comes before
                pass
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        return max(float(process.communicate()[0]) for process in started)

    one, two = run(1), run(2)
    print(f"replicas at once: one {one:.2f}, two {two:.2f} µs/atom/step of CPU time", flush=True)
    return Bar("loss of each of two replicas at once", 10.0, 100.0 * (two / one - 1.0), "% of CPU time")


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
