import dataclasses

import numpy as np
import pytest
from getsei import records, synthetic, tensors
from getsei.contrastive import checkpoints, diagnostics, embedding, losses, training
from getsei.contrastive.encoder import Tokeniser
from getsei.contrastive.pool import Pool, draw_pairs, shares
from getsei.errors import UserError

SETTINGS = training.TrainingSettings(
    scope="system",
    encoder="moments",
    loss="nt_xent",
    temperature=0.5,
    lag_frames=2,
    noise_fraction=1.0,
    drop_probability=0.1,
    mask_probability=0.1,
    steps=60,
    batch_size=64,
    dimensions=16,
    learning_rate=0.005,
    held_out_fraction=0.25,
    repeats=1,
    seed=1,
)


@pytest.fixture(scope="module")
def truth():
    return synthetic.environments(n_ions=32, n_frames=60, seed=2)


@pytest.fixture(scope="module")
def trained(truth):
    return training.train([truth.environments], SETTINGS)


def test_training_learns_and_does_not_collapse(trained):
    found = trained[0].diagnostics
    assert found["final_loss"] < found["chance_loss"] - 0.5
    assert found["effective_rank"] > 2.0
    assert found["min_std"] > 1e-3
    assert found["mean_cosine"] < 0.6
    losses = [entry["loss"] for entry in trained[0].history]
    assert losses[-1] < losses[0]


def test_shapes_and_held_out_ions(trained):
    found = trained[0]
    assert found.vectors.shape == (60, 32, 16)
    assert found.vectors.dtype == np.float32
    assert found.training_ions.sum() == 24
    assert found.segments.tolist() == [[0, 30], [30, 60]]


def test_same_seed_same_result(truth, trained):
    again, trained_again = training.train([truth.environments], SETTINGS)
    assert embedding.digest(trained_again.encoders[0]) == trained[0].encoder_digest
    np.testing.assert_array_equal(again.vectors, trained[0].vectors)
    short = dataclasses.replace(SETTINGS, seed=2, steps=2)
    assert training.train([truth.environments], short)[0].encoder_digest != trained[0].encoder_digest


def test_encoder_file_gives_the_same_embedding(truth, trained, tmp_path):
    path = tmp_path / "encoder.safetensors"
    embedding.save(trained[1], path)
    again = embedding.load(path)
    assert again.history == trained[1].history
    with embedding.one_thread():
        vectors = embedding.embed(again.encoders[0], Pool([truth.environments]))
    np.testing.assert_array_equal(vectors, trained[0].vectors)
    frames, ions = trained[0].repeat_rows.T
    others = embedding.embed_some(again.encoders[1], Pool([truth.environments]), ions, frames)
    np.testing.assert_array_equal(others, trained[0].repeats[0])
    assert tensors.facts(path)["settings"]["kind"] == "moments"


def test_encoders_of_other_seeds_embed_the_same_sample_differently(trained):
    assert trained[0].repeats.shape == (1, 60 * 32, 16)
    frames, ions = trained[0].repeat_rows.T
    assert np.abs(trained[0].repeats[0] - trained[0].vectors[frames, ions]).max() > 0.1


def test_replicas_become_further_ions_of_the_shortest_length(truth, caplog):
    other = synthetic.environments(n_ions=10, n_frames=40, seed=9).environments
    short = dataclasses.replace(SETTINGS, steps=2, repeats=0)
    found, trained = training.train([truth.environments, other], short)
    assert found.vectors.shape == (40, 42, 16)
    assert found.repeats.shape == (0, 0, 16)
    assert found.replica.tolist() == [0] * 32 + [1] * 10
    assert found.atoms.tolist() == [*range(32), *range(10)]
    assert found.segments.tolist() == [[0, 20], [20, 30], [30, 40]]
    assert "cut to the shortest, 40" in caplog.text
    pool = Pool([truth.environments, other])
    some = embedding.embed_some(trained.encoders[0], pool, np.array([35]), np.array([7]))
    np.testing.assert_allclose(some[0], found.vectors[7, 35], atol=1e-5)


def test_untrained_baseline_is_the_encoder_before_training(truth, trained):
    ions, frames = np.array([0, 3, 5]), np.array([1, 2, 3])
    before = training.embed_untrained([truth.environments], SETTINGS, (3, 15, 16, 17), ions, frames)
    assert before.shape == (3, 16)
    assert np.abs(before - trained[0].vectors[frames, ions]).max() > 1e-3


@pytest.mark.parametrize("encoder", ["moments", "graph"])
@pytest.mark.parametrize("loss", ["nt_xent", "barlow", "vicreg"])
def test_every_encoder_trains_with_every_loss(encoder, loss):
    small = synthetic.environments(n_ions=8, n_frames=6, seed=2).environments
    settings = dataclasses.replace(SETTINGS, encoder=encoder, loss=loss, steps=2, batch_size=8)
    found, _ = training.train([small], settings)
    assert np.isfinite(found.vectors).all()
    assert np.isfinite(found.history[-1]["loss"])


def test_pairs_stay_in_their_segment_within_the_lag():
    segment_of = np.repeat([0, 1, 2], [10, 1, 14])
    rng = np.random.default_rng(0)
    drawn, frames, partners = draw_pairs(np.arange(7), (100, 7), segment_of, 3, rng)
    assert np.bincount(drawn).tolist() == [100] * 7
    np.testing.assert_array_equal(segment_of[frames], segment_of[partners])
    apart = np.abs(frames - partners)
    assert apart.max() == 3
    assert np.all((apart > 0) | (frames == 10))
    _, frames, partners = draw_pairs(np.arange(7), (10, 5), segment_of, 0, rng)
    np.testing.assert_array_equal(frames, partners)


def test_no_ion_repeats_within_a_round():
    rng = np.random.default_rng(0)
    drawn, _, _ = draw_pairs(np.arange(50), (3, 40), np.zeros(5, dtype=int), 1, rng)
    for part in drawn.reshape(3, 40):
        assert len(set(part.tolist())) == 40


@pytest.mark.parametrize(("n_ions", "batch"), [([100], 64), ([100], 256), ([7, 90, 33], 256), ([5, 400], 64)])
def test_shares_fill_the_batch_without_repeating_an_ion(n_ions, batch):
    rounds, per_round = shares(n_ions, batch)
    assert batch <= rounds * sum(per_round) < batch + rounds * len(n_ions) * 2
    assert all(0 < share <= n for share, n in zip(per_round, n_ions, strict=True))


def test_one_encoder_for_two_systems_knows_the_elements_of_both(truth):
    other = synthetic.environments(n_ions=20, n_frames=30, seed=6).environments
    sodium = np.where(other.species == 3, 11, other.species).astype(np.uint8)
    amplitudes = {"Na": 0.2} | dict.fromkeys(("Cl", "P", "S"), 0.1)
    other = dataclasses.replace(
        other, species=sodium, elements=["Cl", "Na", "P", "S"], mobile=["Na"], thermal_amplitudes_A=amplitudes
    )
    shared = dataclasses.replace(SETTINGS, scope="shared", repeats=0, steps=30)
    trained = training.train_encoders([[truth.environments], [other]], shared)
    assert trained.encoders[0].settings.elements == (3, 11, 15, 16, 17)
    for record in (truth.environments, other):
        found = training.embed_system(trained, [record], shared)
        assert found.vectors.shape == (record.n_frames, record.n_ions, 16)
        assert found.diagnostics["final_loss"] < found.diagnostics["chance_loss"]
    narrow = dataclasses.replace(other, cutoff_A=4.0)
    with pytest.raises(UserError, match="cutoff_A"):
        training.train_encoders([[truth.environments], [narrow]], shared)


def test_diagnostics_recognise_collapse_and_isotropy():
    rng = np.random.default_rng(1)
    one = np.zeros(200, dtype=int)
    isotropic = diagnostics.diagnose(rng.normal(size=(200, 50, 4)), one, 1, seed=0)
    assert isotropic["effective_rank"] == pytest.approx(4.0, abs=0.05)
    assert isotropic["mean_cosine"] == pytest.approx(0.0, abs=0.05)
    line = np.array([1.0, 0.2, 0.0, 0.0]) + 0.01 * rng.normal(size=(200, 50, 1)) * np.array([0, 1.0, 0, 0])
    collapsed = diagnostics.diagnose(line, one, 1, seed=0)
    assert collapsed["effective_rank"] < 1.1
    assert collapsed["mean_cosine"] > 0.99
    assert collapsed["uniformity"] > isotropic["uniformity"]
    frozen = diagnostics.diagnose(np.ones((200, 50, 4)), one, 1, seed=0)
    assert frozen["effective_rank"] == 1.0
    assert frozen["alignment"] == pytest.approx(0.0, abs=1e-12)


def test_mistakes_are_named(truth):
    few = synthetic.environments(n_ions=4, n_frames=6, seed=2).environments
    with pytest.raises(UserError, match="left for training"):
        training.train([few], SETTINGS)
    other = dataclasses.replace(truth.environments, cutoff_A=6.0)
    with pytest.raises(UserError, match="cutoff_A"):
        Pool([truth.environments, other])
    with pytest.raises(UserError, match="never saw"):
        Tokeniser((3, 16))(np.array([[17]]), np.zeros((1, 1, 3)))


def test_embedding_survives_a_round_trip(trained, tmp_path):
    trained[0].save(tmp_path / "embedding.h5")
    again = records.Embedding.load(tmp_path / "embedding.h5")
    np.testing.assert_array_equal(again.vectors, trained[0].vectors)
    assert again.diagnostics["effective_rank"] == trained[0].diagnostics["effective_rank"]


class Killed(Exception):
    """Stands for a kill between two steps."""


@pytest.mark.parametrize("kill_at", [7, 61, 100])
def test_interrupted_training_gives_the_same_bits(truth, trained, tmp_path, monkeypatch, caplog, kill_at):
    monkeypatch.setattr(checkpoints, "EVERY_s", 0.0)
    evaluate, calls = losses.evaluate, []

    def mortal(*arguments):
        calls.append(1)
        if len(calls) == kill_at:
            raise Killed
        return evaluate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(losses, "evaluate", mortal)
        with pytest.raises(Killed):
            training.train_encoders([[truth.environments]], SETTINGS, tmp_path)
    with caplog.at_level("INFO", "getsei"):
        again = training.train_encoders([[truth.environments]], SETTINGS, tmp_path)
    assert f"going on after step {min(60, kill_at - 1)}" in caplog.text
    for ours, theirs in zip(again.encoders, trained[1].encoders, strict=True):
        assert embedding.digest(ours) == embedding.digest(theirs)
    assert again.history == trained[1].history
    trained[0].save(tmp_path / "undisturbed.h5")
    training.embed_system(again, [truth.environments], SETTINGS).save(tmp_path / "resumed.h5")
    assert (tmp_path / "resumed.h5").read_bytes() == (tmp_path / "undisturbed.h5").read_bytes()


def test_checkpoints_of_others_and_damaged_ones_are_not_used(truth, tmp_path, caplog):
    short = dataclasses.replace(SETTINGS, steps=2, repeats=0)
    first = training.train_encoders([[truth.environments]], short, tmp_path)
    (path,) = tmp_path.iterdir()
    with caplog.at_level("INFO", "getsei"):
        training.train_encoders(
            [[truth.environments]], dataclasses.replace(short, learning_rate=0.1), tmp_path
        )
        assert "another training" in caplog.text
        path.write_bytes(path.read_bytes()[:100])
        second = training.train_encoders([[truth.environments]], short, tmp_path)
        assert "damaged" in caplog.text
    assert embedding.digest(first.encoders[0]) == embedding.digest(second.encoders[0])
