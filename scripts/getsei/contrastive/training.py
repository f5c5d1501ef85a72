"""Train an encoder without labels, and embed every environment with it."""

import dataclasses
import hashlib
import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ase.data import atomic_numbers
from torch import nn

from getsei import environments as extraction
from getsei import records, tensors
from getsei.contrastive import augmentation, losses
from getsei.contrastive.encoder import Batch, EncoderSettings, Tokeniser, build
from getsei.errors import UserError

log = logging.getLogger("getsei")

MIN_TRAINING_IONS = 4
"""With fewer there is nothing to contrast with."""

DIAGNOSTIC_SAMPLE = 4096
HISTORY_EVERY = 20
GRADIENT_CLIP = 5.0
WEIGHT_DECAY = 1e-4
_PROGRESS_S = 10.0


@dataclass(frozen=True)
class TrainingSettings:
    """The `gcl` part of a system's configuration; README of the configuration describes each key."""

    encoder: str
    loss: str
    temperature: float
    lag_frames: int
    noise_A: float
    drop_probability: float
    mask_probability: float
    steps: int
    batch_size: int
    dimensions: int
    learning_rate: float
    held_out_fraction: float
    seed: int

    @property
    def view(self) -> augmentation.ViewSettings:
        """How strongly views are changed."""
        return augmentation.ViewSettings(self.noise_A, self.drop_probability, self.mask_probability)


class Pool:
    """The environments of all replicas of a system, replicas behind one another as further ions.

    Parameters
    ----------
    replicas : sequence of records.Environments
        One per replica. The longer ones are cut to the frames of the shortest.

    Raises
    ------
    UserError
        If their cutoffs or frame intervals differ.
    """

    def __init__(self, replicas: Sequence[records.Environments]) -> None:
        for field in ("cutoff_A", "frame_interval_ps"):
            if len({getattr(replica, field) for replica in replicas}) != 1:
                raise UserError(f"the replicas differ in {field}; extract them again with the same settings")
        self.replicas = list(replicas)
        self.n_frames = min(replica.n_frames for replica in replicas)
        longest = max(replica.n_frames for replica in replicas)
        if longest > self.n_frames:
            log.warning("replicas of unequal length are cut to the shortest, %d frames", self.n_frames)
        self.replica = np.repeat(np.arange(len(replicas)), [r.n_ions for r in replicas])
        self.ion = np.concatenate([np.arange(r.n_ions) for r in replicas])
        self.width = max(extraction.widest(replica) for replica in replicas)
        self.elements = tuple(sorted({atomic_numbers[s] for r in replicas for s in r.elements}))
        self.segments = _cut_segments(replicas, self.n_frames)
        self.segment_of = np.zeros(self.n_frames, dtype=np.int64)
        for number, (start, stop) in enumerate(self.segments):
            self.segment_of[start:stop] = number

    @property
    def n_ions(self) -> int:
        """Number of ions of all replicas together."""
        return len(self.ion)

    def gather(self, ions: np.ndarray, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (n, width) atomic numbers and (n, width, 3) vectors (Å) of ions at frames."""
        species = np.zeros((len(ions), self.width), dtype=np.uint8)
        vectors = np.zeros((len(ions), self.width, 3), dtype=np.float32)
        for number, replica in enumerate(self.replicas):
            here = np.flatnonzero(self.replica[ions] == number)
            rows = frames[here] * replica.n_ions + self.ion[ions[here]]
            species[here], vectors[here], _ = extraction.padded(replica, rows, self.width)
        return species, vectors


def _cut_segments(replicas: Sequence[records.Environments], n_frames: int) -> np.ndarray:
    """Return segments that no replica's pairs cross: cut where any replica starts a new one."""
    starts = {int(start) for replica in replicas for start, _ in replica.segments}
    bounds = sorted({start for start in starts if start < n_frames} | {0, n_frames})
    return np.array(list(itertools.pairwise(bounds)), dtype=np.int64)


def train(
    replicas: Sequence[records.Environments], settings: TrainingSettings
) -> tuple[records.Embedding, nn.Module]:
    """Train an encoder on some of the ions and embed all of them.

    Parameters
    ----------
    replicas : sequence of records.Environments
        The environments of each replica of a system.
    settings : TrainingSettings
        What to train, how, from which seed.

    Returns
    -------
    records.Embedding
        One vector per ion and frame, the loss along the training, and what tells a collapsed encoder.
    torch.nn.Module
        The trained encoder.

    Raises
    ------
    UserError
        If too few ions are left to train on.
    """
    pool = Pool(replicas)
    rng = np.random.default_rng(settings.seed)
    training_ions = choose_training_ions(pool.n_ions, settings.held_out_fraction, rng)
    with one_thread():
        encoder = build(encoder_settings(pool, settings), settings.seed)
        history, chance = _optimise(encoder, pool, np.flatnonzero(training_ions), settings, rng)
        vectors = embed(encoder, pool)
    diagnostics = diagnose(vectors, pool.segment_of, settings.lag_frames, settings.seed)
    tail = history[-max(1, len(history) // 10) :]
    diagnostics |= {
        "final_loss": float(np.mean([entry["loss"] for entry in tail])),
        "chance_loss": chance,
        "truncated_neighbours": 0.0,
        "training_ions": float(training_ions.sum()),
        "environments": float(pool.n_ions * pool.n_frames),
    }
    for name, value in diagnostics.items():
        log.info("%s %.4g", name, value)
    atoms = np.concatenate([replica.atoms for replica in pool.replicas])
    embedding = records.Embedding(
        vectors=vectors,
        replica=pool.replica,
        atoms=atoms,
        training_ions=training_ions,
        segments=pool.segments,
        diagnostics=diagnostics,
        history=history,
        frame_interval_ps=pool.replicas[0].frame_interval_ps,
        encoder_digest=digest(encoder),
        provenance={
            "settings": dataclasses.asdict(settings),
            "environments": [replica.provenance for replica in pool.replicas],
        },
    )
    return embedding, encoder


def encoder_settings(pool: Pool, settings: TrainingSettings) -> EncoderSettings:
    """Return the settings of an encoder for the environments of a pool."""
    cutoff = pool.replicas[0].cutoff_A
    return EncoderSettings(settings.encoder, pool.elements, cutoff, settings.dimensions)


def choose_training_ions(n_ions: int, held_out_fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Return an (n_ions,) mask, False for a random `held_out_fraction` of the ions.

    Raises
    ------
    UserError
        If fewer than `MIN_TRAINING_IONS` are left.
    """
    n_held = round(held_out_fraction * n_ions)
    if n_ions - n_held < MIN_TRAINING_IONS:
        raise UserError(
            f"gcl: {n_ions - n_held} ions are left for training, {MIN_TRAINING_IONS} are needed; lower "
            "held_out_fraction or use a larger cell"
        )
    mask = np.ones(n_ions, dtype=bool)
    mask[rng.permutation(n_ions)[:n_held]] = False
    return mask


def draw_pairs(
    ions: np.ndarray, batch_size: int, segment_of: np.ndarray, lag_frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw positive pairs: an ion at a frame and the same ion at a nearby frame of the same segment.

    Ions are drawn without replacement as far as they last, so that few pairs of a batch share their ion.

    Parameters
    ----------
    ions : (n,) int array
        Ions to draw from.
    batch_size : int
        Number of pairs.
    segment_of : (n_frames,) int array
        Segment of each frame.
    lag_frames : int
        Largest distance of the two frames; 0 pairs a frame with itself.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    drawn, frames, partners : (batch_size,) int arrays
        Ion, frame and frame of the positive. Where neither side of a frame lies in its segment, the
        positive is the frame itself.
    """
    n_frames = len(segment_of)
    rounds = -(-batch_size // len(ions))
    drawn = np.concatenate([rng.permutation(ions) for _ in range(rounds)])[:batch_size]
    frames = rng.integers(n_frames, size=batch_size)
    if lag_frames == 0:
        return drawn, frames, frames
    step = rng.integers(1, lag_frames + 1, size=batch_size) * rng.choice([-1, 1], size=batch_size)
    partners = frames.copy()
    for candidate in (frames - step, frames + step):
        inside = (candidate >= 0) & (candidate < n_frames)
        inside &= segment_of[np.clip(candidate, 0, n_frames - 1)] == segment_of[frames]
        partners = np.where(inside, candidate, partners)
    return drawn, frames, partners


def _optimise(
    encoder: nn.Module,
    pool: Pool,
    ions: np.ndarray,
    settings: TrainingSettings,
    rng: np.random.Generator,
) -> tuple[list[dict[str, float]], float]:
    """Minimise the contrastive loss; return its course and its value without learning."""
    projector = _projector(settings)
    weights = [*encoder.parameters(), *projector.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=settings.learning_rate, total_steps=settings.steps + 1
    )
    generator = torch.Generator().manual_seed(settings.seed)
    tokenise = Tokeniser(pool.elements)
    masked = encoder.settings.masked
    history: list[dict[str, float]] = []
    chances, recent = [], []
    started = reported = time.perf_counter()
    for step in range(1, settings.steps + 1):
        drawn, *both = draw_pairs(ions, settings.batch_size, pool.segment_of, settings.lag_frames, rng)
        projected = []
        for frames in both:
            batch = tokenise(*pool.gather(drawn, frames))
            projected.append(projector(encoder(augmentation.view(batch, masked, settings.view, generator))))
        identity = torch.from_numpy(drawn)
        loss = losses.evaluate(settings.loss, *projected, settings.temperature, identity)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, GRADIENT_CLIP)
        optimiser.step()
        schedule.step()
        value = float(loss.detach())
        recent.append(value)
        chances.append(losses.chance(settings.loss, identity))
        if not np.isfinite(value):
            raise UserError("gcl: the loss is no longer a number; lower learning_rate")
        if step % HISTORY_EVERY == 0 or step == settings.steps:
            rate = schedule.get_last_lr()[0]
            history.append({"step": step, "loss": float(np.mean(recent)), "learning_rate": float(rate)})
            recent = []
        now = time.perf_counter()
        if now - reported > _PROGRESS_S or step == settings.steps:
            reported, speed = now, step / (now - started)
            left = (settings.steps - step) / speed
            pairs = speed * settings.batch_size
            log.info("step %d, loss %.3f, %.0f pairs/s, %.0f s to go", step, value, pairs, left)
    return history, float(np.mean(chances))


def _projector(settings: TrainingSettings) -> nn.Module:
    """Build the head that takes the loss in place of the embedding; it is thrown away after training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed + 1)
        d = settings.dimensions
        return nn.Sequential(nn.Linear(d, 2 * d), nn.SiLU(), nn.Linear(2 * d, d))


def embed(encoder: nn.Module, pool: Pool) -> np.ndarray:
    """Return the (n_frames, n_ions, dimensions) float32 embedding of all environments of a pool."""
    vectors = np.empty((pool.n_frames, pool.n_ions, encoder.settings.dimensions), dtype=np.float32)
    frames_at_once = max(1, encoder.block // pool.n_ions)
    started = time.perf_counter()
    for first in range(0, pool.n_frames, frames_at_once):
        frames = np.arange(first, min(first + frames_at_once, pool.n_frames))
        ions = np.tile(np.arange(pool.n_ions), len(frames))
        block = embed_rows(encoder, pool, ions, np.repeat(frames, pool.n_ions))
        vectors[frames] = block.reshape(len(frames), pool.n_ions, -1)
    speed = pool.n_frames * pool.n_ions / (time.perf_counter() - started)
    log.info("embedded %d environments, %.0f per second", pool.n_frames * pool.n_ions, speed)
    return vectors


def embed_rows(encoder: nn.Module, pool: Pool, ions: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the (n, dimensions) embedding of some ions at some frames."""
    batch: Batch = Tokeniser(encoder.settings.elements)(*pool.gather(ions, frames))
    with torch.inference_mode():
        return encoder(batch).numpy()


def embed_untrained(
    replicas: Sequence[records.Environments],
    settings: TrainingSettings,
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
    ions, frames : (n,) int arrays
        Which environments.

    Returns
    -------
    (n, dimensions) float32 array
        The embedding by the encoder as it was before its training.
    """
    pool = Pool(replicas)
    with one_thread():
        encoder = build(encoder_settings(pool, settings), settings.seed)
        parts = np.array_split(np.arange(len(ions)), max(1, len(ions) // encoder.block))
        return np.concatenate([embed_rows(encoder, pool, ions[rows], frames[rows]) for rows in parts])


def diagnose(vectors: np.ndarray, segment_of: np.ndarray, lag_frames: int, seed: int) -> dict[str, float]:
    """Tell whether an embedding has collapsed.

    Parameters
    ----------
    vectors : (n_frames, n_ions, d) array
        Embedding.
    segment_of : (n_frames,) int array
        Segment of each frame.
    lag_frames : int
        Lag of the positives.
    seed : int
        Seed of the sample.

    Returns
    -------
    dict
        Of the vectors scaled to length one. ``effective_rank``: exponential of the entropy of the
        normalised covariance eigenvalues (O. Roy, M. Vetterli, EUSIPCO 2007), 1 when all vary along one
        direction; ``min_std``: smallest standard deviation of a dimension; ``mean_cosine`` of random
        pairs; ``alignment``: mean square distance of an ion to itself within the lag; ``uniformity``: log
        of the mean of exp(-2 square distance) of random pairs, -4 at best (T. Wang, P. Isola, ICML 2020,
        arXiv:2005.10242).
    """
    rng = np.random.default_rng(seed)
    n_ions = vectors.shape[1]
    ions, frames, partners = draw_pairs(
        np.arange(n_ions), DIAGNOSTIC_SAMPLE, segment_of, max(1, lag_frames), rng
    )
    unit = unit_length(vectors[frames, ions].astype(np.float64))
    near = unit_length(vectors[partners, ions].astype(np.float64))
    other = unit[rng.permutation(len(unit))]
    spectrum = np.clip(np.linalg.eigvalsh(np.cov(unit.T)), 0.0, None)
    total = spectrum.sum()
    share = spectrum[spectrum > 0.0] / total if total > 0.0 else np.ones(1)
    square = ((unit - other) ** 2).sum(1)
    return {
        "effective_rank": float(np.exp(-(share * np.log(share)).sum())),
        "min_std": float(unit.std(0).min()),
        "mean_cosine": float((unit * other).sum(1).mean()),
        "alignment": float(((unit - near) ** 2).sum(1).mean()),
        "uniformity": float(np.log(np.exp(-2.0 * square).mean())),
    }


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Scale (..., d) vectors to length one."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def digest(encoder: nn.Module) -> str:
    """Return 16 hexadecimal digits of a hash of the weights."""
    hashed = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(value.numpy().tobytes())
    return hashed.hexdigest()[:16]


def save_encoder(encoder: nn.Module, path: str | Path) -> None:
    """Write weights and settings of an encoder, whole or not at all."""
    arrays = {name: value.numpy() for name, value in encoder.state_dict().items()}
    tensors.save(path, arrays, {"settings": dataclasses.asdict(encoder.settings)})


def load_encoder(path: str | Path) -> nn.Module:
    """Read an encoder; the file can hold data only, no code.

    Raises
    ------
    UserError
        If it is not the file of an encoder.
    """
    arrays, stored = tensors.load(path)
    try:
        settings = stored["settings"] | {"elements": tuple(stored["settings"]["elements"])}
        encoder = build(EncoderSettings(**settings), seed=0)
        encoder.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: not the file of an encoder; delete it and run again") from error
    return encoder


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
