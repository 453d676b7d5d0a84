"""Finite shots: distributions against exact answers, shapes, randomness, refusals."""

import numpy as np
import pennylane as qml
import pytest
import torch
from torch.func import functional_call, vmap

from quantum.layer import CircuitLayer
from quantum.simulators import DensityMatrix
from quantum.states.outcomes import counted, draw, frequencies

DOUBLE = torch.float64
MATRIX = np.array([[1.0, 0.5j], [-0.5j, -0.3]])


def body(x, w):
    qml.RY(x[0], 0)
    qml.RX(x[1], 1)
    qml.CNOT([0, 2])
    qml.CRY(w[0], [1, 2])
    qml.IsingXY(w[1], [0, 1])


def noisy(x, w):
    body(x, w)
    qml.AmplitudeDamping(x[0] / 2, 0)


ESTIMATED = {
    "words": lambda w: [qml.expval(qml.X(0) @ qml.Y(2)), qml.expval(qml.Z(1)), qml.var(qml.Y(2))],
    "not commuting": lambda w: [
        qml.expval(
            qml.Hamiltonian([0.3, -0.8, 0.5], [qml.X(0) @ qml.Z(1), qml.Z(0), qml.Y(0) @ qml.Y(2)])
        ),
        qml.expval(qml.dot([w[0], 2.0], [qml.Z(0) @ qml.Z(1), qml.X(2)])),
    ],
    "matrices": lambda w: [
        qml.expval(qml.Hermitian(MATRIX, 1) @ qml.Z(0)),
        qml.expval(0.5 * qml.Hadamard(2) + qml.Z(1) + 0.25 * qml.I(0)),
        qml.expval(qml.Projector([1, 0], [2, 0])),
        qml.var(qml.Hermitian(MATRIX, 2)),
    ],
    "spreads": lambda w: [
        qml.var(qml.Hamiltonian([0.3, -0.8], [qml.Z(0) @ qml.Z(1), qml.Z(0)])),
        qml.var(qml.Hamiltonian([0.3, -0.8], [qml.Z(0) @ qml.X(1), qml.X(0)])),
        qml.var(qml.Projector([1], [2])),
    ],
    "probabilities": lambda w: [qml.probs([2, 0]), qml.probs(op=qml.Y(1)), qml.probs()],
}


def layer(read, shots, start=body, **options):
    def circuit(x, w):
        start(x, w)
        return read(w)

    weights = torch.tensor([0.7, 1.1], dtype=DOUBLE)
    options = {"in_features": 2, "init": {"w": weights}, "dtype": DOUBLE, **options}
    return CircuitLayer(circuit, {"w": 2}, shots=shots, **options)


def rows(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) * 2


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", sorted(ESTIMATED))
@pytest.mark.parametrize(("start", "simulator"), [(body, None), (noisy, DensityMatrix())])
def test_estimates_approach_exact_answers(kind, start, simulator):
    shots, x = 40_000, rows(2, 3, 2)
    exact, drawn = (layer(ESTIMATED[kind], s, start, simulator=simulator) for s in (None, shots))
    expected = exact(x)
    estimate = drawn(x, generator=seeded())
    assert estimate.shape == expected.shape
    assert estimate.dtype == expected.dtype
    assert (estimate - expected).abs().max() < 6 / shots**0.5
    assert (estimate - expected).abs().max() > 0


def test_estimates_are_unbiased_and_spread_as_theory_says():
    made = layer(lambda w: [qml.expval(qml.X(0) @ qml.Y(2)), qml.expval(qml.Z(1))], 25)
    x = rows(2)
    exact = layer(lambda w: [qml.expval(qml.X(0) @ qml.Y(2)), qml.expval(qml.Z(1))], None)(x)
    many = made(x.expand(4000, 2), generator=seeded())
    spread = ((1 - exact**2) / 25).sqrt()
    assert (many.mean(0) - exact).abs().max() < 5 * spread.max() / 4000**0.5
    torch.testing.assert_close(many.std(0), spread, rtol=0.1, atol=0)


def test_batched_weights_and_coefficients():
    made = layer(ESTIMATED["not commuting"], 20_000)
    exact = layer(ESTIMATED["not commuting"], None)
    x, w = rows(3, 2), rows(4, 1, 2)
    estimate = functional_call(made, {"w": w}, (x,), {"generator": seeded()})
    expected = functional_call(exact, {"w": w}, (x,))
    assert estimate.shape == (4, 3, 2)
    assert (estimate - expected).abs().max() < 0.08


class TestSamples:
    def test_of_wires(self):
        made = layer(lambda w: qml.sample(wires=[2, 0]), 30_000)
        x = rows(2, 2)
        samples = made(x, generator=seeded())
        assert samples.shape == (2, 30_000, 2)
        assert samples.dtype == torch.int64
        assert made.out_features == 2
        chances = layer(lambda w: qml.probs([2, 0]), None)(x)
        shares = frequencies(samples @ torch.tensor([2, 1]), 4)
        assert (shares - chances).abs().max() < 0.02

    def test_of_all_wires(self):
        assert layer(lambda w: qml.sample(), 7)(rows(5, 2)).shape == (5, 7, 3)

    @pytest.mark.parametrize(
        ("made", "values"),
        [
            (lambda: qml.X(0) @ qml.Z(2), {-1.0, 1.0}),
            (lambda: 0.5 * qml.Z(0) + 2 * qml.Z(1), {-2.5, -1.5, 1.5, 2.5}),
            (lambda: qml.Projector([1, 0], [0, 2]), {0.0, 1.0}),
        ],
    )
    def test_of_observables(self, made, values):
        drawn = layer(lambda w: qml.sample(made()), 20_000)
        x = rows(2)
        samples = drawn(x, generator=seeded())
        assert samples.shape == (20_000,)
        assert set(samples.tolist()) == values
        mean = layer(lambda w: qml.expval(made()), None)(x)
        assert (samples.mean() - mean).abs() < 0.1

    def test_of_a_hermitian_matrix_are_its_eigenvalues(self):
        samples = layer(lambda w: qml.sample(qml.Hermitian(MATRIX, 1)), 500)(rows(2))
        found = torch.tensor(sorted(set(samples.tolist())), dtype=DOUBLE)
        torch.testing.assert_close(found, torch.as_tensor(np.linalg.eigvalsh(MATRIX)))

    def test_of_a_half_precision_input_stay_integers(self):
        made = layer(lambda w: qml.sample(wires=0), 3, dtype=torch.float32)
        assert made(torch.rand(2).half()).dtype == torch.int64


class TestCounts:
    def test_are_nested_along_the_batch(self):
        counts = layer(lambda w: qml.counts(wires=[0, 1]), 100)(rows(2, 3, 2))
        assert [len(row) for row in counts] == [3, 3]
        assert all(sum(entry.values()) == 100 for row in counts for entry in row)
        assert set(counts[0][0]) <= {"00", "01", "10", "11"}

    def test_may_list_all_outcomes(self):
        def certain(x):
            qml.X(1)
            return qml.counts(wires=[0, 1], all_outcomes=True)

        made = CircuitLayer(certain, {}, in_features=1, shots=9)
        assert made(torch.zeros(1)) == {"00": 0, "01": 9, "10": 0, "11": 0}
        assert made.out_features is None

    def test_of_an_observable(self):
        def certain(x):
            qml.X(1)
            return qml.counts(qml.Z(0) + 0.5 * qml.Z(1))

        assert CircuitLayer(certain, {}, in_features=1, shots=4)(torch.zeros(1)) == {0.5: 4}


class TestRandomness:
    def test_a_generator_decides_and_leaves_the_global_one_alone(self):
        made, x = layer(lambda w: qml.sample(), 50), rows(2, 2)
        torch.manual_seed(3)
        before = torch.get_rng_state()
        first, second = made(x, generator=seeded(5)), made(x, generator=seeded(5))
        assert torch.equal(first, second)
        assert not torch.equal(first, made(x, generator=seeded(6)))
        assert torch.equal(before, torch.get_rng_state())

    def test_without_one_the_global_generator_advances(self):
        made, x = layer(lambda w: qml.sample(), 50), rows(2, 2)
        torch.manual_seed(3)
        first = made(x)
        assert not torch.equal(first, made(x))
        torch.manual_seed(3)
        assert torch.equal(first, made(x))

    def test_rows_draw_for_themselves(self):
        samples = layer(lambda w: qml.sample(), 200)(torch.full((2, 2), 0.9, dtype=DOUBLE))
        assert not torch.equal(samples[0], samples[1])

        def deaf(x):
            qml.Hadamard(0)
            return qml.sample(wires=0)

        alone = CircuitLayer(deaf, {}, in_features=1, shots=200)(torch.zeros(2, 1))
        assert not torch.equal(alone[0], alone[1])


class TestRefusals:
    def test_a_generator_without_shots(self):
        with pytest.raises(ValueError, match="draws nothing"):
            layer(ESTIMATED["words"], None)(rows(2), generator=seeded())

    @pytest.mark.parametrize("shots", [0, -1, True])
    def test_no_number_of_shots(self, shots):
        with pytest.raises(ValueError, match="shots must be"):
            layer(ESTIMATED["words"], shots)

    @pytest.mark.parametrize("measurement", [qml.state, lambda: qml.purity(wires=0)])
    def test_what_shots_cannot_tell(self, measurement):
        made = layer(lambda w: measurement(), 10)
        with pytest.raises(ValueError, match="cannot be estimated from shots"):
            made(rows(2))

    def test_vmap(self):
        with pytest.raises(RuntimeError, match="leading dimensions"):
            vmap(layer(ESTIMATED["words"], 10))(rows(3, 2))

    def test_samples_beside_other_measurements(self):
        with pytest.raises(ValueError, match="must be returned alone"):
            layer(lambda w: [qml.sample(wires=0), qml.expval(qml.Z(1))], 10)

    @pytest.mark.parametrize("gradient", ["backprop", "adjoint"])
    def test_exact_gradients(self, gradient):
        with pytest.raises(ValueError, match="parameter-shift"):
            layer(ESTIMATED["words"], 10, gradient=gradient)

    def test_gradients_of_samples(self):
        made = layer(lambda w: qml.sample(qml.Z(0)), 10)
        with pytest.raises(NotImplementedError, match="no gradient"):
            made(rows(2)).sum().backward()

    def test_impossible_probabilities(self):
        with pytest.raises(ValueError, match="NaN or all zero"):
            draw(torch.tensor([float("nan"), 1.0]), 2)


@pytest.mark.parametrize(("start", "simulator"), [(body, None), (noisy, DensityMatrix())])
def test_gradients_by_parameter_shift(start, simulator):
    if start is noisy:

        def start(x, w):
            body(x, w)
            qml.AmplitudeDamping(0.3, 0)

    x = rows(2)
    gradients = []
    for shots in (None, 40_000):
        made = layer(ESTIMATED["words"], shots, start, simulator=simulator)
        options = {} if shots is None else {"generator": seeded()}
        (gradient,) = torch.autograd.grad(made(x, **options).sum(), made.w)
        gradients.append(gradient)
    assert 0 < (gradients[0] - gradients[1]).abs().max() < 0.05


def test_shots_of_a_qnode_are_taken_unless_given():
    @qml.qnode(qml.device("default.qubit"), shots=12)
    def node(x):
        qml.RX(x[0], 0)
        return qml.sample(wires=0)

    assert CircuitLayer(node, {}, in_features=1)(torch.zeros(1)).shape == (12, 1)
    assert CircuitLayer(node, {}, in_features=1, shots=3)(torch.zeros(1)).shape == (3, 1)


def test_outcomes_without_chance_are_never_drawn():
    drawn = draw(torch.tensor([0.0, 0.5, 0.0, 0.5, 0.0]), 20_000, seeded())
    assert set(drawn.tolist()) == {1, 3}


def test_no_rows():
    assert layer(lambda w: qml.sample(), 5)(torch.zeros(0, 2, dtype=DOUBLE)).shape == (0, 5, 3)
    assert layer(ESTIMATED["words"], 5)(torch.zeros(0, 2, dtype=DOUBLE)).shape == (0, 3)
    assert counted(torch.zeros(0, 5), {}) == []
