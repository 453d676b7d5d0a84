"""Paths of a mixed graph and what blocks them, by the definitions: slow, for small graphs.

Shares no code with ``causal``: a graph is read through its edge lists alone.
"""

import itertools


class MixedPaths:
    """Every simple path of a graph, with the marks at its nodes."""

    def __init__(self, graph):
        self.nodes = list(graph.nodes)
        self.directed = set(graph.directed)
        self.steps = {node: [] for node in self.nodes}  # (neighbour, head here, head there)
        for cause, effect in graph.directed:
            self.steps[cause].append((effect, False, True))
            self.steps[effect].append((cause, True, False))
        for first, second in graph.bidirected:
            self.steps[first].append((second, True, True))
            self.steps[second].append((first, True, True))

    def between(self, start, end):
        """Lists of (node, head towards the next, head at the next); the last node is `end`."""

        def extend(path, node):
            if node == end:
                yield list(path)
                return
            for step in self.steps[node]:
                if step[0] != start and all(step[0] != after for _, (after, _, _) in path):
                    yield from extend([*path, (node, step)], step[0])

        return extend([], start)

    def descendants(self, node):
        found = {node}
        while more := {b for a, b in self.directed if a in found} - found:
            found |= more
        return found

    def opened(self, path, given):
        """Whether a path is open: colliders have descendants in `given`, others are not in it."""
        for (_, (node, _, into)), (_, (_, out, _)) in itertools.pairwise(path):
            if into and out:
                if not self.descendants(node) & given:
                    return False
            elif node in given:
                return False
        return True

    def separated(self, first, second, given):
        return not any(
            self.opened(path, given)
            for a, b in itertools.product(first, second)
            for path in self.between(a, b)
        )

    @staticmethod
    def causal(path):
        return all(not out and into for _, (_, out, into) in path)

    @staticmethod
    def inner(path):
        return {node for _, (node, _, _) in path[:-1]}


def subsets(names):
    names = sorted(names)
    return [
        set(chosen)
        for size in range(len(names) + 1)
        for chosen in itertools.combinations(names, size)
    ]


def minimal(sets):
    return [one for one in sets if not any(other < one for other in sets)]


def random_mixed_graph(random, nodes, density=0.4, hidden=0.25):
    """Edges of a random mixed graph: (directed, bidirected, nodes)."""
    names = [f"{chr(65 + k)}" for k in range(nodes)]
    order = random.sample(names, nodes)
    pairs = list(itertools.combinations(order, 2))
    directed = [pair for pair in pairs if random.random() < density]
    bidirected = [pair for pair in pairs if random.random() < hidden]
    return directed, bidirected, names
