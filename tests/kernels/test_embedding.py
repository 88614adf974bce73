"""Word embeddings looked up once for all batches have the gradient they would have had anyway."""

import pytest
import torch
from thinc.api import Adam, Optimizer, RAdam

from spacy_bio_crf.kernels.embedding import RowGradient
from tests.support.pipelines import MakeNlp, make_examples

TEXTS = ["Ana Ruiz met Bo", "Bo moved from Lisbon to Berlin .", "Ana", ""]


def varied(like: torch.Tensor) -> torch.Tensor:
    """A gradient that a layer norm lets pass: one that is equal along a vector ends there."""
    return torch.linspace(-1, 1, like.numel()).reshape(like.shape) ** 2


@pytest.mark.parametrize("budget", [1, 40, 10_000])
def test_gradients_are_those_of_a_plain_forward(make_nlp: MakeNlp, budget: int):
    nlp = make_nlp(encoder_options={"dropout": 0.0, "batch_subwords": budget})
    nlp.initialize(lambda: make_examples(nlp))
    shim = nlp.get_pipe("bio_ner").model.get_ref("encoder").shims[0]
    network = shim.network
    subwords = shim.text.cut([nlp.make_doc(text) for text in TEXTS])
    wanted = [p.rows for p in subwords]
    for _ in range(2):  # gradients gather over calls
        vectors, backprop = shim.run(subwords, wanted, train=True)
        d_vectors = torch.linspace(-1, 1, vectors.numel()).reshape(vectors.shape)
        backprop(d_vectors)
    found = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()

    rows = []
    for p in subwords:
        if len(p.ids):
            ids = [*shim.text.special.prefix, *p.ids.tolist(), *shim.text.special.suffix]
            hidden = network(input_ids=torch.tensor([ids])).last_hidden_state[0]
            rows.append(hidden[torch.from_numpy(p.rows) + len(shim.text.special.prefix)])
    plain = torch.cat(rows)
    torch.testing.assert_close(vectors, plain.detach(), atol=1e-5, rtol=1e-4)
    plain.backward(2 * d_vectors)
    expected = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    assert set(found) == set(expected)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=1e-4, rtol=1e-3)


def test_padding_learns_nothing(make_nlp: MakeNlp):
    """A literal padding id in a text has no gradient, as in torch's own embedding."""
    nlp = make_nlp(encoder_options={"dropout": 0.0})
    nlp.initialize(lambda: make_examples(nlp))
    shim = nlp.get_pipe("bio_ner").model.get_ref("encoder").shims[0]
    words = shim.network.get_input_embeddings()
    assert words.padding_idx is not None
    (own,) = shim.text.cut([nlp.make_doc("Ana Ruiz met Bo")])
    own.ids[1] = words.padding_idx
    vectors, backprop = shim.run([own], [own.rows], train=True)
    backprop(varied(vectors))
    assert bool((words.weight.grad[words.padding_idx] == 0).all())
    assert bool(words.weight.grad[int(own.ids[0])].abs().sum() > 0)


def test_frozen_embeddings_have_no_gradient(make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options={"dropout": 0.0, "frozen_layers": 1})
    nlp.initialize(lambda: make_examples(nlp))
    nlp.get_pipe("bio_ner").update(make_examples(nlp))
    shim = nlp.get_pipe("bio_ner").model.get_ref("encoder").shims[0]
    assert shim.network.get_input_embeddings().weight.grad is None
    assert shim.network.encoder.layer[1].output.dense.weight.grad is not None


@pytest.mark.parametrize("optimizer", [Adam(0.01), RAdam(0.01, L2=0.1), Adam(0.01, L2=0.1)])
def test_rows_of_former_steps_have_no_gradient(make_nlp: MakeNlp, optimizer: Optimizer):
    """The array of the gradient is the same at every step; what was in it is not."""
    optimizer.L2_is_weight_decay = False
    nlp = make_nlp(encoder_options={"dropout": 0.0})
    nlp.initialize(lambda: make_examples(nlp))
    shim = nlp.get_pipe("bio_ner").model.get_ref("encoder").shims[0]
    words = shim.network.get_input_embeddings().weight
    used = []
    for text in ("Ana Ruiz", "met Bo", "Ana"):
        (own,) = shim.text.cut([nlp.make_doc(text)])
        vectors, backprop = shim.run([own], [own.rows], train=True)
        assert words.grad is None
        backprop(varied(vectors))
        ids = {*own.ids.tolist(), *shim.text.special.prefix, *shim.text.special.suffix}
        used.append(ids)
        assert set(words.grad.abs().sum(1).nonzero()[:, 0].tolist()) == ids
        shim.finish_update(optimizer)
    assert not used[0] <= used[1] and not used[1] <= used[2]


def test_a_copy_has_a_gradient_of_its_own(make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options={"dropout": 0.0})
    nlp.initialize(lambda: make_examples(nlp))
    model = nlp.get_pipe("bio_ner").model
    shims = [model.get_ref("encoder").shims[0], model.copy().layers[0].shims[0]]
    for shim in shims:
        (own,) = shim.text.cut([nlp.make_doc("Ana Ruiz")])
        vectors, backprop = shim.run([own], [own.rows], train=True)
        backprop(varied(vectors))
    a, b = (shim.network.get_input_embeddings().weight.grad for shim in shims)
    assert torch.equal(a, b) and a.data_ptr() != b.data_ptr()


def test_a_table_knows_the_rows_of_its_gradient():
    weight, table = torch.nn.Parameter(torch.zeros(6, 2)), RowGradient()
    assert table.rows(weight) is None
    table.add(weight, torch.tensor([4, 1]), torch.ones(2, 2))
    table.add(weight, torch.tensor([1, 5]), torch.ones(2, 2))
    assert table.rows(weight).tolist() == [1, 4, 5]
    assert weight.grad.nonzero()[:, 0].unique().tolist() == [1, 4, 5]
    # Rows without a gradient of their own are cleared, too, whoever writes to them.
    table.add(weight, torch.tensor([0]), torch.zeros(1, 2))
    weight.grad[0] = 7.0
    weight.grad = None
    table.add(weight, torch.tensor([2]), torch.ones(1, 2))
    assert table.rows(weight).tolist() == [2] and weight.grad.sum() == 2.0
    weight.grad = torch.ones(6, 2)  # of somebody else
    assert table.rows(weight) is None
