"""Generative adversarial networks as an estimator.

A generator G turns noise z into samples; a discriminator D learns to tell them from real ones, and
the generator learns to leave it no way to. When neither can gain, the generated density equals the
real one and D gives 1/2 everywhere (Goodfellow et al., arXiv:1406.2661). The losses are those of
`reverie.objectives.adversarial`, the step is that of `reverie.models.game`, the loop is that of
`reverie.training`; this module joins them to data in physical units.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from reverie.core.checks import check_choice, check_positive
from reverie.core.errors import CheckpointError, InputError
from reverie.core.random import as_seed, child_generator
from reverie.core.types import RandomState
from reverie.data.batches import Batches
from reverie.data.dataset import Dataset
from reverie.data.transforms import auto_transform
from reverie.models.base import GenerativeModel
from reverie.models.game import AdversarialGame, GameSettings, draw_noise
from reverie.models.preprocessed import Preprocessing, container_of
from reverie.models.shaped import ShapedGenerator
from reverie.networks.build import build_discriminator, build_generator, has_batch_norm
from reverie.networks.heads import OutputHead
from reverie.networks.whitening import Whitening
from reverie.objectives.adversarial import OBJECTIVES, Objective
from reverie.training.loop import Record, train
from reverie.training.runtime import suggested_threads, thread_limit

__all__ = ["GAN"]

_FEATURES_OF_GAMMA = 8  # up to these gamma stays as it is: six columns, two of them angles, were tuned on
_TABLE_BATCH, _IMAGE_BATCH = 256, 64
_MOST_AUTO_NOISE, _LEAST_AUTO_NOISE = 128, 16


class GAN(GenerativeModel):
    """Generative adversarial network for tables of events, stacks of images and lattices.

    The defaults are meant to work at once on any numeric table.

    Parameters
    ----------
    objective : the game: "relativistic" (with R1 and R2), "non_saturating", "minimax" or
        "wasserstein_gp".
    generator : network from noise to samples: "auto", "mlp", "residual", "dcgan", widths of hidden layers
        such as (100,), a torch module, or a factory called with (n_noise, event_shape).
    discriminator : network from samples to logits: as `generator`; a factory is called with (event_shape,).
    n_noise : size of the noise vector; "auto" takes twice the number of features, within 16 and 128.
    noise_prior : "normal", N(0, 1), or "uniform" on [-1, 1).
    batch_size : samples in a batch; "auto" takes 256, or 64 of events of more than 256 values (images), or
        all rows of a smaller table.
    max_steps : rounds of the game in the whole run, at least 1.
    learning_rate : step size of both players' optimisers, > 0.
    optimizer : "adam", "adamw", "rmsprop", "sgd", "adagrad" or "adadelta".
    device : "auto" (a CUDA device when there is one), "cpu", "cuda", "cuda:1", ...
    random_state : seed of weights, batches and noise; None draws one, kept as `seed_`.
    discriminator_learning_rate : step size of the discriminator alone; None takes `learning_rate`.
    betas : decay of the optimiser's averages of the gradient and of its square, in [0, 1).
    schedule : "cosine" holds the learning rate for half of the run, then lowers it; "constant".
    n_critic : discriminator steps per generator step; None takes the objective's own (5 for
        "wasserstein_gp", else 1).
    penalty_weight : gamma of R1 and R2 in the convention (gamma / 2) E |grad D|^2, or lambda of the
        Wasserstein gradient penalty; None takes 0.1 max(1, features / 8) for gamma and 10 for lambda;
        0 switches it off.
    penalty_every : steps between two penalties, each strengthened by this number; None takes the objective's
        own (4 for "relativistic", else 1).
    activation : of the perceptrons: "silu", "leaky_relu", "relu", "elu" or "tanh".
    ema_decay : decay per step of the average of the generator that draws the samples, in [0, 1).
    preprocessing : change of variables before the network: "auto", "quantile", "standardise" or "asinh" for
        all columns; a dictionary of such words or transforms for some columns, by name; or a `Transform`.
    whiten : whether the game on a table is played between linearly uncorrelated features of unit variance,
        which shows the discriminator the thin directions of the data.
    record_every : steps between two records of the history.
    n_threads : processor threads while training; "auto" takes one for small perceptrons, else torch's number.
        More speed a small network up by at most half on a quiet machine and slow it down tenfold on a busy
        one. The last bits of a result can depend on it.

    Attributes
    ----------
    history_ : list of dict, losses and mean outputs of the players over training.
    n_iter_ : steps taken.
    seed_ : the seed that was used.
    schema_ : names, units and kinds of the training data.

    References
    ----------
    Goodfellow et al., arXiv:1406.2661; Huang et al., arXiv:2501.05441 (relativistic pairing with R1 and R2).

    Examples
    --------
    >>> import reverie
    >>> model = reverie.GAN(max_steps=20, random_state=0).fit(reverie.data.load("ring"))
    >>> len(model.sample(100, random_state=1))
    100
    """

    def __init__(
        self,
        *,
        objective: str = "relativistic",
        generator: Any = "auto",
        discriminator: Any = "auto",
        n_noise: int | str = "auto",
        noise_prior: str = "normal",
        batch_size: int | str = "auto",
        max_steps: int = 20_000,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        device: str = "auto",
        random_state: RandomState = None,
        discriminator_learning_rate: float | None = None,
        betas: tuple[float, float] = (0.0, 0.99),
        schedule: str = "cosine",
        n_critic: int | None = None,
        penalty_weight: float | None = None,
        penalty_every: int | None = None,
        activation: str = "silu",
        ema_decay: float = 0.999,
        preprocessing: Any = "auto",
        whiten: bool = True,
        record_every: int = 50,
        n_threads: int | str = "auto",
    ) -> None:
        self.objective = objective
        self.generator = generator
        self.discriminator = discriminator
        self.n_noise = n_noise
        self.noise_prior = noise_prior
        self.batch_size = batch_size
        self.max_steps = max_steps
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.device = device
        self.random_state = random_state
        self.discriminator_learning_rate = discriminator_learning_rate
        self.betas = betas
        self.schedule = schedule
        self.n_critic = n_critic
        self.penalty_weight = penalty_weight
        self.penalty_every = penalty_every
        self.activation = activation
        self.ema_decay = ema_decay
        self.preprocessing = preprocessing
        self.whiten = whiten
        self.record_every = record_every
        self.n_threads = n_threads

    def iter_fit(
        self, X: Any, *, resume: dict[str, Any] | None = None, stop: Callable[[], bool] | None = None
    ) -> Iterator[Record]:
        """Train on `X`, yielding a record after each window of `record_every` steps.

        Parameters
        ----------
        X : as in `fit`.
        resume : a state returned by `training_state` of a run on the same data and configuration; training
            goes on from there and ends at the same weights, bit for bit, as a run without the break.
        stop : asked after every step; when true, training ends after a last record.

        Yields
        ------
        Record
            Step, seconds and mean scalars; between two records `training_state` may be saved.
        """
        self._check_configuration()
        dataset = self._dataset(X)
        self.seed_ = as_seed(self.random_state) if resume is None else resume["seed"]
        self.device_ = _device(self.device)
        self.preprocessing_ = self._fit_preprocessing(dataset, container_of(X))
        features = self.preprocessing_.features(dataset.values)
        batch_size = self._resolved_batch_size(len(features), features[0].numel())
        self._build_networks(features)
        features = self._game.G.to_game(features.to(self.device_)).to(features.device)
        batches = Batches(features, batch_size=batch_size, seed=self.seed_, device=self.device_)
        self._noise = child_generator(self.seed_, "noise", device=self.device_)
        self._data_mark = _mark(features)
        self.n_iter_, self.history_ = 0, []
        if resume is not None:
            self._load_training_state(resume)
        with thread_limit(self._resolved_n_threads(batch_size)):
            yield from self._records(batches, stop)

    def _records(self, batches: Batches, stop: Callable[[], bool] | None) -> Iterator[Record]:
        records = train(
            self._game,
            batches.at,
            generator=self._noise,
            start=self.n_iter_,
            max_steps=self.max_steps,
            record_every=self.record_every,
            stop=stop,
        )
        for record in records:
            self.n_iter_ = record.step
            self.history_.append(record.to_json())
            yield record

    def training_state(self) -> dict[str, Any]:
        """Return all that an exact resume needs: networks, optimisers, noise generator, step and seed."""
        check_is_fitted(self)
        return {
            "seed": self.seed_,
            "step": self.n_iter_,
            "data": self._data_mark,
            "noise": self._noise.get_state(),
            "game": self._game.state_dict(),
        }

    def _load_training_state(self, state: Mapping[str, Any]) -> None:
        if state["data"] != self._data_mark:
            raise CheckpointError(
                "Expected the data that the saved run was trained on, got other values or another order. "
                "Resume with the same file and columns."
            )
        try:
            self._game.load_state_dict(state["game"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"Expected a state of networks of this configuration, got another ({error}). "
                "Resume with the configuration of the saved run."
            ) from None
        self._noise.set_state(state["noise"].cpu())
        self.n_iter_ = state["step"]

    def _fit_preprocessing(self, dataset: Dataset, container: str) -> Preprocessing:
        choice = self.preprocessing
        if isinstance(choice, str):
            transform = auto_transform(dataset.schema, continuous="quantile" if choice == "auto" else choice)
        elif isinstance(choice, Mapping):
            transform = auto_transform(dataset.schema, overrides=choice)
        else:
            transform = copy.deepcopy(choice)
        transform.fit(torch.from_numpy(dataset.values.astype("float64")))
        return Preprocessing(dataset.schema, transform, container, str(dataset.values.dtype))

    def _build_networks(self, features: Tensor | None = None) -> None:
        """Make networks of the fitted shapes; `features` are those of the training data, absent when loading."""
        transform = self.preprocessing_.transform
        shape = tuple(transform.output_shape)
        n_features = math.prod(shape)
        n_noise = self._resolved_n_noise(n_features)
        weights = child_generator(self.seed_, "weights")
        tags = list(transform.outputs) * (1 if len(shape) == 1 else n_features)  # images carry one tag for all
        head = OutputHead([tag.kind for tag in tags], [tag.group for tag in tags])
        options = {"event_shape": shape, "random_generator": weights, "activation": self.activation}
        whitening = Whitening(n_features) if self.whiten and len(shape) == 1 else None
        if features is not None and whitening is not None:
            whitening.fit(features)
        network = build_generator(self.generator, n_noise=n_noise, **options)
        G = ShapedGenerator(network, head, whitening, shape)
        D = build_discriminator(self.discriminator, **options)
        objective = check_choice("objective", self.objective, OBJECTIVES)
        settings = self._settings(objective, n_noise, n_features)
        if settings.penalty_weight > 0 and objective.penalty != "none" and has_batch_norm(D):
            raise InputError(
                "Expected a discriminator without batch normalisation under a gradient penalty, which acts on each "
                "sample alone. Use layer normalisation, or penalty_weight=0."
            )
        G, D = G.to(self.device_), D.to(self.device_)
        self._game = AdversarialGame(G, D, objective, settings)

    def _settings(self, objective: Objective, n_noise: int, n_features: int) -> GameSettings:
        rate = self.learning_rate
        return GameSettings(
            penalty_weight=self._resolved_penalty_weight(objective, n_features),
            penalty_every=objective.penalty_every if self.penalty_every is None else self.penalty_every,
            n_critic=self._resolved_n_critic(),
            n_noise=n_noise,
            noise_prior=self.noise_prior,
            optimizer=self.optimizer,
            generator_rate=rate,
            discriminator_rate=rate if self.discriminator_learning_rate is None else self.discriminator_learning_rate,
            betas=(float(self.betas[0]), float(self.betas[1])),
            hold=0.5 if self.schedule == "cosine" else 1.0,
            ema_decay=self.ema_decay,
            max_steps=self.max_steps,
        )

    def _check_configuration(self) -> None:
        for name in ("max_steps", "record_every"):
            check_positive(name, getattr(self, name), integer=True)
        check_positive("learning_rate", self.learning_rate)
        for name in ("n_noise", "batch_size", "n_threads"):
            if getattr(self, name) != "auto":
                check_positive(name, getattr(self, name), integer=True)
        for name in ("n_critic", "penalty_every"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name), integer=True)
        if self.penalty_weight is not None:
            check_positive("penalty_weight", self.penalty_weight, allow_zero=True)
        if not 0 <= self.ema_decay < 1:
            raise InputError(f"Expected ema_decay in [0, 1), got {self.ema_decay}. 0 switches the average off.")
        check_choice("objective", self.objective, OBJECTIVES)
        check_choice("schedule", self.schedule, {"cosine": True, "constant": True})
        check_choice("noise prior", self.noise_prior, {"normal": True, "uniform": True})

    def _resolved_n_critic(self) -> int:
        return (
            check_choice("objective", self.objective, OBJECTIVES).n_critic if self.n_critic is None else self.n_critic
        )

    def _resolved_batch_size(self, n_rows: int, n_features: int) -> int:
        """Return the rows of one step: `n_critic` batches of `batch_size`."""
        n_critic = self._resolved_n_critic()
        if self.batch_size == "auto":
            wanted = _TABLE_BATCH if n_features <= _TABLE_BATCH else _IMAGE_BATCH
            return min(wanted, max(1, n_rows // n_critic)) * min(n_critic, n_rows)
        return int(self.batch_size) * n_critic

    def _resolved_penalty_weight(self, objective: Objective, n_features: int) -> float:
        """Return gamma or lambda; gamma grows with the features, between which |grad D|^2 is shared out."""
        if self.penalty_weight is not None:
            return self.penalty_weight
        growth = max(1.0, n_features / _FEATURES_OF_GAMMA) if objective.penalty == "zero_centred" else 1.0
        return objective.penalty_weight * growth

    def _resolved_n_noise(self, n_features: int) -> int:
        if self.n_noise != "auto":
            return int(self.n_noise)
        return min(max(2 * n_features, _LEAST_AUTO_NOISE), _MOST_AUTO_NOISE)

    def _resolved_n_threads(self, batch_size: int) -> int:
        return (
            suggested_threads([self._game.G, self._game.D], batch_size) if self.n_threads == "auto" else self.n_threads
        )  # pyright: ignore[reportReturnType]

    def _draw(self, n: int, generator: torch.Generator) -> Tensor:
        s = self._game.settings
        noise = draw_noise(n, s.n_noise, prior=s.noise_prior, generator=generator)
        return self._game.drawing_network.from_game(self._game.draw(noise))

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": self._game.drawing_network, "discriminator": self._game.D}

    def discriminate(self, X: Any) -> Tensor:
        """Return the discriminator's logit of each sample of `X`, (n_samples,): the higher, the more real it looks."""
        check_is_fitted(self)
        features = self.preprocessing_.features(self._values(X, reset=False)).to(self.device_)
        with torch.no_grad():
            return self._game.D(self._game.drawing_network.to_game(features)).reshape(len(features)).cpu()


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"Expected device 'auto', 'cpu' or 'cuda', got {name!r}.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"Expected a device that this machine has, got {name!r} without CUDA. Use device='auto'.")
    return device


def _mark(features: Tensor) -> list[float]:
    """Return numbers that tell one set of training rows, in its order, from another."""
    flat = features.flatten(1).double()
    order = torch.arange(1, len(flat) + 1, dtype=torch.float64)
    return [float(len(flat)), float(flat.sum()), float(flat.square().sum()), float(order @ flat.sum(dim=1))]
