r"""Which models suit which data, and for how many steps they can train in a given time.

`RULES` is a table: the first row that holds for the data names their models, the preferred one first. Of these two are
tried out. From a second of training, thrown away, follow the seconds of a step; from two steps with a check, those of
everything else:

    seconds(n_steps, n_checks) = fixed + n_steps step + n_checks check

The steps planned are those that a budget holds, never more than the default, so that every schedule ends in its time.
"""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from reverie.core.errors import InputError, TrainingError
from reverie.core.measured import Measured
from reverie.data import Schema
from reverie.experiment.config import RunConfig, all_options, parse_duration
from reverie.experiment.inputs import Inputs
from reverie.experiment.progress import say
from reverie.experiment.run import compiled_if_repaid, make_model
from reverie.models.registry import model_class

__all__ = ["RULES", "Candidate", "Cost", "Rule", "planned", "rule_for"]

_MOST_TIME = 600.0  # seconds of both trainings where no time is given
_TRIAL = 1.0  # seconds in which the rate of steps is measured
_LEAST_STEPS, _LEAST_CHECKS = 200, 4  # of a training that is worth comparing
_SPARE = 0.95  # of the time is planned
_FOR_CHECKS = 0.2  # of the time at most
_FEW, _WIDE, _LARGE, _SITES = 1000, 200, 16, 1024  # rows and columns of a table, pixels of a side, sites of a lattice


@dataclass(frozen=True)
class Candidate:
    """A model for some data.

    Parameters
    ----------
    model, why : Its name, and why it suits the data, in words that follow "since".
    options : Its options that are not the defaults.
    budget : Seconds after which its training ends whatever is left; None where no time was given.
    auc, error : How well boosting tells its samples from the selection events; None before.
    failed : Why it could not be trained, in a sentence, or "".
    """

    model: str
    why: str
    options: dict[str, Any] = field(default_factory=dict)
    budget: float | None = None
    auc: float | None = None
    error: float | None = None
    failed: str = ""

    @property
    def measured(self) -> Measured:
        """The AUC with its error; infinite where training failed."""
        return Measured(math.inf if self.auc is None else self.auc, self.error or 0.0)

    def config(self, config: RunConfig) -> RunConfig:
        """Return the configuration of its run, all options spelled out; `config` is that of the choice."""
        budget = None if self.budget is None else f"{self.budget:.1f}s"
        own = replace(config, max_time=budget, model={"name": self.model, **self.options})
        return compiled_if_repaid(replace(own, model={"name": own.model_name, **all_options(own)}))


@dataclass(frozen=True)
class Rule:
    """Data of a kind and size, known by schema and number of events, and models for them, of which some may refuse."""

    what: str
    holds: Callable[[Schema, int], bool]
    candidates: tuple[Candidate, ...]


_FLOW_MATCHING = Candidate("flow_matching", "it learns without an opponent")
_TREES = Candidate("forest_flow", "boosted trees learn from few rows", {"n_checks": 4})
_FLOW = Candidate("flow", "it is a strong baseline for few columns")
_GAN = Candidate("gan", "its samples are sharp, and each is one pass")
_SHOWN = {"observables": ["energy", "abs_magnetisation"], "whiten": False}
_LATTICE_GAN = Candidate("gan", "its opponent is shown energy and magnetisation", _SHOWN)
_RBM = Candidate("rbm", "its energy is that of coupled bits or spins")
_VAE = Candidate("vae", "a few codes explain an event")
RULES: tuple[Rule, ...] = (
    Rule(
        "a table of bits",
        lambda s, n: s.is_table and all(c.levels is not None and len(c.levels) == 2 for c in s.columns),
        (_RBM, _FLOW_MATCHING, _GAN, _TREES),
    ),
    Rule(
        f"a table of more than {_WIDE} columns",
        lambda s, n: s.is_table and s.event_shape[0] > _WIDE,
        (_GAN, _VAE, _FLOW_MATCHING),
    ),
    Rule(
        f"a table of less than {_FEW:,} rows",
        lambda s, n: s.is_table and n < _FEW,
        (_TREES, _FLOW_MATCHING, _FLOW),
    ),
    Rule("a table", lambda s, n: s.is_table, (_FLOW_MATCHING, _FLOW, _GAN, _TREES)),
    Rule("sets of particles", lambda s, n: s.is_set, (_FLOW_MATCHING, _GAN)),
    Rule(
        f"spins on at most {_SITES} sites",
        lambda s, n: s.columns[0].kind == "spin" and math.prod(s.event_shape) <= _SITES,
        (_RBM, _FLOW_MATCHING, _LATTICE_GAN),
    ),
    Rule("spins on many sites", lambda s, n: s.columns[0].kind == "spin", (_LATTICE_GAN, _FLOW_MATCHING, _RBM)),
    Rule(
        "images in black and white",
        lambda s, n: s.columns[0].integral and (s.columns[0].lower, s.columns[0].upper) == (0.0, 1.0),
        (_RBM, _VAE, _GAN),
    ),
    Rule(
        f"images of at least {_LARGE} pixels a side",
        lambda s, n: s.columns[0].kind == "pixel" and min(s.event_shape[-2:]) >= _LARGE,
        (_GAN, _FLOW_MATCHING, _VAE),
    ),
    Rule("small images or fields", lambda s, n: True, (_FLOW_MATCHING, _GAN, _VAE)),
)


def rule_for(schema: Schema, n_events: int) -> Rule:
    """Return the first row of `RULES` that holds for so many events of `schema`."""
    return next(rule for rule in RULES if rule.holds(schema, n_events))


@dataclass(frozen=True)
class Cost:
    """Seconds that a training takes: for its start and its end, for each step and for each check."""

    fixed: float
    step: float
    check: float

    def seconds(self, n_steps: int, n_checks: int) -> float:
        """Return the seconds of a training, with some to spare."""
        return (self.fixed + n_steps * self.step + n_checks * self.check) / _SPARE

    def plan(self, budget: float, n_steps: int, n_checks: int) -> tuple[int, int]:
        """Return the steps, at most `n_steps`, and checks, at most `n_checks`, that a budget of seconds holds."""
        if self.seconds(n_steps, n_checks) <= budget * (1 + 1e-9):
            return n_steps, n_checks
        n_checks = max(1, min(n_checks, int(_FOR_CHECKS * budget / max(self.check, 1e-9))))
        n = (_SPARE * budget - self.fixed - n_checks * self.check) / self.step
        return max(1, min(n_steps, int(n))), n_checks


def tried_out(config: RunConfig, inputs: Inputs) -> Cost:
    """Return what training the model of `config` costs, from two short trainings that are thrown away.

    Raises `InputError` when the model cannot learn the data, and `TrainingError` when it diverges at once.
    """

    def records(**options: object) -> Any:
        model = make_model(replace(config, model={**config.model, "compile": False, "record_every": 1, **options}))
        return model.iter_fit(inputs.train.events, inputs.train.conditions)

    times = []
    with closing(records(n_checks=0)) as steps:
        for _ in steps:
            times.append(time.perf_counter())
            if len(times) > 1 and times[-1] - times[0] > _TRIAL:
                break
    step, began = max((times[-1] - times[0]) / max(len(times) - 1, 1), 1e-9), time.perf_counter()
    times = [time.perf_counter() for _ in records(n_checks=1, max_steps=2)]
    check = max(times[-1] - times[0] - step, 0.0)
    return Cost(max(time.perf_counter() - began - check - 2 * step, 0.0), step, check)


def planned(rule: Rule, config: RunConfig, inputs: Inputs, *, quiet: bool) -> list[Candidate]:
    """Return two candidates of `rule` with the lengths of their trainings, and tell them.

    Raises `InputError` when no two models can learn the data, and for a time that is too short.
    """
    began = time.perf_counter()
    tried: list[tuple[Candidate, int, int, Cost]] = []
    refusals: list[InputError | TrainingError] = []
    for candidate in rule.candidates:
        kind: Any = model_class(candidate.model)
        if len(tried) == 2 or (inputs.source.conditions is not None and not kind.takes_conditions):
            continue
        own = candidate.config(replace(config, max_time=None))
        try:
            tried.append((candidate, make_model(own).n_steps, own.model_options["n_checks"], tried_out(own, inputs)))
        except (InputError, TrainingError) as error:
            say(f"{candidate.model} cannot learn these data. {error}", quiet=quiet)
            refusals.append(error)
    if len(tried) < 2:
        raise refusals[0]
    needs = [cost.seconds(n_steps, n_checks) for _, n_steps, n_checks, cost in tried]
    spent, given = time.perf_counter() - began, parse_duration(config.max_time)
    shortest = [cost.seconds(min(_LEAST_STEPS, n_steps), _LEAST_CHECKS) for _, n_steps, _, cost in tried]
    least = min(sum(needs), 2 * max(shortest))
    left = max(min(sum(needs), _MOST_TIME), least) if given is None else given - spent
    if left < least:
        names = " and ".join(candidate.model for candidate, *_ in tried)
        raise InputError(
            f"Expected --time of at least {10 * math.ceil((spent + least) / 10)}s to train {names} on these data, got "
            f"{config.max_time}. Give more, or name one model."
        )
    plans = []
    for (candidate, of_all, checks_of_all, cost), other in zip(tried, needs[::-1], strict=True):
        budget = max(left / 2, left - other)  # what the other one does not need
        n_steps, n_checks = cost.plan(budget, of_all, checks_of_all)
        length = {"n_checks": n_checks} | ({} if n_steps == of_all else {"max_steps": n_steps})
        limit = None if given is None else budget
        plans.append(replace(candidate, options=candidate.options | length, budget=limit))
        whole = "all" if n_steps == of_all else f"of {of_all:,}"
        rate = f"{1 / cost.step:,.3g} steps/s"
        say(f"  {candidate.model}, since {candidate.why}: {n_steps:,} steps ({whole}), {rate}", quiet=quiet)
    return plans
