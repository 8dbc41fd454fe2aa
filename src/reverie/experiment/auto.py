r"""`reverie run auto DATA`: two models for the kind and the size of the data, of which the better one is kept.

    data         one half of the held-out events selects the model, the other half is left for the verdict
    candidates   two models, with the numbers of steps that end in the time given
    training     each in a run folder of its own, OUT/candidates/MODEL
    selection    boosting learns to tell its samples from one half of the selection events, and is judged by the other
                 (`reverie.validation.classifiers.two_sample`); of lattices it also sees energy and magnetisation
    the kept     its files move up to OUT, and the run goes on as any other: samples, verdict, report

`RULES` is a table: the first row that holds for the data names their models, the preferred one first. Of these two are
tried out. From a second of training, thrown away, follow the seconds of a step; from two steps with a check, those of
everything else:

    seconds(n_steps, n_checks) = fixed + n_steps step + n_checks check

The steps planned are those that a budget holds, never more than the default, so that every schedule ends in its time.

The first candidate is kept unless the AUC of the second is nearer to 1/2 by more than their error,

    max(A_2, 1/2) < max(A_1, 1/2) - sqrt(e_1^2 + e_2^2).

Both are measured on the same events, so this error is rather too large than too small. The smaller of two AUCs is
flattered by being chosen, which is why the verdict sees other events; real against real stands beside both.
"""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import convert

from reverie.core.errors import InputError, TrainingError
from reverie.core.measured import Measured
from reverie.core.random import child_seed
from reverie.core.typed_files import checked
from reverie.data import Schema
from reverie.experiment.config import RunConfig, all_options, command_of, parse_duration
from reverie.experiment.folder import RunFolder, remove, write_json, write_text
from reverie.experiment.inputs import Inputs, Part, joint_table
from reverie.experiment.progress import say
from reverie.experiment.records import TrainingEnd
from reverie.experiment.run import (
    ALL_STAGES,
    checked_inputs,
    compiled_if_repaid,
    complete,
    load_inputs,
    make_model,
    runtime_of,
    train_new,
    train_on,
)
from reverie.experiment.sampling import load_generator
from reverie.experiment.validate import observables_of
from reverie.models.base import GenerativeModel
from reverie.models.registry import model_class
from reverie.validation.classifiers.training import MAX_FEATURES, principal_components
from reverie.validation.classifiers.two_sample import separate

__all__ = ["RULES", "Candidate", "Cost", "Rule", "Selection", "planned", "resume_auto", "rule_for", "start_auto"]

SELECTION = 0.5  # of the held-out rows
_MOST_ROWS = 10_000  # that the classifier sees of each sample
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
    Rule("spins on many sites", lambda s, n: s.columns[0].kind == "spin", (_FLOW_MATCHING, _LATTICE_GAN, _RBM)),
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


@dataclass(frozen=True)
class Selection:
    """What selection.json holds: who competed for what kind of data, and the outcome as far as it is known."""

    data: str
    candidates: list[Candidate]
    n_events: int
    real_vs_real: float | None = None
    real_vs_real_error: float | None = None
    kept: str = ""
    sentence: str = ""

    def write(self, folder: RunFolder) -> "Selection":
        """Write selection.json and return this."""
        write_json(folder / "selection.json", asdict(self))
        return self

    def decided(self) -> "Selection":
        """Return the selection with the model that is kept, and the sentence that says why.

        Raises `TrainingError` when no candidate could be trained.
        """
        first, second = self.candidates
        if first.failed and second.failed:
            raise TrainingError(f"{first.model}: {first.failed} {second.model}: {second.failed}", step=0)
        far = [max(c.measured.value, 0.5) for c in self.candidates]
        error = math.hypot(first.measured.error, second.measured.error)
        is_second = far[1] < far[0] - error
        kept, other = (second, first) if is_second else (first, second)
        real = Measured(self.real_vs_real or math.nan, self.real_vs_real_error or math.nan)
        text = (
            f"{kept.model} is kept: boosting tells its samples from {self.n_events:,} held-out events with AUC "
            f"{kept.measured} (real against real {real}), "
        )
        if other.failed:
            text += f"and {other.model} could not be trained. {other.failed}"
        else:
            text += f"those of {other.model} with {other.measured}"
            text += (
                "." if is_second or far[0] < far[1] - error
                else f", the same within the error: {kept.model} is the first choice for {self.data}, since {kept.why}."
            )  # fmt: skip
        return replace(self, kept=kept.model, sentence=f"{text} The verdict is on other held-out events.")


class _Judge:
    """Boosting that tells samples from the selection events; see the module."""

    def __init__(self, config: RunConfig, inputs: Inputs) -> None:
        assert inputs.selection is not None
        self._inputs, self._seed = inputs, child_seed(config.seed, "selection")
        self._real = inputs.selection.take(slice(0, _MOST_ROWS))
        events = inputs.source.events.schema
        self._observables = observables_of(events)
        self._known = inputs.prior.take(slice(0, len(self._real)))
        pixels, seen = self._parts(self._known)
        n_kept = MAX_FEATURES - seen.shape[1] - 1
        is_wide = pixels.shape[1] + seen.shape[1] > MAX_FEATURES
        self._reduced = principal_components(pixels, self._seed, keep=n_kept) if is_wide else None

    def auc(self, model: GenerativeModel | None = None) -> Measured:
        """Return the AUC of samples of `model` against the selection events; without one, of training events."""
        part = self._known
        if model is not None:
            conditions = self._inputs.conditions(len(self._real))
            events: Any = model.sample(len(self._real), self._seed, condition=conditions)
            part = Part(events, conditions)
        real, other = self._features(self._real), self._features(part)
        if not np.isfinite(other).all():
            raise TrainingError("Its samples are not finite.", step=0)
        names = [str(j) for j in range(real.shape[1])]
        weights = self._real.weights, part.weights
        result = separate(real, other, names=names, seed=self._seed, weights=weights)
        return Measured(result.value, result.error)

    def _parts(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """Return events with their conditions (n, d), and their observables (n, k)."""
        values = np.asarray(part.events.values)
        rows = joint_table(
            self._inputs, values, None if part.conditions is None else np.asarray(part.conditions.values)
        )
        events = torch.from_numpy(values.astype(np.float64))
        seen = [np.asarray(f(events)).reshape(len(rows), -1) for f in self._observables.values()]
        return rows, np.concatenate([np.empty((len(rows), 0)), *seen], axis=1)

    def _features(self, part: Part) -> np.ndarray:
        rows, seen = self._parts(part)
        return np.concatenate([rows if self._reduced is None else self._reduced(rows), seen], axis=1)


def start_auto(
    config: RunConfig,
    out: str | Path,
    *,
    stages: tuple[str, ...] = ALL_STAGES,
    overwrite: bool = False,
    quiet: bool = False,
    command: str = "",
) -> int:
    """Choose a model for the data of `config`, train it into the new folder `out`, return the exit code.

    Options and errors are those of `reverie.experiment.run.start`; `max_time` of the configuration is the time of both
    trainings together.
    """
    config = config if config.selection else replace(config, selection=SELECTION)
    with runtime_of(config) as runtime:
        if runtime is not None:
            raise InputError(
                f"Expected one process to choose a model, got {runtime.world_size}. Choose on one, then train the kept "
                "model on several: torchrun ... -m reverie run MODEL DATA"
            )
    inputs = checked_inputs(config, out, stages, overwrite=overwrite)
    if inputs.unvalidated:
        raise InputError(f"Expected events by which models can be compared. {inputs.unvalidated} Name a model.")
    assert inputs.selection is not None
    n, n_out, n_kept = len(inputs.train), len(inputs.held_out), len(inputs.selection)
    say(f"auto on {config.data}: {n:,} rows to train on, {n_out:,} held out, and {n_kept:,} to choose by", quiet=quiet)
    rule = rule_for(inputs.source.events.schema, len(inputs.source))
    candidates, n_events = planned(rule, config, inputs, quiet=quiet), min(n_kept, _MOST_ROWS)
    selection = Selection(rule.what, candidates, n_events)
    with ExitStack() as held:
        folder = RunFolder.create(out, config=config.to_yaml(), command=command, held=held, overwrite=overwrite)
        write_json(folder / "status.json", {"stages": list(stages)})
        selection.write(folder)
        return _carried_on(folder, config, inputs, selection, held, quiet=quiet)


def resume_auto(path: str | Path, *, quiet: bool = False) -> int:
    """Carry on an interrupted choice of a model in the folder `path`; return the exit code."""
    folder = RunFolder(path)
    config = RunConfig.from_yaml(folder / "config.yaml")
    content = folder.read_json("selection.json")
    if content is None:
        raise InputError(f"Expected selection.json in {str(path)!r}, got none. Begin anew with --overwrite.")
    selection = checked(content, Selection, folder / "selection.json", remedy="Begin anew with --overwrite.")
    with ExitStack() as held:
        held.enter_context(folder.lock())
        return _carried_on(folder, config, load_inputs(config), selection, held, quiet=quiet)


def _carried_on(
    folder: RunFolder, config: RunConfig, inputs: Inputs, selection: Selection, held: ExitStack, *, quiet: bool
) -> int:
    """Train the candidates that are not trained yet, keep one and complete its run; return the exit code.

    `held` keeps the locks of the folder, which is taken, and of the candidates.
    """
    try:
        judge = None
        for k, candidate in enumerate(selection.candidates):
            if selection.kept or candidate.failed or candidate.auc is not None:
                continue
            place = folder / "candidates" / candidate.model
            try:
                model, end = _trained(place, candidate.config(config), inputs, held, quiet=quiet)
                if end.ended_by == "interrupted":
                    say(f"Stopped at step {end.step:,}; the state is saved. Carry on: reverie resume {folder.path}")
                    return 130
                judge = judge or _Judge(config, inputs)
                auc = judge.auc(model)
                judged = replace(candidate, auc=auc.value, error=auc.error)
            except TrainingError as error:
                judged = replace(candidate, failed=str(error))
            others = list(selection.candidates)
            others[k] = judged
            selection = replace(selection, candidates=others).write(folder)
        if not selection.kept:
            real = (judge or _Judge(config, inputs)).auc()
            selection = replace(selection, real_vs_real=real.value, real_vs_real_error=real.error)
            selection = selection.decided().write(folder)
        own = _moved_up(folder, selection, config)
    except KeyboardInterrupt:
        say(f"Stopped. Carry on: reverie resume {folder.path}")
        return 130
    print(selection.sentence)
    say(f"again: {command_of(own)}", quiet=quiet)
    status = folder.read_json("status.json")
    end = convert(status["training"], TrainingEnd)
    return complete(folder, own, inputs, end, status["stages"], None, quiet=quiet)


def _trained(
    place: Path, config: RunConfig, inputs: Inputs, held: ExitStack, *, quiet: bool
) -> tuple[GenerativeModel, TrainingEnd]:
    """Return the model of a candidate, trained in the run folder `place`, as far as that is not done yet."""
    if not (place / "config.yaml").is_file():
        _, model, end = train_new(config, place, inputs, held, stages=("fit",), quiet=quiet, overwrite=place.exists())
        return model, end
    folder = RunFolder(place)
    if folder.is_trained:
        return load_generator(folder / "model"), convert(folder.read_json("status.json")["training"], TrainingEnd)
    model = make_model(config)
    return model, train_on(folder, config, inputs, model, None, quiet=quiet)


def _moved_up(folder: RunFolder, selection: Selection, config: RunConfig) -> RunConfig:
    """Make the run of the kept candidate that of the folder, and return its configuration.

    The configuration moves last: until then the folder is one of a choice that can be carried on.
    """
    place = folder / "candidates" / selection.kept
    kept = next(candidate for candidate in selection.candidates if candidate.model == selection.kept)
    own, stages = kept.config(config), folder.read_json("status.json")["stages"]
    if (place / "status.json").is_file():
        status = RunFolder(place).read_json("status.json")
        if status["training"]["ended_by"] != "max_time":  # the time was enough, and does not matter any more
            own = replace(own, max_time=None)
        write_json(place / "status.json", {**status, "stages": stages})
        write_text(place / "config.yaml", own.to_yaml())
    for path in sorted(place.iterdir(), key=lambda path: (path.name == "config.yaml", path.name)):
        if path.name not in (".lock", "command.txt"):
            path.replace(folder / path.name)
    remove(place)
    return RunConfig.from_yaml(folder / "config.yaml")
