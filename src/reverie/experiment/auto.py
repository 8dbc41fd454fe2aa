r"""`reverie run auto DATA`: two models for the kind and the size of the data, of which the better one is kept.

    data         one half of the held-out events selects the model, the other half is left for the verdict
    candidates   those of the first row of `RULES` that holds for the data, in order; one that cannot learn them
                 (an `InputError`) gives way to the next, and two remain
    trials       a second of each, thrown away: what its steps, its checks and its end take. From these follow the
                 numbers of steps with which the schedules of both trainings end in the time given
    training     each in a run folder of its own, OUT/candidates/MODEL
    selection    boosting learns to tell its samples from one half of the selection events, and is judged by the other
                 (`reverie.validation.classifiers.two_sample`); for lattices it is shown energy and magnetisation too
    the kept     its files move up to OUT, and the run goes on as any other: samples, verdict, report

The first candidate is kept unless the AUC of the second is nearer to 1/2 by more than their error,

    max(A_2, 1/2) < max(A_1, 1/2) - sqrt(e_1^2 + e_2^2).

Both are measured on the same events, so this error is rather too large than too small. The smaller of two AUCs is
flattered by being chosen, which is why the verdict sees other events; real against real stands beside both.
"""

import math
import time
from collections.abc import Callable, Mapping
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
from reverie.experiment.inputs import Inputs, Part, joined
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

__all__ = ["RULES", "Candidate", "Rule", "Selection", "resume_auto", "start_auto"]

SELECTION = 0.5  # of the held-out rows
_MOST_TIME = 600.0  # seconds of both trainings where no time is given
_TRIAL = 1.0  # seconds in which the rate of steps is measured
_LEAST_STEPS, _LEAST_CHECKS = 200, 4  # of a training that is worth comparing
_SPARE = 0.95  # of the time is planned
_FOR_CHECKS = 0.2  # of the time at most
_MOST_ROWS = 10_000  # that the classifier sees of each sample
_WIDE, _LARGE, _SITES = 200, 16, 1024  # columns of a table, pixels of a side, sites of a lattice


@dataclass(frozen=True)
class Choice:
    """A model that suits data of a kind, and why, in words that follow "since"."""

    model: str
    why: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """Data of a kind and size, and the models for them, the preferred first; at least three, since some may refuse."""

    what: str
    holds: Callable[[Schema], bool]
    choices: tuple[Choice, ...]


def _levels(schema: Schema) -> bool:
    return all(c.kind == "spin" or (c.levels is not None and len(c.levels) == 2) for c in schema.columns)


def _is_black_and_white(schema: Schema) -> bool:
    (column,) = schema.columns
    return column.integral and (column.lower, column.upper) == (0.0, 1.0)


_FIELD = Choice("flow_matching", "one field learns all columns without an opponent, and knows log p")
_LATTICE = {"observables": ["energy", "abs_magnetisation"], "whiten": False}
RULES: tuple[Rule, ...] = (
    Rule(
        "a table of bits",
        lambda s: s.is_table and _levels(s),
        (Choice("rbm", "its energy is that of coupled bits"), _FIELD, Choice("gan", "it takes any columns")),
    ),
    Rule(
        f"a table of more than {_WIDE} columns",
        lambda s: s.is_table and s.event_shape[0] > _WIDE,
        (
            Choice("gan", "a sample is one pass, however many columns there are"),
            Choice("vae", "a few codes explain many columns"),
            _FIELD,
        ),
    ),
    Rule(
        "a table",
        lambda s: s.is_table,
        (_FIELD, Choice("flow", "it is the strong baseline for few columns"), Choice("gan", "it takes any columns")),
    ),
    Rule(
        f"lattices of at most {_SITES} spins",
        lambda s: s.columns[0].kind == "spin" and math.prod(s.event_shape) <= _SITES,
        (
            Choice("rbm", "its energy is that of coupled spins"),
            Choice("flow_matching", "its convolutions know that opposite edges touch"),
            Choice("gan", "its opponent is shown energy and magnetisation", _LATTICE),
        ),
    ),
    Rule(
        "large lattices of spins",
        lambda s: s.columns[0].kind == "spin",
        (
            Choice("gan", "its opponent is shown energy and magnetisation", _LATTICE),
            Choice("flow_matching", "its convolutions know that opposite edges touch"),
            Choice("rbm", "its energy is that of coupled spins"),
        ),
    ),
    Rule(
        "images in black and white",
        _is_black_and_white,
        (
            Choice("rbm", "its energy is that of coupled bits"),
            Choice("vae", "a few codes explain an image"),
            Choice("gan", "its images are sharp"),
        ),
    ),
    Rule(
        f"images of at least {_LARGE} pixels a side",
        lambda s: s.columns[0].kind == "pixel" and min(s.event_shape[-2:]) >= _LARGE,
        (
            Choice("gan", "its images are sharp, and a sample is one pass"),
            Choice("flow_matching", "it has no opponent to lose balance with"),
            Choice("vae", "a few codes explain an image"),
        ),
    ),
    Rule(
        "small images and fields",
        lambda s: True,
        (
            Choice("flow_matching", "it has no opponent to lose balance with"),
            Choice("gan", "its images are sharp"),
            Choice("vae", "a few codes explain an image"),
        ),
    ),
)


@dataclass(frozen=True)
class Candidate:
    """A model in the race.

    Parameters
    ----------
    model, why, options : As in `Choice`, the options with the number of steps and of checks.
    budget : Seconds after which its training ends whatever is left; None where no time was given.
    auc, error : How well boosting tells its samples from the selection events; None before.
    failed : Why it could not be trained, in a sentence, or "".
    """

    model: str
    why: str
    options: dict[str, Any]
    budget: float | None
    auc: float | None = None
    error: float | None = None
    failed: str = ""

    @property
    def measured(self) -> Measured:
        """The AUC with its error; infinitely far from 1/2 where training failed."""
        return Measured(math.inf if self.auc is None else self.auc, self.error or 0.0)

    def config(self, config: RunConfig) -> RunConfig:
        """Return the configuration of its run, all options spelled out; `config` is that of the choice."""
        budget = None if self.budget is None else f"{self.budget:.1f}s"
        own = replace(config, max_time=budget, model={"name": self.model, **self.options})
        return compiled_if_repaid(replace(own, model={"name": self.model, **all_options(own)}))


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
        return max(1, min(n_steps, int(n) // 10 * 10)), n_checks


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
            if len(times) > 3 and times[-1] - times[0] > _TRIAL:
                break
    step, began = max((times[-1] - times[0]) / max(len(times) - 1, 1), 1e-9), time.perf_counter()
    times = [time.perf_counter() for _ in records(n_checks=1, max_steps=2)]
    check = max(times[-1] - times[0] - step, 0.0)
    return Cost(max(time.perf_counter() - began - check - 2 * step, 0.0), step, check)


def planned(config: RunConfig, inputs: Inputs, *, quiet: bool) -> Selection:
    """Return the candidates for the data with the lengths of their trainings.

    Raises `InputError` when no two models can learn the data, and for a time that is too short.
    """
    began, schema = time.perf_counter(), inputs.source.events.schema
    rule = next(rule for rule in RULES if rule.holds(schema))
    tried: list[tuple[Choice, dict[str, Any], Cost]] = []
    refusals: list[InputError | TrainingError] = []
    for choice in rule.choices:
        kind: Any = model_class(choice.model)
        if len(tried) == 2 or (inputs.source.conditions is not None and not kind.takes_conditions):
            continue
        own = replace(config, model={"name": choice.model, **choice.options})
        try:
            tried.append((choice, all_options(own), tried_out(own, inputs)))
        except (InputError, TrainingError) as error:
            say(f"{choice.model} cannot learn these data. {error}", quiet=quiet)
            refusals.append(error)
    if len(tried) < 2:
        raise refusals[0]
    needs = [cost.seconds(options["max_steps"], options["n_checks"]) for _, options, cost in tried]
    spent, given = time.perf_counter() - began, parse_duration(config.max_time)
    shortest = [cost.seconds(min(_LEAST_STEPS, o["max_steps"]), _LEAST_CHECKS) for _, o, cost in tried]
    least = min(sum(needs), 2 * max(shortest))
    left = max(min(sum(needs), _MOST_TIME), least) if given is None else given - spent
    if left < least:
        raise InputError(
            f"Expected --time of at least {10 * math.ceil((spent + least) / 10)}s to train "
            f"{' and '.join(choice.model for choice, _, _ in tried)} on these data, got {config.max_time}. Give more, "
            "or name one model."
        )
    candidates = []
    for (choice, options, cost), other in zip(tried, needs[::-1], strict=True):
        budget = max(left / 2, left - other)  # what the other one does not need
        n_steps, n_checks = cost.plan(budget, options["max_steps"], options["n_checks"])
        length = {"max_steps": n_steps, "n_checks": n_checks}
        limit = None if given is None else budget
        candidates.append(Candidate(choice.model, choice.why, {**choice.options, **length}, limit))
        whole = "all" if n_steps == options["max_steps"] else f"of {options['max_steps']:,}"
        say(f"  {choice.model}, since {choice.why}: {n_steps:,} steps ({whole}), {1 / cost.step:,.0f}/s", quiet=quiet)
    assert inputs.selection is not None
    return Selection(rule.what, candidates, min(len(inputs.selection), _MOST_ROWS))


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
        rows = joined(self._inputs, values, None if part.conditions is None else np.asarray(part.conditions.values))
        events = torch.from_numpy(values.astype(np.float64))
        seen = [np.asarray(f(events)).reshape(len(rows), -1) for f in self._observables.values()]
        return rows.reshape(len(rows), -1).astype(np.float64), np.concatenate([np.empty((len(rows), 0)), *seen], axis=1)

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
    n, n_kept = len(inputs.train), len(inputs.held_out)
    say(f"auto on {config.data}: {n:,} rows to train on, {n_kept:,} held out, and as many to choose by", quiet=quiet)
    selection = planned(config, inputs, quiet=quiet)
    folder = RunFolder.create(out, config=config.to_yaml(), command=command, overwrite=overwrite)
    write_json(folder / "status.json", {"stages": list(stages)})
    selection.write(folder)
    return _carried_on(folder, config, inputs, selection, quiet=quiet)


def resume_auto(path: str | Path, *, quiet: bool = False) -> int:
    """Carry on an interrupted choice of a model in the folder `path`; return the exit code."""
    folder = RunFolder(path)
    config = RunConfig.from_yaml(folder / "config.yaml")
    content = folder.read_json("selection.json")
    if content is None:
        raise InputError(f"Expected selection.json in {str(path)!r}, got none. Begin anew with --overwrite.")
    selection = checked(content, Selection, folder / "selection.json", remedy="Begin anew with --overwrite.")
    return _carried_on(folder, config, load_inputs(config), selection, quiet=quiet)


def _carried_on(folder: RunFolder, config: RunConfig, inputs: Inputs, selection: Selection, *, quiet: bool) -> int:
    """Train the candidates that are not trained yet, keep one and complete its run; return the exit code."""
    with ExitStack() as held:
        held.enter_context(folder.lock())
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
    for path in sorted(place.iterdir(), key=lambda path: path.name == "config.yaml"):
        if path.name not in (".lock", "command.txt"):
            path.replace(folder / path.name)
    remove(place)
    return RunConfig.from_yaml(folder / "config.yaml")
