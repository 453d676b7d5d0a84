"""What tests of PennyLane devices share: circuits from parts, results flat and compared."""

import numpy as np
import torch
from pennylane import numpy as pnp


def function(body, measurement):
    def circuit(x):
        body(x)
        return measurement()

    return circuit


def tupled(result):
    return result if isinstance(result, tuple) else (result,)


def flat(result):
    parts = tupled(result)
    if isinstance(parts[0], torch.Tensor):
        return torch.cat([part.reshape(-1) for part in parts])
    return pnp.concatenate([pnp.ravel(part) for part in parts])


def check(found, expected, tolerance=1e-10):
    if isinstance(expected, tuple):
        assert isinstance(found, tuple)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            check(one, other, tolerance)
        return
    assert type(found) is type(expected)
    assert np.shape(found) == np.shape(expected)
    assert found.dtype == expected.dtype
    if isinstance(found, torch.Tensor):
        found, expected = found.detach(), expected.detach()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
