"""Environments through an encoder, and encoders to and from files."""

import dataclasses
import hashlib
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from getsei import tensors
from getsei.contrastive.encoder import Batch, EncoderSettings, Tokeniser, build
from getsei.contrastive.pool import Pool
from getsei.errors import UserError

log = logging.getLogger("getsei")


@dataclass(frozen=True)
class Trained:
    """Encoders that differ only in the seed they were trained from.

    Attributes
    ----------
    encoders : list of torch.nn.Module
        The first is the one in use; the others tell how much hangs on the seed.
    history : list of dict
        Step, loss and learning rate of the first.
    chance_loss : float
        Loss without learning; NaN where that is not known.
    """

    encoders: list[nn.Module]
    history: list[dict[str, float]]
    chance_loss: float

    @property
    def final_loss(self) -> float:
        """Mean loss over the last tenth of the training."""
        tail = self.history[-max(1, len(self.history) // 10) :]
        return float(np.mean([entry["loss"] for entry in tail]))


def embed(encoder: nn.Module, pool: Pool) -> np.ndarray:
    """Return the (n_frames, n_ions, dimensions) float32 embedding of all environments of a pool.

    It lies in a nameless temporary file, so that memory does not grow with the run.
    """
    shape = (pool.n_frames, pool.n_ions, encoder.settings.dimensions)
    with tempfile.TemporaryFile() as file:
        vectors = np.memmap(file, np.float32, mode="w+", shape=shape)
    frames_at_once = max(1, encoder.block // pool.n_ions)
    tokenise = Tokeniser(encoder.settings.elements)
    started = time.perf_counter()
    for first in range(0, pool.n_frames, frames_at_once):
        frames = np.arange(first, min(first + frames_at_once, pool.n_frames))
        ions = np.tile(np.arange(pool.n_ions), len(frames))
        block = embed_rows(encoder, tokenise, pool, ions, np.repeat(frames, pool.n_ions))
        vectors[frames[0] : frames[-1] + 1] = block.reshape(len(frames), pool.n_ions, -1)
    speed = pool.n_frames * pool.n_ions / (time.perf_counter() - started)
    log.info("embedded %d environments, %.0f per second", pool.n_frames * pool.n_ions, speed)
    return np.asarray(vectors)


def embed_rows(
    encoder: nn.Module, tokenise: Tokeniser, pool: Pool, ions: np.ndarray, frames: np.ndarray
) -> np.ndarray:
    """Return the (n, dimensions) embedding of some ions at some frames, block by block."""
    parts = []
    for start in range(0, len(ions), encoder.block):
        rows = slice(start, start + encoder.block)
        batch: Batch = tokenise(*pool.gather(ions[rows], frames[rows]))
        with torch.inference_mode():
            parts.append(encoder(batch).numpy())
    return np.concatenate(parts)


def embed_some(encoder: nn.Module, pool: Pool, ions: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the (n, dimensions) embedding of some ions at some frames."""
    with one_thread():
        return embed_rows(encoder, Tokeniser(encoder.settings.elements), pool, ions, frames)


def digest(encoder: nn.Module) -> str:
    """Return 16 hexadecimal digits of a hash of the weights."""
    hashed = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(value.numpy().tobytes())
    return hashed.hexdigest()[:16]


def save(trained: Trained, path: str | Path) -> None:
    """Write weights, settings and course of the training, whole or not at all."""
    arrays = {
        f"{number}.{name}": value.numpy()
        for number, encoder in enumerate(trained.encoders)
        for name, value in encoder.state_dict().items()
    }
    facts = {
        "settings": dataclasses.asdict(trained.encoders[0].settings),
        "encoders": len(trained.encoders),
        "history": trained.history,
        "chance_loss": trained.chance_loss,
    }
    tensors.save(path, arrays, facts)


def load(path: str | Path) -> Trained:
    """Read encoders; the file can hold data only, no code.

    Raises
    ------
    UserError
        If it is not the file of encoders.
    """
    arrays, stored = tensors.load(path)
    try:
        settings = EncoderSettings(
            **(stored["settings"] | {"elements": tuple(stored["settings"]["elements"])})
        )
        encoders = [build(settings, seed=0) for _ in range(stored["encoders"])]
        for number, encoder in enumerate(encoders):
            own = {name: arrays[f"{number}.{name}"] for name in encoder.state_dict()}
            encoder.load_state_dict({name: torch.from_numpy(value) for name, value in own.items()})
        return Trained(encoders, stored["history"], stored["chance_loss"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: not the file of an encoder; delete it and run again") from error


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch on one thread: sums then have one order, and same seed means same file.

    These matrices are small; a second thread made training slower, not faster, when it was measured.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
