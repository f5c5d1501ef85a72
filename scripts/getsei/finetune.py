"""Train a MACE model further on labelled frames of one's own: ``make finetune MODEL=… DATA=…``.

    python -m getsei.finetune MODEL DATA... [--replay FILE...] [--output own.safetensors] [--epochs 20]

MODEL is a ``.safetensors`` file, ``mace:NAME`` (foundation model), or a file pickled by mace-torch; the last
two need ``--sha256`` or ``--trust``, because reading a pickle runs whatever code it holds.
"""

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path

from getsei.errors import UserError
from getsei.potentials import finetuning


def main(words: list[str] | None = None) -> int:
    """Fine-tune a model and say what it gained."""
    parser = argparse.ArgumentParser(prog="python -m getsei.finetune", description=main.__doc__)
    parser.add_argument("model")
    parser.add_argument("data", type=Path, nargs="*", help="labelled frames: extxyz, or what ASE reads")
    parser.add_argument(
        "--replay", type=Path, nargs="*", default=[], help="labelled frames of what MODEL knew"
    )
    parser.add_argument("--output", type=Path, default=Path("finetuned.safetensors"))
    parser.add_argument("--epochs", type=int, default=finetuning.SCHEDULE.epochs)
    parser.add_argument("--learning-rate", type=float, default=finetuning.SCHEDULE.learning_rate)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sha256")
    parser.add_argument("--trust", action="store_true")
    chosen = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        if not chosen.model or not chosen.data:
            raise UserError(
                "say what to train and on what: make finetune MODEL=model.safetensors DATA=dft.extxyz"
            )
        if chosen.output.exists():
            raise UserError(f"{chosen.output}: exists already; name another file with OUTPUT=")
        card = finetuning.finetune(
            finetuning.Start.load(chosen.model, chosen.sha256, trust=chosen.trust),
            chosen.data,
            chosen.output,
            replay=chosen.replay,
            schedule=replace(finetuning.SCHEDULE, epochs=chosen.epochs, learning_rate=chosen.learning_rate),
            seed=chosen.seed,
            device=chosen.device,
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    errors = {when: found["force_rmse_meV_per_A"] for when, found in card["errors_on_test_frames"].items()}
    n = card["data"]["test"]["frames"]
    print(
        f"forces on {n} frames that were held out: {errors['before']} meV/Å before, {errors['after']} after"
    )
    print(f"{chosen.output}: sha256 {card['sha256']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
