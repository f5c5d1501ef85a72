"""Checkpoints of a training: all that the next step depends on, as data.

A training that goes on from one gives the same bits as one that was never interrupted: weights, moments of
the optimiser, the learning rate and both random streams are kept, so it does not matter when it was written.
"""

import dataclasses
import hashlib
import itertools
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from getsei import records, tensors
from getsei.errors import UserError

log = logging.getLogger("getsei")

EVERY_s = 60.0
"""Time between checkpoints."""


@dataclass
class Journal:
    """How a training went so far.

    Attributes
    ----------
    step : int
        Steps done.
    history : list of dict
        Loss and learning rate along the training.
    recent : list of float
        Losses since the last entry of the history.
    """

    step: int
    history: list[dict[str, float]]
    recent: list[float]


@dataclass(frozen=True)
class Trainer:
    """The parts of a training that change with every step."""

    modules: tuple[nn.Module, ...]
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    generator: torch.Generator
    rng: np.random.Generator


class Keeper:
    """Writes checkpoints to a file now and then, and reads the last one back.

    Parameters
    ----------
    path : Path or None
        The file; None keeps nothing.
    digest : str
        Of everything the training depends on; a checkpoint of another one is not used.
    """

    def __init__(self, path: Path | None, digest: str) -> None:
        self.path, self.digest = path, digest
        self._written = time.monotonic()

    def resume(self, trainer: Trainer) -> Journal:
        """Bring a trainer to the last checkpoint and return its journal; an empty one if there is none."""
        if self.path is None or not self.path.is_file():
            return Journal(0, [], [])
        try:
            arrays, facts = tensors.load(self.path)
            if facts.get("digest") != self.digest:
                log.info("%s is of another training; starting anew", self.path)
                return Journal(0, [], [])
            journal = Journal(**facts["journal"])
        except (UserError, KeyError, TypeError):
            log.info("%s is damaged; starting the training anew", self.path)
            return Journal(0, [], [])
        for number, module in enumerate(trainer.modules):
            prefix = f"module{number}."
            found = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            module.load_state_dict({name: torch.from_numpy(value) for name, value in found.items()})
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in arrays.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".")
                moments.setdefault(int(index), {})[key] = torch.from_numpy(value)
        groups = [
            group | {"betas": tuple(group["betas"]), "params": list(range(len(moments)))}
            for group in facts["groups"]
        ]
        trainer.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        trainer.schedule.load_state_dict(facts["schedule"])
        trainer.generator.set_state(torch.from_numpy(arrays["generator"]))
        trainer.rng.bit_generator.state = facts["rng"]
        log.info("going on after step %d", journal.step)
        return journal

    def keep(self, trainer: Trainer, journal: Journal, *, now: bool = False) -> None:
        """Write a checkpoint if the last one is old enough, or `now`."""
        if self.path is None or not (now or time.monotonic() - self._written >= EVERY_s):
            return
        arrays = {"generator": trainer.generator.get_state().numpy()}
        for number, module in enumerate(trainer.modules):
            for name, value in module.state_dict().items():
                arrays[f"module{number}.{name}"] = value.numpy()
        stored = trainer.optimiser.state_dict()
        for index, moments in stored["state"].items():
            for key, value in moments.items():
                arrays[f"optimiser.{index}.{key}"] = value.numpy()
        facts: dict[str, Any] = {
            "digest": self.digest,
            "journal": dataclasses.asdict(journal),
            "groups": [{k: v for k, v in group.items() if k != "params"} for group in stored["param_groups"]],
            "schedule": trainer.schedule.state_dict(),
            "rng": trainer.rng.bit_generator.state,
        }
        tensors.save(self.path, arrays, facts)
        self._written = time.monotonic()


def digest_of(settings: Any, systems: Sequence[Sequence[records.Environments]]) -> str:
    """Return a digest of everything that a training depends on: its settings and the environments."""
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(settings), sort_keys=True).encode())
    for replica in itertools.chain.from_iterable(systems):
        for part in (replica.offsets, replica.species, replica.vectors, replica.segments):
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
