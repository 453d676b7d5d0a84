"""Values of causal formulas: exact on tables, by simulation on other joints.

| file | what it holds |
| --- | --- |
| `tables.py` | expressions on finite tables, exact, batched, differentiable |
| `sources.py` | the supplied distributions: checked, normalised, their marginals |
| `contraction.py` | sums of products in a good order of elimination |
| `states.py` | given states carried down to the probabilities |
| `positivity.py` | cells without support: how they are named |
| `query.py` | an estimand's table; the spread over its free names |
| `simulation.py`, `sampler.py` | densities and means where variables are continuous |
"""

from causal.evaluation.positivity import PositivityViolation
from causal.evaluation.query import evaluate_estimand, evaluate_expression, specification_spread
from causal.evaluation.simulation import simulated_density, simulated_mean

__all__ = [
    "PositivityViolation",
    "evaluate_estimand",
    "evaluate_expression",
    "simulated_density",
    "simulated_mean",
    "specification_spread",
]
