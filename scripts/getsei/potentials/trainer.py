"""Run mace-torch's trainer: `python -m getsei.potentials.trainer`, arguments as for `mace_run_train`."""

import os
import sys

import mace  # noqa: F401  (allows the unpickling that e3nn does at import)
import torch
from mace.cli.run_train import main

if __name__ == "__main__":
    # From here on torch reads data only: checkpoints hold nothing else. The exception is a model to start
    # from, a module that `getsei.potentials.finetuning` pickled a moment ago.
    if not any(word.startswith("--foundation_model=") for word in sys.argv):
        os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    # Weights that decay to nothing become subnormal, and those slow a processor down several times.
    torch.set_flush_denormal(True)
    main()
