"""The life of a `CircuitLayer`: copies, pickles, threads, retracing, training."""

import copy
import functools
import math
import pickle
import threading

import pennylane as qml
import pytest
import torch

from quantum.layer import CircuitLayer


def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(3), rotation="Y")
    qml.StronglyEntanglingLayers(weights, wires=range(3))
    qml.AngleEmbedding(inputs * inputs, wires=range(3))
    return [qml.expval(qml.Z(w)) for w in range(3)] + [qml.probs(wires=[2])]


@qml.qnode(qml.device("default.qubit"))
def node(inputs, weights):
    return circuit(inputs, weights)


SHAPES = {"weights": (2, 3, 3)}
FACTOR = 1.0


def scaled(inputs):
    qml.RY(FACTOR * inputs[0], wires=0)
    return qml.expval(qml.Z(0))


def made(dtype=torch.float64, **options):
    start = functools.partial(
        torch.nn.init.uniform_, b=6.0, generator=torch.Generator().manual_seed(0)
    )
    return CircuitLayer(circuit, SHAPES, in_features=3, init=start, dtype=dtype, **options)


def rows(*shape, dtype=torch.float64, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class TestLife:
    def test_copies_answer_to_the_bit(self):
        layer, x = made(), rows(5, 3)
        for _ in range(2):
            twins = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), made()]
            twins[2].load_state_dict(layer.state_dict())
            for twin in twins:
                assert torch.equal(twin(x), layer(x))
            optimizer = torch.optim.Adam(layer.parameters(), 0.1)
            layer(x).sum().backward()
            optimizer.step()

    def test_copies_are_independent(self):
        layer = made()
        twin = copy.deepcopy(layer)
        with torch.no_grad():
            twin.weights.zero_()
        assert not torch.equal(twin.weights, layer.weights)

    def test_closures_are_pickled_without_their_function(self):
        angle = 0.3
        layer = CircuitLayer(
            lambda x: (qml.RX(x[0] + angle, 0), qml.expval(qml.Z(0)))[-1], {}, in_features=1
        )
        twin = pickle.loads(pickle.dumps(layer))
        assert torch.equal(twin(torch.ones(2, 1)), layer(torch.ones(2, 1)))
        copy.deepcopy(layer).retrace()
        with pytest.raises(RuntimeError, match="define it at the top of a module"):
            twin.retrace()

    @pytest.mark.parametrize("name", ["FACTOR"])
    def test_a_changed_global_is_read_at_the_next_call(self, monkeypatch, name):
        layer, x = CircuitLayer(scaled, {}, in_features=1), torch.ones(1, dtype=torch.float64)
        assert layer(x).item() == pytest.approx(math.cos(1.0))
        monkeypatch.setitem(scaled.__globals__, name, 2.0)
        assert layer(x).item() == pytest.approx(math.cos(2.0))

    def test_retracing_needs_a_size(self):
        with pytest.raises(ValueError, match="not known yet"):
            CircuitLayer(circuit, SHAPES).retrace()

    def test_a_qnode_is_its_function(self):
        layer = CircuitLayer(node, SHAPES, in_features=3)
        plain, x = CircuitLayer(circuit, SHAPES, in_features=3), rows(2, 3, dtype=torch.float32)
        plain.load_state_dict(layer.state_dict())
        assert torch.equal(layer(x), plain(x))
        assert torch.equal(pickle.loads(pickle.dumps(layer))(x), layer(x))

    def test_the_function_is_not_called_again(self):
        calls = []

        def counted(x):
            calls.append(1)
            qml.RX(x[0], wires=0)
            return qml.expval(qml.Z(0))

        layer = CircuitLayer(counted, {}, in_features=1)
        traced = len(calls)
        for rows_ in (1, 7):
            layer(torch.zeros(rows_, 1))
            layer(torch.zeros(rows_, 1, dtype=torch.float64))
        assert len(calls) == traced

    def test_nothing_global_changes(self):
        state, default = torch.get_rng_state(), torch.get_default_dtype()
        layer = CircuitLayer(circuit, SHAPES, in_features=3, init=torch.nn.init.zeros_)
        layer(torch.zeros(2, 3))
        assert torch.equal(state, torch.get_rng_state())
        assert torch.get_default_dtype() == default
        assert torch.is_grad_enabled()

    def test_a_default_device_has_no_part_in_the_trace(self):
        with torch.device("meta"):
            layer = CircuitLayer(circuit, SHAPES, in_features=3, device="cpu")
        assert torch.isfinite(layer(torch.zeros(2, 3))).all()

    def test_threads(self):
        layer, x = CircuitLayer(circuit, SHAPES), rows(64, 3, dtype=torch.float32)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(layer(x))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 6
        assert all(torch.equal(answer, answers[0]) for answer in answers)

    def test_one_optimizer_sees_all_weights_at_once(self):
        layer = CircuitLayer(circuit, SHAPES)
        before = layer.weights.detach().clone()
        optimizer = torch.optim.SGD(layer.parameters(), 0.1)
        layer(rows(8, 3, dtype=torch.float32))[..., 0].sum().backward()
        optimizer.step()
        assert (before != layer.weights).any(dim=-1).all()

    def test_moving_between_dtypes(self):
        layer = made(dtype=torch.float32).double()
        assert layer(rows(2, 3)).dtype == torch.float64
