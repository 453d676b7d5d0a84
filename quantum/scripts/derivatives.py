"""Derivatives of PennyLane circuits from PyTorch's: Jacobians and products (floor 1 of scripts).

Each function takes ``exact``, which computes the results of a circuit as tensors, and works for any
real result with any leading batch axis. `differentiated_by_autograd` serves PennyLane's NumPy.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import autograd.numpy as anp
import numpy as np
import torch
from autograd.tracer import getval, isbox
from pennylane.tape import QuantumScript
from torch import Tensor

from quantum.scripts.bridge import lift

__all__ = ["as_array", "boxed", "differentiated_by_autograd", "jacobian", "nested", "pull", "push"]

Execute = Callable[[QuantumScript], list[Tensor]]


def nested(found: Sequence[Any]) -> Any:
    """One result as it is, several as a tuple.

    Example:
        >>> nested([1]), nested([1, 2])
        (1, (1, 2))
    """
    return found[0] if len(found) == 1 else tuple(found)


def as_array(answer: Tensor) -> Any:
    """A tensor as a NumPy array or number.

    Example:
        >>> as_array(torch.tensor(1.5))
        np.float32(1.5)
    """
    return answer.detach().cpu().resolve_conj().numpy()[()]


def jacobian(exact: Execute, tape: QuantumScript) -> tuple[Any, Any]:
    """Results of a circuit, and their derivatives in each trainable parameter.

    Args:
        exact: Computes a circuit.
        tape: The circuit.

    Returns:
        Results, and for each of them (one alone is not in a tuple) a tuple over parameters (one
        alone likewise) of arrays ``(*result, *parameter)``.

    Example:
        >>> import pennylane as qml
        >>> tape = QuantumScript([qml.RX(0.5, 0)], [qml.expval(qml.Z(0))])
        >>> jacobian(lambda tape: [tape.get_parameters()[0] ** 2], tape)
        (np.float64(0.25), np.float64(1.0))
    """
    answers, columns = _columns(exact, tape)
    rows = [tuple(map(as_array, row)) for row in columns]
    return _results(answers), nested([row[0] if len(row) == 1 else row for row in rows])


def push(exact: Execute, tape: QuantumScript, tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Results of a circuit, and the product of their Jacobian with tangents.

    Args:
        exact: Computes a circuit.
        tape: The circuit.
        tangents: One for each trainable parameter.

    Example:
        >>> import pennylane as qml
        >>> tape = QuantumScript([qml.RX(0.5, 0)], [qml.expval(qml.Z(0))])
        >>> push(lambda tape: [tape.get_parameters()[0] ** 2], tape, [3.0])
        (np.float64(0.25), np.float64(3.0))
    """
    answers, columns = _columns(exact, tape)
    directions = [torch.as_tensor(np.asarray(tangent, dtype=float)) for tangent in tangents]
    products = []
    for answer, row in zip(answers, columns, strict=True):
        total = torch.zeros_like(answer)
        for column, direction in zip(row, directions, strict=True):
            total = total + torch.tensordot(column, direction.to(column), direction.dim())
        products.append(as_array(total))
    return _results(answers), nested(products)


def pull(exact: Execute, tape: QuantumScript, cotangents: Any) -> tuple[Any, Any]:
    """Results of a circuit, and the products of cotangents with its Jacobian.

    Args:
        exact: Computes a circuit.
        tape: The circuit.
        cotangents: Shaped as the results; one more leading axis asks for several products at once.

    Returns:
        Results, and one array for each trainable parameter.

    Example:
        >>> import pennylane as qml
        >>> tape = QuantumScript([qml.RX(0.5, 0)], [qml.expval(qml.Z(0))])
        >>> pull(lambda tape: [tape.get_parameters()[0] ** 2], tape, 3.0)
        (np.float64(0.25), (np.float64(3.0),))
    """
    leaves, answers = _differentiable(exact, tape)
    given = [cotangents] if len(answers) == 1 else list(cotangents)
    weights = [
        torch.as_tensor(np.asarray(weight, dtype=float)).to(answer)
        for weight, answer in zip(given, answers, strict=True)
    ]
    if weights[0].dim() == answers[0].dim():
        return _results(answers), tuple(map(as_array, _gradients(answers, leaves, weights)))
    rows = [_gradients(answers, leaves, row) for row in zip(*weights, strict=True)]
    return _results(answers), tuple(as_array(torch.stack(c)) for c in zip(*rows, strict=True))


def boxed(tape: QuantumScript) -> list[int]:
    """The numbers of the parameters that Autograd is differentiating.

    Example:
        >>> import pennylane as qml
        >>> boxed(QuantumScript([qml.RX(0.5, 0)]))
        []
    """
    parameters = tape.get_parameters(trainable_only=False)
    return [number for number, parameter in enumerate(parameters) if isbox(parameter)]


def differentiated_by_autograd(exact: Execute, tape: QuantumScript) -> list[Any]:
    """Results of a circuit whose parameters Autograd is differentiating, to any order.

    Args:
        exact: Computes a circuit.
        tape: The circuit.

    Example:
        >>> import autograd, pennylane as qml
        >>> def square(x):
        ...     tape = QuantumScript([qml.RX(x, 0)], [qml.expval(qml.Z(0))])
        ...     return differentiated_by_autograd(lambda t: [t.get_parameters()[0] ** 2], tape)[0]
        >>> float(autograd.grad(square)(0.5))
        1.0
    """
    boxes = boxed(tape)
    chosen = [tape.get_parameters(trainable_only=False)[number] for number in boxes]
    forms = [(np.shape(_plain(p)), np.iscomplexobj(_plain(p))) for p in chosen]
    sizes = [int(np.prod(shape)) for shape, _ in forms]
    made: list[Tensor] = []

    def function(vector: Tensor) -> Tensor:
        pieces = [
            (piece if is_complex or not vector.is_complex() else piece.real).reshape(shape)
            for piece, (shape, is_complex) in zip(vector.split(sizes), forms, strict=True)
        ]
        made[:] = exact(tape.bind_new_parameters(pieces, boxes))
        return torch.cat([answer.reshape(-1) for answer in made])

    flat = lift(function)(anp.concatenate([anp.ravel(parameter) for parameter in chosen]))
    ends = np.cumsum([0, *(answer.numel() for answer in made)])
    parts = [flat[start:end] for start, end in itertools.pairwise(ends)]
    mixed = any(answer.is_complex() for answer in made)
    return [
        anp.reshape(part if answer.is_complex() or not mixed else anp.real(part), answer.shape)
        for part, answer in zip(parts, made, strict=True)
    ]


def _plain(value: Any) -> Any:
    """What is inside Autograd's boxes, one for each order of differentiation."""
    while isbox(value):
        value = getval(value)
    return value


def _results(answers: Sequence[Tensor]) -> Any:
    return nested([as_array(answer) for answer in answers])


def _differentiable(exact: Execute, tape: QuantumScript) -> tuple[list[Tensor], list[Tensor]]:
    """Trainable parameters as tensors that collect gradients, results that depend on them."""
    leaves = []
    for parameter in tape.get_parameters():
        tensor = torch.as_tensor(np.array(parameter))
        kind = torch.complex128 if tensor.is_complex() else torch.float64
        leaves.append(tensor.to(kind).requires_grad_())
    with torch.enable_grad():
        return leaves, exact(tape.bind_new_parameters(leaves, list(tape.trainable_params)))


def _columns(exact: Execute, tape: QuantumScript) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Results, and for each of them its derivative in each parameter."""
    leaves, answers = _differentiable(exact, tape)
    columns = []
    for answer in answers:
        with torch.enable_grad():
            entries = answer.reshape(-1).unbind()
        rows = [_gradients([entry], leaves, [torch.ones_like(entry)]) for entry in entries]
        columns.append(
            [
                torch.stack([row[number] for row in rows]).reshape(answer.shape + leaf.shape)
                for number, leaf in enumerate(leaves)
            ]
        )
    return answers, columns


def _gradients(
    answers: Sequence[Tensor], leaves: Sequence[Tensor], weights: Sequence[Tensor]
) -> list[Tensor]:
    """Products of ``weights`` with the derivatives of ``answers``, zero where none depends."""
    pairs = [(a, w) for a, w in zip(answers, weights, strict=True) if a.requires_grad]
    if not pairs or not leaves:
        return [torch.zeros_like(leaf) for leaf in leaves]
    chosen, own = zip(*pairs, strict=True)
    options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
    return list(torch.autograd.grad(chosen, leaves, own, **options))
