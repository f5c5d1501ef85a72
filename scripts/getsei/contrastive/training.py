"""Train encoders without labels, and embed every environment with the first of them."""

import dataclasses
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from getsei import records
from getsei.contrastive import augmentation, checkpoints, diagnostics, embedding, losses
from getsei.contrastive.embedding import Trained
from getsei.contrastive.encoder import EncoderSettings, Tokeniser, build
from getsei.contrastive.pool import Pool, choose_training_ions, draw_pairs, shares
from getsei.errors import UserError

log = logging.getLogger("getsei")

HISTORY_EVERY = 20
GRADIENT_CLIP = 5.0
WEIGHT_DECAY = 1e-4
REPEAT_SAMPLE = 8000
"""Environments that the encoders of other seeds embed: enough to cluster, few enough to keep."""
_PROGRESS_S = 10.0


@dataclass(frozen=True)
class TrainingSettings:
    """The `gcl` part of a system's configuration; README of the configuration describes each key."""

    scope: str
    encoder: str
    loss: str
    temperature: float
    lag_frames: int
    noise_fraction: float
    drop_probability: float
    mask_probability: float
    steps: int
    batch_size: int
    dimensions: int
    learning_rate: float
    held_out_fraction: float
    repeats: int
    seed: int


def train(
    replicas: Sequence[records.Environments], settings: TrainingSettings
) -> tuple[records.Embedding, Trained]:
    """Train encoders on some of the ions of one system and embed all of them.

    Parameters
    ----------
    replicas : sequence of records.Environments
        The environments of each replica.
    settings : TrainingSettings
        What to train, how, from which seed.

    Returns
    -------
    records.Embedding
        One vector per ion and frame, the loss along the training, and what tells a collapsed encoder.
    Trained
        The encoders.

    Raises
    ------
    UserError
        If too few ions are left to train on, or the loss diverges.
    """
    trained = train_encoders([replicas], settings)
    return embed_system(trained, replicas, settings), trained


def train_encoders(
    systems: Sequence[Sequence[records.Environments]],
    settings: TrainingSettings,
    checkpoint: Path | None = None,
) -> Trained:
    """Train one encoder, and `repeats` more from other seeds, on the environments of one or more systems.

    With a `checkpoint`, a folder, an interrupted training goes on from there, to the same result. The job
    that reads the result deletes it: Snakemake takes the result back from a job that is killed after its
    last line.
    """
    pools = [Pool(replicas) for replicas in systems]
    if len({pool.cutoff_A for pool in pools}) > 1:
        raise UserError("gcl: systems that share an encoder need the same environments.cutoff_A")
    digest = checkpoints.digest_of(settings, systems)
    encoders, histories, chances = [], [], []
    with embedding.one_thread():
        for number in range(settings.repeats + 1):
            seed = settings.seed + number
            encoder = build(encoder_settings(pools, settings), seed)
            keeper = checkpoints.Keeper(checkpoint and checkpoint / f"seed{seed}.safetensors", digest)
            history, chance = _optimise(encoder, pools, settings, seed, keeper)
            encoders.append(encoder)
            histories.append(history)
            chances.append(chance)
    return Trained(encoders, histories[0], chances[0])


def embed_system(
    trained: Trained, replicas: Sequence[records.Environments], settings: TrainingSettings
) -> records.Embedding:
    """Embed all environments of a system, and a sample of them by the encoders of the other seeds."""
    pool = Pool(replicas)
    encoder, *others = trained.encoders
    rng = np.random.default_rng(settings.seed)
    total = pool.n_frames * pool.n_ions
    some = np.sort(rng.choice(total, size=min(REPEAT_SAMPLE, total), replace=False))
    rows = np.stack([some // pool.n_ions, some % pool.n_ions], axis=1)
    with embedding.one_thread():
        vectors = embedding.embed(encoder, pool)
    repeats = [embedding.embed_some(other, pool, rows[:, 1], rows[:, 0]) for other in others]
    training_ions = choose_training_ions(pool.n_ions, settings.held_out_fraction, settings.seed)
    found = diagnostics.diagnose(vectors, pool.segment_of, settings.lag_frames, settings.seed)
    found |= {
        "final_loss": trained.final_loss,
        "chance_loss": trained.chance_loss,
        "truncated_neighbours": 0.0,  # a pool is as wide as its widest environment
        "training_ions": float(training_ions.sum()),
        "environments": float(total),
    }
    for name, value in found.items():
        log.info("%s %.4g", name, value)
    return records.Embedding(
        vectors=vectors,
        repeats=np.stack(repeats) if repeats else np.zeros((0, *vectors[0, :0].shape), dtype=np.float32),
        repeat_rows=rows,
        replica=pool.replica,
        atoms=np.concatenate([replica.atoms for replica in pool.replicas]),
        training_ions=training_ions,
        segments=pool.segments,
        diagnostics=found,
        history=trained.history,
        frame_interval_ps=pool.replicas[0].frame_interval_ps,
        encoder_digest=embedding.digest(encoder),
        provenance={
            "settings": dataclasses.asdict(settings),
            "elements": list(encoder.settings.elements),
            "environments": [replica.provenance for replica in pool.replicas],
        },
    )


def embed_untrained(
    replicas: Sequence[records.Environments],
    settings: TrainingSettings,
    elements: Sequence[int],
    ions: np.ndarray,
    frames: np.ndarray,
) -> np.ndarray:
    """Embed with random weights: the baseline that tells what training adds.

    Parameters
    ----------
    replicas : sequence of records.Environments
        The environments of each replica.
    settings : TrainingSettings
        As of the trained encoder.
    elements : sequence of int
        Atomic numbers that the trained encoder knows.
    ions, frames : (n,) int arrays
        Which environments.

    Returns
    -------
    (n, dimensions) float32 array
        The embedding by the encoder as it was before its training.
    """
    pool = Pool(replicas)
    wanted = EncoderSettings(settings.encoder, tuple(elements), pool.cutoff_A, settings.dimensions)
    return embedding.embed_some(build(wanted, settings.seed), pool, ions, frames)


def encoder_settings(pools: Sequence[Pool], settings: TrainingSettings) -> EncoderSettings:
    """Return the settings of an encoder for the environments of some pools."""
    elements = tuple(sorted({number for pool in pools for number in pool.elements}))
    return EncoderSettings(settings.encoder, elements, pools[0].cutoff_A, settings.dimensions)


def _optimise(
    encoder: nn.Module,
    pools: Sequence[Pool],
    settings: TrainingSettings,
    seed: int,
    keeper: checkpoints.Keeper,
) -> tuple[list[dict[str, float]], float]:
    """Minimise the contrastive loss; return its course and its value without learning.

    Every round of a batch holds an ion once at most, and only views of one round are negatives of one
    another: two frames of an ion may well be the same environment.
    """
    ions = [
        np.flatnonzero(choose_training_ions(pool.n_ions, settings.held_out_fraction, settings.seed))
        for pool in pools
    ]
    rounds, per_round = shares([len(some) for some in ions], settings.batch_size)
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    projector = _projector(settings, seed)
    weights = [*encoder.parameters(), *projector.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=settings.learning_rate, total_steps=settings.steps + 1
    )
    tokenise = Tokeniser(encoder.settings.elements)
    amplitudes = [
        augmentation.amplitudes(*pool.amplitudes(), encoder.settings.elements, settings.noise_fraction)
        for pool in pools
    ]
    change = augmentation.ViewSettings(settings.drop_probability, settings.mask_probability)
    trainer = checkpoints.Trainer((encoder, projector), optimiser, schedule, generator, rng)
    journal = keeper.resume(trainer)
    first = journal.step + 1
    started = reported = time.perf_counter()
    for step in range(first, settings.steps + 1):
        sides: tuple[list[torch.Tensor], ...] = ([], [])
        for pool, some, number, amplitude in zip(pools, ions, per_round, amplitudes, strict=True):
            drawn, *both = draw_pairs(some, (rounds, number), pool.segment_of, settings.lag_frames, rng)
            for frames, side in zip(both, sides, strict=True):
                batch = tokenise(*pool.gather(drawn, frames))
                view = augmentation.view(batch, encoder.settings.masked, amplitude, change, generator)
                side.append(projector(encoder(view)).reshape(rounds, number, -1))
        loss = losses.evaluate(
            settings.loss, *(torch.cat(side, dim=1) for side in sides), settings.temperature
        )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, GRADIENT_CLIP)
        optimiser.step()
        schedule.step()
        value = float(loss.detach())
        journal.step = step
        journal.recent.append(value)
        if not np.isfinite(value):
            raise UserError("gcl: the loss is no longer a number; lower learning_rate")
        if step % HISTORY_EVERY == 0 or step == settings.steps:
            rate = schedule.get_last_lr()[0]
            loss_here = float(np.mean(journal.recent))
            journal.history.append({"step": step, "loss": loss_here, "learning_rate": float(rate)})
            journal.recent = []
        keeper.keep(trainer, journal, now=step == settings.steps)
        now = time.perf_counter()
        if now - reported > _PROGRESS_S or step == settings.steps:
            reported, speed = now, (step - first + 1) / (now - started)
            left = (settings.steps - step) / speed
            pairs = speed * rounds * sum(per_round)
            log.info(
                "seed %d, step %d, loss %.3f, %.0f pairs/s, %.0f s to go", seed, step, value, pairs, left
            )
    return journal.history, losses.chance(settings.loss, sum(per_round))


def _projector(settings: TrainingSettings, seed: int) -> nn.Module:
    """Build the head that takes the loss in place of the embedding; it is thrown away after training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        d = settings.dimensions
        return nn.Sequential(nn.Linear(d, 2 * d), nn.SiLU(), nn.Linear(2 * d, d))
