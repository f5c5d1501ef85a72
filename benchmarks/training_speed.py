"""A step of training with compiled gradients beside mace-torch's own, in one run on one thread.

Forward, loss on energy, forces and stress, and backward, in float32, on rattled lattices of four elements.
Both take turns; ratios are of medians.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import md_cases as cases
import numpy as np
from getsei.potentials.models import torch
from getsei.potentials.native import gradients, reading

# isort: split
import mace_batches
from mace.modules.loss import UniversalLoss

ELEMENTS = ("Li", "P", "S", "Cl")
SHAPE = (4, 4, 5)
BATCHES = (2, 8)
OPTIONS = {"training": True, "compute_force": True, "compute_virials": False, "compute_stress": True}


def step(module: torch.nn.Module, evaluate: Callable, batch: object, loss: Callable) -> float:
    """Take one step but for the optimiser; return its CPU time in s."""
    module.zero_grad()
    start = time.process_time()
    loss(pred=evaluate(batch.to_dict()), ref=batch).backward()
    return time.process_time() - start


def slopes(module: torch.nn.Module) -> np.ndarray:
    """Return the gradients of the last step, all in one array."""
    return np.concatenate([p.grad.numpy().ravel() for p in module.parameters() if p.grad is not None])


def main(words: Sequence[str]) -> int:
    """Print a row for every width and batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--channels", type=int, nargs="+", default=[32, 64, 96, 128])
    parser.add_argument("--turns", type=int, default=15)
    chosen = parser.parse_args(words)
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    torch.set_flush_denormal(True)
    print("CPU µs per atom and step; difference: of all gradients, root mean square, relative\n")
    print(f"{'channels':>8} {'frames':>7} {'atoms':>6} {'mace':>7} {'compiled':>9} {'ratio':>6}  difference")
    for channels in chosen.channels:
        module = cases.random_model(channels).float()
        reader = reading.Reader(module)
        for frames in BATCHES:
            lattices = [cases.lattice(SHAPE, ELEMENTS, seed) for seed in range(frames)]
            batch = mace_batches.batch(module, [(c.positions, c.cell, c.species) for c in lattices])
            atoms, loss = sum(map(len, lattices)), UniversalLoss(1.0, 10.0, 10.0)
            ways = {
                "mace": lambda data, module=module: module(data, **OPTIONS),
                "compiled": lambda data, reader=reader: gradients.evaluate(reader, data),
            }
            times, found = {name: [] for name in ways}, {}
            for turn in range(chosen.turns + 1):
                for name, way in ways.items():
                    used = step(module, way, batch, loss)
                    found[name] = slopes(module)
                    if turn:  # the first one warms up
                        times[name].append(1e6 * used / atoms)
            mace, compiled = (float(np.median(times[name])) for name in ways)
            error = np.linalg.norm(found["compiled"] - found["mace"]) / np.linalg.norm(found["mace"])
            row = f"{channels:8d} {frames:7d} {atoms:6d} {mace:7.0f} {compiled:9.0f} {mace / compiled:6.1f}"
            print(f"{row}  {error:.1e}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
