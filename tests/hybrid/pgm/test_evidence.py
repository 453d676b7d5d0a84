"""Evidence of some of the rows."""

import torch

from hybrid.pgm.evidence import Evidence


def test_parts_and_chosen_rows() -> None:
    states = torch.tensor([[0, 1, -1, 1], [1, 1, 0, 0]])
    whole = Evidence(
        4, {3: states[0], 5: states[1]}, {0: torch.rand(4, 2)}, observed=(3, 5), states=states
    )
    assert whole.part(0, 4) is whole
    part, some = whole.part(1, 3), whole.chosen(torch.tensor([1, 2]))
    for found in (part, some):
        assert found.rows == 2
        assert found.hard[3].tolist() == [1, -1]
        assert found.states is not None
        assert found.states.tolist() == [[1, -1], [1, 0]]
        assert torch.equal(found.soft[0], whole.soft[0][1:3])
