"""`CircuitLayer` as a torch module."""

import copy
import functools
import math

import pennylane as qml
import pytest
import torch
from torch.func import functional_call, grad, jacrev, vmap

from quantum.layer import CircuitLayer
from quantum.simulators import DensityMatrix, StateVector


def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(3), rotation="Y")
    qml.StronglyEntanglingLayers(weights, wires=range(3))
    qml.AngleEmbedding(inputs * inputs, wires=range(3))
    return [qml.expval(qml.Z(w)) for w in range(3)] + [qml.probs(wires=[2])]


SHAPES = {"weights": (2, 3, 3)}


def made(dtype=torch.float64, **options):
    start = functools.partial(
        torch.nn.init.uniform_, b=6.0, generator=torch.Generator().manual_seed(0)
    )
    return CircuitLayer(circuit, SHAPES, in_features=3, init=start, dtype=dtype, **options)


def rows(*shape, dtype=torch.float64, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class TestShapes:
    @pytest.mark.parametrize("batch", [(), (1,), (4,), (2, 4), (2, 1, 4), (0,), (3, 0)])
    def test_any_leading_dimensions_of_the_inputs(self, batch):
        layer, x = made(), rows(*batch, 3)
        answer = layer(x)
        assert answer.shape == (*batch, 5)
        flat = [layer(row) for row in x.reshape(-1, 3)]
        if flat:
            torch.testing.assert_close(answer.reshape(-1, 5), torch.stack(flat))

    @pytest.mark.parametrize(
        ("weights", "inputs", "out"),
        [
            ((5, 1), (6,), (5, 6)),
            ((5,), (5,), (5,)),
            ((5,), (), (5,)),
            ((2, 3, 1), (4,), (2, 3, 4)),
            ((5, 1, 1), (2, 4), (5, 2, 4)),
            ((1,), (4,), (4,)),
            ((5, 1), (0,), (5, 0)),
        ],
    )
    def test_leading_dimensions_of_weights_broadcast(self, weights, inputs, out):
        layer, x, w = made(), rows(*inputs, 3), rows(*weights, 2, 3, 3)
        answer = functional_call(layer, {"weights": w}, (x,))
        assert answer.shape == (*out, 5)
        pairs = zip(
            x.expand(*out, 3).reshape(-1, 3),
            w.expand(*out, 2, 3, 3).reshape(-1, 2, 3, 3),
            strict=True,
        )
        alone = [functional_call(layer, {"weights": v}, (row,)) for row, v in pairs]
        if alone:
            torch.testing.assert_close(answer.reshape(-1, 5), torch.stack(alone))

    def test_without_weights(self):
        def plain(x):
            qml.RX(x[0], wires=0)
            return qml.expval(qml.Z(0))

        layer = CircuitLayer(plain, {})
        assert list(layer.parameters()) == []
        assert layer(torch.zeros(2, 1)).tolist() == [[1.0], [1.0]]

    def test_without_use_of_the_inputs(self):
        def deaf(x, angle):
            qml.RX(angle, wires=0)
            return qml.expval(qml.Z(0))

        layer = CircuitLayer(deaf, {"angle": ()}, in_features=0)
        assert layer(torch.zeros(4, 0)).shape == (4, 1)

    def test_no_gates(self):
        layer = CircuitLayer(lambda x: qml.probs(wires=range(2)), {}, in_features=1)
        assert layer(torch.zeros(3, 1)).tolist() == [[1, 0, 0, 0]] * 3

    def test_states_and_density_matrices(self):
        def state(x):
            qml.RY(x[0], wires=0)
            qml.CNOT(wires=[0, 1])
            return qml.state()

        def reduced(x):
            qml.RY(x[0], wires=0)
            qml.CNOT(wires=[0, 1])
            return qml.density_matrix(wires=[1])

        x = rows(2, 4, 1)
        amplitudes, matrix = (CircuitLayer(f, {}, in_features=1)(x) for f in (state, reduced))
        assert amplitudes.shape == (2, 4, 4)
        assert amplitudes.dtype == matrix.dtype == torch.complex128
        assert matrix.shape == (2, 4, 2, 2)
        chances = torch.cat([torch.cos(x / 2) ** 2, torch.sin(x / 2) ** 2], -1)
        torch.testing.assert_close(matrix.real, torch.diag_embed(chances))

    def test_the_number_of_inputs_may_be_found_at_the_first_call(self):
        layer = CircuitLayer(circuit, SHAPES)
        assert (layer.in_features, layer.out_features) == (None, None)
        layer(torch.zeros(2, 3))
        assert (layer.in_features, layer.out_features) == (3, 5)
        with pytest.raises(ValueError, match=r"\(\*batch, 3\), got \(2, 4\)"):
            layer(torch.zeros(2, 4))

    def test_a_failed_first_call_can_be_repeated(self):
        layer = CircuitLayer(circuit, SHAPES)
        with pytest.raises(ValueError, match="Features must be of length"):
            layer(torch.zeros(2, 7))
        assert layer(torch.zeros(2, 3)).shape == (2, 5)


class TestPrecision:
    @pytest.mark.parametrize(
        ("inputs", "weights", "out"),
        [
            (torch.float32, torch.float32, torch.float32),
            (torch.float64, torch.float32, torch.float64),
            (torch.float32, torch.float64, torch.float64),
            (torch.float16, torch.float32, torch.float16),
            (torch.bfloat16, torch.float32, torch.bfloat16),
            (torch.float32, torch.bfloat16, torch.float32),
            (torch.float16, torch.float16, torch.float16),
        ],
    )
    def test_dtypes(self, inputs, weights, out):
        layer, x = made(dtype=weights), rows(4, 3).to(inputs)
        answer = layer(x)
        assert answer.dtype == out
        reference = copy.deepcopy(layer).double()(x.double())
        accuracy = {
            torch.float16: 1e-3,
            torch.bfloat16: 8e-3,
            torch.float32: 1e-5,
            torch.float64: 1e-12,
        }
        if torch.float64 in (inputs, weights) or out != torch.float64:
            torch.testing.assert_close(answer.double(), reference, atol=accuracy[out], rtol=0)
        answer.sum().backward()
        assert layer.weights.grad.dtype == weights

    def test_states_follow_the_precision(self):
        def state(x):
            qml.RY(x[0], wires=0)
            return qml.state()

        layer = CircuitLayer(state, {}, in_features=1)
        pairs = {
            torch.float16: torch.complex64,
            torch.float32: torch.complex64,
            torch.float64: torch.complex128,
        }
        for real, expected in pairs.items():
            assert layer(torch.zeros(1, dtype=real)).dtype == expected

    @pytest.mark.parametrize(
        "read", [lambda: qml.expval(qml.Z(0)), qml.state], ids=["real", "state"]
    )
    @pytest.mark.parametrize("simulator", [StateVector, DensityMatrix])
    def test_a_parameter_that_turns_a_wire_often_is_computed_in_double(self, read, simulator):
        def circuit(x, weights):
            for _ in range(27):
                qml.Rot(*weights, wires=0)
                qml.RX(x[0], wires=0)
            return read()

        def gradients(layer, x):
            answer = layer(x)
            answer = torch.view_as_real(answer) if answer.is_complex() else answer
            weights = torch.cos(torch.arange(answer.numel())).reshape(answer.shape)
            grads = torch.autograd.grad((answer * weights).sum(), layer.parameters())
            return [part.double() for part in (answer, *grads)]

        layer = CircuitLayer(circuit, {"weights": 3}, in_features=1, simulator=simulator())
        single = CircuitLayer(circuit, {"weights": 3}, in_features=1, simulator=simulator("single"))
        single.load_state_dict(layer.state_dict())
        x = torch.full((2, 1), 0.7)
        assert (
            layer(x).dtype == single(x).dtype == (torch.complex64 if read is qml.state else x.dtype)
        )
        traced = [x.to("meta"), layer.weights.to("meta")]
        operator = torch.ops.borromean.circuit(traced, layer._evaluator.number)
        assert (operator.dtype, operator.shape) == (layer(x).dtype, layer(x).shape)
        exact = gradients(copy.deepcopy(layer).double(), x.double())
        for found, expected in zip(gradients(layer, x), exact, strict=True):
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=3e-7)
        for found, expected in zip(gradients(single, x), exact, strict=True):
            torch.testing.assert_close(found, expected, atol=3e-4, rtol=0)

    def test_autocast_is_off_inside(self):
        layer, x = made(dtype=torch.float32), rows(4, 3, dtype=torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(layer(x), layer(x))
            inside = layer(x)
        assert torch.equal(inside, layer(x))

    @pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.uint8])
    def test_other_inputs_are_refused(self, dtype):
        with pytest.raises(TypeError, match=str(dtype)):
            made()(torch.ones(2, 3).to(dtype))

    def test_other_weights_are_refused(self):
        with pytest.raises(TypeError, match="complex64"):
            made(dtype=torch.complex64)
        with pytest.raises(TypeError, match="int64"):
            functional_call(made(), {"weights": torch.ones(2, 3, 3, dtype=torch.int64)}, (rows(3),))

    def test_nan_stays(self):
        x = rows(3, 3)
        x[1, 2] = torch.nan
        answer = made()(x)
        assert answer[1].isnan().all()
        assert not answer[[0, 2]].isnan().any()


class TestDerivatives:
    def test_gradients_and_second_gradients(self):
        def small(x, w):
            qml.RX(x[0] * w[0], wires=0)
            qml.CRot(w[1], x[1], w[2], wires=[0, 1])
            qml.Hadamard(wires=0)
            return qml.expval(qml.Z(0) @ qml.Y(1)), qml.var(qml.X(1)), qml.probs(wires=1)

        layer = CircuitLayer(small, {"w": 3}, in_features=2)

        def call(x, w):
            return functional_call(layer, {"w": w}, (x,))

        arguments = rows(2, 2).requires_grad_(), rows(2, 3, seed=2).requires_grad_()
        assert torch.autograd.gradcheck(call, arguments)
        assert torch.autograd.gradgradcheck(call, arguments)

    @pytest.mark.filterwarnings(
        "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
    )  # jacfwd
    def test_transforms(self):
        layer, x, w = made(), rows(4, 3), rows(2, 3, 3, seed=3)

        def call(w, x):
            return functional_call(layer, {"weights": w}, (x,))

        torch.testing.assert_close(vmap(layer)(x), layer(x))
        torch.testing.assert_close(vmap(vmap(layer))(x.expand(2, 4, 3)), layer(x).expand(2, 4, 5))
        draws = rows(6, 2, 3, 3)
        torch.testing.assert_close(vmap(call, (0, None))(draws, x), call(draws.unsqueeze(1), x))
        torch.testing.assert_close(vmap(call)(draws[:4], x), call(draws[:4], x))
        expected = torch.autograd.functional.jacobian(lambda w: call(w, x), w)
        torch.testing.assert_close(jacrev(call)(w, x), expected)
        torch.testing.assert_close(torch.func.jacfwd(call)(w, x), expected)
        per_row = vmap(grad(lambda w, row: call(w, row).sum()), (None, 0))(w, x)
        torch.testing.assert_close(per_row, expected.sum(1))

    def test_without_gradients(self):
        layer, x = made(), rows(2, 3)
        with torch.inference_mode():
            quiet = layer(x)
        answer = layer(x)
        answer.sum().backward()
        assert torch.equal(quiet, answer)
        assert layer.weights.grad is not None

    def test_tracing_inside_inference_mode(self):
        layer = CircuitLayer(circuit, SHAPES)
        with torch.inference_mode():
            layer(torch.zeros(2, 3))
        layer(torch.zeros(2, 3)).sum().backward()
        assert torch.isfinite(layer.weights.grad).all()

    def test_tracing_inside_vmap(self):
        layer = CircuitLayer(circuit, SHAPES)
        answer = vmap(layer)(torch.zeros(2, 3))
        assert torch.equal(answer, layer(torch.zeros(2, 3)))


class TestConstruction:
    def test_weights(self):
        layer = CircuitLayer(circuit, SHAPES, in_features=3)
        assert [name for name, _ in layer.named_parameters()] == ["weights"]
        assert 0 <= layer.weights.min() < layer.weights.max() < 2 * math.pi
        assert layer.prior_scales == {"weights": math.pi}
        assert layer.engine in ("kernel", "torch")
        assert "circuit, in_features=3, out_features=5, wires=3" in repr(layer)

    def test_initial_values(self):
        values = rows(2, 3, 3, dtype=torch.float32)
        given = CircuitLayer(circuit, SHAPES, init={"weights": values})
        filled = CircuitLayer(circuit, SHAPES, init={"weights": torch.nn.init.ones_})
        assert torch.equal(given.weights, values)
        assert filled.weights.unique().tolist() == [1.0]
        with pytest.raises(ValueError, match=r"shape \(2,\), expected \(2, 3, 3\)"):
            CircuitLayer(circuit, SHAPES, init={"weights": torch.ones(2)})
        with pytest.raises(ValueError, match=r"init names \['angle'\]"):
            CircuitLayer(circuit, SHAPES, init={"angle": torch.ones(2)})

    def test_defaults_and_names(self):
        def options(x, angle, turns=2, *, shift=0.5):
            qml.RX(angle * turns + shift + x[0], wires=0)
            return qml.expval(qml.Z(0))

        x = torch.zeros(1, dtype=torch.float64)
        plain = CircuitLayer(options, {"angle": ()}, in_features=1, init=torch.nn.init.ones_)
        torch.testing.assert_close(plain(x).item(), math.cos(2.5), atol=1e-6, rtol=0)
        full = CircuitLayer(options, {"angle": (), "shift": ()}, init=torch.nn.init.ones_)
        torch.testing.assert_close(full(x).item(), math.cos(3.0), atol=1e-6, rtol=0)

    def test_arguments_by_catch_all(self):
        def open_ended(x, **weights):
            qml.RX(weights["a"] + x[0], wires=0)
            return qml.expval(qml.Z(0))

        layer = CircuitLayer(open_ended, {"a": ()}, in_features=1)
        assert layer(torch.zeros(1)).shape == (1,)

    @pytest.mark.parametrize(
        ("shapes", "match"),
        [
            ({}, r"lacks \['weights'\]"),
            ({"weights": (2, 3, 3), "more": 1}, r"names \['more'\]"),
            ({"weights": (2, 3, 3), "inputs": 1}, r"names \['inputs'\]"),
            ({"weights": (2, -3, 3)}, "must be an int or ints"),
            ({"weights": (2, 2, 3)}, "Weights tensor must have second dimension"),
        ],
    )
    def test_wrong_weight_shapes(self, shapes, match):
        with pytest.raises(ValueError, match=match):
            CircuitLayer(circuit, shapes, in_features=3)

    def test_names_of_module_attributes(self):
        with pytest.raises(ValueError, match="cannot be called 'training'"):
            CircuitLayer(lambda x, training: qml.probs(wires=0), {"training": 1})

    @pytest.mark.parametrize("count", [-1, True])
    def test_wrong_in_features(self, count):
        with pytest.raises(ValueError, match="in_features"):
            CircuitLayer(circuit, SHAPES, in_features=count)

    @pytest.mark.parametrize("shape", [(2, 3), (5, 2, 3), (2, 3, 4), (3, 3, 2)])
    def test_wrong_shapes_in_a_call(self, shape):
        with pytest.raises(ValueError, match=r"expected \(\*batch, 2, 3, 3\)"):
            functional_call(made(), {"weights": torch.zeros(shape)}, (torch.zeros(3),))

    def test_leading_dimensions_that_do_not_broadcast(self):
        with pytest.raises(ValueError, match=r"inputs \(32,\), weights \(5,\)"):
            functional_call(made(), {"weights": torch.zeros(5, 2, 3, 3)}, (torch.zeros(32, 3),))

    def test_inputs_without_axis(self):
        with pytest.raises(ValueError, match="scalar"):
            made()(torch.tensor(1.0))
