"""The terms of one number of the operations that work number by number or across channels, and of its gradient.

Each has the formula of its own file in this room: `activations.py`, `maxout.py`, `softmax.py`, `batch_norm.py`,
`local_response_norm.py`, `dropout.py`, `flatten.py`, `channel_shuffle.py` and `branches.py`; the sources are there.
Backward, dx = sum of dy times slope over all numbers that depend on x.
"""

from itertools import product as every
from math import exp, fsum, sqrt

import torch
from torch import Tensor

from striate.base.network import Branches
from striate.base.operations import (
    Activation,
    BatchNorm,
    ChannelShuffle,
    Dropout,
    Flatten,
    LocalResponseNorm,
    Maxout,
    PReLU,
    Softmax,
)
from striate.calculus.activations import ACTIVATIONS
from striate.calculus.steps import STEPS, Given, activation_options, lrn_options
from striate.calculus.terms import Arithmetic, At, Term, product, slopes, total, worked

ACTIVATION_EQUATIONS = {
    "linear": "y = x",
    "hard_limit": "y = 1 if x >= 0 else 0",
    "sigmoid": "y = 1 / (1 + e^-x)",
    "tanh": "y = (e^x - e^-x) / (e^x + e^-x)",
    "scaled_tanh": "y = 1.7159 tanh(2 x / 3)",
    "relu": "y = max(x, 0)",
    "leaky_relu": "y = x if x > 0 else negative_slope x",
    "elu": "y = x if x > 0 else alpha (e^x - 1)",
    "swish": "y = x / (1 + e^-x)",
    "gelu": "y = x P(x), P the normal distribution's share below x",
}


def activation_output(o: Activation, x: Tensor, at: At, _: Given) -> Arithmetic:
    """y[at]."""
    made = ACTIVATIONS[o.name][0](x[at].reshape(1), **activation_options(o)).item()
    return total(ACTIVATION_EQUATIONS[o.name], [Term(at, x[at].item(), None, made)])


def activation_dx(o: Activation, dy: Tensor, x: Tensor, at: At, _: Given) -> Arithmetic:
    """dL/dx[at]."""
    one = torch.ones(1, dtype=x.dtype, device=x.device)
    slope = ACTIVATIONS[o.name][1](one, x[at].reshape(1), **activation_options(o)).item()
    return slopes("dx = dy y'(x)", [product(at, dy[at].item(), slope)])


def _slope(at: At, given: Given) -> float:
    """PReLU's learnt slope at a place."""
    weight = given.parameters["weight"]
    return weight[0 if len(weight) == 1 else at[1]].item()


def prelu_output(_: PReLU, x: Tensor, at: At, given: Given) -> Arithmetic:
    """y[at]."""
    factor = 1.0 if x[at] > 0 else _slope(at, given)
    return total("y = x if x > 0 else weight x", [product(at, x[at].item(), factor)])


def prelu_dx(_: PReLU, dy: Tensor, x: Tensor, at: At, given: Given) -> Arithmetic:
    """dL/dx[at]."""
    slope = 1.0 if x[at] > 0 else _slope(at, given)
    return slopes("dx = dy if x > 0 else weight dy", [product(at, dy[at].item(), slope)])


def prelu_dparameter(o: PReLU, dy: Tensor, x: Tensor, _: str, at: At) -> Arithmetic:
    """dL/dweight[c]."""
    places = [p for p in every(*map(range, x.shape)) if x[p] <= 0 and (o.num_parameters == 1 or p[1] == at[0])]
    terms = [product(p, dy[p].item(), x[p].item(), channel=p[0], factor_at=p) for p in places]
    return total("dweight = sum of dy x where x <= 0", terms, names=("dy", "x"), by="picture")


def _pieces(o: Maxout, x: Tensor, channel: int, at: At) -> tuple[list[At], list[float]]:
    """The places of an output channel's pieces, and 1 for the first of the largest, 0 for the others."""
    places = [(at[0], channel * o.pieces + k, *at[2:]) for k in range(o.pieces)]
    values = [x[place].item() for place in places]
    return places, [float(k == values.index(max(values))) for k in range(o.pieces)]


def maxout_output(o: Maxout, x: Tensor, at: At, _: Given) -> Arithmetic:
    """y[b, c, ...]."""
    places, winner = _pieces(o, x, at[1], at)
    terms = [product(p, x[p].item(), factor) for p, factor in zip(places, winner, strict=True)]
    return total("y = the largest of the pieces, of equals the first", terms)


def maxout_dx(o: Maxout, dy: Tensor, x: Tensor, at: At, _: Given) -> Arithmetic:
    """dL/dx[b, c pieces + k, ...]."""
    channel, k = divmod(at[1], o.pieces)
    where = (at[0], channel, *at[2:])
    return slopes(
        "dx = dy if this piece is the largest, else 0",
        [product(where, dy[where].item(), _pieces(o, x, channel, at)[1][k])],
    )


def _column(x: Tensor, at: At) -> list[At]:
    """The places of all channels at one position."""
    return [(at[0], c, *at[2:]) for c in range(x.shape[1])]


def softmax_output(_: Softmax, x: Tensor, at: At, __: Given) -> Arithmetic:
    """p[b, c, ...]."""
    places = _column(x, at)
    largest = max(x[p].item() for p in places)
    terms = [Term(p, x[p].item(), None, exp(x[p].item() - largest)) for p in places]
    whole = fsum(term.product for term in terms)
    mine = exp(x[at].item() - largest)
    then = [("largest, m", largest), ("S, the sum of e^(x - m)", whole), ("e^(x - m) / S", mine / whole)]
    return worked("p = e^(x - m) / sum over channels of e^(x - m)", terms, then)


def softmax_dx(o: Softmax, dy: Tensor, x: Tensor, at: At, given: Given) -> Arithmetic:
    """dL/dx[b, c, ...]: dp_i / dx_c = p_i (1 - p_c) if i = c, else -p_i p_c."""
    p = {place: softmax_output(o, x, place, given).result for place in _column(x, at)}
    terms = [product(i, dy[i].item(), p[i] * (float(i == at) - p[at]), channel=i[1]) for i in p]
    return slopes("dx_c = sum over i of dy_i p_i ([i = c] - p_c)", terms)


def _numbers(x: Tensor, channel: int) -> list[At]:
    """The places of all numbers of a channel, over the batch."""
    return list(every(range(len(x)), [channel], *(range(n) for n in x.shape[2:])))


def _normal(o: BatchNorm, x: Tensor, channel: int, given: Given) -> tuple[float, float]:
    """Mean and deviation s of a channel: the batch's in training, the running ones in evaluation."""
    if given.training is None:
        mean, var = (given.buffers[name][channel].item() for name in ("running_mean", "running_var"))
    else:
        values = [x[p].item() for p in _numbers(x, channel)]
        mean = fsum(values) / len(values)
        var = fsum((v - mean) ** 2 for v in values) / len(values)
    return mean, sqrt(var + o.eps)


def batch_norm_output(o: BatchNorm, x: Tensor, at: At, given: Given) -> Arithmetic:
    """y[b, c, ...]; in training the terms are those of the mean."""
    channel = at[1]
    weight, bias = (given.parameters[name][channel].item() for name in ("weight", "bias"))
    mean, s = _normal(o, x, channel, given)
    places = _numbers(x, channel) if given.training is not None else []
    terms = [product(p, x[p].item(), 1 / len(places), channel=channel) for p in places]
    h = (x[at].item() - mean) / s
    then = [("mean", mean), ("s = sqrt(variance + eps)", s), (f"h = (x{list(at)} - mean) / s", h)]
    return worked("y = weight h + bias, h = (x - mean) / s", terms, [*then, ("weight h + bias", weight * h + bias)])


def batch_norm_dx(o: BatchNorm, dy: Tensor, x: Tensor, at: At, given: Given) -> Arithmetic:
    """dL/dx[b, c, ...]: in training every number of the channel depends on it, through mean and variance."""
    channel = at[1]
    mean, s = _normal(o, x, channel, given)
    scale = given.parameters["weight"][channel].item() / s
    if given.training is None:
        return slopes("dx = dy weight / s", [product(at, dy[at].item(), scale, channel=channel)])
    places = _numbers(x, channel)
    h = {p: (x[p].item() - mean) / s for p in places}
    share = {p: scale * (float(p == at) - (1 + h[p] * h[at]) / len(places)) for p in places}
    terms = [product(p, dy[p].item(), share[p], channel=channel) for p in places]
    return slopes("dx_j = sum over n of dy_n weight / s ([n = j] - (1 + h_n h_j) / N)", terms)


def batch_norm_dparameter(o: BatchNorm, dy: Tensor, x: Tensor, name: str, at: At, given: Given) -> Arithmetic:
    """dL/dweight[c] or dL/dbias[c]."""
    mean, s = _normal(o, x, at[0], given)
    factor = {p: 1.0 if name == "bias" else (x[p].item() - mean) / s for p in _numbers(x, at[0])}
    terms = [product(p, dy[p].item(), f, channel=p[0]) for p, f in factor.items()]
    equation = "dbias = sum of dy" if name == "bias" else "dweight = sum of dy h, h = (x - mean) / s"
    return total(equation, terms, names=("dy", "h"), by="picture")


def _energy(o: LocalResponseNorm, x: Tensor, at: At) -> tuple[list[At], float]:
    """The neighbours of a channel and d = k + alpha (sum of their squares)."""
    options = lrn_options(o)
    first, last = at[1] - o.size // 2, at[1] + (o.size - 1) // 2
    near = [p for p in _column(x, at) if first <= p[1] <= last]
    return near, options["k"] + options["alpha"] * fsum(x[p].item() ** 2 for p in near)


def lrn_output(o: LocalResponseNorm, x: Tensor, at: At, _: Given) -> Arithmetic:
    """y[b, c, ...]."""
    near, d = _energy(o, x, at)
    terms = [Term(p, x[p].item(), None, x[p].item() ** 2) for p in near]
    y = x[at].item() * d ** -lrn_options(o)["beta"]
    equation = "y = x / d^beta, d = k + alpha / size (sum over neighbours of x^2)"
    return worked(equation, terms, [("d", d), (f"x{list(at)} / d^beta", y)])


def lrn_dx(o: LocalResponseNorm, dy: Tensor, x: Tensor, at: At, _: Given) -> Arithmetic:
    """dL/dx[b, j, ...]: every channel i that has j among its neighbours."""
    options, terms = lrn_options(o), []
    alpha, beta = options["alpha"], options["beta"]
    for i in _column(x, at):
        near, d = _energy(o, x, i)
        direct = d**-beta if i == at else 0.0
        through = 2 * alpha * beta * x[at].item() * x[i].item() * d ** (-beta - 1) if at in near else 0.0
        if i == at or at in near:
            terms.append(product(i, dy[i].item(), direct - through, channel=i[1]))
    return slopes("dx_j = sum over i of dy_i ([i = j] d_i^-beta - 2 alpha / size beta x_i x_j d_i^(-beta - 1))", terms)


def _scale(o: Dropout, x: Tensor, at: At, given: Given) -> float:
    """1 / (1 - p) where kept, 0 where dropped; 1 in evaluation."""
    mask = STEPS[Dropout].forward(o, x, given).kept.get("mask")
    if mask is None:
        return 1.0
    return 1 / (1 - o.p) if bool(mask[at]) else 0.0


def dropout_output(o: Dropout, x: Tensor, at: At, given: Given) -> Arithmetic:
    """y[at]."""
    terms = [product(at, x[at].item(), _scale(o, x, at, given))]
    return total("y = x / (1 - p) where kept, 0 where dropped; in evaluation y = x", terms)


def dropout_dx(o: Dropout, dy: Tensor, x: Tensor, at: At, given: Given) -> Arithmetic:
    """dL/dx[at]."""
    terms = [product(at, dy[at].item(), _scale(o, x, at, given))]
    return slopes("dx = dy / (1 - p) where kept, 0 where dropped; in evaluation dx = dy", terms)


def flatten_output(_: Flatten, x: Tensor, at: At, __: Given) -> Arithmetic:
    """y[b, f]."""
    sample = torch.unravel_index(torch.tensor(at[1]), x.shape[1:])
    where = (at[0], *(int(n) for n in sample))
    return total("y[b, (c H + h) W + w] = x[b, c, h, w]", [product(where, x[where].item(), 1.0)])


def flatten_dx(_: Flatten, dy: Tensor, x: Tensor, at: At, __: Given) -> Arithmetic:
    """dL/dx[b, c, ...]."""
    flat = 0
    for n, index in zip(x.shape[1:], at[1:], strict=True):
        flat = flat * n + index
    return slopes("dx[b, c, h, w] = dy[b, (c H + h) W + w]", [product((at[0], flat), dy[at[0], flat].item(), 1.0)])


def shuffle_output(o: ChannelShuffle, x: Tensor, at: At, _: Given) -> Arithmetic:
    """y[b, k G + g, ...]."""
    k, g = divmod(at[1], o.groups)
    where = (at[0], g * (x.shape[1] // o.groups) + k, *at[2:])
    return total("y[:, k G + g] = x[:, g (C / G) + k]", [product(where, x[where].item(), 1.0)])


def shuffle_dx(o: ChannelShuffle, dy: Tensor, x: Tensor, at: At, _: Given) -> Arithmetic:
    """dL/dx[b, g (C / G) + k, ...]."""
    g, k = divmod(at[1], x.shape[1] // o.groups)
    where = (at[0], k * o.groups + g, *at[2:])
    return slopes("dx[:, g (C / G) + k] = dy[:, k G + g]", [product(where, dy[where].item(), 1.0)])


def join_output(o: Branches, ends: tuple[Tensor, ...], at: At, _: Given) -> Arithmetic:
    """y[b, c, ...] of what the branches ended with; a term's channel is its branch."""
    if o.join == "add":
        terms = [product(at, end[at].item(), 1.0, channel=b) for b, end in enumerate(ends)]
        return total("y = x_0 + x_1 + ..., number on number", terms, by="branch")
    owners = [(branch, c) for branch, end in enumerate(ends) for c in range(end.shape[1])]
    branch, channel = owners[at[1]]
    where = (at[0], channel, *at[2:])
    equation = "y = all channels of branch 0, then all of branch 1, ..."
    return total(equation, [product(where, ends[branch][where].item(), 1.0, channel=branch)], by="branch")


def join_dx(o: Branches, dy: Tensor, ends: tuple[Tensor, ...], at: At, _: Given) -> Arithmetic:
    """dL/d(the end of a branch): `at` begins with the branch."""
    branch, b, c, *rest = at
    before = 0 if o.join == "add" else sum(end.shape[1] for end in ends[:branch])
    where = (b, before + c, *rest)
    equation = "dx = dy, whole, for every branch" if o.join == "add" else "dx = dy's channels of this branch"
    return slopes(equation, [product(where, dy[where].item(), 1.0, channel=branch)])
