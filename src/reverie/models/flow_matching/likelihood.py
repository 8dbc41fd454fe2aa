r"""log p of events, by following them back to the noise.

Along dx/dt = v(x, t) the log density changes by minus the divergence (Chen et al., arXiv:1806.07366), so

    log q(x_1) = log p_0(x_0) - integral_0^1 div v(x_t, t) dt,        div v = sum_i dv_i / dx_i

The equation is solved back from t = 1 by Runge and Kutta's rule of fourth order, twice: with all its steps
and with half of them. Their difference is the error that is quoted, too large by an order.

The divergence is the trace of the Jacobian matrix J. Up to 32 coordinates it is exact, with a derivative for each of
them. Beyond, it is estimated (Hutchinson 1989) by e . J e with random signs e, the same ones along a path, and the mean
over several e has a standard error for each event.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from reverie.models.flow_matching.path import late
from reverie.models.flow_matching.velocity import Velocity

__all__ = ["MOST_EXACT", "FlowLogProb", "log_prob"]

MOST_EXACT = 32  # coordinates up to which the trace is exact


@dataclass(frozen=True)
class FlowLogProb:
    """log q of events in their coordinates.

    Parameters
    ----------
    values : (batch,), in nats, of the type of the coordinates.
    errors : (batch,) standard error of each from the random signs; zero where the trace is exact.
    of_steps : Mean difference between the solution and that with half the steps, in nats.
    """

    values: Tensor
    errors: Tensor
    of_steps: float


def log_prob(
    network: Velocity,
    x: Tensor,
    generator: torch.Generator,
    condition: Tensor | None = None,
    *,
    n_steps: int = 32,
    n_probes: int = 2,
) -> FlowLogProb:
    """Return log q of coordinates `x` (batch, n), per unit of length of the features.

    Parameters
    ----------
    network : The velocity field, of the type of the coordinates.
    x : Coordinates of events at t = 1, (batch, n); float64 where the trace is exact.
    generator : Source of the random signs, which only events of more than `MOST_EXACT` coordinates need.
    condition : (batch, ...), or None.
    n_steps : Steps of four evaluations each, at least 2.
    n_probes : Random signs per event, at least 2.
    """
    probes: list[Tensor] = []
    if x.shape[1] > MOST_EXACT:
        like = {"dtype": x.dtype, "device": x.device}
        signs = [torch.randint(0, 2, x.shape, generator=generator, device=x.device) for _ in range(n_probes)]
        probes = [(2 * s - 1).to(**like) for s in signs]
    fine, coarse = (_followed_back(network, x, condition, probes, n) for n in (n_steps, n_steps // 2))
    values, rough = fine.mean(0), coarse.mean(0)
    errors = fine.std(0) / len(probes) ** 0.5 if probes else torch.zeros_like(values)
    return FlowLogProb(values, errors, float((values - rough).mean().abs()))


def _followed_back(
    network: Velocity, x: Tensor, condition: Tensor | None, probes: list[Tensor], n_steps: int
) -> Tensor:
    """Return log q by each probe, (probes or 1, batch)."""
    total = x.new_zeros(max(1, len(probes)), len(x))

    def slope(point: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """Return the velocity (batch, n) and its divergence by each probe, (probes or 1, batch)."""
        with torch.enable_grad():
            point = point.detach().requires_grad_()
            v = network(point, point.new_full((1, 1), t), condition)
            if probes:
                products = [torch.autograd.grad((v * e).sum(), point, retain_graph=True)[0] for e in probes]
                divergence = torch.stack([(g * e).sum(1) for g, e in zip(products, probes, strict=True)])
            else:
                rows = [torch.autograd.grad(v[:, i].sum(), point, retain_graph=True)[0] for i in range(v.shape[1])]
                divergence = torch.stack([row[:, i] for i, row in enumerate(rows)]).sum(0, keepdim=True)
        return v.detach(), divergence.detach()

    times = [late(1 - k / n_steps, network.late) for k in range(n_steps + 1)]
    for t, before in pairwise(times):
        h = before - t
        a, of_a = slope(x, t)
        b, of_b = slope(x + h / 2 * a, t + h / 2)
        c, of_c = slope(x + h / 2 * b, t + h / 2)
        d, of_d = slope(x + h * c, t + h)
        x = x + h / 6 * (a + 2 * b + 2 * c + d)
        total = total + h / 6 * (of_a + 2 * of_b + 2 * of_c + of_d)
    return network.coordinates.log_noise(x) + total
