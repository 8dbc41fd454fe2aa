r"""Observables of jets: differentiable functions of the pseudorapidities, azimuths and momenta of their particles.

A jet is a set of N massless particles with pseudorapidity eta_i, azimuth phi_i in radians and transverse momentum pt_i.
All functions take three tensors (batch, particle), zero where there is no particle: a pt of 0 adds nothing to any sum.
The three may be relative to the jet, as in JetNet (eta_rel, phi_rel, pt_rel); the mass then has the jet's pT as its
unit. With z_i = pt_i / sum pt, and R_ij, R_ia the distances in (eta, phi) of two particles, or of one from an axis a:

    mass          m^2 = E^2 - p^2 of the sum of all momenta
    pt            transverse momentum of that sum
    multiplicity  N, the number of particles
    width         sum_i z_i R_ia about the direction a of the sum of all momenta
    tau_N         sum_i z_i min_a R_ia about N axes (N-subjettiness); tau21 = tau_2 / tau_1, tau32 = tau_3 / tau_2
    D2            e3 / e2^3 with e2 = sum_{i<j} z_i z_j R_ij, e3 = sum_{i<j<k} z_i z_j z_k R_ij R_jk R_ki
    EFP           sum_{i1} ... sum_{iV} pt_i1 ... pt_iV prod_{(k, l) in graph} R_{ik il}, of a graph with V vertices

A function is safe if neither splitting a particle into two parallel ones nor adding one of pt = 0 changes it: what
perturbation theory can predict. All of them are but the multiplicity.

The axes of tau_N are those of exclusive kT clustering with the winner-take-all scheme: the pair of least
min(pt_i, pt_j)^2 R_ij^2 is merged, which takes the direction of the harder and the sum of both pt, until N are left.
So each axis is the direction of a particle. They are not moved to a minimum of tau_N, which is 0 for jets of up to N
particles.

For a graph, vertices are eliminated one after the other, those with fewest neighbours first: one with no neighbour
gives a factor, with one a vector, with two a matrix product. Graphs of up to 4 edges need no more than that, so the
cost is P^3 at most, with P the number of places.

A generator learns through mass, width and multiplicity: they are finite with finite gradients for any event. There a
negative pt counts as 0, and an |eta| beyond 20 as 20.

References
----------
Winner-take-all axes: Larkoski, Neill and Thaler, JHEP 04 (2014) 017, arXiv:1401.2158. N-subjettiness: Thaler and Van
Tilburg, JHEP 03 (2011) 015, arXiv:1011.2268. D2: Larkoski, Moult and Neill, JHEP 12 (2014) 009, arXiv:1409.6298. Energy
flow polynomials: Komiske, Metodiev and Thaler, JHEP 04 (2018) 013, arXiv:1712.07124. Their choice in JetNet: Kansal et
al., NeurIPS 2021, arXiv:2106.11535, and Phys. Rev. D 107 (2023) 076017, arXiv:2211.10295.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import hardtanh, relu

__all__ = [
    "W1_GRAPHS",
    "angular_distances",
    "d2",
    "energy_flow_polynomial",
    "energy_flow_polynomials",
    "jet_columns",
    "jet_mass",
    "jet_pt",
    "jet_width",
    "multiplicity",
    "n_subjettiness",
    "tau21",
    "tau32",
]

Graph = tuple[tuple[int, int], ...]  # edges between vertices 0, 1, ...

_MOST_ETA = 20.0  # sinh^2 is finite in float32
_ROOT_FROM = 1e-16  # sqrt(x) is x / sqrt(x + this), with a finite slope at 0
_TRIANGLE: Graph = ((0, 1), (0, 2), (1, 2))
_EDGE: Graph = ((0, 1),)

# the five graphs of W1EFP: connected, of 4 vertices and 4 edges
W1_GRAPHS: tuple[Graph, ...] = (
    ((0, 1), (0, 2), (0, 2), (0, 3)),
    ((0, 1), (0, 2), (0, 2), (1, 3)),
    ((0, 1), (0, 1), (0, 2), (1, 3)),
    ((0, 1), (0, 2), (1, 2), (0, 3)),
    ((0, 1), (0, 2), (1, 3), (2, 3)),
)
# all connected multigraphs of up to 4 edges, and the single vertex
_CONNECTED: tuple[Graph, ...] = (
    (),
    _EDGE,
    ((0, 1), (0, 1)),
    ((0, 1), (0, 2)),
    ((0, 1), (0, 1), (0, 1)),
    ((0, 1), (0, 2), (0, 2)),
    _TRIANGLE,
    ((0, 1), (0, 2), (0, 3)),
    ((0, 1), (0, 2), (1, 3)),
    ((0, 1), (0, 1), (0, 1), (0, 1)),
    ((0, 1), (0, 2), (0, 2), (0, 2)),
    ((0, 1), (0, 1), (0, 2), (0, 2)),
    ((0, 1), (0, 2), (0, 2), (1, 2)),
    *W1_GRAPHS,
    ((0, 1), (0, 2), (0, 3), (0, 4)),
    ((0, 1), (0, 2), (0, 3), (1, 4)),
    ((0, 1), (0, 2), (1, 3), (2, 4)),
)


def _products(n_edges: int, last: int) -> list[tuple[int, ...]]:
    """Return all products of connected graphs 1 ... `last` with `n_edges` edges in all, as their places."""
    if n_edges == 0:
        return [()]
    fitting = [k for k in range(1, last + 1) if len(_CONNECTED[k]) <= n_edges]
    return [(k, *rest) for k in fitting for rest in _products(n_edges - len(_CONNECTED[k]), k)]


# the 36 of FPD and KPD, all graphs of up to 4 edges: the single vertex, and products of the connected ones
_ALL = ((0,), *(product for n in range(1, 5) for product in _products(n, len(_CONNECTED) - 1)))


def jet_columns(names: Sequence[str]) -> tuple[int, int, int] | None:
    """Return the positions of the columns eta_rel, phi_rel, pt_rel, or eta, phi, pt; None where there are none such.

    Case and underscores are disregarded, as in "etarel" or "PT".
    """
    plain = [name.lower().replace("_", "") for name in names]
    for suffix in ("rel", ""):
        eta, phi, pt = (f"{name}{suffix}" for name in ("eta", "phi", "pt"))
        if all(plain.count(name) == 1 for name in (eta, phi, pt)):
            return plain.index(eta), plain.index(phi), plain.index(pt)
    return None


def jet_momentum(eta: Tensor, phi: Tensor, pt: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return px, py, pz and E - px of the sum of all momenta, (batch,) each.

    The last is the sum of pt (cosh(eta) - cos(phi)) = 2 pt (sinh^2(eta/2) + sin^2(phi/2)), in which nothing cancels
    for particles near the axis of px.
    """
    pt, eta = relu(pt), hardtanh(eta, -_MOST_ETA, _MOST_ETA)
    near = 2 * pt * (torch.sinh(eta / 2).square() + torch.sin(phi / 2).square())
    parts = pt * torch.cos(phi), pt * torch.sin(phi), pt * torch.sinh(eta), near
    px, py, pz, e_minus_px = (part.sum(-1) for part in parts)
    return px, py, pz, e_minus_px


def jet_mass(eta: Tensor, phi: Tensor, pt: Tensor) -> Tensor:
    """Return the mass (batch,) of the sum of massless particles (batch, particle), in the unit of pt."""
    px, py, pz, e_minus_px = jet_momentum(eta, phi, pt)
    return _root(relu(e_minus_px * (e_minus_px + 2 * px) - py.square() - pz.square()))


def jet_pt(eta: Tensor, phi: Tensor, pt: Tensor) -> Tensor:
    """Return the transverse momentum (batch,) of the sum of particles (batch, particle), in the unit of pt."""
    px, py, *_ = jet_momentum(eta, phi, pt)
    return _root(px.square() + py.square())


def multiplicity(mask: Tensor) -> Tensor:
    """Return the number of particles (batch,) of masks (batch, particle)."""
    return mask.sum(-1)


def jet_width(eta: Tensor, phi: Tensor, pt: Tensor) -> Tensor:
    """Return the mean distance (batch,) of particles (batch, particle) from their sum, weighted by pt; 0 if none."""
    px, py, pz, _ = jet_momentum(eta, phi, pt)
    norm = _root(px.square() + py.square())
    is_there = norm > 0
    px, norm = torch.where(is_there, px, 1.0), torch.where(is_there, norm, 1.0)
    distance = _distance(eta - torch.asinh(pz / norm)[..., None], phi - torch.atan2(py, px)[..., None])
    return (_shares(pt) * distance).sum(-1)


def n_subjettiness(eta: Tensor, phi: Tensor, pt: Tensor, most: int = 3) -> Tensor:
    """Return tau_1 ... tau_most (batch, most) of particles (batch, particle), with winner-take-all kT axes."""
    distance, is_axis = angular_distances(eta, phi), pt > 0  # an axis is the direction of a particle
    rows, n_places = torch.arange(len(pt), device=pt.device), pt.shape[-1]
    apart = distance.detach().float().masked_fill(torch.eye(n_places, dtype=torch.bool, device=pt.device), math.inf)
    apart.masked_fill_(~(is_axis[:, :, None] & is_axis[:, None]), math.inf)
    merged, taus = torch.where(is_axis, pt.detach(), 1.0).float(), []
    for n_left in range(n_places, 0, -1):  # jets of more than n_left have been merged to as many
        if n_left <= most:
            nearest = distance.masked_fill(~is_axis[:, None], math.inf).amin(-1)
            taus.append((_shares(pt) * torch.where(is_axis.any(1, keepdim=True), nearest, 0.0)).sum(-1))
        pair = (torch.minimum(merged[:, :, None], merged[:, None]) * apart).flatten(1).argmin(1)
        i, j = pair // n_places, pair % n_places
        harder = torch.where(merged[rows, i] >= merged[rows, j], i, j)
        softer, now = i + j - harder, is_axis.sum(1) == n_left
        merged[rows, harder] += torch.where(now, merged[rows, softer], 0.0)
        rows_now, gone, is_axis = rows[now], softer[now], is_axis.clone()
        is_axis[rows_now, gone] = False
        apart[rows_now, gone], apart[rows_now, :, gone] = math.inf, math.inf
    zeros = [torch.zeros_like(pt[:, 0])] * (most - len(taus))  # of more axes than places
    return torch.stack([*taus[::-1], *zeros], dim=1)


def tau21(eta: Tensor, phi: Tensor, pt: Tensor) -> Tensor:
    """Return tau_2 / tau_1 (batch,) of particles (batch, particle): small for two prongs; 0 where tau_1 is."""
    tau = n_subjettiness(eta, phi, pt, 2)
    return _ratio(tau[:, 1], tau[:, 0])


def tau32(eta: Tensor, phi: Tensor, pt: Tensor) -> Tensor:
    """Return tau_3 / tau_2 (batch,) of particles (batch, particle): small for three prongs; 0 where tau_2 is."""
    tau = n_subjettiness(eta, phi, pt, 3)
    return _ratio(tau[:, 2], tau[:, 1])


def d2(eta: Tensor, phi: Tensor, pt: Tensor) -> Tensor:
    """Return D2 = e3 / e2^3 (batch,) of particles (batch, particle): small for two prongs; 0 where e2 is."""
    z, distance = _shares(pt), angular_distances(eta, phi)
    e2 = energy_flow_polynomial(z, distance, _EDGE) / 2
    e3 = energy_flow_polynomial(z, distance, _TRIANGLE) / 6
    return _ratio(e3, e2**3)


def angular_distances(eta: Tensor, phi: Tensor) -> Tensor:
    """Return the distances (batch, particle, particle) of particles (batch, particle) in (eta, phi)."""
    return _distance(eta[..., :, None] - eta[..., None, :], phi[..., :, None] - phi[..., None, :])


def energy_flow_polynomial(pt: Tensor, distance: Tensor, graph: Graph) -> Tensor:
    """Return the energy flow polynomial (batch,) of a graph.

    Raises `ValueError` for a graph that needs more than products of matrices, as four vertices each joined to each do.

    Parameters
    ----------
    pt : transverse momenta or their shares, (batch, particle), 0 where there is none.
    distance : `angular_distances`, (batch, particle, particle).
    graph : edges between vertices 0, 1, ...; several between the same two are allowed, none is the sum of pt.
    """
    of_vertex = dict.fromkeys({vertex for edge in graph for vertex in edge} or {0}, pt)
    edges: dict[frozenset[int], Tensor] = {}
    for edge in map(frozenset, graph):
        edges[edge] = edges[edge] * distance if edge in edges else distance
    result = torch.ones_like(pt[:, 0])
    while of_vertex:
        vertex = min(of_vertex, key=lambda v: sum(v in edge for edge in edges))
        weight, touching = of_vertex.pop(vertex), [edge for edge in edges if vertex in edge]
        around = [(next(iter(edge - {vertex})), edges.pop(edge)) for edge in touching]
        if not around:
            result = result * weight.sum(-1)
        elif len(around) == 1:
            ((other, matrix),) = around
            of_vertex[other] = of_vertex[other] * (matrix @ weight[..., None])[..., 0]
        elif len(around) == 2:
            (i, left), (j, right) = around
            joined, edge = left @ (weight[..., None] * right), frozenset((i, j))
            edges[edge] = edges[edge] * joined if edge in edges else joined
        else:
            raise ValueError(f"The graph {graph} has a vertex with three neighbours after elimination.")
    return result


def energy_flow_polynomials(eta: Tensor, phi: Tensor, pt: Tensor) -> Tensor:
    """Return the 36 energy flow polynomials (batch, 36) of all graphs of up to 4 edges, as JetNet takes for FPD."""
    distance = angular_distances(eta, phi)
    connected = [energy_flow_polynomial(pt, distance, graph) for graph in _CONNECTED]
    return torch.stack([torch.stack([connected[k] for k in product]).prod(0) for product in _ALL], dim=1)


def _shares(pt: Tensor) -> Tensor:
    pt = relu(pt)
    return pt / pt.sum(-1, keepdim=True).clamp(min=1e-30)


def _distance(eta: Tensor, phi: Tensor) -> Tensor:
    """Return the length of differences in pseudorapidity and azimuth, the latter on the circle."""
    phi = phi - 2 * math.pi * torch.round(phi / (2 * math.pi))
    return _root(eta.square() + phi.square())


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    return torch.where(below > 0, above / torch.where(below > 0, below, 1.0), 0.0)


def _root(x: Tensor) -> Tensor:
    return x * (x + _ROOT_FROM).rsqrt()
