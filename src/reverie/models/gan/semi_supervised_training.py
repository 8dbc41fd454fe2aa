"""The semi-supervised game: a classifier as discriminator, a generator that matches its features, one step.

One step is one round. The discriminator D sees labelled, unlabelled and generated samples under fresh
noise; from that one pass come the gradients of both players, at the same weights:

    D:  minimise  E[-log p(y | x)] + w (E[-log p(real | x)] + E[-log p(generated | G(z))])
    G:  minimise  || E f(x) - E f(G(z)) ||^2,      f the last hidden layer of D
    w_ema <- beta w_ema + (1 - beta) w             of D, which then predicts

The generator starts at the mean of the data. Where it starts elsewhere, the discriminator needs ten
steps to tell the two apart by that mean alone, and the generator, chasing it, drives its last layer
into the flat ends of the tanh, where it stays. Losses: `reverie.objectives.semi_supervised`.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reverie.compile.step import Compiled
from reverie.models.gan.game import draw_noise
from reverie.models.gan.generator import ShapedGenerator, head_of
from reverie.networks.classifier import NoiseStock, NoisyClassifier
from reverie.networks.init import initialise
from reverie.objectives.semi_supervised import feature_matching, generated_loss, labelled_loss, real_loss, realness
from reverie.training.averaging import ema_decay, ema_update
from reverie.training.descent import Descent
from reverie.training.optimizers import learning_rate_factor

__all__ = ["SemiSupervisedGame", "SemiSupervisedSettings", "matching_generator"]

_LARGEST_MEAN = 0.97  # of a tanh feature: a pixel that is always black starts where the tanh still has a slope


@dataclass(frozen=True)
class SemiSupervisedSettings:
    """Numbers of the game; meanings and ranges stand at `reverie.models.gan.semi_supervised.SemiSupervisedGAN`."""

    n_noise: int
    unlabelled_weight: float
    optimizer: str
    generator_rate: float
    discriminator_rate: float
    betas: tuple[float, float]
    hold: float
    ema_decay: float
    max_steps: int
    compile: bool | str = False


class SemiSupervisedGame:
    """A `Trainable` made of a generator G and a classifier D.

    Parameters
    ----------
    G : noise (rows, n_noise) -> samples (rows, *event).
    D : samples and noise -> logits (rows, K) and features (rows, width).
    settings : numbers of the game.
    stock : noise inside D, of any step.
    """

    def __init__(
        self, G: ShapedGenerator, D: NoisyClassifier, settings: SemiSupervisedSettings, stock: NoiseStock | None
    ) -> None:
        self.G, self.D, self.settings, self._stock = G, D, settings, stock
        self.averaged = copy.deepcopy(D).requires_grad_(requires_grad=False)
        d_weights = [weight for weight in D.parameters() if weight.requires_grad]
        trained = [weight.requires_grad for weight in D.parameters()]
        self._averages = [a for a, is_trained in zip(self.averaged.parameters(), trained, strict=True) if is_trained]
        s = settings
        self.g_descent = Descent(G.parameters(), s.optimizer, learning_rate=s.generator_rate, betas=s.betas)
        self.d_descent = Descent(d_weights, s.optimizer, learning_rate=s.discriminator_rate, betas=s.betas)
        self.compiled = Compiled(self._round, mode=s.compile, n_calls=s.max_steps)
        self.step = 0

    def train_step(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        """Take one round; return losses and the probabilities of "real" that D gives to real and generated samples.

        Parameters
        ----------
        batch : "labelled" (m, *event) with "labels" (m,) of int64, and "unlabelled" (n, *event), n >= 2.
        generator : source of the generator's noise; that inside D is a function of the step.
        """
        self.G.train()  # samples may have been drawn since the last step, in evaluation mode
        noise = None if self._stock is None else self._stock.at(self.step)
        scalars = self.compiled((dict(batch), noise, self._numbers()), generator)
        self.step += 1
        return scalars

    def _round(self, inputs: tuple[Mapping[str, Tensor], Any, Mapping[str, Any]], generator: torch.Generator) -> Any:
        batch, noise, numbers = inputs
        labelled, unlabelled, labels = batch["labelled"], batch["unlabelled"], batch["labels"]
        logits, features = self.D(torch.cat([labelled, unlabelled]), noise)
        of_labelled, of_real = logits.split([len(labelled), len(unlabelled)])
        z = draw_noise(len(unlabelled), self.settings.n_noise, prior="uniform", generator=generator)
        of_fake, fake_features = self.D(self.G(z), noise)
        label_loss = labelled_loss(of_labelled, labels)
        d_loss = label_loss + self.settings.unlabelled_weight * (real_loss(of_real) + generated_loss(of_fake))
        g_loss = feature_matching(features[len(labelled) :].detach(), fake_features)
        self._descend(d_loss, g_loss, numbers)
        return self._scalars(d_loss, g_loss, label_loss, of_real, of_fake)

    def _descend(self, d_loss: Tensor, g_loss: Tensor, numbers: Mapping[str, Any]) -> None:
        """Take one step of each player, with gradients at the weights that both had."""
        d_gradients = torch.autograd.grad(d_loss, self.d_descent.weights, retain_graph=True)
        g_gradients = torch.autograd.grad(g_loss, self.g_descent.weights)
        self.d_descent.step(d_gradients, numbers["d_rate"])
        self.g_descent.step(g_gradients, numbers["g_rate"])
        ema_update(self._averages, self.d_descent.weights, decay=numbers["decay"])

    @staticmethod
    @torch.no_grad()
    def _scalars(
        d_loss: Tensor, g_loss: Tensor, label_loss: Tensor, of_real: Tensor, of_fake: Tensor
    ) -> dict[str, Tensor]:
        losses = {"d_loss": d_loss, "g_loss": g_loss, "label_loss": label_loss}
        outputs = {"d_real": realness(of_real).sigmoid().mean(), "d_fake": realness(of_fake).sigmoid().mean()}
        return {name: value.detach() for name, value in (losses | outputs).items()}

    def _numbers(self) -> dict[str, float]:
        """Return the learning rates and the decay of the average at this step."""
        s = self.settings
        factor = learning_rate_factor(self.step, s.max_steps, hold=s.hold)
        rates = {"g_rate": s.generator_rate * factor, "d_rate": s.discriminator_rate * factor}
        return rates | {"decay": ema_decay(self.step, s.ema_decay)}

    def state_dict(self) -> dict[str, Any]:
        """Return networks, average, optimisers and the step."""
        parts = {"G": self.G, "D": self.D, "averaged": self.averaged}
        parts |= {"g_optimizer": self.g_descent, "d_optimizer": self.d_descent}
        return {"step": self.step} | {name: part.state_dict() for name, part in parts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state of a game of the same networks and optimisers."""
        self.step = state["step"]
        self.G.load_state_dict(state["G"])
        self.D.load_state_dict(state["D"])
        self.averaged.load_state_dict(state["averaged"])
        self.g_descent.load_state_dict(state["g_optimizer"])
        self.d_descent.load_state_dict(state["d_optimizer"])


def matching_generator(
    transform: Any, *, n_noise: int, hidden: Sequence[int], start: Tensor | None, random_generator: torch.Generator
) -> ShapedGenerator:
    """Return a perceptron with batch normalisation after each hidden layer, its output admissible for the data.

    Parameters
    ----------
    transform : fitted change of variables; its `output_shape` and `outputs` say what samples may be.
    n_noise : numbers of noise, uniform on [-1, 1).
    hidden : widths of the hidden layers.
    start : mean of the features (*event), where the first samples lie; None when weights are to be loaded.
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
    head = head_of(transform)
    if start is not None:
        _start_at(last, start.flatten(), head.kinds)
    return ShapedGenerator(network, head, None, shape)


@torch.no_grad()
def _start_at(last: nn.Linear, mean: Tensor, kinds: Sequence[str]) -> None:
    through_tanh = torch.tensor([kind == "tanh" for kind in kinds], device=mean.device)
    bounded = mean.clamp(-_LARGEST_MEAN, _LARGEST_MEAN)
    last.bias.copy_(torch.where(through_tanh, torch.atanh(bounded), mean))
