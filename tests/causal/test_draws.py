"""One draw serves one call: nesting, threads, generators, divergences."""

import threading

import pytest
import torch
from torch import nn

from causal.draws import divergence, fixed, held, seeded, standard_normal, uniform


def test_nested_calls_agree(laws):
    law = laws.Random(1)
    outer = nn.Sequential(law)
    x = torch.ones(1, 4, 1).double()
    with fixed(outer, 3) as draws:
        assert draws == 3
        first = law(x).mean
        with fixed(law) as inner:
            assert inner == 3
            assert torch.equal(law(x).mean, first)
        with (
            pytest.raises(ValueError, match=r"already fixed with draws=\[3\].*got 2"),
            fixed(law, 2),
        ):
            pass
    assert held(law) is None
    assert not torch.equal(law(x[0]).mean, law(x[0]).mean)
    with pytest.raises(ValueError, match="at least 1"), fixed(law, 0):
        pass


def test_an_error_inside_releases_the_draw(laws):
    law = laws.Random(1)
    with pytest.raises(RuntimeError), fixed(law, 3):
        raise RuntimeError
    assert held(law) is None
    with fixed(law, 2):
        assert len(held(law)) == 2


def test_threads_do_not_mix(laws):
    law = laws.Random(1)
    barrier = threading.Barrier(2, timeout=20)
    seen = {}

    def work(draws):
        with fixed(law, draws):
            barrier.wait()
            seen[draws] = law(torch.ones(1, 2, 1).double()).batch_shape
            barrier.wait()

    threads = [threading.Thread(target=work, args=(draws,)) for draws in (2, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {2: (2, 2), 5: (5, 2)}


def test_generators(laws):
    law = laws.Random(1)
    values = []
    before = torch.get_rng_state()
    for _ in range(2):
        generator = torch.Generator().manual_seed(1)
        with fixed(law, 3, generator), seeded(generator):
            like = torch.zeros(())
            values.append(
                torch.cat(
                    [held(law).flatten().float(), torch.rand(2), uniform((2,), like, generator),
                     standard_normal((2,), like, generator)]
                )
            )  # fmt: skip
    assert torch.equal(*values)
    assert torch.equal(torch.get_rng_state(), before)


def test_divergence_sums_over_members(laws):
    parts = [laws.Random(1), laws.Random(2)]
    both = nn.Sequential(*parts, nn.Linear(1, 1))
    torch.testing.assert_close(divergence(both), sum(part.divergence() for part in parts))
