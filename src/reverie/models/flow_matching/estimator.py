r"""Flow matching as an estimator: a velocity field that carries noise to events.

A network v(x, t), or boosted trees in its place (`.trees`), is fitted by least squares to the velocity of straight
paths from noise to events (`reverie.models.flow_matching.path`, `.training`). Samples follow dx/dt = v, or a random
walk with the same law (`.sampling`), in a stated number of evaluations of the network; log p(x) follows events back to
the noise and adds up the divergence of v (`.likelihood`). Diffusion models learn the same field from curved paths; with
`stochasticity` > 0 samples are drawn as theirs are.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from reverie.core.arguments import Count, Interval, NonNegative, Positive, Share
from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.random import child_generator, child_seed
from reverie.core.types import ArrayLike, Json
from reverie.data.dataset import Dataset
from reverie.data.lazy import LazyRows, lazily
from reverie.data.observables import resolve_observables
from reverie.data.transforms import Chain, Dequantise
from reverie.models.base import N_SCORED, Called
from reverie.models.clusters import MOST_CLUSTERS, number_of_clusters
from reverie.models.density_features import Coordinates, circles_of, density_preprocessing, narrow_noise
from reverie.models.flow_matching.likelihood import MOST_EXACT, log_prob
from reverie.models.flow_matching.networks import build_velocity
from reverie.models.flow_matching.sampling import SOLVERS, conditioning_noise, draw_conditioning, solve_ode, solve_sde
from reverie.models.flow_matching.set_network import VelocitySet
from reverie.models.flow_matching.training import FlowMatchingStep
from reverie.models.flow_matching.trees import MOST_ROWS, TreeStep, TreeVelocity
from reverie.models.flow_matching.unet import VelocityUNet, unet_width
from reverie.models.flow_matching.velocity import EDITION, Velocity
from reverie.models.likelihood import LikelihoodModel
from reverie.models.observables import ObservedFeatures
from reverie.models.one_pass import Inverse, Noise, OnePass
from reverie.models.options import estimator
from reverie.models.preprocessing import Observables, Preprocessing, is_periodic_lattice
from reverie.models.sets import masked_condition
from reverie.models.training_run import TrainingOptions, TrainStep

__all__ = ["FlowMatching"]

_LEAST_SIDE, _FORMER_LEAST_SIDE = 4, 6  # pixels of an image from which "auto" takes convolutions; up to edition 3
_MOST_CHECKS = 4  # of a training of trees
_NUMBERS_ASSESSED, _LEAST_ASSESSED = 1 << 14, 20  # numbers and events whose likelihood an assessment looks at
_BATCH_SIZES = {"unet": 64, "trees": MOST_ROWS, "epic": 128, "attention": 128}
_RATES, _RATE = {"mlp": 3e-3, "unet": 2e-3}, 1e-3  # of networks with many events, and of the others
_RATE_OF_MUON = 5e-3
_OF_SETS = ("epic", "attention")
_NUMBERS_AT_ONCE = 1 << 18  # numbers whose likelihood is computed at once, which bounds the memory


@estimator
class FlowMatching(LikelihoodModel):
    """Flow matching: a velocity field from noise to events, for tables, images, lattices and sets; p(x given y) too.

    The defaults train at once on any numeric table, on images, on spins and on sets of particles. The likelihood is
    exact up to 32 features and estimated beyond, with its error. Whole numbers, categories and values with a point mass
    are spread over cells by noise, narrow noise where levels are few. The number N of particles of a set has a law of
    its own (`reverie.models.multiplicity`), and log p is that of the unordered set,
    log N! + log p(N | c) + log p(x | N, c).

    Parameters
    ----------
    network : "mlp", "unet", "trees", "epic" or "attention" (for sets of particles, see `reverie.networks.sets`),
        "auto" (convolutions for images and lattices of at least 4 x 4, "epic" for sets), a torch module, or, but for
        sets, a factory called with (event_shape, n_outputs). A module of your own is called with points x_t / sqrt(q)
        (batch, *event_shape), times (batch, 1), and the condition where there is one. It returns (batch, n_outputs),
        what a Gaussian leaves open of the velocity: v = ((2 t - 1) x_t + sqrt(q) F) / q with q = t^2 + (1 - t)^2.
        "trees" takes boosted trees of scikit-learn, for tables of some dozens to some thousand rows; they have no
        likelihood. A step then fits the trees of one time, and there are no more steps than the solver asks for times,
        17 by default; options of the descent say nothing to them.
    width : Width of the hidden layers, or channels of the finest grid; "auto" takes 128, for convolutions 32, and 16
        for periodic lattices with sides of at least 16, whose finest grid is finer.
    n_blocks : Residual blocks of the perceptron, or layers of a network of sets; "auto" takes 3, and 6 for sets.
    n_trees : Boosted trees of each coordinate at each time.
    depth : The most comparisons in a tree, at most 12.
    activation : Of the networks: "silu", "leaky_relu", "relu", "elu" or "tanh".
    periodic : Whether opposite edges of an image touch; "auto" takes spins for periodic lattices, and fields of
        numbers or angles if their opposite edges differ by as little as neighbouring rows and columns do, unless the
        means at the sites differ (`reverie.data.inference`).
    image_clusters : Clusters of images without conditions, each of which is learnt and drawn given its own; their log p
        is a lower bound then (`reverie.models.clusters`). "auto" takes one for every 100 training images, up to 500,
        from 2,000 images of more than 32 pixels on; 0 takes none, and 1,000 are the most.
    n_evaluations : Evaluations of the network for a sample; more are more exact and slower. A likelihood takes six
        times as many, each with its derivatives, of more than 32 features three times as many.
    solver : Of the differential equation: "euler", "midpoint", "heun" or "rk4"; "auto" takes "rk4" for sets, whose
        particles add up what is wrong with each, and "heun" else.
    stochasticity : Strength >= 0 of the random walk that samples take besides; 0 follows the differential equation.
    observables : Functions of the physical columns that the model learns beside them, so that thin peaks come out
        thin: names such as "mass" (see `reverie.data.observables`), or torch functions (batch, *event) -> (batch,). For
        tables, and for sets, whose particles are drawn given the observables, such as "jet_mass"; there is no
        likelihood then.
    kinematic_fit : Whether each sample of a table is moved, by as little as possible, to where its observables have
        the values that the model draws; there is no likelihood then. False makes each observable one of the
        coordinates, with an exact log p: it must rise or fall steadily with a column, and cuts of the columns come out
        less sharp.
    batch_size : Events in a step; "auto" takes 512, of sets 128, of images 64, for trees 20,000, or all of fewer
        events. Trees see events of few rows up to 100 times, each time with other noise.
    max_steps : Gradient steps in the whole run, at least 1; of trees the most times at which they are fitted.
    learning_rate : Step size, > 0; it falls to nearly nothing along a cosine. None takes 0.003 for the perceptron,
        0.005 for images, 0.002 for periodic lattices, and 0.001 for other networks and for fewer than 2,000 training
        events. The optimiser is AdamW, of 2,000 images and more Muon (`reverie.training.optimizers`).
    weight_decay : Share of the step size by which each step shrinks the weights, >= 0.
    gradient_clip : Largest norm of the gradient in a step, > 0; longer ones are shortened to it.
    ema_decay : Decay per step of the average of the weights that is kept, in [0, 1); 0 keeps the last weights.
    keep_best : Whether the state whose samples are nearest to held-out events is kept, rather than the last; among
        those that samples cannot tell apart that of the least loss on these events. Of fewer than 2,000 training events
        the least loss decides alone, and training ends some time after it.

    Attributes
    ----------
    history_ : list of dict, the loss over training, and how far samples are from held-out events.
    alarms_ : list of alarms, each with kind, step, evidence and remedy.
    n_iter_, seed_, schema_, conditions_ : steps taken, seed used, what the data and the conditions are.

    References
    ----------
    Lipman et al., arXiv:2210.02747; Albergo, Boffi and Vanden-Eijnden, arXiv:2303.08797.

    Examples
    --------
    >>> import numpy as np
    >>> from reverie.models.flow_matching import FlowMatching
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> model = FlowMatching(width=16, max_steps=20, random_state=0).fit(X)
    >>> model.sample(5, random_state=1).shape
    (5, 2)
    """

    takes_conditions: ClassVar[bool] = True
    takes_sets: ClassVar[bool] = True
    takes_missing: ClassVar[bool] = True
    trains_on_several: ClassVar[bool] = True

    references = ("lipman2023", "chen2018neural")
    option_references = (
        ("network", lambda value: value in ("auto", "mlp"), "xu2023stable"),
        ("network", lambda value: value == "unet", "ronneberger2015"),
        ("network", lambda value: value == "trees", "jolicoeur2024"),
        ("optimizer", lambda value: value == "muon", "liu2025muon"),  # no option, but what the training took
        ("image_clusters", lambda value: value not in ("auto", 0), "bao2022"),
        ("network", lambda value: value in ("epic", "attention"), "buhmann2023"),
        ("network", lambda value: value == "attention", "lee2019"),
        ("stochasticity", lambda value: value > 0, "albergo2023stochastic"),
    )
    search_space = "learning_rate=2e-4:5e-3:log,width=64|128|256,n_blocks=2:5,batch_size=auto|256|1024"

    network: Literal["auto", "mlp", "unet", "trees", "epic", "attention"] | nn.Module | Callable[..., nn.Module] = (
        "auto"
    )
    width: Count | Literal["auto"] = "auto"
    n_blocks: Count | Literal["auto"] = "auto"
    n_trees: Count = 20
    depth: Annotated[int, Interval(1, 12)] = 5
    activation: Literal["silu", "leaky_relu", "relu", "elu", "tanh"] = "silu"
    periodic: bool | Literal["auto"] = "auto"
    image_clusters: Annotated[int, Interval(0, MOST_CLUSTERS)] | Literal["auto"] = "auto"
    n_evaluations: Count = 32
    solver: Literal["auto", "euler", "midpoint", "heun", "rk4"] = "auto"
    stochasticity: NonNegative = 0.0
    observables: Observables = None
    kinematic_fit: bool = True
    max_steps: Count = 8_000
    learning_rate: Positive | None = None
    weight_decay: NonNegative = 0.0
    gradient_clip: Positive = 1.0
    ema_decay: Share = 0.999

    def _prepared(self, dataset: Dataset, container: str) -> Preprocessing:
        if self._is_of_trees and not dataset.schema.is_table:
            raise InputError(f"Expected a table for network='trees', got {dataset!r}. Take network='auto'.")
        if self._start is None:
            self._is_periodic = is_periodic_lattice(dataset, periodic=self.periodic)
        coordinates = None if dataset.schema.is_set else self.observables
        shown = {"observables": coordinates, "kinematic_fit": self.kinematic_fit}
        return density_preprocessing(
            dataset, container, self.preprocessing, **shown, open_levels=False, separated=not self._is_of_trees
        )

    def _rows(self, dataset: Dataset, container: str, y: ArrayLike, sample_weight: ArrayLike | None) -> dict[str, Any]:
        """Fit the changes of variables and return what is known of each event, as rows of features."""
        rows = super()._rows(dataset, container, y, sample_weight)
        self._observed: ObservedFeatures | None = None
        if self.observables and dataset.schema.is_set:
            functions = resolve_observables(self.observables, dataset.schema)
            known = None if self._start is None else self._start._observed  # whose scale its networks have learnt
            if known is None or known.names != [observable.name for observable in functions]:
                known = ObservedFeatures(functions, self.preprocessing_.transform, dataset.values, seed=self.seed_)
            self._observed = known
            rows["observables"] = lazily(dataset.values, known.of_values)
        self._clusters = self._n_clusters(len(rows["x"])) if self._start is None else self._start._clusters
        return rows

    def _maps(self) -> dict[str, Callable[[np.ndarray], Tensor]]:
        observed = {} if self._observed is None else {"observables": self._observed.of_values}
        return super()._maps() | observed

    def _batch_size(self, n_rows: int, n_features: int) -> int:
        return min(n_rows, _BATCH_SIZES.get(self._network_name(), 512))

    @property
    def n_steps(self) -> int:
        """Steps of a whole training: those of the descent, or the times at which trees are fitted."""
        if not self._is_of_trees:
            return self.max_steps
        _, n_each = check_choice("solver", self._solver(), SOLVERS)
        n_solved = max(1, self.n_evaluations // n_each)
        return min(self.max_steps, (1 if self._solver() in ("euler", "heun") else 2) * n_solved + 1)

    @property
    def _is_of_trees(self) -> bool:
        return isinstance(self.network, str) and self.network == "trees"

    def _training_options(self, x: Tensor | LazyRows) -> TrainingOptions:
        options = super()._training_options(x)
        if not self._is_of_trees:
            return options
        # A step takes seconds and adds to the others, so each has a record and the last state is the best. The threads
        # of scikit-learn leave no trace in the bits.
        n_threads = torch.get_num_threads() if options.n_threads == "auto" else options.n_threads
        checks = {"n_checks": min(options.n_checks, _MOST_CHECKS), "keep_best": False}
        return replace(options, record_every=1, n_threads=n_threads, **checks)

    def _resolved(self) -> dict[str, object]:
        if self._is_of_trees:
            return {}
        return {
            "network": self._network_name(),
            "periodic": self._is_periodic,
            "width": self._width(),
            "n_blocks": self._n_blocks(),
            "learning_rate": self._rate(),
            "optimizer": self._optimizer,
            "solver": self._solver(),
            "image_clusters": self._clusters,
        }

    def _network_name(self) -> str:
        shape, is_set = self.preprocessing_.transform.output_shape, self.schema_.is_set
        if self.network != "auto":
            name = self.network if isinstance(self.network, str) else "your own"
            if is_set != (name in _OF_SETS):
                events, names = ("sets", "'epic' or 'attention'") if is_set else ("events without a mask", "another")
                raise InputError(f"Expected network={names} for {events}, got {name!r}. Take network='auto'.")
            return name
        if is_set:
            return "epic"
        least = _LEAST_SIDE if self._edition > 3 else _FORMER_LEAST_SIDE
        return "unet" if len(shape) > 1 and min(shape[-2:]) >= least else "mlp"

    def _width(self) -> int:
        if self.width != "auto":
            return int(self.width)
        if self._network_name() != "unet":
            return 128
        sides = self.preprocessing_.transform.output_shape[-2:]
        return unet_width(*sides, periodic=self._is_periodic, edition=self._edition)

    def _n_blocks(self) -> int:
        return (6 if self._network_name() in _OF_SETS else 3) if self.n_blocks == "auto" else int(self.n_blocks)

    def _n_clusters(self, n_events: int) -> int:
        """Return the clusters that images of this training are learnt in; 0 for none."""
        are_images = self._network_name() == "unet" and not self._is_periodic and self._conditions is None
        are_images = are_images and not circles_of(self.preprocessing_.transform)
        n_values = math.prod(self.preprocessing_.transform.output_shape)
        how = {"learns": "images without conditions and edges that touch", "can": are_images}
        return number_of_clusters(self.image_clusters, n_events, n_values, **how)

    def _rate(self) -> float:
        if self.learning_rate is not None:
            return float(self.learning_rate)
        if self._optimizer == "muon":
            return _RATE_OF_MUON
        return _RATE if self._are_few else _RATES.get(self._network_name(), _RATE)

    @property
    def _optimizer(self) -> str:
        """The optimiser: the convolutions of many images take steps of Muon, see `reverie.training.optimizers`."""
        is_of_images = self._network_name() == "unet" and not self._is_periodic
        return "muon" if is_of_images and not self._are_few else "adamw"

    def _solver(self) -> str:
        if self.solver != "auto":
            return self.solver
        return "rk4" if not self._is_of_trees and self._network_name() in _OF_SETS else "heun"

    def _begin(self) -> None:
        # The networks are those of the model that training starts at, also where it was saved with former ones.
        self._edition, self._clusters = (EDITION if self._start is None else self._start._edition), 0
        self._is_periodic = self._start is not None and self._start._is_periodic

    def _attachments(self) -> tuple[Json, dict[str, Tensor]]:
        texts, tensors = super()._attachments()
        texts |= {"edition": self._edition, "periodic": self._is_periodic, "clusters": self._clusters}
        return texts | ({} if self._observed is None else {"observables": self._observed.to_json()}), tensors

    def _attach(self, texts: Json, tensors: Mapping[str, Tensor]) -> None:
        super()._attach(texts, tensors)
        self._edition = int(texts.get("edition", 1))  # models of the first were saved without it
        self._clusters = int(texts.get("clusters", 0))
        self._observed = None
        if "observables" in texts:
            functions = resolve_observables(self.observables or (), self.preprocessing_.schema)
            self._observed = ObservedFeatures.from_json(texts["observables"], functions, self.preprocessing_.transform)
        if "periodic" in texts:
            self._is_periodic = bool(texts["periodic"])
        elif self.periodic == "auto":  # as they were saved first, when every lattice of spins was periodic
            self._is_periodic = self.schema_.columns[0].kind == "spin" or bool(texts.get("edges_touch", False))
        else:
            self._is_periodic = bool(self.periodic)

    def _fresh_networks(self) -> dict[str, nn.Module]:
        transform = self.preprocessing_.transform
        shape = tuple(transform.output_shape)
        n_features, circles = math.prod(shape), circles_of(transform)
        if self.schema_.is_set:  # those of one particle, the mask left out
            n_features, n_own = n_features - shape[0], shape[1] - 1
            circles = [(p * n_own + a, p * n_own + b) for p in range(shape[0]) for a, b in circles]
        coordinates = Coordinates(n_features, circles)
        if self._is_of_trees:
            n_condition = 0 if self._conditions is None else math.prod(self._conditions.shape)
            sizes = {"n_times": self.n_steps, "n_trees": int(self.n_trees), "depth": int(self.depth)}
            return {"velocity": TreeVelocity(coordinates, n_condition, **sizes)}
        network = build_velocity(
            self.network if self.network != "auto" else self._network_name(),
            coordinates,
            event_shape=shape,
            condition_shape=None if self._conditions is None else tuple(self._conditions.shape),
            n_observables=0 if self._observed is None else len(self._observed.names),
            n_clusters=self._clusters,
            width=self._width(),
            n_blocks=self._n_blocks(),
            activation=self.activation,
            periodic=self._is_periodic,
            sees_missing=self._sees_missing,
            edition=self._edition,
            random_generator=child_generator(self.seed_, "weights"),
        )
        steps = transform.steps_ if isinstance(transform, Chain) else ()
        is_of_levels = len(shape) > 1 and any(isinstance(step, Dequantise) for step in steps)
        network.ends_in_mean = is_of_levels and self._edition > 1
        return {"velocity": network}

    def _layers(self) -> Mapping[str, Called]:
        network, (x, c) = cast("Velocity", self._networks()["velocity"]), self._blank_rows()
        if isinstance(network, VelocitySet) and c is not None:
            c = torch.cat([c, c.new_zeros(len(c), network.n_observables)], dim=1)
        x = x.new_zeros(2, network.coordinates.n_lines + len(network.coordinates.circles))
        c = network.clusters.drawn(x[:, 0]) if network.clusters is not None else c
        return {"velocity": (network, () if isinstance(network, TreeVelocity) else (x, x[:, :1], c))}

    def _train_step(self, networks: dict[str, nn.Module], train: Mapping[str, Tensor]) -> TrainStep:
        network, drawn = networks["velocity"], {"n_evaluations": int(self.n_evaluations), "solver": self._solver()}
        if isinstance(network, TreeVelocity):
            return TreeStep(network, **drawn, compile=self.compile)
        assert isinstance(network, Velocity)
        if isinstance(network, VelocitySet):
            network.fit(train["x"], train.get("weight"))
        if network.clusters is not None:
            known = None if self._start is None else self._start._velocity().clusters
            seed = child_seed(self.seed_, "clusters")
            network.clusters.fit(train["x"].flatten(1), train.get("weight"), seed, start=known)
        narrow = narrow_noise(self.preprocessing_.transform, network.coordinates.lines)
        step = FlowMatchingStep(
            network,
            **drawn,
            narrow=None if narrow is None else narrow.to(self.device_),
            by_loss=self._are_few,
            ends_early=self.keep_best and self._are_few,
            optimizer=self._optimizer,
            max_steps=self.max_steps,
            learning_rate=self._rate(),
            hold=0.0,
            weight_decay=self.weight_decay,
            clip=self.gradient_clip,
            ema_decay=self.ema_decay,
            compile=self.compile,
        )
        if self.compile == "auto" and self.device_.type == "cpu" and isinstance(network, VelocityUNet):
            step.compiled.decline("compilation takes minutes, and nine tenths of a step are convolutions")
        return step

    def _without_likelihood(self) -> str:
        if self.schema_.is_set and self.observables:
            return (
                "observables are drawn first and the particles given them, and the density of both together is not "
                "that of a set. Train without observables, or compare samples (reverie validate)."
            )
        if not self._is_of_trees:
            return super()._without_likelihood()
        return (
            "trees are constant in boxes and have no divergence. Train with network='mlp', or compare samples "
            "(reverie validate)."
        )

    @property
    def _n_assessed(self) -> int:
        n = math.prod(self.preprocessing_.transform.output_shape)
        return max(_LEAST_ASSESSED, min(N_SCORED, _NUMBERS_ASSESSED // (n if n <= MOST_EXACT else 2 * n)))

    @torch.no_grad()
    def _log_prob(self, features: Tensor, condition: Tensor | None, generator: torch.Generator) -> tuple[Tensor, float]:
        is_exact = self._velocity().coordinates.n <= MOST_EXACT
        kind = torch.float64 if is_exact else torch.float32  # an estimate is no better in float64, and images cost much
        network = copy.deepcopy(self._velocity()).to(kind)
        x = network.points(features.to(kind))
        condition = masked_condition(features, condition) if isinstance(network, VelocitySet) else condition
        if network.clusters is not None:
            condition = network.clusters.of(features.flatten(1))
        size = max(1, _NUMBERS_AT_ONCE // x.shape[1])
        parts = x.split(size)
        given = [None] * len(parts) if condition is None else condition.to(kind).split(size)
        steps = max(2, int(self.n_evaluations) // (1 if is_exact else 2))
        done = [log_prob(network, part, generator, c, n_steps=steps) for part, c in zip(parts, given, strict=True)]
        of_steps = sum(part.of_steps * len(part.values) for part in done) / len(x)
        values = torch.cat([part.values for part in done])
        if network.clusters is not None and condition is not None:
            values = values + network.clusters.log_share(condition)
        if isinstance(network, VelocitySet) and condition is not None:
            condition = condition.to(kind)
            n_there = network.size - network.padding(condition)
            of_padding = network.coordinates.log_noise(torch.zeros_like(x[:1])) / network.size  # of one place
            values = values - network.padding(condition) * of_padding + network.log_number(condition)
            values = values + torch.lgamma(n_there + 1)
        return values, of_steps

    def _drawer(
        self,
        n_samples: int,
        seed: int,
        *,
        condition: ArrayLike = None,
        n_evaluations: Count | None = None,
        stochasticity: NonNegative | None = None,
    ) -> Callable[[int, int, torch.Generator], Tensor]:
        network, conditions = self._velocity(), self._conditions_at(condition, n_samples, seed)
        shape = self.preprocessing_.transform.output_shape
        n = int(self.n_evaluations if n_evaluations is None else n_evaluations)
        eta = float(self.stochasticity if stochasticity is None else stochasticity)

        @torch.no_grad()
        def draw(start: int, n_rows: int, noise: torch.Generator) -> Tensor:
            given = None if conditions is None else conditions(start, n_rows).to(noise.device)
            how = {"n_evaluations": n, "solver": self._solver()}
            given = draw_conditioning(network, conditioning_noise(network, n_rows, noise), given, **how)
            x = network.noise(n_rows, noise, given)
            if eta > 0:
                x = solve_sde(network, x, noise, given, n_evaluations=n, stochasticity=eta)
            else:
                x = solve_ode(network, x, given, **how)
            return network.features(x, given).reshape(n_rows, *shape)

        return draw

    def _one_pass(self, inverse: Inverse) -> OnePass:
        network, shape = self._velocity(), tuple(self.preprocessing_.transform.output_shape)
        coordinates = network.coordinates
        n_lines, n_circles = coordinates.n_lines, len(coordinates.circles)
        n_observables = network.n_observables if isinstance(network, VelocitySet) else 0
        n_numbers = int(isinstance(network, VelocitySet) or network.clusters is not None)
        how = {"n_evaluations": int(self.n_evaluations), "solver": self._solver()}

        def features(noise: Tensor, condition: Tensor | None) -> Tensor:
            of_set, normal, turns, u = noise.split([n_observables, n_lines, n_circles, n_numbers], dim=1)
            x = torch.cat([normal, coordinates.angles(turns)], dim=1)
            condition = draw_conditioning(network, torch.cat([u, of_set], dim=1), condition, **how)
            if isinstance(network, VelocitySet) and condition is not None:
                x = network.without_padding(x, condition)
            x = solve_ode(network, x, condition, **how)
            return network.features(x, condition).reshape(-1, *shape)

        noise = [Noise("normal", n_observables + n_lines), Noise("uniform", n_circles + n_numbers)]
        return OnePass(features, noise, [network])

    def _velocity(self) -> Velocity:
        network = self._networks()["velocity"]
        assert isinstance(network, Velocity)
        return network.eval()
