"""Places for the nodes of a graph in layers, from top to bottom, so that edges cross seldom and no node.

layer       as many edges from the beginning as the longest way has            Sugiyama, Tagawa and Toda 1981
bends       an edge over several layers bends once in each; edges from one node share their bends
order       in a layer by the mean place of the neighbours, down and up, the fewest crossings kept   (barycentre)
place       as near to the neighbours as order and widths allow, by isotonic regression, down and up
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import accumulate, pairwise
from statistics import median_high

from striate.analysis.svg import Length

Edge = tuple[int, int]
Place = tuple[int, int]  # (node, layer): a node in its own layer, a bend of the edges from it in others
ROUNDS = 6  # down and up
APART, BESIDE = 28, 12  # pixels between two nodes, and beside a bend
NODE, BEND, ASIDE = 1e3, 1.0, 1e-3  # how firmly a node stays, a bend; how weakly one pulls at the other


@dataclass(slots=True)
class Layout:
    """Where everything is.

    Args:
        layers: for each layer its places from left to right.
        layer: the layer of every node.
        x: the middle of every place.
        ends: the edges by which a branch of its own comes in, however long they are.
    """

    layers: list[list[Place]]
    layer: dict[int, int]
    x: dict[Place, Length] = field(default_factory=dict)
    ends: frozenset[tuple[int, int]] = frozenset()

    def at(self, node: int) -> Length:
        """The middle of a node."""
        return self.x[node, self.layer[node]]

    def route(self, edge: Edge) -> list[Place]:
        """The places that an edge passes, from node to node."""
        source, target = edge
        bends = [(source, layer) for layer in range(self.layer[source], self.layer[target])]
        return [*bends, (target, self.layer[target])]

    def straight_below(self, layer: int, edges: Iterable[Edge]) -> bool:
        """Whether all edges lead straight down from a layer, one to each place below."""
        steps = {step for edge in edges for step in pairwise(self.route(edge)) if step[0][1] == layer}
        alone = len({lower for _, lower in steps}) == len(steps)
        return alone and all(abs(self.x[upper] - self.x[lower]) < 1 for upper, lower in steps)


def layout(widths: Mapping[int, Length], edges: Sequence[Edge]) -> Layout:
    """Place nodes.

    Args:
        widths: of every node in pixels, in an order in which edges lead forward.
        edges: from node to node.
    """
    layer = _layers(widths, edges)
    found = Layout(_with_bends(layer, edges), layer, ends=_branch_ends(widths, edges))
    above, below = _neighbours(found, edges)
    _order(found, above, below)
    _put(found, widths, above, below)
    return found


def _layers(nodes: Iterable[int], edges: Sequence[Edge]) -> dict[int, int]:
    """The longest way to each node."""
    into = defaultdict(list)
    for source, target in edges:
        into[target].append(source)
    layer: dict[int, int] = {}
    for node in nodes:
        layer[node] = max((layer[source] + 1 for source in into[node]), default=0)
    return layer


def _branch_ends(nodes: Iterable[int], edges: Sequence[Edge]) -> frozenset[Edge]:
    """Edges that end a branch: what they come from is no step on the way of another edge to the same node."""
    into = defaultdict(list)
    for source, target in edges:
        into[target].append(source)
    before: dict[int, set[int]] = {}
    for node in nodes:
        before[node] = set().union(*({source, *before[source]} for source in into[node]))
    return frozenset(
        (source, target)
        for target, sources in into.items()
        for source in sources
        if not any(source in before[other] for other in sources)
    )


def _with_bends(layer: Mapping[int, int], edges: Sequence[Edge]) -> list[list[Place]]:
    """Nodes and bends of every layer, bends at the right."""
    layers: list[list[Place]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for node, own in layer.items():
        layers[own].append((node, own))
    reach = dict(layer)
    for source, target in edges:
        reach[source] = max(reach[source], layer[target] - 1)
    for node, last in reach.items():
        for own in range(layer[node] + 1, last + 1):
            layers[own].append((node, own))
    return layers


Neighbours = dict[Place, list[Place]]


def _neighbours(found: Layout, edges: Sequence[Edge]) -> tuple[Neighbours, Neighbours]:
    """The places that are joined to each, in the layer above and in the one below."""
    above: Neighbours = defaultdict(list)
    below: Neighbours = defaultdict(list)
    for edge in edges:
        way = found.route(edge)
        for upper, lower in pairwise(way):
            if lower not in below[upper]:
                below[upper].append(lower)
                above[lower].append(upper)
    return above, below


def _order(found: Layout, above: Neighbours, below: Neighbours) -> None:
    """Sort every layer by its neighbours, down and up, and keep the order with the fewest crossings."""
    best, fewest = [list(layer) for layer in found.layers], _crossings(found.layers, below)
    for _ in range(ROUNDS):
        for neighbours, layers in ((above, found.layers[1:]), (below, found.layers[-2::-1])):
            for layer in layers:
                _sort(layer, neighbours, found.layers)
        count = _crossings(found.layers, below)
        if count < fewest:
            best, fewest = [list(layer) for layer in found.layers], count
    found.layers = best


def _sort(layer: list[Place], neighbours: Neighbours, layers: Sequence[Sequence[Place]]) -> None:
    """By the mean place of the neighbours; what has none stays where it is."""
    others = {other[1] for place in layer for other in neighbours[place]}
    rank = {place: order for own in others for order, place in enumerate(layers[own])}
    mean = {}
    for order, place in enumerate(layer):
        joined = neighbours[place]
        mean[place] = sum(rank[other] for other in joined) / len(joined) if joined else float(order)
    layer.sort(key=mean.__getitem__)


def _crossings(layers: Sequence[Sequence[Place]], below: Neighbours) -> int:
    """How many pairs of edges cross."""
    total = 0
    for upper, lower in pairwise(layers):
        rank = {place: order for order, place in enumerate(lower)}
        ends = [rank[other] for place in upper for other in sorted(below[place], key=rank.__getitem__)]
        total += sum(1 for i, a in enumerate(ends) for b in ends[i + 1 :] if a > b)
    return total


def _put(found: Layout, widths: Mapping[int, Length], above: Neighbours, below: Neighbours) -> None:
    """Give every place its middle."""
    gaps = [_gaps(layer, found.layer, widths) for layer in found.layers]
    for layer, gap in zip(found.layers, gaps, strict=True):
        for place, x in zip(layer, gap, strict=True):
            found.x[place] = x
    order = list(range(len(found.layers)))
    for turn in range(2 * ROUNDS + 1):
        sides = (above,) if turn % 2 == 0 else (below,)
        for own in order if turn % 2 == 0 else reversed(order):
            layer = found.layers[own]
            wishes = [_wish(found, place, sides) for place in layer]
            weights = [BEND if _is_bend(found, place) else NODE for place in layer]
            for place, x in zip(layer, _separated(wishes, weights, gaps[own]), strict=True):
                found.x[place] = x
    _straighten(found, gaps, above, below)


def _straighten(found: Layout, gaps: Sequence[Sequence[Length]], above: Neighbours, below: Neighbours) -> None:
    """Bring the bends of an edge under each other, and nodes that follow on each other alone, as near as they were.

    Pushed to the right as far as the gaps ask for, and pushed to the left, all keep their gaps; so does the mean.
    Where two such columns cross there is no order, and everything stays.
    """
    columns = _columns(found, above, below)
    owner = {place: number for number, column in enumerate(columns) for place in column}
    beside: dict[tuple[int, int], Length] = {}
    for layer, gap in zip(found.layers, gaps, strict=True):
        for (a, start), (b, end) in pairwise(zip(layer, gap, strict=True)):
            pair = owner[a], owner[b]
            beside[pair] = max(end - start, beside.get(pair, 0))
    wishes = [median_high(found.x[place] for place in column) for column in columns]
    try:
        right = _pushed(wishes, beside)
        left = _pushed([-x for x in wishes], {(b, a): gap for (a, b), gap in beside.items()})
    except CycleError:
        return
    for column, x, other in zip(columns, right, left, strict=True):
        found.x.update(dict.fromkeys(column, (x - other) / 2))


def _pushed(wishes: Sequence[Length], beside: Mapping[tuple[int, int], Length]) -> list[Length]:
    """The least places, no less than the wishes, at which each column is as far behind another as it must be."""
    before: dict[int, dict[int, Length]] = {number: {} for number in range(len(wishes))}
    for (a, b), gap in beside.items():
        before[b][a] = gap
    found = list(wishes)
    for b in TopologicalSorter(before).static_order():
        found[b] = max([wishes[b], *(found[a] + gap for a, gap in before[b].items())])
    return found


def _columns(found: Layout, above: Neighbours, below: Neighbours) -> list[list[Place]]:
    """Places that follow on each other: on a node its one node below, or the bends that alone lead on from it."""
    columns: dict[Place, list[Place]] = {}
    for place in (place for layer in found.layers for place in layer):
        before = above[place][0] if len(above[place]) == 1 else place
        others = [other for other in below[before] if _is_bend(found, other) <= _is_bend(found, place)]
        follows = before != place and others == [place]
        columns[place] = columns[before] if follows else []
        columns[place].append(place)
    return [column for place, column in columns.items() if column[0] == place]


def _gaps(layer: Sequence[Place], own: Mapping[int, int], widths: Mapping[int, Length]) -> list[Length]:
    """How far right of the first middle each middle is at least."""
    bends = [own[node] != layer_ for node, layer_ in layer]
    halves = [
        BESIDE / 2 if bend else widths[place[0]] / 2 + APART / 2 for place, bend in zip(layer, bends, strict=True)
    ]
    return [0.0, *accumulate(a + b for a, b in pairwise(halves))]


def _is_bend(found: Layout, place: Place) -> bool:
    return found.layer[place[0]] != place[1]


def _wish(found: Layout, place: Place, sides: Sequence[Neighbours]) -> Length:
    """Where a place would like to be: below its like above all."""
    joined = [other for side in sides for other in side[place]]
    if not joined:
        return found.x[place]
    pulls = [_pull(found, place, other) for other in joined]
    total = sum(pull * found.x[other] for pull, other in zip(pulls, joined, strict=True))
    return total / sum(pulls)


def _pull(found: Layout, place: Place, other: Place) -> Length:
    """How strongly one place pulls at another: a node at a node, a bend at a bend, the end of a branch at a join."""
    alike = _is_bend(found, place) == _is_bend(found, other)
    return 1.0 if alike or ((other[0], place[0]) in found.ends and not _is_bend(found, place)) else ASIDE


def _separated(wishes: Sequence[Length], weights: Sequence[Length], gaps: Sequence[Length]) -> list[Length]:
    """The places nearest to the wishes that keep the gaps: weighted isotonic regression by pooling.

    >>> _separated([0.0, 0.0], [1.0, 1.0], [0.0, 10.0])
    [-5.0, 5.0]
    """
    pools: list[tuple[Length, Length, int]] = []  # mean, weight, how many
    for wish, weight, gap in zip(wishes, weights, gaps, strict=True):
        pools.append((wish - gap, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, u, m), (b, v, n) = pools[-2:]
            pools[-2:] = [((a * u + b * v) / (u + v), u + v, m + n)]
    means = [mean for mean, _, count in pools for _ in range(count)]
    return [mean + gap for mean, gap in zip(means, gaps, strict=True)]
