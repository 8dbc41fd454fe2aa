"""The step of a semi-supervised GAN: a classifier as discriminator, a generator that matches its features.

The discriminator D sees labelled, unlabelled and generated samples under fresh
noise; from that one pass come the gradients of both networks, at the same weights:

    D:  minimise  E[-log p(y | x)] + w (E[-log p(real | x)] + E[-log p(generated | G(z))])
    G:  minimise  || E f(x) - E f(G(z)) ||^2,      f the last hidden layer of D
    w_ema <- beta w_ema + (1 - beta) w             of D, which then predicts

The generator starts at the mean of the data. Where it starts elsewhere, the discriminator needs ten
steps to tell the two apart by that mean alone, and the generator, chasing it, drives its last layer
into the flat ends of the tanh, where it stays. Losses: `reverie.objectives.classifiers`.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from reverie.compile.step import Compiled
from reverie.core.random import child_seed
from reverie.data.batches import Batches
from reverie.models.gan.networks import Generator, draw_noise
from reverie.models.training_run import TrainingOptions, TrainStep
from reverie.networks.classifier import NoiseStock, NoisyClassifier
from reverie.objectives.classifiers import feature_matching, generated_loss, labelled_loss, real_loss, realness
from reverie.training.descent import Descent, ema_decay, ema_update
from reverie.training.monitor import Observation
from reverie.training.optimizers import learning_rate_factor

__all__ = ["UNLABELLED", "SemiSupervisedSettings", "SemiSupervisedStep"]

Rows = Mapping[str, Tensor]
UNLABELLED = -1


@dataclass(frozen=True)
class SemiSupervisedSettings:
    """Numbers of the step; meanings and ranges stand at `reverie.models.gan.semi_supervised.SemiSupervisedGAN`."""

    n_noise: int
    unlabelled_weight: float
    optimizer: str
    generator_rate: float
    discriminator_rate: float
    betas: tuple[float, float]
    hold: float
    ema_decay: float
    max_steps: int
    batch_size: int
    labelled_batch_size: int
    compile: bool | str = False


class SemiSupervisedStep(TrainStep):
    """A train step of a generator G and a classifier D.

    Parameters
    ----------
    G : noise (rows, n_noise) -> samples (rows, *event).
    D : samples and noise -> logits (rows, K) and features (rows, width).
    settings : numbers of the step.
    stock : noise inside D, of any step.
    """

    def __init__(
        self, G: Generator, D: NoisyClassifier, settings: SemiSupervisedSettings, stock: NoiseStock | None
    ) -> None:
        self.G, self.D, self.settings, self._stock = G, D, settings, stock
        self.averaged = copy.deepcopy(D).requires_grad_(requires_grad=False)
        pairs = zip(D.parameters(), self.averaged.parameters(), strict=True)
        trained = [(weight, average) for weight, average in pairs if weight.requires_grad]
        d_weights, self._averages = [weight for weight, _ in trained], [average for _, average in trained]
        s = settings
        self.g_descent = Descent(G.parameters(), s.optimizer, learning_rate=s.generator_rate, betas=s.betas)
        self.d_descent = Descent(d_weights, s.optimizer, learning_rate=s.discriminator_rate, betas=s.betas)
        self.compiled = Compiled(self._round, mode=s.compile, n_calls=s.max_steps)

    def networks(self) -> Mapping[str, nn.Module]:
        """Return the generator, and the average of the discriminator, which predicts."""
        return {"generator": self.G, "discriminator": self.averaged}

    def trained(self) -> Sequence[nn.Module]:
        """Return both networks."""
        return (self.G, self.D)

    def batches(
        self, rows: dict[str, Any], options: TrainingOptions, seed: int, device: torch.device | str
    ) -> Callable[[int], Any]:
        """Return the function from a step to its batch: the labelled rows come round sooner than all rows."""
        x, labels, s = rows["x"], rows["label"], self.settings
        pairs = {"labelled": x[labels != UNLABELLED], "labels": labels[labels != UNLABELLED]}
        of_labelled, of_all = child_seed(seed, "labelled"), child_seed(seed, "all")
        labelled = Batches(pairs, batch_size=s.labelled_batch_size, seed=of_labelled, device=device)
        unlabelled = Batches({"unlabelled": x}, batch_size=s.batch_size, seed=of_all, device=device)
        return partial(_both, labelled, unlabelled)  # which, unlike a function in here, can be pickled

    def rows_at_once(self, size: int) -> int:
        """Return the unlabelled, the generated and the labelled rows of a step."""
        return 2 * size + self.settings.labelled_batch_size

    def observe(
        self, held_out: Mapping[str, Tensor], train: Mapping[str, Tensor], generator: torch.Generator
    ) -> Observation:
        """Return nothing but the step: every event is trained on, and none is held out."""
        return Observation(self.step)

    def train_step(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        """Take one step; return losses and the probabilities of "real" that D gives to real and generated samples.

        Parameters
        ----------
        batch : "labelled" (m, *event) with "labels" (m,) of int64, and "unlabelled" (n, *event), n >= 2.
        generator : source of the generator's noise; that inside D is a function of the step.
        """
        self.G.train()  # samples may have been drawn since the last step, in evaluation mode
        s = self.settings
        factor = learning_rate_factor(self.step, s.max_steps, hold=s.hold) * self.rate_factor
        numbers = {"g_rate": s.generator_rate * factor, "d_rate": s.discriminator_rate * factor}
        numbers["decay"] = ema_decay(self.step, s.ema_decay)
        noise = None if self._stock is None else self._stock.at(self.step)
        scalars = self.compiled((dict(batch), noise, numbers), generator)
        self.step += 1
        return scalars

    def _round(
        self, inputs: tuple[Rows, NoiseStock | None, Mapping[str, float | Tensor]], generator: torch.Generator
    ) -> dict[str, Tensor]:
        batch, noise, numbers = inputs
        labelled, unlabelled, labels = batch["labelled"], batch["unlabelled"], batch["labels"]
        logits, features = self.D(torch.cat([labelled, unlabelled]), noise)
        of_labelled, of_real = logits.split([len(labelled), len(unlabelled)])
        z = draw_noise(len(unlabelled), self.settings.n_noise, prior="uniform", generator=generator)
        of_fake, fake_features = self.D(self.G(z), noise)
        label_loss = labelled_loss(of_labelled, labels)
        d_loss = label_loss + self.settings.unlabelled_weight * (real_loss(of_real) + generated_loss(of_fake))
        g_loss = feature_matching(features[len(labelled) :].detach(), fake_features)
        d_gradients = torch.autograd.grad(d_loss, self.d_descent.weights, retain_graph=True)  # at the weights
        g_gradients = torch.autograd.grad(g_loss, self.g_descent.weights)  # that both networks had
        self.d_descent.step(d_gradients, numbers["d_rate"])
        self.g_descent.step(g_gradients, numbers["g_rate"])
        ema_update(self._averages, self.d_descent.weights, decay=numbers["decay"])
        with torch.no_grad():
            outputs = {"d_real": realness(of_real).sigmoid().mean(), "d_fake": realness(of_fake).sigmoid().mean()}
        losses = {"d_loss": d_loss, "g_loss": g_loss, "label_loss": label_loss}
        return {name: value.detach() for name, value in (losses | outputs).items()}

    def parts(self) -> Mapping[str, nn.Module | Descent]:
        """Return networks, average and optimisers."""
        networks = {"G": self.G, "D": self.D, "averaged": self.averaged}
        return networks | {"g_optimizer": self.g_descent, "d_optimizer": self.d_descent}


def _both(labelled: Batches, unlabelled: Batches, step: int) -> dict[str, Tensor]:
    """Return the rows of both at a step."""
    return {name: x for batches in (labelled, unlabelled) for name, x in cast("Rows", batches.at(step)).items()}
