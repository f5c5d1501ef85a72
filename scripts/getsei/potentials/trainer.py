"""Run mace-torch's trainer: `python -m getsei.potentials.trainer`, arguments as for `mace_run_train`.

Its loops, losses and checkpoints are mace-torch's own. Only the evaluation of batches is ours where the model
is of the class of the compiled kernel (`getsei.potentials.native.gradients`), several times faster.
"""

import ctypes
import functools
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import mace  # noqa: F401  (allows the unpickling that e3nn does at import)
import torch
from mace.cli.run_train import main

from getsei.potentials.native.gradients import Accelerated

PR_SET_PDEATHSIG = 1
"""Of Linux, see prctl(2)."""


def end_with_parent() -> None:
    """Let Linux end this process with the job that started it.

    A training that outlives its killed job writes on into the folder in which the next one goes on.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def accelerate(loops: Any, tables: Any) -> None:
    """Let mace-torch's modules of training loops and closing tables evaluate batches by `Accelerated`."""
    remembered = functools.lru_cache(maxsize=2)(Accelerated)

    def accelerated(function: Callable) -> Callable:
        @functools.wraps(function)
        def run(model: torch.nn.Module, *others: Any, **arguments: Any) -> Any:
            return function(remembered(model), *others, **arguments)

        return run

    loops.take_step, loops.evaluate = accelerated(loops.take_step), accelerated(loops.evaluate)
    tables.evaluate = loops.evaluate


if __name__ == "__main__":
    end_with_parent()
    # From here on torch reads data only: checkpoints hold nothing else. The exception is a model to start
    # from, a module that `getsei.potentials.finetuning` pickled a moment ago.
    if not any(word.startswith("--foundation_model=") for word in sys.argv):
        os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    # Weights that decay to nothing become subnormal, and those slow a processor down several times.
    torch.set_flush_denormal(True)
    logging.getLogger("getsei").propagate = True
    # By name: `mace.tools` holds a function `train` in place of its module.
    accelerate(*map(importlib.import_module, ("mace.tools.train", "mace.tools.tables_utils")))
    main()
