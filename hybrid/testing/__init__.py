"""Conformance checks of the contracts, for our own implementations and for yours.

Each check raises `ContractError`, an ``AssertionError`` that names the broken clause, so that it
can be the whole body of a test.
"""

from hybrid.testing.contract import ContractError as ContractError
from hybrid.testing.joints import check_joint as check_joint
from hybrid.testing.laws import check_law as check_law
from hybrid.testing.layers import check_layer as check_layer
from hybrid.testing.objectives import check_objective as check_objective

__all__ = ["ContractError", "check_joint", "check_law", "check_layer", "check_objective"]
