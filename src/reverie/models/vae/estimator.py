r"""Variational autoencoders as an estimator.

Events x are explained by a few numbers z, drawn from N(0, 1): a decoder gives p(x | z), and an encoder q(z | x), which
stands in for the posterior that cannot be computed. Both are trained on the bound of `reverie.objectives.variational`;
the laws p(x | z) are those of `reverie.models.vae.networks`, the step that of `reverie.models.vae.training`, and the
estimate of log p(x) that of `reverie.models.vae.likelihood`. Sampling is one pass: z from the prior, x from p(x | z).
"""

import copy
import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal, cast

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from reverie.core.arguments import Count, NonNegative, Positive, Share, checked
from reverie.core.assessment import Assessment, Curves, LatentView, Quantity
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_generator
from reverie.core.types import ArrayLike, Json, RandomState
from reverie.data.dataset import Dataset
from reverie.data.transforms import Bits
from reverie.models.base import Called
from reverie.models.binary import grey_bits, resolved_likelihood
from reverie.models.latent import latent_plane, latent_vectors, latent_view
from reverie.models.likelihood import LikelihoodModel, LogLikelihood
from reverie.models.one_pass import Inverse, Noise, OnePass
from reverie.models.options import estimator
from reverie.models.preprocessing import Observables, Preprocessing, fitted_preprocessing
from reverie.models.vae.likelihood import ImportanceLogLikelihood, estimated_log_prob, latent_means
from reverie.models.vae.networks import VariationalNetwork, law_of
from reverie.models.vae.training import VariationalStep
from reverie.networks.autoencoders import build_decoder, build_encoder
from reverie.networks.user import Specification
from reverie.objectives.variational import active_units

__all__ = ["VAE"]

_MOST_LATENT = 32
_RATES = (3e-3, 1e-3)  # tables; images and lattices


@estimator
class VAE(LikelihoodModel):
    """Variational autoencoder for tables of events, images and lattices.

    The defaults are meant to work at once on any numeric table, on images and on spins. With conditions
    (`fit(X, y)`) it learns p(x | y), with the same prior of z for all conditions.

    Parameters
    ----------
    n_latent : dimensions of z; "auto" takes the number of features, within 2 and 32. Those that do not pay
        stay inactive.
    encoder : network from events to the posterior: "auto", "mlp", "conv", widths of hidden layers such as (200, 200),
        a torch module, or a factory called with (event_shape, n_outputs).
    decoder : network from z to events: as `encoder`; a factory is called with (n_latent, event_shape).
    likelihood : law of an event given z: "bernoulli" for bits, "gaussian" for everything else (angles and categories
        have laws of their own); "auto" takes bits where each column has two values.
    decoder_variance : variance of the Gaussian law in units of the preprocessed data: "learnt", one per column or one
        for all pixels of an image, or a fixed number > 0.
    posterior : "diagonal", or "full" for correlated latent dimensions.
    beta : weight >= 0 of the divergence from the prior; 1 gives a bound of the likelihood.
    n_importance : draws k of the importance weighted bound that is trained; 1 is the ELBO.
    dynamic_binarisation : whether grey values are probabilities of bits, which are drawn anew at each step.
    activation : of the networks: "silu", "leaky_relu", "relu", "elu" or "tanh".
    n_draws : latent vectors per event from which its likelihood is estimated.
    observables : functions of the physical columns that the model learns beside them, so that thin peaks come out
        thin: names such as "mass" (see `reverie.data.observables`), or torch functions (batch, *event) -> (batch,).
    kinematic_fit : whether each sample is moved, by as little as possible, to where its observables have the values
        that the model draws; there is no likelihood then. False makes each observable one of the coordinates, with an
        exact log p: it must rise or fall steadily with a column, and cuts of the columns come out less sharp.
    learning_rate : step size of Adam, > 0, held for half of the run, then lowered along a cosine; None takes 0.003 for
        tables and 0.001 for images and lattices.
    ema_decay : decay per step of the average of the weights that is used afterwards, in [0, 1).

    Attributes
    ----------
    likelihood_ : "gaussian" or "bernoulli", as resolved.
    n_latent_ : dimensions of z, as resolved.

    References
    ----------
    Kingma and Welling, arXiv:1312.6114; Burda, Grosse and Salakhutdinov, arXiv:1509.00519.

    Examples
    --------
    >>> import reverie
    >>> from reverie.models.vae.estimator import VAE
    >>> model = VAE(max_steps=20, random_state=0).fit(reverie.data.load("ring"))
    >>> len(model.sample(100, random_state=1))
    100
    """

    takes_conditions: ClassVar[bool] = True
    takes_missing: ClassVar[bool] = True
    trains_on_several: ClassVar[bool] = True

    references = ("kingma2014", "rezende2014")
    option_references = (
        ("n_importance", lambda value: value > 1, "burda2016"),
        ("beta", lambda value: value != 1, "higgins2017"),
        ("decoder_variance", lambda value: value == "learnt", "rybkin2021"),
    )
    search_space = "learning_rate=3e-4:1e-2:log,n_latent=auto|2|4|8|16,posterior=diagonal|full,n_importance=1|5"

    n_latent: Count | Literal["auto"] = "auto"
    encoder: Specification = "auto"
    decoder: Specification = "auto"
    likelihood: Literal["auto", "bernoulli", "gaussian"] = "auto"
    decoder_variance: Positive | Literal["learnt"] = "learnt"
    posterior: Literal["diagonal", "full"] = "diagonal"
    beta: NonNegative = 1.0
    n_importance: Count = 1
    dynamic_binarisation: bool = False
    activation: Literal["silu", "leaky_relu", "relu", "elu", "tanh"] = "silu"
    n_draws: Count = 500
    observables: Observables = None
    kinematic_fit: bool = True
    max_steps: Count = 10_000
    learning_rate: Positive | None = None
    ema_decay: Share = 0.999

    @property
    def n_latent_(self) -> int:
        """Dimensions of z."""
        n_features = int(np.prod(self.preprocessing_.transform.output_shape))
        return min(max(2, n_features), _MOST_LATENT) if self.n_latent == "auto" else int(self.n_latent)

    def encode(self, X: ArrayLike, y: ArrayLike = None, *, return_std: bool = False) -> ArrayLike:
        """Return the codes of events, the means of q(z | x), (n_samples, n_latent), and perhaps their spreads.

        Parameters
        ----------
        X : (n_samples, *event), as in `fit`; of grey values that are probabilities, as they are.
        y : their conditions, for a model trained with some.
        return_std : whether the standard deviations of q(z | x), (n_samples, n_latent), come as a second array.
        """
        check_is_fitted(self)
        x = self._features(X)
        mean, sd = latent_means(self._network(), x, self._given(y, len(x)))
        return (mean.cpu().numpy(), sd.cpu().numpy()) if return_std else mean.cpu().numpy()

    @checked
    def decode(self, z: ArrayLike, condition: ArrayLike = None) -> np.ndarray:
        """Return the mean event of p(x | z) in original units, (n, *event).

        Parameters
        ----------
        z : latent vectors (n, n_latent).
        condition : for a model trained with some, one for all or one for each.

        Notes
        -----
        Means of bits lie between their two values. The mean of a Gaussian law is taken among the preprocessed
        columns, so in original units it is a median; of categories the likeliest stands for the mean.
        """
        check_is_fitted(self)
        z = latent_vectors(z, self.n_latent_).to(self.device_)
        if condition is None and self._conditions is not None:
            raise InputError("Expected the condition of these latent vectors, got none. Give one for all, or for each.")
        features = self._condition_features(condition, len(z), self.seed_)
        return self._decoded(z, None if features is None else features.to(self.device_))

    def reconstruct(self, X: ArrayLike, y: ArrayLike = None) -> np.ndarray:
        """Return the mean event of p(x | z) at the mean of q(z | x), (n_samples, *event); see `decode`."""
        check_is_fitted(self)
        x = self._features(X)
        given = self._given(y, len(x))
        mean, _ = latent_means(self._network(), x, given)
        return self._decoded(mean, given)

    @checked
    def traversal(
        self, dimension: int, *, values: ArrayLike = None, at: ArrayLike = None, condition: ArrayLike = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the values that one latent dimension takes, (n,), and the mean event at each, (n, *event).

        Parameters
        ----------
        dimension : which, 0 ... n_latent - 1.
        values : of it; None takes 11 from -3 to 3.
        at : latent vector (n_latent,) of the other dimensions, such as one of `encode`; None takes the origin.
        condition : for a model trained with some, one for all.
        """
        check_is_fitted(self)
        if not 0 <= dimension < self.n_latent_:
            raise InputError(
                f"Expected a dimension in 0 ... {self.n_latent_ - 1}, got {dimension}. Choose one of those."
            )
        values = np.linspace(-3, 3, 11) if values is None else np.asarray(values, dtype=float)
        z = np.tile(np.zeros(self.n_latent_) if at is None else np.asarray(at, dtype=float), (len(values), 1))
        z[:, dimension] = values
        return values, self.decode(z, condition)

    @checked
    def manifold(
        self, n_side: int = 15, *, dimensions: tuple[int, int] = (0, 1), condition: ArrayLike = None
    ) -> np.ndarray:
        """Return mean events on a grid of normal quantiles of two latent dimensions, (n_side, n_side, *event).

        Parameters
        ----------
        n_side : quantiles (i + 1/2) / n_side per dimension; the first dimension grows to the right, the second upwards.
        dimensions : the two; the others are zero.
        condition : for a model trained with some, one for all.
        """
        check_is_fitted(self)
        z = latent_plane(self.n_latent_, dimensions, n_side)
        events = self.decode(z.reshape(-1, self.n_latent_), condition)
        return events.reshape(n_side, n_side, *events.shape[1:])

    def latent_view(self, X: ArrayLike, y: ArrayLike = None) -> LatentView:
        """Return what the active dimensions do, by their divergence from the prior; of a p(x | y) at the first y."""
        x, given = self._some_rows(X), None if y is None else self._some_rows(y)
        mean, sd = self.encode(x, given, return_std=True)
        values = None if given is None else np.asarray(given.values if isinstance(given, Dataset) else given)[0]
        return latent_view(
            mean,
            _divergence(mean, sd),
            lambda z: self.decode(z, values),
            n_shown=int(active_units(torch.from_numpy(mean)).sum()),
            is_prior=True,
            is_image=not self.schema_.is_table,
        )

    def active_units(self, X: ArrayLike, y: ArrayLike = None) -> np.ndarray:
        """Return which latent dimensions are active on these events, (n_latent,) bool: Var_x(E_q[z | x]) > 0.01."""
        return active_units(torch.from_numpy(self.encode(X, y))).numpy()

    @checked
    def log_likelihood(
        self, X: ArrayLike, y: ArrayLike = None, random_state: RandomState = None, *, n_draws: int | None = None
    ) -> ImportanceLogLikelihood:
        """Return log p of each event in nats, in the units of the data, with the error of each, and their mean.

        Parameters
        ----------
        X, y : as in `fit`; bits are drawn of grey values that are probabilities.
        random_state : seed of the draws; None takes that of the model.
        n_draws : latent vectors per event; None takes the `n_draws` of the model.
        """
        check_is_fitted(self)
        self._check_has_likelihood()
        if self.replicas_:
            parts = [one.log_likelihood(X, y, random_state, n_draws=n_draws) for one in self.replicas_]
            joint = LogLikelihood.of_mixture(parts)
            shares = np.exp([part.values for part in parts] - joint.values) / len(parts)
            errors = np.sqrt(((shares * [part.errors for part in parts]) ** 2).sum(axis=0))
            return ImportanceLogLikelihood(joint.values, joint.common_error, joint.weights, errors=errors)
        values = self._values(X, reset=False)
        seed = self.seed_ if random_state is None else as_seed(random_state)
        log_q, errors = self._estimate(self._features(X), self._given(y, len(values)), seed, n_draws or self.n_draws)
        log_det = self.preprocessing_.transform.log_det(torch.from_numpy(np.array(values, dtype=np.float64)))
        bias = float(errors.square().mean()) / 2
        weights = X.weights if isinstance(X, Dataset) else None
        return ImportanceLogLikelihood((log_q.cpu() + log_det).numpy(), bias, weights, errors=errors.cpu().numpy())

    @checked
    def score_samples(self, X: ArrayLike, y: ArrayLike = None, *, return_error: bool = False) -> ArrayLike:
        """Return log p of each event in nats, (n_samples,), and perhaps its standard error, (n_samples,)."""
        likelihood = self.log_likelihood(X, y)
        return (likelihood.values, likelihood.errors) if return_error else likelihood.values

    def assess(self, train: ArrayLike, held_out: ArrayLike, *, random_state: RandomState = None) -> Assessment:
        """Return likelihoods, and how much of the code is used; parameters as in `GenerativeModel.assess`."""
        x, y = held_out if isinstance(held_out, tuple) else (held_out, None)
        mean, sd = self.encode(self._some_rows(x), None if y is None else self._some_rows(y), return_std=True)
        kl = _divergence(mean, sd)
        n_active = int(active_units(torch.from_numpy(mean)).sum())
        used = Quantity("active latent units", n_active, None, f"of {self.n_latent_}; the others carry no information")
        warnings = () if n_active else ("No latent unit is active: samples have independent features.",)
        line = {"": (list(range(1, len(kl) + 1)), np.sort(kl)[::-1].tolist())}
        curves = Curves("What each latent unit tells", "unit, by rank", "KL in nats", line)
        likelihoods = super().assess(train, held_out, random_state=random_state)
        return likelihoods + Assessment((used,), warnings, (curves,))

    def _log_prob(self, features: Tensor, condition: Tensor | None, generator: torch.Generator) -> tuple[Tensor, float]:
        values, errors = self._estimate(features, condition, as_seed(generator), self.n_draws)
        return values, float(errors.square().mean()) / 2

    def _estimate(self, x: Tensor, condition: Tensor | None, seed: int, n_draws: int) -> tuple[Tensor, Tensor]:
        network, draws_bits = copy.deepcopy(self._network()).double(), self.dynamic_binarisation
        return estimated_log_prob(network, x, condition, n_draws=n_draws, seed=seed, draws_bits=draws_bits)

    def _drawer(
        self, n_samples: int, seed: int, *, condition: ArrayLike = None
    ) -> Callable[[int, int, torch.Generator], Tensor]:
        network, features = self._network(), self._conditions_at(condition, n_samples, seed)

        @torch.no_grad()
        def draw(start: int, n: int, noise: torch.Generator) -> Tensor:
            given = None if features is None else features(start, n).to(self.device_)
            z = torch.randn(n, self.n_latent_, generator=noise, device=self.device_)
            raw = network.decoder(z, given)
            return network.law.draw(raw, noise).reshape(n, *self.preprocessing_.transform.output_shape)

        return draw

    def _one_pass(self, inverse: Inverse) -> OnePass:
        network, n = self._network(), self.n_latent_
        law, shape = network.law, tuple(self.preprocessing_.transform.output_shape)

        def features(noise: Tensor, condition: Tensor | None) -> Tensor:
            z, normal, uniform = noise.split([n, law.n_normal, law.n_uniform], dim=1)
            return law.event(network.decoder(z, condition), normal, uniform).reshape(-1, *shape)

        return OnePass(features, [Noise("normal", n + law.n_normal), Noise("uniform", law.n_uniform)], [network])

    @torch.no_grad()
    def _decoded(self, z: Tensor, condition: Tensor | None) -> np.ndarray:
        network = self._network()
        mean = network.law.mean(network.decoder(z, condition))
        mean = mean.reshape(len(z), *self.preprocessing_.transform.output_shape).cpu()
        transform = self.preprocessing_.transform
        return transform.means(mean).numpy() if isinstance(transform, Bits) else self.preprocessing_.values(mean)

    def _features(self, X: ArrayLike) -> Tensor:
        return self.preprocessing_.features(self._values(X, reset=False)).to(self.device_)

    def _prepared(self, dataset: Dataset, container: str) -> Preprocessing:
        self.likelihood_ = resolved_likelihood(
            self.likelihood, dataset.values, are_probabilities=self.dynamic_binarisation
        )
        if self._sees_missing and self.dynamic_binarisation:
            raise InputError(
                "Expected whole events for dynamic_binarisation=True, got missing values. Leave the option out, or "
                "those events (--drop-missing, or Dataset.drop_missing())."
            )
        if self.likelihood_ == "gaussian":
            return fitted_preprocessing(
                dataset, container, self.preprocessing, self.observables, kinematic_fit=self.kinematic_fit
            )
        if self.observables:
            raise InputError(
                "Expected columns of numbers for observables, got bits, which have no density. Leave observables out, "
                "or train a GAN."
            )
        bits = grey_bits(dataset) if self.dynamic_binarisation else Bits(centred=True)
        return fitted_preprocessing(dataset, container, bits)

    def _fresh_networks(self) -> dict[str, nn.Module]:
        transform, n, is_full = self.preprocessing_.transform, self.n_latent_, self.posterior == "full"
        options = {
            "event_shape": tuple(transform.output_shape),
            "activation": self.activation,
            "random_generator": child_generator(self.seed_, "weights"),
        }
        n_conditions = 0 if self._conditions is None else math.prod(self._conditions.shape)
        n_seen = n_conditions + math.prod(transform.output_shape) * self._sees_missing
        n_spread = n * (n + 1) // 2 if is_full else n  # a triangle, or a diagonal
        encoder = build_encoder(self.encoder, n_outputs=n + n_spread, n_conditions=n_seen, **options)
        decoder = build_decoder(self.decoder, n_latent=n, n_conditions=n_conditions, **options)
        law = law_of(
            transform,
            is_binary=self.likelihood_ == "bernoulli",
            variance=self.decoder_variance,
            sees_missing=self._sees_missing,
        )
        return {"network": VariationalNetwork(encoder, decoder, law, n_latent=n, is_full=is_full)}

    def _layers(self) -> Mapping[str, Called]:
        network, (x, c) = cast("VariationalNetwork", self._networks()["network"]), self._blank_rows()
        missing = [x] if self._sees_missing else []  # as zeros and ones, behind the condition
        seen = torch.cat([*([] if c is None else [c]), *missing], dim=1) if missing else c
        z = x.new_zeros(2, self.n_latent_)
        return {"encoder": (network.encoder, (x, seen)), "decoder": (network.decoder, (z, c)), "law": (network.law, ())}

    def _train_step(self, networks: dict[str, nn.Module], train: Mapping[str, Tensor]) -> VariationalStep:
        network = networks["network"]
        assert isinstance(network, VariationalNetwork)
        network.start_at(train["x"].to(self.device_))
        return VariationalStep(
            network,
            beta=self.beta,
            n_importance=int(self.n_importance),
            draws_bits=self.dynamic_binarisation,
            max_steps=self.max_steps,
            learning_rate=self._rate,
            ema_decay=self.ema_decay,
            ends_early=self.keep_best and self._are_few,
            compile=self.compile,
        )

    @property
    def _rate(self) -> float:
        is_image = len(self.preprocessing_.transform.output_shape) > 1
        return _RATES[is_image] if self.learning_rate is None else self.learning_rate

    def _resolved(self) -> dict[str, object]:
        return {"learning_rate": self._rate, "n_latent": self.n_latent_, "likelihood": self.likelihood_}

    def _network(self) -> VariationalNetwork:
        """Return the network that samples are drawn from, in evaluation mode."""
        network = self._networks()["network"]
        assert isinstance(network, VariationalNetwork)
        return network.eval()

    def _attachments(self) -> tuple[Json, dict[str, Tensor]]:
        texts, tensors = super()._attachments()
        return texts | {"likelihood": self.likelihood_}, tensors

    def _attach(self, texts: Json, tensors: Mapping[str, Tensor]) -> None:
        super()._attach(texts, tensors)
        self.likelihood_ = texts["likelihood"]


def _divergence(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return the mean KL divergence of N(mean, sd^2) from N(0, 1) in each dimension, (n_latent,), in nats."""
    return 0.5 * (mean**2 + sd**2 - 1 - 2 * np.log(sd)).mean(axis=0)
