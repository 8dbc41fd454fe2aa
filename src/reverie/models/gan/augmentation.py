r"""Adaptive augmentation: the discriminator sees few events under random transforms, of which samples keep no trace.

A discriminator that has seen few events often enough knows them by heart, and its gradient pulls samples onto them. So
every row that it sees, real or generated, is replaced with probability p by a random transform of it (Karras et al.,
arXiv:2006.06676). Of laws q of rows this makes

    T q = (1 - p) q + p A q,            A the mean over the transforms,

and since G is trained through the same transforms, the game is at rest where T q_G = T q. That is q_G = q, and the
augmentation does not leak into the samples, where T has an inverse. The means A that are used here have no eigenvalue
below 0, so those of T are at least 1 - p, and two laws that differ still differ after the transform, by 1 - p of it at
least. At p = 1 translations of a lattice would leak: all of them together hide where anything is.

    tables      y -> y + s e, whitened features and observables alike; e, s / width standard normal: the Fourier
                transform of A, E exp(-s^2 k^2 / 2), is positive
    lattices    a periodic translation by any vector: A is a projection
    images      a shift by whole pixels, reflected at the edges, the difference of two of one law: A is, but for the
                edges, a square. Then a turn, a change of scale, and one of brightness, each with probability p

p follows what the discriminator D says at checks of rows that it was trained on (t), of held-out (h) and generated (g)
ones, with u the mean over rows of D:

    r = (u_t - u_h) / (u_t - u_g)        0: held-out events look like those of training; 1: like generated ones

Where r is above 1/2, and u_t - u_h above two of its standard errors, p rises by 0.1, to 0.8 at the most; elsewhere it
falls by 0.05.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

__all__ = ["LARGEST", "Kind", "adapted", "augmentation_sentence", "augmented", "overfitting"]

LARGEST = 0.8  # p from which on augmentations leak in practice, Karras et al.
Kind = Literal["table", "lattice", "image"]
_WIDTH = 1.0  # of the noise of tables, in standard deviations of the features
_SHIFT, _TURN, _SCALE, _BRIGHTNESS = 1 / 8, 0.15, 0.1, 0.2  # of the side; radian; log; of half the range of a pixel
_TARGET, _SIGNIFICANT = 0.5, 2.0
_RISE, _FALL = 0.1, 0.05


def augmented(
    rows: Mapping[str, Tensor], probabilities: Sequence[float | Tensor], generator: torch.Generator, kind: Kind
) -> dict[str, Tensor]:
    """Return rows of what the discriminator sees, each transformed with probability p; gradients flow through.

    Parameters
    ----------
    rows : "x" (n, *event), of tables (n, d), "observables" (n, k) and others, which stay as they are.
    probabilities : p for each of R replicas, whose rows are interleaved.
    generator : source of the transforms.
    kind : of the events, see the module.
    """
    x, n = rows["x"], len(rows["x"])
    p = torch.stack([torch.as_tensor(p, dtype=x.dtype, device=x.device) for p in probabilities])
    p = p.repeat(n // len(p))[:, None]

    def normal() -> Tensor:
        return torch.where(uniform() < p, torch.randn(n, 1, generator=generator, device=x.device), 0.0)

    def uniform() -> Tensor:
        return torch.rand(n, 1, generator=generator, device=x.device)

    if kind == "table":
        parts = [rows[key] for key in ("x", "observables") if key in rows]
        joined = torch.cat(parts, dim=1)
        noise = torch.randn(joined.shape, generator=generator, device=x.device)
        moved = (joined + _WIDTH * normal() * noise).split([part.shape[1] for part in parts], dim=1)
        return {**rows, **dict(zip(("x", "observables"), moved, strict=False))}
    shifted = uniform() < p
    for axis in (-2, -1):
        side = x.shape[axis]
        place = torch.arange(side, device=x.device)
        if kind == "lattice":
            place = (place + torch.where(shifted, (side * uniform()).floor(), 0).long()) % side
        else:
            longest = 1 + max(1, round(_SHIFT * side))
            steps = (longest * uniform()).floor() - (longest * uniform()).floor()
            place = (place + torch.where(shifted, steps, 0).long()).abs()  # reflected at the first and at the last
            place = side - 1 - (side - 1 - place).abs()
        shape = [n, *(1,) * (x.ndim - 1)]
        shape[axis] = side
        x = torch.take_along_dim(x, place.reshape(shape), dim=axis)
    if kind == "image":
        angle, scale = _TURN * normal()[:, 0], torch.exp(_SCALE * normal())[:, :, None]
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).reshape(n, 2, 2)
        affine = torch.cat([turn * scale, torch.zeros(n, 2, 1, device=x.device)], dim=2)
        flat = x.reshape(n, -1, *x.shape[-2:])
        grid = affine_grid(affine, list(flat.shape), align_corners=False)
        x = grid_sample(flat, grid, padding_mode="reflection", align_corners=False).reshape(x.shape)
        x = x + _BRIGHTNESS * normal().reshape(n, *(1,) * (x.ndim - 1))
    return {**rows, "x": x}


def overfitting(train: Tensor, held_out: Tensor, generated: Tensor) -> tuple[float, float]:
    """Return r of the discriminator's logits (n,) on rows of three kinds, and u_t - u_h in its standard errors.

    r is 0 where training rows do not lie above generated ones.
    """
    u_t, u_h, u_g = (float(u.double().mean()) for u in (train, held_out, generated))
    error = sum(float(u.double().var()) / len(u) for u in (train, held_out)) ** 0.5
    return (u_t - u_h) / (u_t - u_g) if u_t > u_g else 0.0, (u_t - u_h) / max(error, 1e-12)


def augmentation_sentence(history: Sequence[Mapping[str, Any]]) -> str:
    """Return what the records of a training say of the augmentation, or "" where there was none."""
    checks = [line for line in history if "augmentation" in line]
    if not checks:
        return ""
    if not any(line["augmentation"] for line in checks):
        return "Augmentation was not needed: the discriminator did not know the training events by heart."
    most, last = max(line["augmentation"] for line in checks), checks[-1]
    return (
        f"The discriminator saw {last['augmentation']:.0%} of the events transformed in the end, {most:.0%} at most; "
        f"to it held-out events lie {last['d_overfitting']:.0%} of the way from training to generated ones."
    )


def adapted(p: float, r: float, z: float) -> float:
    """Return the probability p after a check that found r and z (`overfitting`), within 0 and `LARGEST`."""
    return min(p + _RISE, LARGEST) if r > _TARGET and z > _SIGNIFICANT else max(p - _FALL, 0.0)
