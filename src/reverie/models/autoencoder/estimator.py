r"""Autoencoders: a code of a few numbers for each event, and events from codes.

An encoder f and a decoder g minimise the squared error of the preprocessed features,

    E |x - g(f(x + s e))|^2 + w S(f(x)),      e ~ N(0, 1)

with noise s for a denoising autoencoder, and with S = |h|_1 or the divergence KL(rho | mean h) of the activations for a
sparse one (`reverie.objectives.reconstruction`). Linear, without noise and penalty, the reconstructions at the minimum
are projections onto the first principal components (Baldi and Hornik, Neural Networks 2, 53, 1989).

An autoencoder has no likelihood and no law of its codes. To draw samples, a mixture of Gaussians is fitted to the codes
of training events, and what it draws is decoded; this is a stopgap beside a `VAE`, whose codes have the law they are
drawn from.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from reverie.core.arguments import Count, Level, NonNegative, Positive, checked
from reverie.core.assessment import Assessment, Curves, LatentView, Quantity
from reverie.core.random import child_generator, child_seed
from reverie.core.types import ArrayLike, Json, RandomState
from reverie.data.dataset import Dataset
from reverie.models.autoencoder.training import ReconstructionStep, in_evaluation
from reverie.models.base import Called, GenerativeModel
from reverie.models.latent import latent_vectors, latent_view
from reverie.models.one_pass import Inverse, Noise, OnePass
from reverie.models.options import estimator
from reverie.networks.autoencoders import build_decoder, build_encoder
from reverie.networks.features import OutputHead
from reverie.networks.user import Specification

__all__ = ["Autoencoder"]

_MOST_LATENT = 32
_MOST_CODES = 5000  # training events whose codes the mixture is fitted to
_FLAT = 0.01  # share of the largest spread of codes below which a dimension is not shown
_CODES = ("code_weights", "code_means", "code_scales")


@estimator
class Autoencoder(GenerativeModel):
    """Autoencoder for tables of events, images and lattices: plain, denoising or sparse.

    Parameters
    ----------
    n_latent : numbers in a code; "auto" takes half of the features, within 1 and 32.
    encoder : network from events to codes: "auto", "mlp", "conv", widths of hidden layers such as (200, 200), () for
        a linear map, a torch module, or a factory called with (event_shape, n_outputs).
    decoder : network from codes to events: as `encoder`; a factory is called with (n_latent, event_shape).
    noise : standard deviation >= 0, in units of the preprocessed data, of the noise that a denoising autoencoder
        learns to remove.
    sparsity : penalty on the activations of the code: "none", "l1", or "kl", for which codes are squeezed
        into (0, 1).
    sparsity_weight : weight >= 0 of the penalty.
    sparsity_target : mean activation, in (0, 1), that "kl" asks for.
    activation : of the networks: "silu", "leaky_relu", "relu", "elu" or "tanh".
    n_components : Gaussians in the mixture of codes that samples are drawn from.
    learning_rate : step size of Adam, > 0; held for half of the run, then lowered along a cosine.

    Attributes
    ----------
    n_latent_ : numbers in a code, as resolved.

    References
    ----------
    Hinton and Salakhutdinov, Science 313, 504 (2006); Vincent et al., ICML 2008 (denoising); Ng, CS294A lecture
    notes, Stanford 2011 (sparse).

    Examples
    --------
    >>> import reverie
    >>> from reverie.models.autoencoder.estimator import Autoencoder
    >>> model = Autoencoder(max_steps=20, n_latent=1, random_state=0).fit(reverie.data.load("ring"))
    >>> model.encode(reverie.data.load("ring")).shape
    (10000, 1)
    """

    trains_on_several: ClassVar[bool] = True

    references = ("hintonsalakhutdinov2006",)
    option_references = (("noise", lambda value: value > 0, "vincent2010"),)
    search_space = "learning_rate=3e-4:1e-2:log,n_latent=auto|1|2|4|8|16,noise=0.0:0.5,n_components=2:50:log"

    n_latent: Count | Literal["auto"] = "auto"
    encoder: Specification = "auto"
    decoder: Specification = "auto"
    noise: NonNegative = 0.0
    sparsity: Literal["none", "l1", "kl"] = "none"
    sparsity_weight: NonNegative = 0.1
    sparsity_target: Level = 0.05
    activation: Literal["silu", "leaky_relu", "relu", "elu", "tanh"] = "silu"
    n_components: Count = 10
    learning_rate: Positive = 1e-3

    @property
    def n_latent_(self) -> int:
        """Numbers in a code."""
        n_features = int(np.prod(self.preprocessing_.transform.output_shape))
        return min(max(1, n_features // 2), _MOST_LATENT) if self.n_latent == "auto" else int(self.n_latent)

    @checked
    def encode(self, X: ArrayLike) -> np.ndarray:
        """Return the codes (n_samples, n_latent) of events, as in `fit`."""
        check_is_fitted(self)
        return self._encoded(self.preprocessing_.features(self._values(X, reset=False))).numpy()

    @checked
    def decode(self, z: ArrayLike) -> ArrayLike:
        """Return the events of codes z (n, n_latent) in original units, in the container of the training data."""
        check_is_fitted(self)
        features = self._decoded(latent_vectors(z, self.n_latent_))
        return self.preprocessing_.wrapped(self.preprocessing_.values(features))

    def reconstruct(self, X: ArrayLike) -> ArrayLike:
        """Return events decoded from their own codes, in original units, in the container of the training data."""
        return self.decode(self.encode(X))

    def score(self, X: ArrayLike, y: ArrayLike = None) -> float:
        """Return minus the mean squared error of the preprocessed features: higher is better, 0 is perfect.

        The mean is over events, by the weights of a Dataset, and features, of which most have unit variance: about -1
        is no better than the mean.
        """
        check_is_fitted(self)
        if self.replicas_:
            return super().score(X)
        features = self.preprocessing_.features(self._values(X, reset=False))
        raw = self._decoded(self._encoded(features), admissible=False)
        errors = (features.flatten(1) - raw.flatten(1)).double().square().mean(dim=1)
        return -float(np.average(errors.numpy(), weights=X.weights if isinstance(X, Dataset) else None))

    def assess(self, train: ArrayLike, held_out: ArrayLike, *, random_state: RandomState = None) -> Assessment:
        """Return the errors of reconstruction and the spread of the codes."""
        meaning = "mean squared error per preprocessed feature, of unit variance for most"
        numbers = (
            Quantity("reconstruction of held-out events", -self.score(held_out), None, meaning),
            Quantity("reconstruction of training events", -self.score(train), None, meaning),
        )
        sd = np.sort(self.encode(held_out).std(axis=0))[::-1]
        line = {"": (list(range(1, len(sd) + 1)), sd.tolist())}
        curves = Curves("Spread of the codes", "unit, by rank", "standard deviation", line)
        return Assessment(numbers, (), (curves,))

    def latent_view(self, X: ArrayLike, y: ArrayLike = None) -> LatentView:
        """Return what the dimensions do that codes spread in; see `GenerativeModel.latent_view`."""
        codes = self.encode(self._some_rows(X))
        sd = codes.std(axis=0)

        def decode(z: np.ndarray) -> np.ndarray:
            return self.preprocessing_.values(self._decoded(torch.from_numpy(z.astype(np.float32))))

        n_shown, is_image = int((sd > _FLAT * sd.max()).sum()), not self.schema_.is_table
        return latent_view(codes, sd, decode, n_shown=n_shown, is_prior=False, is_image=is_image)

    def _begin(self) -> None:
        self._codes: tuple[Tensor, Tensor, Tensor] | None = None

    def _finish(self) -> None:
        self._codes = self._fitted_codes()

    def _fresh_networks(self) -> dict[str, nn.Module]:
        shape = tuple(self.preprocessing_.transform.output_shape)
        generator = child_generator(self.seed_, "weights")
        options = {"event_shape": shape, "activation": self.activation, "random_generator": generator}
        encoder: nn.Module = build_encoder(self.encoder, n_outputs=self.n_latent_, **options)
        encoder = nn.Sequential(encoder, nn.Sigmoid()) if self.sparsity == "kl" else encoder
        return {"encoder": encoder, "decoder": build_decoder(self.decoder, n_latent=self.n_latent_, **options)}

    def _layers(self) -> Mapping[str, Called]:
        x, networks = self._blank_rows()[0], self._networks()
        codes = x.new_zeros(2, self.n_latent_)
        return {"encoder": (networks["encoder"], (x,)), "decoder": (networks["decoder"], (codes,))}

    def _train_step(self, networks: dict[str, nn.Module], train: Mapping[str, Tensor]) -> ReconstructionStep:
        self._train = train["x"]
        return ReconstructionStep(
            networks,
            max_steps=self.max_steps,
            learning_rate=self.learning_rate,
            ema_decay=0.0,
            noise=self.noise,
            weight=0.0 if self.sparsity == "none" else self.sparsity_weight,
            target=self.sparsity_target if self.sparsity == "kl" else None,
            compile=self.compile,
        )

    def _resolved(self) -> dict[str, object]:
        return {"n_latent": self.n_latent_}

    def _drawer(
        self, n_samples: int, seed: int, *, condition: ArrayLike = None
    ) -> Callable[[int, int, torch.Generator], Tensor]:
        self._condition_features(condition, n_samples, seed)  # refuses one
        weights, means, scales = self._known_codes()
        decoder = self._networks()["decoder"]

        @torch.no_grad()
        def draw(start: int, n: int, noise: torch.Generator) -> Tensor:
            chosen = torch.multinomial(weights, n, replacement=True, generator=noise)
            e = torch.randn(n, self.n_latent_, generator=noise, device=self.device_)
            z = means[chosen] + torch.einsum("bij,bj->bi", scales[chosen], e)
            return self._admissible(in_evaluation(decoder, z))

        return draw

    def _one_pass(self, inverse: Inverse) -> OnePass:
        weights, means, scales = self._known_codes()
        decoder, ends = self._networks()["decoder"].eval(), weights.cumsum(0)[:-1] / weights.sum()

        def features(noise: Tensor, condition: Tensor | None) -> Tensor:  # noqa: ARG001 - it takes none
            chosen = (noise[:, :1] >= ends).sum(dim=1)
            z = means[chosen] + (scales[chosen] @ noise[:, 1:, None])[:, :, 0]
            return self._admissible(decoder(z))

        return OnePass(features, [Noise("uniform", 1), Noise("normal", self.n_latent_)], [decoder])

    def _known_codes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mixture of the codes; during training anew, since the weights still change."""
        return self._fitted_codes() if self._codes is None else self._codes

    def _fitted_codes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return weights (K,), means (K, latent) and Cholesky factors of a mixture of the codes of training events."""
        from sklearn.mixture import GaussianMixture

        codes = self._encoded(self._train[:_MOST_CODES]).double().numpy()
        K = min(self.n_components, max(1, len(codes) // (2 * self.n_latent_ + 2)))
        scale = max(float(codes.var()), 1e-12)
        mixture = GaussianMixture(K, reg_covar=1e-6 * scale, random_state=child_seed(self.seed_, "codes") % 2**31)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a mixture that is not at its optimum still draws
            mixture.fit(codes)
        scales = np.linalg.cholesky(np.asarray(mixture.covariances_))
        weights, means, scales = (
            torch.from_numpy(part).to(self.device_, torch.float32)
            for part in (mixture.weights_, mixture.means_, scales)
        )
        return weights, means, scales

    @torch.no_grad()
    def _encoded(self, x: Tensor) -> Tensor:
        encoder = self._networks()["encoder"]
        return in_evaluation(encoder, x.to(self.device_)).cpu()

    @torch.no_grad()
    def _decoded(self, z: Tensor, *, admissible: bool = True) -> Tensor:
        raw = in_evaluation(self._networks()["decoder"], z.to(self.device_)).cpu()
        return self._admissible(raw) if admissible else raw

    def _admissible(self, raw: Tensor) -> Tensor:
        """Return raw features on their circles, one category at a time, in the shape of an event."""
        transform = self.preprocessing_.transform
        if len(transform.output_shape) == 1:
            kinds = [tag.kind if tag.kind in ("circle", "simplex") else "linear" for tag in transform.outputs]
            raw = OutputHead(kinds, [tag.group for tag in transform.outputs])(raw)
        return raw.reshape(-1, *transform.output_shape)

    def _attachments(self) -> tuple[Json, dict[str, Tensor]]:
        texts, tensors = super()._attachments()
        parts = self._known_codes()
        return texts, tensors | dict(zip(_CODES, parts, strict=True))

    def _attach(self, texts: Json, tensors: Mapping[str, Tensor]) -> None:
        super()._attach(texts, tensors)
        weights, means, scales = (tensors[name] for name in _CODES)
        self._codes = weights, means, scales
