r"""From noise to events: the differential equation, and a random walk with the same law at all times.

    ODE    dx = v dt                                     from t = 0 to 1
    SDE    dx = (v + eta (t v - x)) dt + sqrt(2 eta (1 - t)) dW

The second adds Langevin's walk of the law at time t, whose score is (t v - x)/(1 - t), at the rate eta (1 - t), which
ends with the noise; for exact v both give the same law at every t for any eta >= 0 (Albergo, Boffi and Vanden-Eijnden,
arXiv:2303.08797). Its noise forgets errors of earlier times. Angles follow the ODE in both.

Solvers step from u = k/n to (k + 1)/n in u, of which the time is t = 1 - (1 - u)^p with the power p of the network
(`reverie.models.flow_matching.path.late`); what counts is the number of evaluations of the network:

    euler      1 evaluation a step, error of order 1/steps
    midpoint   2, order 1/steps^2
    heun       2, order 1/steps^2
    rk4        4, order 1/steps^4

The SDE is stepped in the event and the noise that the network sees in a point, E[x_1 | x_t] = x_t + (1 - t) v and
E[x_0 | x_t] = x_t - t v, of which a part is exchanged for fresh noise e:

    x_t' = t' E[x_1 | x_t] + (1 - t') (a E[x_0 | x_t] + sqrt(1 - a^2) e),      a = ((1 - t') / (1 - t))^eta

an error of order 1/steps, and none for events that are all the same, whatever eta and the step (Song, Meng and Ermon,
arXiv:2010.02502). Euler and Maruyama's rule would overshoot near t = 1, where the law is renewed within a step.

Euler's step to t = 1 ends at x_t + (1 - t) v = E[x_1 | x_t], the mean of the events that the point may belong to. Grey
values of images are levels that noise u in (0, 1) has spread over cells, and samples are rounded back. There the mean
over u, which lies amid the cell, is rounded to the level, whereas a point near an edge of the cell often is not; so
their last step is Euler's, as in Karras et al., arXiv:2206.00364, of whatever solver the others are, if there are at
least eight: a longer one would leave too much open.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from reverie.core.checks import check_choice
from reverie.models.flow_matching.path import late
from reverie.models.flow_matching.set_network import VelocitySet
from reverie.models.flow_matching.velocity import Velocity

__all__ = ["SOLVERS", "conditioning_noise", "draw_conditioning", "solve_ode", "solve_sde"]

_LEAST_STEPS = 8  # of a solver whose last one ends in a mean
Field = Callable[[Tensor, float], Tensor]


def _euler(v: Field, x: Tensor, t: float, h: float) -> Tensor:
    return x + h * v(x, t)


def _midpoint(v: Field, x: Tensor, t: float, h: float) -> Tensor:
    return x + h * v(x + h / 2 * v(x, t), t + h / 2)


def _heun(v: Field, x: Tensor, t: float, h: float) -> Tensor:
    first = v(x, t)
    return x + h / 2 * (first + v(x + h * first, t + h))


def _rk4(v: Field, x: Tensor, t: float, h: float) -> Tensor:
    a = v(x, t)
    b = v(x + h / 2 * a, t + h / 2)
    c = v(x + h / 2 * b, t + h / 2)
    d = v(x + h * c, t + h)
    return x + h / 6 * (a + 2 * b + 2 * c + d)


SOLVERS = {"euler": (_euler, 1), "midpoint": (_midpoint, 2), "heun": (_heun, 2), "rk4": (_rk4, 4)}


def solve_ode(
    network: Velocity,
    x: Tensor,
    condition: Tensor | None = None,
    *,
    n_evaluations: int,
    solver: str = "heun",
) -> Tensor:
    """Return where noise `x` (batch, n) at t = 0 arrives at t = 1 along dx/dt = v.

    Parameters
    ----------
    network : The velocity field.
    x : Coordinates of the noise.
    condition : (batch, ...) or None.
    n_evaluations : Evaluations of the network, at least 1; those that do not make up a step are left out.
    solver : A key of `SOLVERS`.
    """
    step, n_each = check_choice("solver", solver, SOLVERS)
    n_steps = max(1, n_evaluations // n_each)

    def velocity(point: Tensor, t: float) -> Tensor:
        return network(point, point.new_full((1, 1), t), condition)

    times = [late(k / n_steps, network.late) for k in range(n_steps + 1)]
    for t, after in pairwise(times):
        is_last = after == times[-1] and n_steps >= _LEAST_STEPS
        rule = _euler if network.ends_in_mean and is_last else step
        x = rule(velocity, x, t, after - t)
    return x


def conditioning_noise(network: Velocity, n: int, generator: torch.Generator) -> Tensor:
    """Return the noise (n, u + k) of what is drawn before `n` events: u = 0 or 1 uniform, k normal numbers.

    Of sets that is the number of particles, and k their observables; of images in clusters it is the cluster.
    """
    kind = {"generator": generator, "device": generator.device}
    parts = [torch.rand(n, 1, **kind)] if isinstance(network, VelocitySet) or network.clusters is not None else []
    if isinstance(network, VelocitySet):
        parts.append(torch.randn(n, network.n_observables, **kind))
    return torch.cat(parts, dim=1) if parts else torch.empty(n, 0, device=generator.device)


def draw_conditioning(
    network: Velocity, noise: Tensor, condition: Tensor | None = None, *, n_evaluations: int, solver: str
) -> Tensor | None:
    """Return what events are made given: of sets mask, observables and condition (batch, P + k + c), the former drawn.

    Of images in clusters that is a cluster, drawn too, and of all others the condition as it is.

    Parameters
    ----------
    network : The velocity field.
    noise : Of `conditioning_noise`, (batch, u + k).
    condition : (batch, ...) or None.
    n_evaluations, solver : As in `solve_ode`.
    """
    if network.clusters is not None:
        return network.clusters.drawn(noise[:, 0])
    if not isinstance(network, VelocitySet):
        return condition
    mask = network.multiplicity.masks(noise[:, 0], condition)
    parts = [mask] if condition is None else [mask, condition]
    if network.observables is not None:
        how = {"n_evaluations": n_evaluations, "solver": solver}
        parts.insert(1, solve_ode(network.observables, noise[:, 1:], network.with_number(mask, condition), **how))
    return torch.cat(parts, dim=1)


def solve_sde(
    network: Velocity,
    x: Tensor,
    generator: torch.Generator,
    condition: Tensor | None = None,
    *,
    n_evaluations: int,
    stochasticity: float,
) -> Tensor:
    """Return where noise `x` (batch, n) at t = 0 arrives at t = 1 along the random walk.

    Parameters
    ----------
    network, x, condition : As in `solve_ode`.
    generator : Source of dW.
    n_evaluations : Steps, one evaluation each.
    stochasticity : eta >= 0.
    """
    n, eta = network.coordinates.n_lines, stochasticity
    times = [late(k / n_evaluations, network.late) for k in range(n_evaluations + 1)]
    for t, after in pairwise(times):
        v = network(x, x.new_full((1, 1), t), condition)
        line, a = x[:, :n], ((1 - after) / (1 - t)) ** eta
        event, noise = line + (1 - t) * v[:, :n], line - t * v[:, :n]
        fresh = torch.randn(line.shape, generator=generator, dtype=x.dtype, device=x.device)
        line = after * event + (1 - after) * (a * noise + math.sqrt(1 - a**2) * fresh)
        x = torch.cat([line, x[:, n:] + (after - t) * v[:, n:]], dim=1)
    return x
