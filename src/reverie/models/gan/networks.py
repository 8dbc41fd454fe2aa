"""The two networks of a GAN: a generator with an output head, and a discriminator, of one model or several replicas.

The generator works between whitened features, in which a discriminator sees the thin directions of the data:

    z, c -> network -> y_0 -> unwhiten -> head -> whiten -> y,      features = unwhiten(y)

The head makes raw features admissible (angles on their circle, one category at a time), so it acts between the two
linear maps. With a kinematic fit (`reverie.models.gan.kinematic_fit`) the network emits k numbers more, and y is moved
to where k observables have the values they ask for; the head then acts once more. Images are not whitened. A vector c
that the sample is conditioned on joins the noise; an image goes to the network as it is.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.random import child_generator, child_seed
from reverie.data.schema import Schema
from reverie.models.conditions import Conditions
from reverie.models.gan.kinematic_fit import KinematicFit
from reverie.models.observables import ObservedFeatures
from reverie.networks.build import build_discriminator, build_generator, has_batch_norm, resolved_name
from reverie.networks.energies import SMOOTH
from reverie.networks.features import OutputHead, Whitening
from reverie.networks.init import initialise
from reverie.networks.replicas import Stacked
from reverie.objectives.adversarial import OBJECTIVES
from reverie.objectives.classifiers import auxiliary_loss

__all__ = [
    "Generator",
    "auxiliary_of",
    "build_pair",
    "check_discriminator",
    "draw_noise",
    "head_of",
    "matching_generator",
    "start_at_mean",
]

_PERCEPTRONS, _SMOOTH = {"mlp", "residual"}, {"continuous", "periodic", "bounded"}  # what a kinematic fit is for
_LARGEST_MEAN = 0.97  # of a tanh feature: a pixel that is always black starts where the tanh still has a slope


class Generator(nn.Module):
    """Noise (batch, n_noise), and perhaps a condition, to whitened samples (batch, *event).

    Parameters
    ----------
    network : noise to raw samples, flat or of the event's shape; with image conditions (noise, image) to them.
    head : activation of each feature.
    whitening : fitted map between features and whitened ones, or None.
    event_shape : shape of one sample.
    fit : moves samples of a table to the observables they ask for, or None.
    """

    def __init__(
        self,
        network: nn.Module,
        head: OutputHead,
        whitening: Whitening | None,
        event_shape: tuple[int, ...],
        fit: KinematicFit | None = None,
    ) -> None:
        super().__init__()
        self.fit = fit
        self.network, self.head, self.whitening, self.event_shape = network, head, whitening, event_shape

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return whitened samples (batch, *event) of noise z (batch, n_noise) and the condition of each."""
        y = self._raw(z, condition).flatten(1)
        if self.fit is None:
            return self._admissible(y).reshape(-1, *self.event_shape)
        y, shift = y[:, : -self.fit.n_values], y[:, -self.fit.n_values :]
        return self._admissible(self.fit(self._admissible(y), shift, z, self.unwhiten))

    def around(self, network: nn.Module) -> "Generator":
        """Return the same generator around another network, such as one replica's, in evaluation mode."""
        return Generator(network, self.head, self.whitening, self.event_shape, self.fit).eval()

    def _admissible(self, y: Tensor) -> Tensor:
        return self.head(y) if self.whitening is None else self.whitening(self.head(self.whitening.inverse(y)))

    def _raw(self, z: Tensor, condition: Tensor | None) -> Tensor:
        if condition is None:
            return self.network(z)
        return self.network(torch.cat([z, condition], dim=1)) if condition.ndim == 2 else self.network(z, condition)

    def whiten(self, features: Tensor) -> Tensor:
        """Return whitened features of features, both (batch, *event)."""
        return features if self.whitening is None else self.whitening(features)

    def unwhiten(self, samples: Tensor) -> Tensor:
        """Return features of whitened ones, both (batch, *event)."""
        return samples if self.whitening is None else self.whitening.inverse(samples)


def draw_noise(n: int, n_noise: int, *, prior: str, generator: torch.Generator) -> Tensor:
    """Return noise (n, n_noise) on the generator's device: "normal" N(0, 1), or "uniform" on [-1, 1)."""
    if prior == "normal":
        return torch.randn(n, n_noise, generator=generator, device=generator.device)
    if prior == "uniform":
        return torch.empty(n, n_noise, device=generator.device).uniform_(-1, 1, generator=generator)
    raise InputError(f"Expected noise_prior 'normal' or 'uniform', got {prior!r}.")


def head_of(transform: Any) -> OutputHead:
    """Return the output head for features of a fitted change of variables, from its `outputs` and `output_shape`."""
    shape = tuple(transform.output_shape)
    tags = list(transform.outputs) * (1 if len(shape) == 1 else math.prod(shape))  # images carry one tag for all
    return OutputHead([tag.kind for tag in tags], [tag.group for tag in tags])


def build_pair(
    options: Mapping[str, Any],
    *,
    n_noise: int,
    activation: str,
    transform: Any,
    schema: Schema,
    conditions: Conditions | None,
    observed: ObservedFeatures | None,
    seed: int,
) -> tuple[Generator, nn.Module]:
    """Return an untrained generator and discriminator for features of a fitted change of variables.

    Parameters
    ----------
    options : arguments of the constructor of the GAN, by name.
    n_noise, activation : what those options came to.
    transform : the change of variables.
    schema : names and kinds of the columns.
    conditions : those that samples are conditioned on, or None.
    observed : observables that the discriminator is shown, or None.
    seed : root of the first weights.

    Raises
    ------
    InputError
        For networks and options that do not go together.
    """
    shape = tuple(transform.output_shape)
    objective = check_choice("objective", options["objective"], OBJECTIVES)
    n_observables = 0 if observed is None else len(observed.names)
    has_fit = _has_kinematic_fit(options, shape, schema, n_noise, n_observables)
    condition_shape = None if conditions is None else conditions.shape
    n_condition = sum(condition_shape) if condition_shape is not None and len(condition_shape) == 1 else 0
    R = options["n_replicas"]
    pairs: list[tuple[nn.Module, nn.Module]] = []
    for replica_seed in [seed] if R == 1 else [child_seed(seed, "replica", r) for r in range(R)]:
        common = {"random_generator": child_generator(replica_seed, "weights"), "activation": activation}
        generator = build_generator(
            options["generator"],
            n_noise=n_noise + n_condition,
            condition_shape=condition_shape,
            event_shape=(shape[0] + (n_observables if has_fit else 0), *shape[1:]),
            **common,
        )
        discriminator = build_discriminator(
            options["discriminator"],
            n_observables=n_observables,
            condition_shape=condition_shape,
            mode=options["condition_mode"],
            n_aux=n_condition if options["auxiliary_weight"] > 0 else 0,
            spectral_norm=options["spectral_norm"],
            may_be_bounded=objective.scale == "probability",
            event_shape=shape,
            **common,
        )
        pairs.append((generator, discriminator))
    network, D = pairs[0] if R == 1 else (Stacked([g for g, _ in pairs]), Stacked([d for _, d in pairs]))
    whitening = Whitening(shape[0]) if options["whiten"] and len(shape) == 1 else None
    fit = KinematicFit(observed, options["noise_prior"]) if observed is not None and has_fit else None
    return Generator(network, head_of(transform), whitening, shape, fit), D


def check_discriminator(
    D: nn.Module, options: Mapping[str, Any], shape: tuple[int, ...], *, is_penalised: bool
) -> None:
    """Raise `InputError` for a discriminator that cannot learn with these options.

    Parameters
    ----------
    D : the discriminator, or the stack of those of replicas.
    options : arguments of the constructor of the GAN, by name.
    shape : of the features of one event.
    is_penalised : whether there is a penalty on its gradient.
    """
    name, activation, spec = options["objective"], options["activation"], options["discriminator"]
    clip = check_choice("objective", name, OBJECTIVES).clip
    is_perceptron = (
        isinstance(spec, (tuple, list)) or isinstance(spec, str) and resolved_name(spec, shape) in _PERCEPTRONS
    )
    if clip is not None and is_perceptron and activation in SMOOTH:
        raise InputError(
            f"Expected an activation with a kink for objective {name!r}, got {activation!r}: weights "
            f"within {clip:g} keep its units where it is a straight line, and the critic learns nothing. Use "
            "'leaky_relu', 'relu' or 'auto', or objective='wasserstein_gp'."
        )
    if is_penalised and has_batch_norm(D):
        raise InputError(
            "Expected a discriminator without batch normalisation under a gradient penalty, which acts on each "
            "sample alone. Use layer normalisation, or penalty_weight=0."
        )


def auxiliary_of(weight: float, conditions: Conditions | None) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Return the loss of an auxiliary classifier of these conditions, None for weight 0.

    Raises
    ------
    InputError
        For conditions that a classifier cannot read off a sample.
    """
    if weight == 0:
        return None
    if conditions is None or len(conditions.shape) != 1:
        raise InputError(
            "Expected labels or numbers y for auxiliary_weight > 0, got none. Call fit(X, y), or set it to 0."
        )
    groups = [tag.group if tag.kind == "simplex" else None for tag in conditions.preprocessing.transform.outputs]
    return partial(auxiliary_loss, groups=groups)


def _has_kinematic_fit(
    options: Mapping[str, Any], shape: tuple[int, ...], schema: Schema, n_noise: int, n_observables: int
) -> bool:
    """Tell whether generated events go through a kinematic fit."""
    if n_observables == 0 or options["kinematic_fit"] is False:
        return False
    spec = options["generator"]
    is_named = isinstance(spec, str) and resolved_name(spec, shape) in _PERCEPTRONS
    can = len(shape) == 1 and (is_named or isinstance(spec, (tuple, list))) and n_noise >= n_observables
    if options["kinematic_fit"] is True and not can:
        raise InputError(
            "Expected a table, a perceptron as generator and a noise number for each observable for "
            "kinematic_fit=True. Use kinematic_fit='auto', which leaves it out where it cannot be."
        )
    is_smooth = all(c.kind in _SMOOTH and c.atom is None and not c.integral for c in schema.columns)
    return can and (is_smooth or options["kinematic_fit"] is True)


def matching_generator(
    transform: Any, *, n_noise: int, hidden: Sequence[int], random_generator: torch.Generator
) -> Generator:
    """Return a perceptron with batch normalisation after each hidden layer, its output admissible for the data.

    Parameters
    ----------
    transform : fitted change of variables; its `output_shape` and `outputs` say what samples may be.
    n_noise : numbers of noise, uniform on [-1, 1).
    hidden : widths of the hidden layers.
    random_generator : source of the first weights.
    """
    shape = tuple(transform.output_shape)
    n_outputs = torch.Size(shape).numel()
    widths = [n_noise, *hidden]
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):  # torch draws first weights of its own: leave its state as it was
        for a, b in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(a, b), nn.LeakyReLU(0.2), nn.BatchNorm1d(b)]
        last = nn.Linear(widths[-1], n_outputs)
    network = initialise(nn.Sequential(*layers, last), random_generator)
    return Generator(network, head_of(transform), None, shape)


@torch.no_grad()
def start_at_mean(G: Generator, mean: Tensor) -> None:
    """Let the first samples of a perceptron lie at the mean of the features (*event)."""
    last: Any = G.network[-1]  # pyright: ignore[reportIndexIssue]
    through_tanh = torch.tensor([kind == "tanh" for kind in G.head.kinds], device=mean.device)
    bounded = mean.flatten().clamp(-_LARGEST_MEAN, _LARGEST_MEAN)
    last.bias.copy_(torch.where(through_tanh, torch.atanh(bounded), mean.flatten()))
