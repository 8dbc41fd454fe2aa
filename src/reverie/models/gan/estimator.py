"""Generative adversarial networks as an estimator.

A generator G turns noise z into samples; a discriminator D learns to tell them from real ones, and the generator learns
to leave it no way to. When neither can gain, the generated density equals the real one and D gives 1/2 everywhere
(Goodfellow et al., arXiv:1406.2661). The losses are those of `reverie.objectives.adversarial`, the step of both players
and what it says at a check are `reverie.models.gan.training`, and `reverie.models.training_run` trains it; this module
joins them to data in physical units.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, cast

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from reverie.core.arguments import Count, Interval, NonNegative, Positive, Share, Whole, checked
from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_generator, child_seed
from reverie.core.types import ArrayLike, Json, RandomState
from reverie.data.dataset import Dataset
from reverie.data.lazy import LazyRows, lazily
from reverie.data.observables import resolve_observables
from reverie.models.base import Called, GenerativeModel
from reverie.models.clusters import MOST_CLUSTERS, Clusters, number_of_clusters
from reverie.models.completion import completion_features, given_values, observed_places, wrapped_completions
from reverie.models.gan.augmentation import LARGEST
from reverie.models.gan.completion import Search, completed
from reverie.models.gan.defaults import (
    SET_NOISE,
    Task,
    activations,
    adversarial_settings,
    augments_by_default,
    batch_rows,
    widths,
)
from reverie.models.gan.kinematic_fit import KinematicFit
from reverie.models.gan.networks import Generator, head_of
from reverie.models.gan.rejection import RejectionClassifier, fit_rejection
from reverie.models.gan.sampling import Drawing
from reverie.models.gan.training import AdversarialSettings, AdversarialStep, Rows
from reverie.models.multiplicity import MultiplicityLaw
from reverie.models.observables import ObservedFeatures
from reverie.models.one_pass import Inverse, OnePass
from reverie.models.options import estimator, options_of
from reverie.models.preprocessing import Observables, Preprocessing, is_periodic_lattice
from reverie.models.sets import moments_of_sets, rows_of_sets
from reverie.models.training_run import TrainingOptions, held_out_size
from reverie.networks.build import (
    NETWORK_WORKS,
    build_discriminator,
    build_generator,
    has_batch_norm,
    resolved_name,
)
from reverie.networks.energies import SMOOTH
from reverie.networks.features import Whitening
from reverie.networks.init import initialise, initialised
from reverie.networks.mlp import is_widths
from reverie.networks.normalisation import normalise_spectrum
from reverie.networks.replicas import Stacked
from reverie.networks.sets import SetDiscriminator, SetGenerator
from reverie.networks.user import Specification
from reverie.objectives.adversarial import OBJECTIVES, Objective
from reverie.objectives.classifiers import auxiliary_loss
from reverie.objectives.penalties import PENALTIES
from reverie.training.optimizers import OPTIMIZER_WORKS

__all__ = ["GAN"]

# Of the networks that are trained now. Up to 3 categories were the largest of their features, and whitened with all
# others, and perceptrons of up to 32 features had layers of 128; up to 2 the discriminator of sets saw no means, and in
# 1 had SiLU.
_EDITION, _FORMER = 4, 3
_FAKES_PER_EVENT, _FEWEST_FAKES, _MOST_FAKES = 16, 20_000, 200_000  # that rejection sampling learns from
_MOST_REJECTION_STEPS = 4000
_PERCEPTRONS, _SMOOTH = {"mlp", "residual"}, {"continuous", "periodic", "bounded"}  # what a kinematic fit is for


@estimator
class GAN(GenerativeModel):
    """Generative adversarial network for tables of events, stacks of images, lattices and sets of particles.

    The defaults are meant to work at once on any numeric table. With conditions (`fit(X, y)`) it learns p(x | y).

    Parameters
    ----------
    objective : the losses of both networks: "relativistic" (with R1 and R2), "non_saturating", "minimax",
        "least_squares", "hinge", "wasserstein" (weight clipping) or "wasserstein_gp".
    generator : network from noise to samples: "auto", "mlp", "residual", "dcgan", "unet" (from image conditions),
        "lattice" for periodic lattices (`reverie.networks.lattices`; "auto" takes it for them), "epic" or
        "attention" for sets of particles (`reverie.networks.sets`; "auto" takes "epic"),
        an architecture of the lectures ("lecture_mlp", "thesis", "dcgan28", "wgan_conv"), widths of hidden layers
        such as (100,), a torch module, or a factory called with (n_noise, event_shape). Perceptrons have three layers
        of 128, of tables with more than 8 features (columns, two of an angle, one of each category) 256.
    discriminator : network from samples to logits: as `generator`; a factory is called with (event_shape,).
    n_noise : size of the noise vector; "auto" takes twice the number of features, within 16 and 128. Of sets and of
        the generator "lattice" the numbers of the whole, and as many of each particle or site; "auto" takes 8 or 4.
        Categories of a table are drawn by numbers of their own besides.
    noise_prior : "normal", N(0, 1), or "uniform" on [-1, 1).
    batch_size : samples in a batch; "auto" takes 256, 128 of sets, 64 of events of more than 256 values (images), of
        periodic lattices 64 and down to 16 of large ones, or all rows of a smaller table.
    max_steps : steps in the whole run, at least 1; a step trains both networks, and counts once.
    learning_rate : step size of both networks' optimisers, > 0; None takes the optimiser's and objective's row of
        `reverie.models.gan.settings`: 0.001 for Adam, 0.002 for convolutional pairs.
    optimizer : "adam", "adamw", "rmsprop", "sgd", "adagrad" or "adadelta". Of sets of particles the epsilon of Adam and
        AdamW is 1e-5, not 1e-8, so that steps become shorter where the discriminator sees no difference.
    discriminator_learning_rate : step size of the discriminator alone; None takes that of the generator, and 0.5 for
        "sgd" where `learning_rate` is None too.
    betas : decay of the optimiser's averages of the gradient (momentum, in SGD) and of its square, in [0, 1); None
        takes the optimiser's row of `reverie.models.gan.settings`, (0, 0.99) for Adam.
    schedule : "cosine" holds the learning rate for half of the run, then lowers it; of sets of particles for a quarter,
        and then lowers that of the generator alone; "constant".
    n_critic : discriminator steps per generator step; None takes the objective's own (5 for
        "wasserstein" and "wasserstein_gp", else 1).
    penalty : "auto" takes the objective's own; "none", "r1", "r2", "r1_r2", "two_sided" or "one_sided".
    penalty_weight : gamma of R1 and R2 in the convention (gamma / 2) E |grad D|^2, or lambda of the
        Wasserstein gradient penalty; None takes 0.1 max(1, features / 8) for gamma, 0.3 for convolutional pairs, 1
        for periodic lattices, 0.1 for sets, and 10 for lambda; 0 switches it off.
    penalty_every : steps between two penalties, each strengthened by this number; None takes the objective's
        own (4 for "relativistic", 8 with convolutional pairs, else 1).
    spectral_norm : whether each layer of the discriminator is divided by its largest singular value.
    activation : of the perceptrons and networks of sets: "silu", "leaky_relu", "relu", "elu" or "tanh". "auto" takes
        "silu", and "leaky_relu" for "wasserstein", whose clipped weights leave a smooth one a straight line, and in the
        discriminator of sets, whose units a smooth one lets come to rest where it is level.
    ema_decay : decay per step of the average of the generator that draws the samples, in [0, 1).
    periodic : whether images are lattices whose opposite edges touch and whose sites are alike, which networks "auto"
        then make use of; "auto" takes spins, and fields and angles whose first and last row go together as neighbours
        do, unless the means at the sites differ (`reverie.data.inference`).
    whiten : whether the networks work on linearly uncorrelated features of unit variance of a table, which shows the
        discriminator the thin directions of the data.
    observables : functions of the physical columns that the discriminator is shown beside them: names such as
        "mass" or "delta_r" (see `reverie.data.observables`), or torch functions (batch, *event) -> (batch,).
    kinematic_fit : whether each generated event is moved until its observables have the values that the generator
        asks for (see `reverie.models.gan.kinematic_fit`); "auto" says yes for perceptrons on tables without
        discrete columns. It makes thin peaks in the observables thin at once.
    condition_mode : how the discriminator sees conditions: "projection", "concatenate", or "auxiliary" (only
        through a classifier, with `auxiliary_weight`).
    auxiliary_weight : weight, >= 0, of the loss of an auxiliary classifier that reads the condition off a sample.
    reconstruction_weight : weight, >= 0, of E |x - G|, for image-to-image translation of paired data.
    stop_at_equilibrium : whether training cools down and ends early once D stands near 1/2 on both classes and
        the held-out score no longer improves within its error.
    n_replicas : number of independent pairs of networks that are trained at once in one batched computation.
    ensemble : where samples of several replicas come from: "bag" (each alike) or "best" (by held-out score).
    bootstrap : whether each replica trains on a bootstrap sample of the events. They share one change of variables,
        fitted to all of them, which makes the spread of the replicas too small; with "complete" each is a model of its
        own, as in other models, which takes longer and is what bands need.
    augmentation : whether the discriminator sees real and generated events under random transforms, of which samples
        keep no trace (see `reverie.models.gan.augmentation`): "adaptive" does the more often the better it knows the
        training events by heart, a number in [0, 0.8] always with this probability, "none" not at all; "auto" takes
        "adaptive" for fewer than 2,000 events of a table and 10,000 images, and "none" where nothing is checked or the
        discriminator is "lattice", which is the same for translations already.
    refine : whether a classifier trained on the finished generator accepts or refuses samples of a table
        (discriminator rejection sampling, `reverie.models.gan.rejection`): "auto" and True say yes; images are never
        refused.
    image_clusters : clusters of images without conditions, each of which both players are given
        (`reverie.models.clusters`). "auto" takes one for every 100 training images, up to 500, from 2,000 images on,
        where both networks are "dcgan"; 0 takes none, and 1,000 are the most.

    Attributes
    ----------
    history_ : list of dict, losses, answers of the discriminator and held-out scores over training.
    alarms_ : list of alarms, each with kind, step, evidence and remedy.
    n_iter_ : steps taken.
    resolved_ : dict, what each option that was left open, by "auto" or None, came to, and what the training chose
        besides.
    seed_ : the seed that was used.
    schema_ : names, units and kinds of the training data.
    conditions_ : names and kinds of the conditions, or None.

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

    takes_conditions: ClassVar[bool] = True
    takes_sets: ClassVar[bool] = True
    trains_on_several: ClassVar[bool] = True
    references = ("goodfellow2014",)
    search_space = (
        "learning_rate=2e-4:5e-3:log,batch_size=auto|128|512,penalty_weight=0.01:10:log,ema_decay=0.99|0.999|0.9997"
    )
    search_space_needs = {  # of another objective or penalty the weight has another scale
        "penalty_weight": {"objective": "relativistic", "penalty": "auto"}
    }

    objective: str = "relativistic"
    generator: Specification = "auto"
    discriminator: Specification = "auto"
    n_noise: Count | Literal["auto"] = "auto"
    noise_prior: Literal["normal", "uniform"] = "normal"
    max_steps: Count = 8_000
    learning_rate: Positive | None = None
    optimizer: str = "adam"
    discriminator_learning_rate: Positive | None = None
    betas: tuple[Share, Share] | None = None
    schedule: Literal["cosine", "constant"] = "cosine"
    n_critic: Count | None = None
    penalty: str = "auto"
    penalty_weight: NonNegative | None = None
    penalty_every: Count | None = None
    spectral_norm: bool = False
    activation: str = "auto"
    ema_decay: Share = 0.999
    periodic: bool | Literal["auto"] = "auto"
    whiten: bool = True
    observables: Observables = None
    kinematic_fit: bool | Literal["auto"] = "auto"
    condition_mode: Literal["projection", "concatenate", "auxiliary"] = "projection"
    auxiliary_weight: NonNegative = 0.0
    reconstruction_weight: NonNegative = 0.0
    on_alarm: Literal["warn", "stop", "rollback"] = "warn"
    stop_at_equilibrium: bool = False
    ensemble: Literal["bag", "best"] = "bag"
    # pyrefly: ignore[bad-override-mutable-attribute] - what it adds is understood here, and nobody else sets it
    bootstrap: bool | Literal["complete"] = False
    augmentation: Annotated[float, Interval(0, LARGEST)] | Literal["auto", "adaptive", "none"] = "auto"
    refine: bool | Literal["auto"] = "auto"
    image_clusters: Annotated[int, Interval(0, MOST_CLUSTERS)] | Literal["auto"] = "auto"

    @classmethod
    def cited_works(
        cls, options: Mapping[str, Any], event_shape: tuple[int, ...], condition_shape: tuple[int, ...] | None = None
    ) -> list[str]:
        """Return the keys of the works that a training with these options stands on; see `GenerativeModel`."""
        given = cls().get_params() | dict(options)
        is_table = len(event_shape) == 1
        objective = check_choice("objective", given["objective"], OBJECTIVES)
        penalty = objective.penalty if given["penalty"] == "auto" else given["penalty"]
        penalty = check_choice("penalty", penalty, PENALTIES)
        keys = [*cls.references, *objective.references, *penalty.references]
        keys += ["miyato2018"] if given["spectral_norm"] else []
        keys += ["karras2020"] if (given["penalty_every"] or objective.penalty_every) > 1 else []
        keys += OPTIMIZER_WORKS.get(given["optimizer"], ())
        keys += ["karras2020ada"] if given["augmentation"] not in ("auto", "none", 0) else []
        keys += ["yazici2019"] if given["ema_decay"] else []
        keys += ["kessy2018"] if given["whiten"] and is_table else []
        keys += ["jang2017"] if given.get("n_categories") else []
        keys += ["nocedal2006"] if given["observables"] and given["kinematic_fit"] and is_table else []
        if given["generator"] == "auto" and len(condition_shape or ()) > 1:
            given["generator"] = "unet"
        names = [given[name] for name in ("generator", "discriminator") if isinstance(given[name], str)]
        names = [resolved_name(name, event_shape, periodic=given["periodic"] is True) for name in names]
        keys += [key for name in names for key in NETWORK_WORKS.get(name, ())]
        if condition_shape is not None:
            keys += {"projection": ["miyatokoyama2018"], "concatenate": ["mirza2014"]}.get(given["condition_mode"], [])
            keys += ["odena2017"] if given["auxiliary_weight"] > 0 else []
            keys += ["isola2017"] if given["reconstruction_weight"] > 0 else []
        keys += ["liu2020", "miyatokoyama2018"] if given["image_clusters"] not in ("auto", 0) else []
        keys += ["chen2020"] if given["symmetries"] else []
        keys += ["breiman1996"] if given["n_replicas"] > 1 and given["ensemble"] == "bag" else []
        keys += ["naeem2020", "meehan2020"] if given["validation_fraction"] > 0 and given["n_checks"] > 0 else []
        keys += ["azadi2019"] if given["refine"] in (True, "auto") and is_table else []
        return list(dict.fromkeys(keys))

    def _check_configuration(self) -> None:
        check_choice("objective", self.objective, OBJECTIVES)
        check_choice("penalty", self.penalty, {"auto": None, **PENALTIES})
        if self.optimizer == "adadelta" and self._objective().clip is not None:
            raise InputError(
                f"Expected another optimizer than 'adadelta' with objective {self.objective!r}: its steps start from "
                "nothing and follow gradients that clipped weights leave a thousandth of, and no rate was found at "
                "which it learns. Use 'rmsprop', or objective='wasserstein_gp'."
            )
        if self.bootstrap == "complete" and self.ensemble == "best":
            raise InputError(
                "Expected ensemble='bag' with bootstrap='complete', whose replicas are models of their own, got "
                "'best'. Draw from one of them: sample(n, replica=0)."
            )
        if self.stop_at_equilibrium and 0 in (self.n_checks, self.validation_fraction):
            off = "n_checks" if self.n_checks == 0 else "validation_fraction"
            raise InputError(
                f"Expected {off} > 0 with stop_at_equilibrium=True, got 0: equilibrium is only seen at checks. Leave "
                f"{off} at its default, or stop_at_equilibrium=False."
            )

    def _are_complete(self) -> bool:
        return self.n_replicas > 1 and self.bootstrap == "complete"

    def _bootstrap_sample(self, dataset: Dataset) -> Dataset:
        return super()._bootstrap_sample(dataset) if self.bootstrap == "complete" else dataset

    def _begin(self) -> None:
        self._rejection, self.best_replica_, self._clusters = None, 0, 0
        self._is_periodic = self._start is not None and self._start._is_periodic
        self._edition = _EDITION if self._start is None else self._start._edition

    def _prepared(self, dataset: Dataset, container: str) -> Preprocessing:
        if self._start is None:
            self._is_periodic = is_periodic_lattice(dataset, periodic=self.periodic)
        return super()._prepared(dataset, container)

    def _network_name(self, spec: Specification) -> str:
        """Return the name of a network of the library's own for events that are no sets, or ""."""
        shape = tuple(self.preprocessing_.transform.output_shape)
        if not isinstance(spec, str) or self.preprocessing_.schema.is_set:
            return ""
        return resolved_name(spec, shape, periodic=self._is_periodic)

    @property
    def _generates_lattices(self) -> bool:
        is_given_images = self._conditions is not None and len(self._conditions.shape) > 1
        return self._network_name(self.generator) == "lattice" and not is_given_images

    def _rows(self, dataset: Dataset, container: str, y: ArrayLike, sample_weight: ArrayLike | None) -> dict[str, Any]:
        """Fit the changes of variables and return what is known of each event, as rows of features."""
        rows = super()._rows(dataset, container, y, sample_weight)
        if self._conditions is None and self.reconstruction_weight > 0:
            raise InputError(
                f"Expected conditions y for reconstruction_weight={self.reconstruction_weight:g}, which holds a sample "
                "against the event that its condition belongs to, got none. Call fit(X, y), or leave it at 0."
            )
        if self._conditions is not None and self.condition_mode == "auxiliary" and self.auxiliary_weight == 0:
            raise InputError(
                "Expected auxiliary_weight > 0 with condition_mode='auxiliary', where only the classifier sees the "
                "condition, got 0: no network would see it. Give auxiliary_weight=1, or condition_mode='projection'."
            )
        if self.preprocessing_.schema.is_set and (self.auxiliary_weight > 0 or self.reconstruction_weight > 0):
            raise InputError(
                "Expected auxiliary_weight=0 and reconstruction_weight=0 for sets of particles, which have neither a "
                "classifier of their condition nor an order in which to compare two. Leave both at 0."
            )
        self._clusters = self._n_clusters(len(rows["x"])) if self._start is None else self._start._clusters
        self._observed = None
        if self.observables:
            functions = resolve_observables(self.observables, dataset.schema)
            self._observed = ObservedFeatures(functions, self.preprocessing_.transform, dataset.values, seed=self.seed_)
            rows["observables"] = lazily(dataset.values, self._observed.of_values)
        return rows

    def _maps(self) -> dict[str, Callable[[np.ndarray], Tensor]]:
        observed = {} if self._observed is None else {"observables": self._observed.of_values}
        return super()._maps() | observed

    def _training_options(self, x: Tensor | LazyRows) -> TrainingOptions:
        """Return the options of a run whose steps take `n_critic` batches of `batch_size` rows."""
        n_critic = self._objective().n_critic if self.n_critic is None else self.n_critic
        n_held_out = held_out_size(len(x), self.validation_fraction)
        n_rows, is_checked = len(x) - n_held_out, n_held_out > 0 and self.n_checks > 0
        self._augmentation, task = self.augmentation, self._task
        if task.is_set:
            if self.augmentation not in ("auto", "none", 0):
                raise InputError(
                    f"Expected no augmentation for sets of particles, got {self.augmentation!r}. Leave it at 'auto', "
                    "and give symmetries that the data have, such as 'reflect eta_rel'."
                )
            self._augmentation = "none"
        elif self.augmentation == "auto":
            self._augmentation = "adaptive" if is_checked and augments_by_default(task, n_rows) else "none"
        elif self.augmentation == "adaptive" and not is_checked:
            raise InputError(
                "Expected held-out events for augmentation='adaptive', which asks at checks what the discriminator "
                f"says of them, got {n_held_out} of {len(x)} events and {self.n_checks} checks. Give more events, "
                "leave validation_fraction and n_checks at their defaults, or give a probability: augmentation=0.4."
            )
        size = batch_rows(task, n_rows, n_critic) if self.batch_size == "auto" else int(self.batch_size) * n_critic
        if size > n_rows:
            raise InputError(
                f"Expected batch_size of at most the {n_rows} training rows, got {size}. "
                "Give a smaller batch_size or more data."
            )
        return options_of(self, TrainingOptions, batch_size=size)

    def _objective(self) -> Objective:
        return check_choice("objective", self.objective, OBJECTIVES)

    @property
    def _task(self) -> Task:
        """What is known of events and networks when open options are resolved."""
        schema = self.preprocessing_.schema
        return Task(
            tuple(self.preprocessing_.transform.output_shape),
            "table" if schema.is_table else "lattice" if self._is_periodic else "image",
            is_set=schema.is_set,
            is_table=schema.is_table,
            discriminator=self._network_name(self.discriminator),
            generates_lattices=self._generates_lattices,
            n_categories=len(self._categories),
        )

    def _settings(self) -> AdversarialSettings:
        """Return the numbers of the step, with what is left open resolved for events of the fitted shape."""
        return adversarial_settings(self, self._objective(), self._task, augmentation=self._augmentation)

    def _activations(self) -> tuple[str, str]:
        """Return those of the generator and the discriminator."""
        is_set = self.preprocessing_.schema.is_set and self._edition > 1
        return activations(self.activation, self._objective(), is_set=is_set)

    @property
    def _categories(self) -> list[int]:
        """The one-hot features of a table, whose categories the noise draws; see `reverie.models.gan.networks`."""
        if self._edition <= _FORMER or not self.preprocessing_.schema.is_table:
            return []
        return [j for j, output in enumerate(self.preprocessing_.transform.outputs) if output.kind == "simplex"]

    def _widened(self, spec: Specification) -> Specification:
        """Return the widths of a perceptron that is left open, unless it is given images; else what is given."""
        has_vector = self._conditions is None or len(self._conditions.shape) == 1
        return widths(spec, self._task) if has_vector and self._edition > _FORMER else spec

    def _fresh_networks(self) -> dict[str, nn.Module]:
        prepared, settings, conditions = self.preprocessing_, self._settings(), self._conditions
        observed = None if self._observed is None else self._observed.to(self.device_)
        shape = tuple(prepared.transform.output_shape)
        n_noise = settings.n_noise - len(self._categories)
        has_fit = observed is not None and self._has_kinematic_fit(shape, n_noise, len(observed.names))
        n_observables = 0 if observed is None else len(observed.names)
        own = (self._clusters,) if self._clusters else None
        condition_shape = own if conditions is None else conditions.shape
        n_condition = condition_shape[0] if condition_shape is not None and len(condition_shape) == 1 else 0
        R = self.n_replicas
        pairs: list[tuple[nn.Module, nn.Module]] = []
        for seed in [self.seed_] if R == 1 else [child_seed(self.seed_, "replica", r) for r in range(R)]:
            noise, (of_generator, of_discriminator) = child_generator(seed, "weights"), self._activations()
            if prepared.schema.is_set:
                sizes = {"size": shape[0], "n_condition": n_condition}
                pairs.append(self._pair_of_sets(shape[1] - 1, n_observables, sizes, random_generator=noise))
                continue
            generator = build_generator(
                "lattice" if self._generates_lattices else self._widened(self.generator),
                n_noise=n_noise + n_condition,
                condition_shape=condition_shape,
                event_shape=(shape[0] + (n_observables if has_fit else 0), *shape[1:]),
                random_generator=noise,
                activation=of_generator,
            )
            discriminator = build_discriminator(
                self._widened(self._network_name(self.discriminator) or self.discriminator),
                n_observables=n_observables,
                condition_shape=condition_shape,
                mode=self.condition_mode,
                n_aux=n_condition if self.auxiliary_weight > 0 else 0,
                spectral_norm=self.spectral_norm,
                may_be_bounded=self._objective().scale == "probability",
                event_shape=shape,
                random_generator=noise,
                activation=of_discriminator,
            )
            pairs.append((generator, discriminator))
        network, D = pairs[0] if R == 1 else (Stacked([g for g, _ in pairs]), Stacked([d for _, d in pairs]))
        self._check_discriminator(D, shape, settings)
        whitening = Whitening(shape[0]) if self.whiten and len(shape) == 1 else None
        fit = KinematicFit(observed, self.noise_prior) if observed is not None and has_fit else None
        law = MultiplicityLaw(shape[0], n_condition) if prepared.schema.is_set else None
        if law is not None:
            initialise(law, child_generator(self.seed_, "weights of the multiplicity"))
        clusters = Clusters(self._clusters, math.prod(shape)) if self._clusters else None
        prior = self.noise_prior if self._categories else None
        G = Generator(network, head_of(prepared.transform), whitening, shape, fit, law, clusters, prior)
        return {"generator": G, "discriminator": D}

    def _pair_of_sets(
        self,
        n_features: int,
        n_observables: int,
        sizes: Mapping[str, Any],
        *,
        random_generator: torch.Generator,
    ) -> tuple[nn.Module, nn.Module]:
        """Return the networks of sets of particles with so many features."""
        own: list[dict[str, Any]] = []
        specs = {"generator": self.generator, "discriminator": self.discriminator}
        for (name, spec), activation in zip(specs.items(), self._activations(), strict=True):
            if is_widths(spec) and len(set(spec)) == 1:
                own.append({"width": spec[0], "n_layers": len(spec), "activation": activation})
            elif spec in ("auto", "epic", "attention"):
                own.append({"kind": "attention" if spec == "attention" else "epic", "activation": activation})
            else:
                raise InputError(
                    f"Expected {name}='auto', 'epic' or 'attention' for sets of particles, or one width for each layer "
                    f"such as (64, 64, 64), got {spec!r}. Take 'auto'."
                )
        n_noise = SET_NOISE if self.n_noise == "auto" else int(self.n_noise)
        means = self._edition > 2
        shown: dict[str, Any] = {"n_observables": n_observables, "sees_means": means, "mode": self.condition_mode}
        makers = [
            lambda: SetGenerator(n_features, n_noise=n_noise, **own[0], **sizes),
            lambda: SetDiscriminator(n_features, **own[1], **shown, **sizes),
        ]
        G, D = (initialised(make, random_generator, allow_zero=not self.spectral_norm) for make in makers)
        return G, normalise_spectrum(D, random_generator) if self.spectral_norm else D

    def _has_kinematic_fit(self, shape: tuple[int, ...], n_noise: int, n_observables: int) -> bool:
        """Tell whether generated events go through a kinematic fit."""
        can = len(shape) == 1 and _is_perceptron(self.generator, shape) and n_noise >= n_observables
        if self.kinematic_fit is True and not can:
            raise InputError(
                "Expected a table, a perceptron as generator and a noise number for each observable for "
                "kinematic_fit=True. Use kinematic_fit='auto', which leaves it out where it cannot be."
            )
        columns = self.preprocessing_.schema.columns
        is_smooth = all(c.kind in _SMOOTH and c.atom is None and not c.integral for c in columns)
        return can and (self.kinematic_fit is True or (self.kinematic_fit == "auto" and is_smooth))

    def _check_discriminator(self, D: nn.Module, shape: tuple[int, ...], settings: AdversarialSettings) -> None:
        """Raise `InputError` for a discriminator that cannot learn with these options."""
        clip = self._objective().clip
        if clip is not None and _is_perceptron(self.discriminator, shape) and self.activation in SMOOTH:
            raise InputError(
                f"Expected an activation with a kink for objective {self.objective!r}, got {self.activation!r}: "
                f"weights within {clip:g} keep its units where it is a straight line, and the critic learns nothing. "
                "Use 'leaky_relu', 'relu' or 'auto', or objective='wasserstein_gp'."
            )
        if settings.penalty_weight > 0 and settings.penalty != "none" and has_batch_norm(D):
            raise InputError(
                "Expected a discriminator without batch normalisation under a gradient penalty, which acts on each "
                "sample alone. Use layer normalisation, or penalty_weight=0."
            )

    def _train_step(self, networks: dict[str, nn.Module], train: Rows) -> AdversarialStep:
        G = cast("Generator", networks["generator"])
        if G.whitening is not None:
            G.whitening.fit(train["x"], apart=self._categories)
        if G.fit is not None:
            G.fit.fit(G.whiten(train["x"].to(self.device_)), G.unwhiten)
        spreads = None
        if G.multiplicity is not None:
            G.multiplicity.fit(train["x"][..., -1], train.get("weight"))
            spreads = moments_of_sets(train["x"]).std(dim=0).clamp(min=1e-6)
        if G.clusters is not None:
            known = None if self._start is None else self._start._samples_from().clusters
            seed = child_seed(self.seed_, "clusters")
            G.clusters.fit(train["x"].flatten(1), train.get("weight"), seed, start=known)
        self._step = self._adversarial_step(networks, spreads)
        return self._step

    def _weights_to_start_at(self) -> dict[str, nn.Module]:
        """Return the generator, and the discriminator too unless the model was loaded, which has none."""
        step = getattr(self, "_step", None)
        return self._networks() | ({} if step is None else {"discriminator": step.D})

    def _adversarial_step(self, networks: dict[str, nn.Module], spreads: Tensor | None = None) -> AdversarialStep:
        auxiliary, conditions = None, self._conditions
        if self.auxiliary_weight > 0:
            if conditions is None or len(conditions.shape) != 1:
                raise InputError(
                    "Expected labels or numbers y for auxiliary_weight > 0, got none. Call fit(X, y), or set it to 0."
                )
            tags = conditions.preprocessing.transform.outputs
            auxiliary = partial(auxiliary_loss, groups=[t.group if t.kind == "simplex" else None for t in tags])
        return AdversarialStep(
            cast("Generator", networks["generator"]),
            networks["discriminator"],
            self._objective(),
            self._settings(),
            seed=self.seed_,
            observables=self._observed,
            auxiliary=auxiliary,
            spreads=spreads,
        )

    def _build_networks(self) -> None:
        """Make untrained networks of the fitted shapes, to load weights into."""
        networks = {name: network.to(self.device_) for name, network in self._fresh_networks().items()}
        self._step = self._adversarial_step(networks)

    def _layers(self) -> Mapping[str, Called]:
        x, c = self._blank_rows(2 * self.n_replicas)
        c = self._samples_from().given(x.new_zeros(len(x)), c) if self._clusters else c
        observables = None if self._observed is None else x.new_zeros(len(x), len(self._observed.names))
        seen = (x,) if observables is None and c is None else (x, observables, c)
        z = x.new_zeros(len(x), self._step.settings.n_noise)
        players = {"generator": (self._samples_from(), (z, c)), "discriminator": (self._step.D, seen)}
        return {**super()._layers(), **players}

    def _resolved(self) -> Json:
        s = self._step.settings
        same = ("n_noise", "n_critic", "penalty", "penalty_weight", "penalty_every")
        is_epic = self.discriminator == "auto" and self.schema_.is_set
        return {name: getattr(s, name) for name in same} | {
            "batch_size": self._run.options.batch_size // s.n_critic,
            "learning_rate": s.generator_rate,
            "discriminator_learning_rate": s.discriminator_rate,
            "betas": list(s.betas),
            "activation": " and, in the discriminator, ".join(dict.fromkeys(self._activations())),
            "augmentation": self._augmentation,
            "discriminator": "epic" if is_epic else self._network_name(self.discriminator) or str(self.discriminator),
            "periodic": self._is_periodic,
            "kinematic_fit": self._step.G.fit is not None,
            "refine": self._rejection_steps() > 0,
            "n_categories": len(self._categories),
            "image_clusters": self._clusters,
        }

    def _n_clusters(self, n_events: int) -> int:
        """Return the clusters that images of this training are learnt in; 0 for none."""
        players = [self._network_name(spec) for spec in (self.generator, self.discriminator)]
        can = players == ["dcgan"] * 2 and self._conditions is None and self.auxiliary_weight == 0
        n_values = math.prod(self.preprocessing_.transform.output_shape)
        how = {"learns": "images without conditions and networks 'dcgan'", "can": can}
        return number_of_clusters(self.image_clusters, n_events, n_values, **how)

    def _rejection_steps(self) -> int:
        """Return how long the classifier of rejection sampling is trained at most; not at all for images."""
        is_wanted = self.refine in (True, "auto") and len(self.preprocessing_.transform.output_shape) == 1
        return min(_MOST_REJECTION_STEPS, self.max_steps // 2) if is_wanted else 0

    def _finish(self) -> None:
        """After the last step, train a classifier on the finished generator, by which samples are accepted."""
        run, self.best_replica_ = self._run, self._run.best_replica
        is_wanted = run.is_finished and run.keeps_model and self._rejection_steps() > 0 and len(run.held_out["x"]) > 0
        if not is_wanted:
            return
        drawing, held_out = self._drawing(), {key: x.cpu() for key, x in run.held_out.items()}
        real = run.known_rows()
        n_rows = len(real["x"])
        n = min(max(_FAKES_PER_EVENT * n_rows, _FEWEST_FAKES), _MOST_FAKES)
        condition = None if "condition" not in real else real["condition"][torch.arange(n) % n_rows]
        noise = child_generator(self.seed_, "referee pool", device=self.device_)
        self._rejection = fit_rejection(
            drawing.known(real),
            drawing.known(held_out),
            drawing.known_samples(n, condition, noise),
            weight=real.get("weight"),
            held_out_weight=held_out.get("weight"),
            max_steps=self._rejection_steps(),
            n_physical=len(self.schema_.columns),
            seed=self.seed_,
        )

    @checked
    def complete(
        self,
        X: ArrayLike,
        mask: ArrayLike,
        *,
        n_draws: Count = 1,
        condition: ArrayLike = None,
        random_state: RandomState = None,
        discriminator_weight: NonNegative = 0.0,
        search: Search | None = None,
    ) -> ArrayLike:
        """Return events `X` whose unobserved parts are filled in by the generator; see `reverie.models.gan.completion`.

        Parameters
        ----------
        X : (n, *event), as in `fit`; what stands at unobserved places is not read and may be NaN.
        mask : booleans, True where X is observed: (n, *event), or (*event) for all events alike.
        n_draws : 1 for the most probable completion, more for different ones.
        condition : for a model trained with `y`: one condition for all events, or one for each.
        random_state : seed; None draws anew each time. The first k of n completions do not depend on n.
        discriminator_weight : share w >= 0 of the discriminator's logit in what is maximised.
        search : a `reverie.models.gan.Search`, the numbers of the search; None takes its defaults.

        Returns
        -------
        (n, *event) in the container that the model was fitted on; with n_draws > 1 (n_draws, n, *event), or a list
        of them for a DataFrame or Dataset. Observed values are those given, in the type of the training data.
        """
        check_is_fitted(self)
        prepared = self.preprocessing_
        if prepared.schema.is_set:
            raise InputError(
                "Expected events whose parts have places for a completion, got sets of particles, which have none. "
                "Give what is known of a set as its condition, fit(X, y)."
            )
        given = given_values(prepared.schema, X)
        observed = observed_places(mask, given)
        seed, c = as_seed(random_state), None
        if condition is None and self._conditions is not None:
            raise InputError(
                "Expected the conditions of these events, got none. Call complete(X, mask, condition=...)."
            )
        if condition is not None:
            c = self._known_conditions().given(condition, len(given)).to(self.device_)
        if observed.all():
            draws = [given.astype(prepared.dtype) for _ in range(n_draws)]
            return wrapped_completions(prepared, draws, given, observed)
        y, m = (x.to(self.device_) for x in completion_features(prepared, given, observed))
        drawing, step, R = self._drawing(), self._step, self.n_replicas
        if drawing.network.clusters is not None:
            c = drawing.network.clusters.of(y.flatten(1), m.flatten(1))
        if drawing.n_replicas > 1:  # rows of one event must not be shared out over replicas
            drawing = self._drawing(self.best_replica_)

        def logit(samples: Tensor, of: Tensor | None) -> Tensor:
            rows = {key: x.repeat_interleave(R, dim=0) for key, x in step.seen(samples, of).items()}
            return step.judge(rows)[:, 0].reshape(-1, R).mean(dim=1)

        step.D.eval()
        features = completed(
            drawing, y, m, c, n_draws=n_draws, seed=seed, search=search, logit=logit, weight=discriminator_weight
        )
        step.D.train()
        return wrapped_completions(prepared, [prepared.values(x) for x in features], given, observed)

    @checked
    def discriminate(self, X: ArrayLike, y: ArrayLike = None) -> Tensor:
        """Return the discriminator's logit of each sample, (n_samples,): the higher, the more real it looks.

        Parameters
        ----------
        X : samples, as in `fit`.
        y : their conditions, for a model trained with some.
        """
        check_is_fitted(self)
        values = self._values(X, reset=False)
        rows = {"x": self._samples_from().whiten(self.preprocessing_.features(values).to(self.device_))}
        if self._observed is not None:
            rows["observables"] = self._observed.of_values(values).to(self.device_)
        if self._conditions is not None:
            if y is None:
                raise InputError("Expected the conditions y of these samples, got none. Call discriminate(X, y).")
            rows["condition"] = self._conditions.given(y, len(values)).to(self.device_)
        if (clusters := self._samples_from().clusters) is not None:
            rows["condition"] = clusters.of(rows["x"].flatten(1))
        rows = rows_of_sets(rows) if self.schema_.is_set else rows
        repeated = {key: x.repeat_interleave(self.n_replicas, dim=0) for key, x in rows.items()}
        self._step.D.eval()
        with torch.no_grad():
            logits = self._step.judge(repeated)[:, 0].reshape(len(values), self.n_replicas)
        self._step.D.train()
        return logits.mean(dim=1).cpu()

    def score(self, X: ArrayLike, y: ArrayLike = None) -> float:
        """Return minus the energy distance between `X` and generated samples: higher is better, 0 is perfect.

        Both sides are compared as features, in units of the training data's standard deviation, on at most
        2000 rows of `X`, drawn at random, which count by the weights of a `reverie.data.Dataset`; with conditions
        `y`, each event beside a sample of its condition, conditions included. This is no likelihood; a generative
        adversarial network has none. For p-values and error bars use `reverie.validate`.
        """
        check_is_fitted(self)
        if y is None or self._conditions is None or self.replicas_:
            return super().score(X, y)
        (real, weights), few = self._scored(X), self._some_rows(y)
        condition = self._conditions.given(few, len(real)).flatten(1)
        draw = self._drawer(len(real), self.seed_, condition=few)
        fake = draw(0, len(real), self._unit_noise(self.seed_, 0))
        return -self._distance(real, fake, weights, condition)

    def _drawer(
        self, n_samples: int, seed: int, *, condition: ArrayLike = None, replica: Whole | None = None
    ) -> Callable[[int, int, torch.Generator], Tensor]:
        """Return the function (start, n, noise) -> features (n, *latent event) of `n` samples from `start` on."""
        drawing, conditions = self._drawing(replica), self._conditions_at(condition, n_samples, seed)

        def draw(start: int, n: int, noise: torch.Generator) -> Tensor:
            return drawing.features(n, None if conditions is None else conditions(start, n), noise)

        return draw

    def _one_pass(self, inverse: Inverse) -> OnePass:
        def physical(samples: Tensor) -> Tensor:
            return inverse(self._samples_from().unwhiten(samples).to(torch.float64)).to(torch.float32)

        drawing = replace(self._drawing(), physical=physical)
        networks = [network for network in (drawing.network, drawing.rejection) if network is not None]
        return OnePass(drawing.features_of, drawing.laws, networks)

    def _drawing(self, replica: int | None = None) -> Drawing:
        """Return the way samples are drawn: from all replicas in turn, from the best, or from the one asked for."""
        network, R, s = self._samples_from(), self.n_replicas, self._step.settings
        if R > 1 and (replica is not None or self.ensemble == "best"):
            r = self.best_replica_ if replica is None else int(replica)
            if not 0 <= r < R:
                raise InputError(f"Expected replica in 0 ... {R - 1}, got {r}.")
            single = cast("Stacked", network.network).replica(r)
            network, R = network.around(single), 1
        rejection = self._rejection if replica is None else None
        return Drawing(network, R, s.n_noise, s.noise_prior, self._step.seen, self._physical, rejection)

    def _physical(self, samples: Tensor) -> Tensor:
        """Return the physical columns (rows, k) of whitened samples, float32."""
        features = self._samples_from().unwhiten(samples.to(self.device_)).to("cpu", torch.float64)
        return self.preprocessing_.transform.inverse(features).to(self.device_, torch.float32)

    def _samples_from(self) -> Generator:
        """Return the generator kept after training; during it, the present average."""
        self._check_is_one()
        if self._kept is None:
            return self._step.drawing_network.eval()
        return cast("Generator", self._kept["generator"])

    def _networks(self) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module] = {"generator": self._samples_from(), "discriminator": self._step.D}
        return networks if self._rejection is None else networks | {"referee": self._rejection}

    def _attachments(self) -> tuple[Json, dict[str, Tensor]]:
        texts, tensors = super()._attachments()
        texts |= {"best_replica": self.best_replica_, "referee": None, "periodic": self._is_periodic}
        texts |= {"edition": self._edition, "clusters": self._clusters}
        if self._rejection is not None:
            texts["referee"] = [self._rejection.n_inputs, self._rejection.n_physical]
        if self._observed is not None:
            texts["observables"] = self._observed.to_json()
        return texts, tensors

    def _attach(self, texts: Json, tensors: Mapping[str, Tensor]) -> None:
        super()._attach(texts, tensors)
        self.best_replica_ = int(texts.get("best_replica", 0))
        self._is_periodic = bool(texts.get("periodic", False))  # models before it had no networks for lattices
        self._edition = int(texts.get("edition", 1))  # models of the first were saved without it
        self._clusters = int(texts.get("clusters", 0))
        self._observed, self.alarms_, self._augmentation = None, [], "none"
        self._kept, sizes = None, texts.get("referee")
        self._rejection = None if sizes is None else RejectionClassifier(*sizes).eval()
        if "observables" in texts:
            functions = resolve_observables(self.observables or (), self.preprocessing_.schema)
            transform = self.preprocessing_.transform
            self._observed = ObservedFeatures.from_json(texts["observables"], functions, transform)


def _is_perceptron(spec: object, shape: tuple[int, ...]) -> bool:
    """Tell whether a network is one of the library's own perceptrons for features of this shape."""
    return isinstance(spec, (tuple, list)) or (isinstance(spec, str) and resolved_name(spec, shape) in _PERCEPTRONS)
