r"""Images one kind at a time: p(x) = sum_k p(k) p(x | k) with the clusters k of k-means.

A network of all images at once has to tell out of noise which of them a point is to become. One that is given the
cluster need not: a velocity field comes nearer in as many steps (Bao et al., arXiv:2212.00362, for diffusion models),
and the generator of a GAN, whose discriminator sees the cluster too, leaves out fewer kinds of images (Liu et al.,
arXiv:2006.10728). The shares p(k) are those of the training images by their weights, and a sample draws its
cluster from them. Each image belongs to the cluster of the nearest centre, a function of the image, so that

    log p(x) >= log p(k(x)) + log p(x | k(x))

and both sides are the same up to what other clusters' samples reach into this one. A network is given the number of the
cluster, 1 among zeros, or its centre, from which it need not learn for each of many what neighbouring ones share.

Centres are sought among the first principal components of some thousand images. They lie in the plane of these, to
which all images have their own distance, so that the nearest is the same in the plane as among all pixels.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from reverie.core.errors import InputError
from reverie.models.training_run import FEW_EVENTS

__all__ = ["MOST_CLUSTERS", "Clusters", "number_of_clusters"]

MOST_CLUSTERS = 1000  # that can be asked for
_MOST_EVENTS, _COMPONENTS, _STARTS = 20_000, 50, 3  # events among which centres are sought, and how
_EACH, _MOST = 100, 500  # images of a cluster, and clusters, that are taken unasked
_LEAST_VALUES = 33  # of an image: log p of smaller ones can be exact


def number_of_clusters(asked: int | Literal["auto"], n_events: int, n_values: int, *, learns: str, can: bool) -> int:
    """Return in how many clusters images are learnt, 0 for none.

    Parameters
    ----------
    asked : Number in 0 ... `MOST_CLUSTERS`, of which at most half of the events are taken, or "auto": one for every 100
        images, at most 500, and none of fewer than 2,000 images or of images of at most 32 values.
    n_events, n_values : Number of the images, and of the values of one.
    learns : What the model learns in clusters, in words; `can` tells whether these events are such.

    Raises
    ------
    InputError
        Where clusters are asked for and the model does not learn these events in any.
    """
    if asked == "auto":
        is_few = n_events < FEW_EVENTS or n_values < _LEAST_VALUES
        return 0 if is_few or not can else min(_MOST, n_events // _EACH)
    if asked and not can:
        raise InputError(f"Expected image_clusters={asked} for {learns}, got others. Leave it at 'auto'.")
    return min(int(asked), n_events // 2)


class Clusters(nn.Module):
    """Clusters of events of n values: their centres, and the share of each.

    Parameters
    ----------
    n_clusters : Number of clusters K.
    n_values : Values of an event, n.

    Attributes
    ----------
    centres : (K, n), in the features of the events; zero until `fit`.
    log_shares : (K,), logarithms of the shares p(k).
    """

    centres: Tensor  # (K, n)
    log_shares: Tensor  # (K,)

    def __init__(self, n_clusters: int, n_values: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(n_clusters, n_values))
        self.register_buffer("log_shares", torch.zeros(n_clusters))

    def fit(self, x: Tensor, weight: Tensor | None, seed: int, start: "Clusters | None" = None) -> None:
        """Find the centres in events, and the share of each.

        Parameters
        ----------
        x : Events (n_events, n), at least K.
        weight : Their weights (n_events,), or None.
        seed : Of the start of k-means.
        start : Clusters whose centres are taken over; only the shares are then those of these events.
        """
        if start is not None:
            self.centres.copy_(start.centres)
            self.count(x, weight)
            return
        from sklearn.cluster import MiniBatchKMeans  # takes a second, and only images need it
        from sklearn.decomposition import PCA

        rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:_MOST_EVENTS]
        some, state = x[rows.to(x.device)].cpu().numpy(), seed % 2**32
        plane = PCA(min(_COMPONENTS, *some.shape), svd_solver="randomized", random_state=state)
        z = plane.fit_transform(some)
        found = MiniBatchKMeans(len(self.centres), n_init=_STARTS, batch_size=2048, random_state=state).fit(z)
        self.centres.copy_(torch.from_numpy(np.asarray(plane.inverse_transform(found.cluster_centers_))))
        self.count(x, weight)

    @torch.no_grad()
    def count(self, x: Tensor, weight: Tensor | None) -> None:
        """Learn the shares of the present clusters, of which no one is zero, from events and their weights."""
        w = torch.ones(len(x), dtype=torch.float64) if weight is None else weight.double().cpu()
        nearest = torch.cat([self.nearest(part) for part in x.split(_MOST_EVENTS)]).cpu()
        shares = torch.bincount(nearest, weights=w, minlength=len(self.centres)).clamp(min=0)
        shares += shares.sum() / len(x) / len(shares)  # one event more, shared out
        self.log_shares.copy_((shares / shares.sum()).log())

    def nearest(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Return the number (batch,) of the centre nearest to events (batch, n), among `observed` values (batch, n)."""
        if observed is None:
            return (self.centres.square().sum(1) / 2 - x @ self.centres.t()).argmin(dim=1)
        seen = observed.to(x.dtype)
        return (seen @ self.centres.square().t() / 2 - (seen * x) @ self.centres.t()).argmin(dim=1)

    def of(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Return the clusters of events (batch, n) as conditions (batch, K): 1 for the nearest centre, else 0."""
        numbers = torch.arange(len(self.centres), device=x.device)  # compared: `one_hot` would wait for the device
        return (numbers == self.nearest(x, observed).unsqueeze(1)).to(x.dtype)

    def drawn(self, u: Tensor) -> Tensor:
        """Return clusters (batch, K) by the shares, of uniform numbers u (batch,) in [0, 1)."""
        below = self.log_shares.double().exp().cumsum(dim=0)
        number = (u.double().unsqueeze(1) >= below / below[-1]).sum(dim=1, keepdim=True)
        return (torch.arange(len(below), device=u.device) == number).to(u.dtype)

    def centre(self, condition: Tensor) -> Tensor:
        """Return the centres (batch, n) of clusters (batch, K)."""
        return condition @ self.centres.to(condition.dtype)

    def log_share(self, condition: Tensor) -> Tensor:
        """Return log p(k), (batch,), of clusters (batch, K)."""
        return condition @ self.log_shares.to(condition.dtype)
