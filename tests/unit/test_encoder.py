import numpy as np
import pytest
import torch
from getsei import environments, synthetic
from getsei.contrastive import encoder as encoders
from getsei.errors import UserError

ELEMENTS = (3, 15, 16, 17)
INVARIANCE = 1e-5  # single precision
CUTOFF_A = 5.0
SETTINGS = {kind: encoders.EncoderSettings(kind, ELEMENTS, CUTOFF_A, 16) for kind in ("moments", "graph")}


@pytest.fixture(scope="module")
def batch():
    record = synthetic.environments(n_ions=12, n_frames=4, seed=5).environments
    species, vectors, _ = environments.padded(record, np.arange(48), environments.widest(record) + 2)
    return encoders.Tokeniser(ELEMENTS)(species, vectors)


@pytest.fixture(scope="module", params=["moments", "graph"])
def encoder(request):
    return encoders.build(SETTINGS[request.param], seed=4)


def embed(encoder, batch):
    with torch.no_grad():
        return encoder(batch).numpy()


def test_embeddings_differ_between_environments(encoder, batch):
    assert embed(encoder, batch).std(0).max() > 1e-3


@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_invariant_to_rotation_and_reflection(encoder, batch, mirror):
    turn = mirror * synthetic.random_rotations(1, np.random.default_rng(0))[0]
    turned = batch._replace(vectors=batch.vectors @ torch.tensor(turn, dtype=torch.float32))
    np.testing.assert_allclose(embed(encoder, turned), embed(encoder, batch), atol=INVARIANCE)


def test_invariant_to_the_order_of_neighbours(encoder, batch):
    order = np.random.default_rng(1).permutation(batch.tokens.shape[1])
    shuffled = encoders.Batch(batch.tokens[:, order], batch.vectors[:, order])
    np.testing.assert_allclose(embed(encoder, shuffled), embed(encoder, batch), atol=INVARIANCE)


def test_empty_places_do_not_count(encoder, batch):
    # Width enters the pooling of the graph encoder as a constant; only contents may matter.
    changed = torch.where((batch.tokens == encoders.ABSENT)[..., None], 0.7, batch.vectors)
    same = encoders.Batch(batch.tokens, changed)
    np.testing.assert_allclose(embed(encoder, same), embed(encoder, batch), atol=INVARIANCE)


def test_a_neighbour_fades_out_at_the_cutoff(encoder, batch):
    direction = torch.tensor([0.6, 0.0, 0.8])
    before = embed(encoder, batch)
    changes = []
    for distance in (CUTOFF_A - 1e-2, CUTOFF_A - 1.0):
        tokens, vectors = batch.tokens.clone(), batch.vectors.clone()
        tokens[:, -1], vectors[:, -1] = 2, distance * direction
        changes.append(np.abs(embed(encoder, encoders.Batch(tokens, vectors)) - before).max())
    assert changes[0] < 1e-3 * changes[1]


def test_angles_are_seen(encoder):
    tokens = torch.tensor([[2, 2, 0], [2, 2, 0]])
    straight = [[2.5, 0.0, 0.0], [-2.5, 0.0, 0.0], [0.0, 0.0, 0.0]]
    bent = [[2.5, 0.0, 0.0], [1.25, 2.165064, 0.0], [0.0, 0.0, 0.0]]
    out = embed(encoder, encoders.Batch(tokens, torch.tensor([straight, bent])))
    assert np.abs(out[0] - out[1]).max() > 1e-4


def test_elements_are_seen(encoder, batch):
    other = batch._replace(tokens=torch.where(batch.tokens == 3, 4, batch.tokens))
    assert np.abs(embed(encoder, other) - embed(encoder, batch)).max() > 1e-4


def test_same_seed_same_weights():
    one, two, other = (encoders.build(SETTINGS["moments"], seed) for seed in (1, 1, 2))
    assert torch.equal(one.mix[0].weight, two.mix[0].weight)
    assert not torch.equal(one.mix[0].weight, other.mix[0].weight)


def test_unknown_element_is_named():
    species = np.array([[16, 9, 0]], dtype=np.uint8)
    with pytest.raises(UserError, match="never saw F"):
        encoders.Tokeniser(ELEMENTS)(species, np.zeros((1, 3, 3), dtype=np.float32))


def test_unknown_encoder_is_refused():
    with pytest.raises(UserError, match="moments or graph"):
        encoders.build(encoders.EncoderSettings("deep", ELEMENTS, CUTOFF_A, 16), seed=1)
