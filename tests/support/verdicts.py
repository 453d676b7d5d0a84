"""A second opinion on identification, by other rules than the library's, and kinds of queries.

Verdicts come from the factors of districts (Tian & Pearl 2002; Lee et al. 2019 for experiments),
separation from a moral graph with an explicit node for each hidden cause.
"""


def separated(graph, first, second, given):
    """Whether ``given`` separates two sets, in the moral graph of the ancestors."""
    first, second, given = set(first), set(second), set(given)
    alive = graph.subgraph(graph.ancestors(first | second | given))
    families = {v: {v, *alive.parents(v)} for v in alive.nodes}
    for edge in alive.bidirected:
        for v in edge:
            families[v].add(edge)
    seen = pending = first - given
    while pending:
        near = set().union(*(f for f in families.values() if f & pending))
        pending = near - seen - given
        seen = seen | pending
    return not seen & second


def exchanged(graph, outcomes, treatments, given):
    """Rule 2 as often as it applies: conditions that may as well be set (IDC)."""
    treatments, given = set(treatments), set(given)
    while True:
        for name in sorted(given):
            cut = graph.remove_incoming(treatments).remove_outgoing({name})
            if separated(cut, {name}, outcomes, treatments | given - {name}):
                treatments, given = treatments | {name}, given - {name}
                break
        else:
            return treatments, given


def depth(graph, part, whole):
    """How often a district is cut and found anew on the way to one of its parts; None: no way."""
    taken = 0
    while True:
        alive = graph.subgraph(whole).ancestors(part)
        if alive == part:
            return taken
        if alive == whole:
            return None
        taken += 1
        whole = graph.subgraph(alive).district(min(part))


def factors(graph, outcomes, treatments, given, experiments):
    """For each district that the query needs, the least depth over experiments, or None."""
    treatments, given = exchanged(graph, outcomes, treatments, given)
    needed = graph.subgraph(set(graph.nodes) - treatments).ancestors(set(outcomes) | given)
    found = []
    for part in graph.subgraph(needed).districts:
        depths = []
        for names in experiments:
            rest = graph.subgraph(set(graph.nodes) - set(names))
            if not part & set(names):
                depths.append(depth(rest, part, rest.district(min(part))))
        found.append(min((d for d in depths if d is not None), default=None))
    return found


def adjustable(graph, outcomes, treatments, given):
    """Whether an adjustment set exists (Perković et al. 2018; the set of all that is allowed)."""
    outcomes, treatments, given = set(outcomes), set(treatments), set(given)
    cut = graph.remove_incoming(treatments)
    proper = (cut.descendants(treatments) - treatments) & graph.remove_outgoing(
        treatments
    ).ancestors(outcomes)
    forbidden = graph.descendants(proper) | treatments if proper else treatments
    if given & forbidden:
        return False
    allowed = graph.ancestors(outcomes | treatments | given) - forbidden - outcomes
    dropped = {(a, b) for a, b in graph.directed if a in treatments and b in proper}
    backdoor = type(graph)(graph.directed - dropped, graph.bidirected, graph.nodes)
    return separated(backdoor, treatments, outcomes, allowed | given)


def stratum(graph, outcomes, treatments, given=(), experiments=((),)):
    """What sort of query it is; "not identified" is the second opinion's verdict."""
    depths = factors(graph, outcomes, treatments, given, experiments)
    if None in depths:
        return "not identified"
    observed = any(not set(names) for names in experiments)
    if observed and adjustable(graph, outcomes, treatments, given):
        return "adjustment"
    if max(depths) > 0:
        return "napkin-like"
    return "several districts" if len(depths) > 2 else "front-door-like"
