"""Random undirected graphs, and what makes cliques a junction tree."""

import math
import random
from collections.abc import Iterable, Sequence

import networkx as nx

from hybrid.pgm.trees.elimination import interaction_graph, members
from hybrid.pgm.trees.tree import JunctionTree


def random_graph(seed: int, most: int = 14) -> tuple[list[int], tuple[int, ...]]:
    """Neighbourhoods and cardinalities; often in several parts."""
    choose = random.Random(seed)
    n = choose.randint(1, most)
    share = choose.choice((0.1, 0.25, 0.5))
    edges = [(a, b) for b in range(n) for a in range(b) if choose.random() < share]
    return interaction_graph(n, edges), tuple(choose.choice((1, 2, 3, 4)) for _ in range(n))


def filled(cliques: Iterable[int], variables: int) -> nx.Graph:
    """The graph that joins all members of each clique."""
    graph = nx.empty_graph(variables)
    for clique in cliques:
        inside = list(members(clique))
        graph.add_edges_from((a, b) for b in inside for a in inside if a < b)
    return graph


def assert_triangulates(cliques: Sequence[int], graph: Sequence[int]) -> None:
    """The cliques are the maximal ones of a chordal graph that contains the given one."""
    whole = filled(cliques, len(graph))
    assert all(whole.has_edge(a, b) for a, bits in enumerate(graph) for b in members(bits))
    assert all(nx.is_chordal(whole.subgraph(part)) for part in nx.connected_components(whole))
    maximal = {sum(1 << v for v in clique) for clique in nx.find_cliques(whole)}
    assert sorted(cliques) == sorted(maximal)


def assert_running_intersection(
    cliques: Sequence[int], edges: Iterable[tuple[int, int]], variables: int
) -> None:
    """The edges make a forest in which each variable's cliques hang together."""
    forest = nx.empty_graph(len(cliques))
    forest.add_edges_from(edges)
    assert nx.is_forest(forest)
    for variable in range(variables):
        holding = [number for number, clique in enumerate(cliques) if clique >> variable & 1]
        assert not holding or nx.is_connected(forest.subgraph(holding))


def assert_sound(tree: JunctionTree) -> None:
    """A junction tree is what its fields say."""
    cliques = [sum(1 << v for v in clique) for clique in tree.cliques]
    edges = [(n, parent) for n, parent in enumerate(tree.parents) if parent >= 0]
    assert_running_intersection(cliques, edges, len(tree.cardinalities))
    place = {clique: number for number, clique in enumerate(tree.order)}
    assert len(place) == len(tree.cliques)
    for number, parent in enumerate(tree.parents):
        shared = set() if parent < 0 else set(tree.cliques[number]) & set(tree.cliques[parent])
        assert tree.separators[number] == tuple(sorted(shared))
        assert parent < 0 or place[parent] < place[number]
        assert list(tree.cliques[number]) == sorted(tree.cliques[number])
    for scope, home in zip(tree.scopes, tree.homes, strict=True):
        assert set(scope) <= set(tree.cliques[home])
    sizes = [math.prod(tree.sizes(clique)) for clique in range(len(tree.cliques))]
    for variable, home in enumerate(tree.variable_homes):
        holding = [n for n, clique in enumerate(tree.cliques) if variable in clique]
        assert sizes[home] == min(sizes[n] for n in holding)
    assert tree.cells == sum(sizes)
    assert sorted((c, p) for p, kids in enumerate(tree.children) for c in kids) == edges
