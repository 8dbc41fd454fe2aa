r"""The train step of a GAN, and what it says of itself at a check.

A step trains both networks once and is counted once: `n_critic` steps of the discriminator D, each on its own
rows, then one step of the generator G, then one of its average.

    D:  minimise  loss_D(D(x), D(G(z))) + penalty + a L(x)                      over the weights of D
    G:  minimise  loss_G(D(x), D(G(z))) + a L(G(z)) + r E |x - G(z)|            over the weights of G
    w_ema <- beta w_ema + (1 - beta) w

L is the loss of an auxiliary classifier and r E |x - G| the reconstruction of paired images; both
are off (a = r = 0) by default. What the discriminator sees beside a sample (observables,
conditions) travels with it in a dictionary of aligned rows:

    x (rows, *event)    observables (rows, k)    condition (rows, c) or (rows, channel, height, width)    weight (rows,)

The penalty may be taken every k-th step only, k times as strong, which leaves its mean pull on the
weights and saves most of its second derivatives ("lazy regularisation", Karras et al., arXiv:1912.04958).
Real and generated samples go through D in one forward pass. The last generated batch of the
discriminator's turn serves the generator's turn too, its graph kept, so G runs forward `n_critic`
times a step and not once more.

Of sets of particles the mask stands before the condition: a generated set has the number of particles of the real one
of its row, so that neither player learns that number, whose law `reverie.models.multiplicity` joins to the generator's
turn as -log p(N | c). The mask carries no gradient, and neither does padding, so that the penalties are over particles.

A round changes weights, moments and averages in place and draws from one generator, so that it can be compiled whole
(`reverie.compile.step`); rounds with and without a penalty, or an augmentation, are computations of their own.

R replicas are trained at once when both networks are `reverie.networks.replicas.Stacked`: row i belongs to replica
i mod R, and the loss is the sum of the R mean losses, whose gradients do not mix.

At a check the averaged generator draws a sample for each held-out event, always from the same noise; the monitor
compares the two sets, and hears what D answers on held-out, generated and training rows (`reverie.training.monitor`).
With few events D sees real and generated rows under random transforms, the more often the better it knows the training
rows by heart (`reverie.models.gan.augmentation`).
Equilibrium: the learning rate is then lowered over as many steps as were taken at full rate, and training ends.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from reverie.compile.step import Compiled
from reverie.core.random import child_generator
from reverie.core.types import State
from reverie.models.gan.augmentation import Kind, adapted, augmented, overfitting
from reverie.models.gan.networks import Generator, draw_noise
from reverie.models.sets import moments_of_sets, rows_of_sets
from reverie.models.training_run import TrainStep, take_weights
from reverie.objectives.adversarial import Objective, batch_mean, equilibrium_outputs, minimax_discriminator
from reverie.objectives.penalties import PENALTIES, between, squared_gradient_norm
from reverie.training.descent import Descent, ema_decay, ema_update
from reverie.training.monitor import Check, Discriminated, Observation
from reverie.training.optimizers import learning_rate_factor

__all__ = ["AdversarialSettings", "AdversarialStep", "Rows", "compared_rows"]

Rows = Mapping[str, Tensor]
_SEEN = ("x", "observables", "condition")  # what the discriminator sees; the rest are weights
_GRADIENT_ROWS = 256  # of each replica, that the gradient at the samples is averaged over
_MOST_COMPARED = 1000  # numbers of a condition that is compared beside the sample: those of an image are not


@dataclass(frozen=True)
class AdversarialSettings:
    """Numbers of the step; meanings and ranges stand at `reverie.models.gan.GAN`."""

    penalty: str
    penalty_weight: float
    penalty_every: int
    n_critic: int
    n_noise: int
    noise_prior: str
    optimizer: str
    generator_rate: float
    discriminator_rate: float
    betas: tuple[float, float]
    hold: float
    ema_decay: float
    max_steps: int
    auxiliary_weight: float = 0.0
    reconstruction_weight: float = 0.0
    n_replicas: int = 1
    stop_at_equilibrium: bool = False
    compile: bool | str = False
    augmentation: float | None = None  # probability at the start; None for no transforms
    adapts: bool = False  # whether checks change it
    kind: Kind = "table"
    spike: float | None = None  # most that a gradient may be longer than usual, see `reverie.training.descent`
    holds_discriminator: bool = False  # whether `hold` is of the generator's rate alone, and the other never falls
    eps: float | None = None  # epsilon of Adam, see `reverie.training.descent`; None for 1e-8
    n_places: int = 0  # of a set, the numbers of the mask before the condition; 0 of other events


class AdversarialStep(TrainStep):
    """A train step of a generator G and a discriminator D.

    Both are rolled back at any alarm, since a training that has collapsed or oscillates seldom comes back by itself;
    three times at most, each of which costs the steps since the last healthy check.

    Parameters
    ----------
    G : noise (rows, n_noise + c) -> samples (rows, *event).
    D : samples and what goes with them -> logits (rows, 1) or (rows,); with an auxiliary classifier (rows, 1 + c).
    objective : losses and their defaults.
    settings : numbers of the step.
    seed : root of the noise of checks.
    observables : features (rows, *event) -> observables (rows, k) shown to D, or None.
    auxiliary : loss of the auxiliary classifier, (outputs (rows, c), condition (rows, c)) -> (rows,), or None.
    spreads : standard deviations of `reverie.models.sets.moments_of_sets` by which sets are compared; None for others.
    """

    max_rollbacks = 3
    rolls_back_on_alarms = True

    def __init__(
        self,
        G: Generator,
        D: nn.Module,
        objective: Objective,
        settings: AdversarialSettings,
        *,
        seed: int = 0,
        observables: Callable[[Tensor], Tensor] | None = None,
        auxiliary: Callable[[Tensor, Tensor], Tensor] | None = None,
        spreads: Tensor | None = None,
    ) -> None:
        self.G, self.D = G, D
        self.averaged = copy.deepcopy(G).eval().requires_grad_(requires_grad=False) if settings.ema_decay > 0 else None
        self.objective, self.settings, self._seed = objective, settings, seed
        self._observables, self._auxiliary, self._spreads = observables, auxiliary, spreads
        self._penalty = PENALTIES[settings.penalty]
        s = settings
        bounds = {"betas": s.betas, "spike": s.spike, "eps": s.eps, "n_replicas": s.n_replicas}
        self.g_descent = Descent(G.parameters(), s.optimizer, learning_rate=s.generator_rate, **bounds)
        self.d_descent = Descent(D.parameters(), s.optimizer, learning_rate=s.discriminator_rate, **bounds)
        self.augmentation = [s.augmentation or 0.0] * s.n_replicas  # probability for each replica
        self._is_penalised = self._penalty.points != "none" and s.penalty_weight > 0
        n = -(-s.max_steps // s.penalty_every) if self._is_penalised else 0
        remainders: set[int] = set()
        self.rounds = {  # by whether they have a penalty, and an augmentation
            (penalised, augments): Compiled(
                partial(self._round, penalised=penalised, augments=augments),
                mode=s.compile,
                n_calls=n_calls,
                remainders=remainders,
            )
            for augments in ((False, True) if s.augmentation is not None else (False,))
            for penalised, n_calls in ((True, n), (False, s.max_steps - n))
        }
        self.reschedule()

    def train_step(self, batch: Tensor | Rows, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Take one round on `batch`, (n_critic * batch_size, *event) or rows of it; return losses, D(real), D(fake)."""
        self.G.train()  # samples may have been drawn since the last step, in evaluation mode
        s = self.settings
        factor = learning_rate_factor(self.step, self.end, hold=self.decay_from / self.end)
        numbers = {"g_rate": s.generator_rate * factor * self.rate_factor}
        numbers["d_rate"] = s.discriminator_rate * (1.0 if s.holds_discriminator else factor) * self.rate_factor
        numbers["decay"] = ema_decay(self.step, s.ema_decay)
        augments = any(self.augmentation)  # else the step is that without an augmentation, number by number
        numbers |= {f"p{r}": p for r, p in enumerate(self.augmentation)} if augments else {}
        rows = {"x": batch} if isinstance(batch, Tensor) else dict(batch)
        penalised = self._is_penalised and self.step % s.penalty_every == 0
        scalars = self.rounds[penalised, augments]((rows, numbers), generator)
        self.step += 1
        return scalars

    def _round(
        self,
        inputs: tuple[Rows, Mapping[str, float | Tensor]],
        generator: torch.Generator,
        *,
        penalised: bool,
        augments: bool,
    ) -> dict[str, Tensor]:
        """Take one round, penalised and augmented or not, on rows and the numbers of this step; return its scalars."""
        rows, numbers = self._in_clusters(inputs[0]), inputs[1]
        s, scalars = self.settings, {}
        real: dict[str, Tensor] = {}
        fake: dict[str, Tensor] = {}
        apart = None
        chunks = [tensor.chunk(s.n_critic) for tensor in rows.values()]
        for part in zip(*chunks, strict=True):
            real = dict(zip(rows, part, strict=True))
            z = draw_noise(len(real["x"]), s.n_noise, prior=s.noise_prior, generator=generator)
            condition = real.get("condition")
            fake = self.seen(self.G(z, condition), condition)
            apart = (real["x"] - fake["x"]).abs().mean() if s.reconstruction_weight > 0 else None
            if augments:
                p = [numbers[f"p{r}"] for r in range(s.n_replicas)]
                real, fake = (augmented(seen, p, generator, s.kind) for seen in (real, fake))
            scalars = self._discriminator_step(real, fake, numbers["d_rate"], generator, penalised=penalised)
        scalars["g_loss"] = self._generator_step(real, fake, numbers["g_rate"], apart)
        if self.averaged is not None:
            ema_update(list(self.averaged.parameters()), self.g_descent.weights, decay=numbers["decay"])
            for average, current in zip(self.averaged.buffers(), self.G.buffers(), strict=True):
                average.copy_(current)
        return scalars

    def _discriminator_step(
        self, real: Rows, fake: Rows, rate: float | Tensor, generator: torch.Generator, *, penalised: bool
    ) -> dict[str, Tensor]:
        """Descend loss_D(D(real), D(fake)) + penalty + a L(real); return the loss and the mean answers of D.

        Of a game for the value V(D, G) also its two terms, E log D(x) and E log(1 - D(G(z))).
        """
        s, points = self.settings, self._penalty.points
        both = {key: torch.cat([real[key], fake[key].detach()]) for key in _SEEN if key in fake}
        inputs = [both[key] for key in _SEEN[:2] if key in both]
        if penalised and points != "between":
            for x in inputs:
                x.requires_grad_()
        outputs = self.judge(both)
        a_real, a_fake = outputs[:, :1].chunk(2)
        loss = self.objective.discriminator(a_real, a_fake, real.get("weight"))
        scalars = {"d_loss": loss.detach()}
        if penalised:
            if points == "between":
                rows = _between(both, generator)
                squared_norm = squared_gradient_norm(
                    self.judge(rows)[:, :1], [rows[key] for key in _SEEN[:2] if key in rows]
                )
            else:
                squared_norm = squared_gradient_norm(outputs[:, :1], inputs)
                of_real, of_fake = squared_norm.chunk(2)
                squared_norm = {"real": of_real, "fake": of_fake, "both": squared_norm}[points]
            loss = loss + self._penalty.value(squared_norm, s.penalty_weight * s.penalty_every)
        if self._auxiliary is not None:
            of_real, _ = outputs[:, 1:].chunk(2)
            losses = self._auxiliary(of_real, real["condition"])
            loss = loss + s.auxiliary_weight * (losses * real.get("weight", 1.0)).mean()
        self.d_descent.along(loss * s.n_replicas, rate)
        with torch.no_grad():
            if self.objective.clip is not None:
                for weight in self.d_descent.weights:
                    weight.clamp_(-self.objective.clip, self.objective.clip)
            answers = equilibrium_outputs(a_real, a_fake, scale=self.objective.scale, weight=real.get("weight"))
            if self.objective.discriminator is minimax_discriminator:  # its loss is minus the sum of the two terms
                scalars["log_d_real"] = batch_mean(logsigmoid(a_real), real.get("weight"))
                scalars["log_not_d_fake"] = -scalars["d_loss"] - scalars["log_d_real"]
        scalars["d_real"], scalars["d_fake"] = answers
        return scalars

    def _generator_step(self, real: Rows, fake: Rows, rate: float | Tensor, apart: Tensor | None) -> Tensor:
        """Descend loss_G(D(real), D(fake)) + a L(fake) + r E |x - G(z)|, the last `apart`; return the first."""
        s, outputs = self.settings, self.judge(fake)
        a_fake = a_real = outputs[:, :1]  # the real logits stand in where an objective does not read them
        weight = None
        if self.objective.generator_needs_real:
            weight = real.get("weight")
            with torch.no_grad():
                a_real = self.judge(real)[:, :1]
        loss = self.objective.generator(a_real, a_fake, weight)
        total = loss
        if self._auxiliary is not None:
            total = total + s.auxiliary_weight * self._auxiliary(outputs[:, 1:], fake["condition"]).mean()
        if apart is not None:
            total = total + s.reconstruction_weight * apart
        law = self.G.multiplicity
        if law is not None and law.network is not None:
            mask, condition = real["condition"].tensor_split([s.n_places], dim=1)
            total = total - batch_mean(law.log_prob(mask, condition), real.get("weight"))
        self.g_descent.along(total * s.n_replicas, rate)
        return loss.detach()

    def seen(self, x: Tensor, condition: Tensor | None = None) -> dict[str, Tensor]:
        """Return samples x (rows, *event) with what the discriminator is shown beside them."""
        rows = {"x": x}
        if self._observables is not None:
            rows["observables"] = self._observables(self.drawing_network.unwhiten(x))  # what a saved model has of G
        if condition is not None:
            rows["condition"] = condition
        return rows

    def judge(self, rows: Rows) -> Tensor:
        """Return the outputs of the discriminator on `rows`: logits (rows, 1), then those of the classifier."""
        extras = {key: rows[key] for key in _SEEN[1:] if key in rows}
        outputs = self.D(rows["x"], **extras)
        return outputs if outputs.ndim == 2 else outputs.reshape(len(outputs), -1)

    @property
    def drawing_network(self) -> Generator:
        """The network that samples come from: the average of G, or G itself when none is kept."""
        return self.G if self.averaged is None else self.averaged

    def is_done(self) -> bool:
        """Tell whether the learning rate has fallen to its end after an equilibrium."""
        return self.step >= self.end

    def start_at(self, networks: Mapping[str, nn.Module]) -> None:
        """Take the weights of a fitted generator and, where it is known, of its discriminator."""
        for G in filter(None, (self.G, self.averaged)):
            take_weights(G, networks["generator"])
        if "discriminator" in networks:
            take_weights(self.D, networks["discriminator"])

    def reschedule(self) -> None:
        """Lower the learning rate as in a run of these settings."""
        self.decay_from, self.end = round(self.settings.hold * self.settings.max_steps), self.settings.max_steps

    def settle(self) -> None:
        """At equilibrium, begin to lower the learning rate, over as many steps as were taken until now at the most."""
        if self.settings.stop_at_equilibrium and self.step < self.decay_from:
            self.decay_from, self.end = self.step, min(self.end, 2 * self.step)

    def networks(self) -> Mapping[str, nn.Module]:
        """Return the generator that samples are drawn from."""
        return {"generator": self.drawing_network}

    def trained(self) -> Sequence[nn.Module]:
        """Return both networks."""
        return (self.G, self.D)

    def compiled_steps(self) -> Sequence[Compiled]:
        """Return the two computations, with a penalty and without."""
        return list(self.rounds.values())

    def descents(self) -> Sequence[Descent]:
        """Return the optimisers of both networks."""
        return (self.g_descent, self.d_descent)

    def prepared(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Return rows whose features are whitened, still on the CPU; of sets with the mask before the condition."""
        device = next(self.D.parameters()).device

        def whitened(x: Tensor) -> Tensor:
            return self.G.whiten(x.to(device)).to(x.device)

        if self.settings.n_places:
            return rows_of_sets(rows)
        x = rows["x"]
        return {**rows, "x": whitened(x) if isinstance(x, Tensor) else x.mapped(whitened)}

    def compared(self, rows: Rows) -> Tensor:
        """Return sample, observables and condition of each row side by side; of sets features of the whole set.

        The cluster of an image is not compared: that of a sample is what it was made given.
        """
        if self.G.clusters is not None:
            rows = {key: x for key, x in rows.items() if key != "condition"}
        if self._spreads is not None:
            x, condition = moments_of_sets(rows["x"]), rows["condition"][:, self.settings.n_places :]
            rows = {**rows, "x": x / self._spreads.to(x.device), "condition": condition}
        return compared_rows(rows)

    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return samples and what the discriminator says, of one replica."""
        return self.observations(held_out, train, generator)[0]

    def observations(self, held_out: Rows, train: Rows, generator: torch.Generator) -> list[Observation]:
        """Return samples, always of the same noise, and what the discriminator says of them, for each replica."""
        R, s = self.settings.n_replicas, self.settings
        held_out, train = (
            {k: x.repeat_interleave(R, dim=0) for k, x in self._in_clusters(rows).items()} for rows in (held_out, train)
        )
        noise = child_generator(self._seed, "watch", device=held_out["x"].device)
        z = draw_noise(len(held_out["x"]), s.n_noise, prior=s.noise_prior, generator=noise)
        self.D.eval()
        with torch.no_grad():
            condition, network = held_out.get("condition"), self.drawing_network
            if condition is not None and network.multiplicity is not None:
                u = torch.rand(len(z), generator=noise, device=z.device)
                own = condition[:, s.n_places :]
                condition = network.given(u, own if own.shape[1] else None)
            is_training = network.training
            generated = self.seen(network.eval()(z, condition), condition)
            network.train(is_training)
            of_held_out, of_generated, of_train = (
                self.judge(rows)[:, 0].cpu() for rows in (held_out, generated, train)
            )
        n = min(len(z), _GRADIENT_ROWS * R)
        gradient = self._sample_gradient({key: x[:n] for key, x in held_out.items()}, z[:n])
        self.D.train()
        flat = self.compared(generated).cpu()
        observations = []
        for r in range(R):
            d_real, d_fake = equilibrium_outputs(of_held_out[r::R], of_generated[r::R], scale=self.objective.scale)
            said = Discriminated(
                held_out=of_held_out[r::R].contiguous(),
                generated=of_generated[r::R].contiguous(),
                train=of_train[r::R].contiguous(),
                outputs=(float(d_real), float(d_fake)),
                gradient=float(gradient[r::R].mean()),
            )
            scalars = {}
            if s.augmentation is not None:
                found, _ = overfitting(said.train, said.held_out, said.generated)
                scalars = {"augmentation": self.augmentation[r], "d_overfitting": found}
            observations.append(Observation(self.step, generated=flat[r::R], scalars=scalars, discriminated=said))
        return observations

    def adapt(self, observations: Sequence[Observation], checks: Sequence[Check]) -> None:
        """Raise or lower the probability of the augmentation by what D says of rows that it was trained on."""
        if self.settings.adapts:
            answers = [seen.discriminated for seen in observations]
            found = [overfitting(a.train, a.held_out, a.generated) for a in answers if a is not None]
            self.augmentation = [adapted(p, *signs) for p, signs in zip(self.augmentation, found, strict=True)]

    def _in_clusters(self, rows: Rows) -> Rows:
        """Return the rows with the cluster of each image as its condition, where there are clusters."""
        if self.G.clusters is None:
            return rows
        return {**rows, "condition": self.G.clusters.of(rows["x"].flatten(1))}

    def _sample_gradient(self, real: Rows, z: Tensor) -> Tensor:
        """Return |d loss_G / d sample| of each sample, (rows,): what the generator has to learn from."""
        condition = real.get("condition")
        with torch.no_grad():
            x = self.G(z, condition)
            a_real = self.judge(real)[:, :1]
        fake = self.seen(x.requires_grad_(), condition)
        loss = self.objective.generator(a_real, self.judge(fake)[:, :1]) * len(x)
        (gradient,) = torch.autograd.grad(loss, x)
        return gradient.flatten(1).norm(dim=1)

    def parts(self) -> Mapping[str, nn.Module | Descent]:
        """Return networks, average and optimisers."""
        parts = {"G": self.G, "D": self.D, "g_optimizer": self.g_descent, "d_optimizer": self.d_descent}
        return parts if self.averaged is None else parts | {"averaged": self.averaged}

    def state_dict(self) -> State:
        """Return networks, average, optimisers, the step and the schedule."""
        schedule = [self.decay_from, self.end, self.rate_factor]
        return super().state_dict() | {"schedule": schedule, "augmentation": list(self.augmentation)}

    def load_state_dict(self, state: State) -> None:
        """Take up what `state_dict` returned, of a step of the same networks and optimisers."""
        self.decay_from, self.end, rate_factor = state["schedule"]
        super().load_state_dict({**state, "rate_factor": rate_factor})  # which older states hold nowhere else
        self.augmentation = list(state.get("augmentation", self.augmentation))


def _between(both: Rows, generator: torch.Generator) -> dict[str, Tensor]:
    """Return points on segments from real to generated rows; x and observables share the position of a row."""
    keys = [key for key in _SEEN[:2] if key in both]
    of_real, of_fake = torch.cat([both[key].flatten(1) for key in keys], dim=1).chunk(2)
    points = between(of_real, of_fake, generator).split([both[key][0].numel() for key in keys], dim=1)
    rows = {"x": points[0].reshape(-1, *both["x"].shape[1:]).requires_grad_()}
    if "observables" in both:
        rows["observables"] = points[1].clone().requires_grad_()
    if "condition" in both:
        rows["condition"] = both["condition"].chunk(2)[0]
    return rows


def compared_rows(rows: Rows) -> Tensor:
    """Return what is compared of each event: sample, observables and a condition vector, side by side, (rows, d)."""
    parts = [rows[key].flatten(1) for key in _SEEN if key in rows]
    return torch.cat([part for k, part in enumerate(parts) if k == 0 or part.shape[1] < _MOST_COMPARED], dim=1)
