import dataclasses

import numpy as np
import pytest
from getsei import records, synthetic, tensors
from getsei.contrastive import training
from getsei.contrastive.encoder import Tokeniser
from getsei.errors import UserError

SETTINGS = training.TrainingSettings(
    encoder="moments",
    loss="nt_xent",
    temperature=0.5,
    lag_frames=2,
    noise_A=0.15,
    drop_probability=0.1,
    mask_probability=0.1,
    steps=60,
    batch_size=64,
    dimensions=16,
    learning_rate=0.005,
    held_out_fraction=0.25,
    seed=1,
)


@pytest.fixture(scope="module")
def truth():
    return synthetic.environments(n_ions=32, n_frames=60, seed=2)


@pytest.fixture(scope="module")
def trained(truth):
    return training.train([truth.environments], SETTINGS)


def test_training_learns_and_does_not_collapse(trained):
    diagnostics = trained[0].diagnostics
    assert diagnostics["final_loss"] < diagnostics["chance_loss"] - 0.5
    assert diagnostics["effective_rank"] > 2.0
    assert diagnostics["min_std"] > 1e-3
    assert diagnostics["mean_cosine"] < 0.6
    losses = [entry["loss"] for entry in trained[0].history]
    assert losses[-1] < losses[0]


def test_shapes_and_held_out_ions(trained):
    embedding = trained[0]
    assert embedding.vectors.shape == (60, 32, 16)
    assert embedding.vectors.dtype == np.float32
    assert embedding.training_ions.sum() == 24
    assert embedding.segments.tolist() == [[0, 30], [30, 60]]


def test_same_seed_same_result(truth, trained):
    again, encoder = training.train([truth.environments], SETTINGS)
    assert training.digest(encoder) == trained[0].encoder_digest
    np.testing.assert_array_equal(again.vectors, trained[0].vectors)
    short = dataclasses.replace(SETTINGS, seed=2, steps=2)
    assert training.train([truth.environments], short)[0].encoder_digest != trained[0].encoder_digest


def test_encoder_file_gives_the_same_embedding(truth, trained, tmp_path):
    training.save_encoder(trained[1], tmp_path / "encoder.safetensors")
    encoder = training.load_encoder(tmp_path / "encoder.safetensors")
    vectors = training.embed(encoder, training.Pool([truth.environments]))
    np.testing.assert_array_equal(vectors, trained[0].vectors)
    assert tensors.facts(tmp_path / "encoder.safetensors")["settings"]["kind"] == "moments"


def test_replicas_become_further_ions_of_the_shortest_length(truth, caplog):
    other = synthetic.environments(n_ions=10, n_frames=40, seed=9).environments
    embedding, encoder = training.train([truth.environments, other], dataclasses.replace(SETTINGS, steps=2))
    assert embedding.vectors.shape == (40, 42, 16)
    assert embedding.replica.tolist() == [0] * 32 + [1] * 10
    assert embedding.atoms.tolist() == [*range(32), *range(10)]
    assert embedding.segments.tolist() == [[0, 20], [20, 30], [30, 40]]
    assert "cut to the shortest, 40" in caplog.text
    pool = training.Pool([truth.environments, other])
    some = training.embed_rows(encoder, pool, np.array([35]), np.array([7]))
    np.testing.assert_allclose(some[0], embedding.vectors[7, 35], atol=1e-5)


def test_untrained_baseline_is_the_encoder_before_training(truth, trained):
    ions, frames = np.array([0, 3, 5]), np.array([1, 2, 3])
    before = training.embed_untrained([truth.environments], SETTINGS, ions, frames)
    assert before.shape == (3, 16)
    assert np.abs(before - trained[0].vectors[frames, ions]).max() > 1e-3


@pytest.mark.parametrize("encoder", ["moments", "graph"])
@pytest.mark.parametrize("loss", ["nt_xent", "barlow", "vicreg"])
def test_every_encoder_trains_with_every_loss(encoder, loss):
    small = synthetic.environments(n_ions=8, n_frames=6, seed=2).environments
    settings = dataclasses.replace(SETTINGS, encoder=encoder, loss=loss, steps=2, batch_size=8)
    embedding, _ = training.train([small], settings)
    assert np.isfinite(embedding.vectors).all()
    assert np.isfinite(embedding.history[-1]["loss"])


def test_pairs_stay_in_their_segment_within_the_lag():
    segment_of = np.repeat([0, 1, 2], [10, 1, 14])
    rng = np.random.default_rng(0)
    drawn, frames, partners = training.draw_pairs(np.arange(7), 700, segment_of, 3, rng)
    assert np.bincount(drawn).tolist() == [100] * 7
    np.testing.assert_array_equal(segment_of[frames], segment_of[partners])
    apart = np.abs(frames - partners)
    assert apart.max() == 3
    assert np.all((apart > 0) | (frames == 10))
    _, frames, partners = training.draw_pairs(np.arange(7), 50, segment_of, 0, rng)
    np.testing.assert_array_equal(frames, partners)


def test_a_batch_repeats_ions_only_when_it_must():
    rng = np.random.default_rng(0)
    drawn, _, _ = training.draw_pairs(np.arange(100), 64, np.zeros(5, dtype=int), 1, rng)
    assert len(set(drawn.tolist())) == 64


def test_diagnostics_recognise_collapse_and_isotropy():
    rng = np.random.default_rng(1)
    one = np.zeros(200, dtype=int)
    isotropic = training.diagnose(rng.normal(size=(200, 50, 4)), one, 1, seed=0)
    assert isotropic["effective_rank"] == pytest.approx(4.0, abs=0.05)
    assert isotropic["mean_cosine"] == pytest.approx(0.0, abs=0.05)
    line = np.array([1.0, 0.2, 0.0, 0.0]) + 0.01 * rng.normal(size=(200, 50, 1)) * np.array([0, 1.0, 0, 0])
    collapsed = training.diagnose(line, one, 1, seed=0)
    assert collapsed["effective_rank"] < 1.1
    assert collapsed["mean_cosine"] > 0.99
    assert collapsed["uniformity"] > isotropic["uniformity"]
    frozen = training.diagnose(np.ones((200, 50, 4)), one, 1, seed=0)
    assert frozen["effective_rank"] == 1.0
    assert frozen["alignment"] == pytest.approx(0.0, abs=1e-12)


def test_mistakes_are_named(truth):
    few = synthetic.environments(n_ions=4, n_frames=6, seed=2).environments
    with pytest.raises(UserError, match="left for training"):
        training.train([few], SETTINGS)
    other = dataclasses.replace(truth.environments, cutoff_A=6.0)
    with pytest.raises(UserError, match="cutoff_A"):
        training.Pool([truth.environments, other])
    with pytest.raises(UserError, match="never saw"):
        Tokeniser((3, 16))(np.array([[17]]), np.zeros((1, 1, 3)))


def test_embedding_survives_a_round_trip(trained, tmp_path):
    trained[0].save(tmp_path / "embedding.h5")
    again = records.Embedding.load(tmp_path / "embedding.h5")
    np.testing.assert_array_equal(again.vectors, trained[0].vectors)
    assert again.diagnostics["effective_rank"] == trained[0].diagnostics["effective_rank"]
