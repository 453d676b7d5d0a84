"""The Gauss–Newton metric against Hessians, Jacobians and itself along other paths."""

import pytest
import torch
from torch import Tensor, nn

import causal
import hybrid
from hybrid.information.roots import information
from hybrid.optim import EmpiricalFisher, GaussNewton, NoOutput
from hybrid.optim.gauss_newton import law_terms
from hybrid.optim.terms import rows_of

ROWS = 12


def dense(metric, objective: nn.Module, batch) -> Tensor:
    parameters = [p for p in objective.parameters() if p.requires_grad]
    rows = torch.cat(list(metric(objective, batch, parameters)))
    return rows.mT @ rows


def hessian(objective: nn.Module, batch) -> Tensor:
    """The second derivative of the loss by all parameters."""
    parameters = [p for p in objective.parameters() if p.requires_grad]
    result = objective(batch)
    loss = result if isinstance(result, Tensor) else result.total
    slope = torch.autograd.grad(loss, parameters, create_graph=True)
    flat = torch.cat([s.reshape(-1) for s in slope])
    rows = [torch.autograd.grad(s, parameters, retain_graph=True) for s in flat]
    return torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])


def batch(width: int = 3, **kind) -> tuple[Tensor, Tensor]:
    return torch.randn(ROWS, width).double(), torch.randn(ROWS).double()


LAWS = {
    "bernoulli": (lambda body: hybrid.heads.Bernoulli(body, features=3), 2),
    "categorical": (lambda body: hybrid.heads.Categorical(body, features=3, states=4), 4),
}


@pytest.mark.parametrize("name", LAWS)
def test_of_a_linear_law_with_natural_numbers_it_is_the_hessian(name: str) -> None:
    make, states = LAWS[name]
    objective = hybrid.objectives.ELBO(make(nn.Identity()), data_size=ROWS).double()
    data = batch()[0], torch.arange(ROWS) % states
    assert torch.allclose(dense(GaussNewton(), objective, data), hessian(objective, data))


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.CrossEntropyLoss(), nn.HuberLoss()], ids=type)
def test_of_a_linear_network_under_a_convex_loss_it_is_the_hessian(loss: nn.Module) -> None:
    objective = hybrid.objectives.Supervised(nn.Linear(3, 2), loss).double()
    x = batch()[0]
    y = torch.arange(ROWS) % 2 if isinstance(loss, nn.CrossEntropyLoss) else x[:, :2] + 0.1
    assert torch.allclose(dense(GaussNewton(), objective, (x, y)), hessian(objective, (x, y)))


def bodies() -> dict[str, nn.Module]:
    return {
        "mlp": hybrid.backbones.MLP(4, [5], 3, activation=nn.PReLU()),
        "norm": nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval(),
        "convolution": nn.Sequential(
            nn.Unflatten(-1, (1, 2, 2)), nn.Conv2d(1, 3, 2), nn.Flatten(-3)
        ),
        "tied": nn.Sequential(shared := nn.Linear(4, 4), nn.Tanh(), shared, nn.Linear(4, 3)),
    }


@pytest.mark.parametrize("name", bodies())
def test_rows_derived_apart_and_along_the_graph_agree(name: str) -> None:
    law = hybrid.heads.Normal(bodies()[name], features=3).double()
    objective = hybrid.objectives.ELBO(law, data_size=ROWS).double()
    if name == "norm":
        law.eval()
    x, y = batch(4)
    (apart,) = law_terms(objective, (x, y), lambda found, shape: information(found))
    assert apart.layer is not None
    along = apart._replace(layer=None, outputs=law.body(x))
    parameters = list(law.parameters())
    first, second = (torch.cat(list(rows_of(term, parameters))) for term in (apart, along))
    assert torch.allclose(first.mT @ first, second.mT @ second)


def test_weight_draws_and_normalisation_in_training_go_along_the_graph() -> None:
    for body in (bodies()["norm"].train(), hybrid.bayes.variational(bodies()["mlp"])):
        law = hybrid.heads.Normal(body, features=3).double()
        objective = hybrid.objectives.ELBO(law, data_size=ROWS, draws=3, seed=0).double()
        before = {name: b.clone() for name, b in law.named_buffers()}
        (term,) = law_terms(objective, batch(4), lambda found, shape: information(found))
        assert term.layer is None
        assert dense(GaussNewton(), objective, batch(4)).diagonal().min() >= 0
    for name, buffer in law.named_buffers():  # evaluation for the metric leaves no trace
        assert torch.equal(buffer, before[name])


def test_samples_approach_the_closed_form() -> None:
    law = hybrid.heads.Normal(bodies()["mlp"], features=3)
    objective = hybrid.objectives.ELBO(law, data_size=ROWS).double()
    data = batch(4)
    exact = dense(GaussNewton(), objective, data)
    assert (dense(GaussNewton(800), objective, data) - exact).norm() < 0.1 * exact.norm()


def test_parts_of_a_weighted_sum_count_with_their_weights() -> None:
    law = hybrid.heads.Bernoulli(nn.Identity(), features=3)
    part = hybrid.objectives.ELBO(law, data_size=ROWS).double()
    both = hybrid.objectives.Weighted({"a": part, "b": part}, {"a": 2.0, "b": 0.0})
    data = batch()[0], torch.arange(ROWS) % 2
    expected = 2 * dense(GaussNewton(), part, data)
    assert torch.allclose(dense(GaussNewton(), both, data), expected)


def test_an_scm_counts_every_law_and_roots() -> None:
    graph = causal.Graph.parse("X -> Y")
    laws = {"X": hybrid.heads.Normal(None), "Y": hybrid.heads.Normal(nn.Identity(), features=1)}
    objective = hybrid.objectives.ELBO(causal.SCM(graph, laws), data_size=ROWS)
    x = torch.randn(ROWS)
    matrix = dense(GaussNewton(), objective, {"X": x, "Y": 2 * x})
    size = sum(p.numel() for p in laws["X"].parameters())
    assert matrix[:size, :size].diagonal().min() > 0
    assert torch.allclose(matrix[:size, size:], torch.zeros(()))
    assert matrix[size:, size:].diagonal().min() > 0


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 1)

    def forward(self, data: tuple[Tensor, Tensor]) -> Tensor:
        return (self.net(data[0]).squeeze(-1) - data[1]).square().mean()


def test_an_objective_of_ones_own_names_its_output() -> None:
    objective, data = Own().double(), batch()
    with pytest.raises(NoOutput, match=r"neither a law nor the network .* output="):
        GaussNewton()(objective, data, list(objective.parameters()))
    with pytest.raises(ValueError, match=r"output='nets' is no part of the Own: it has net"):
        GaussNewton(output="nets")(objective, data, list(objective.parameters()))
    found = dense(GaussNewton(output="net"), objective, data)
    assert torch.allclose(found, hessian(objective, data))


def test_the_empirical_metric_is_the_mean_product_of_row_gradients() -> None:
    law = hybrid.heads.Normal(bodies()["mlp"], features=3)
    objective, data = hybrid.objectives.ELBO(law, data_size=ROWS).double(), batch(4)
    rows = []
    for k in range(ROWS):
        loss = objective((data[0][k : k + 1], data[1][k : k + 1])).total
        slope = torch.autograd.grad(loss, list(objective.parameters()))
        rows.append(torch.cat([s.reshape(-1) for s in slope]))
    expected = torch.stack(rows).mT @ torch.stack(rows) / ROWS
    assert torch.allclose(dense(EmpiricalFisher(), objective, data), expected)
    same = hybrid.objectives.Weighted({"only": objective})  # which is evaluated row by row
    assert torch.allclose(dense(EmpiricalFisher(), same, data), expected)


def test_the_empirical_metric_wants_rows() -> None:
    objective = Own()
    with pytest.raises(ValueError, match=r"have \[3, 4\] rows"):
        EmpiricalFisher()(objective, (torch.ones(3, 3), torch.ones(4)), [objective.net.weight])
