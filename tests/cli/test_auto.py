"""A model chosen for the data: rules, lengths of trainings, the decision, and the folder that comes of it."""

import io
import json
import re
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.cli.main import main
from reverie.core.errors import InputError, TrainingError
from reverie.data import Dataset
from reverie.experiment import auto, training
from reverie.experiment.auto import RULES, Candidate, Cost, Rule, Selection, rule_for
from reverie.experiment.config import RunConfig, all_options
from reverie.experiment.folder import RunFolder
from reverie.experiment.inputs import load_inputs
from reverie.models.registry import ALIASES, MODELS, model_class
from reverie.simulators import Ising

RNG = np.random.default_rng(5)
FEW = {"max_steps": 40, "record_every": 10, "batch_size": 64, "n_checks": 2}
FLOW = {**FEW, "n_transforms": 2, "hidden": [16], "n_bins": 4, "learning_rate": 1e-2}
GOOD, UNTRAINED = (
    Candidate("flow", "it is small", FLOW),
    Candidate("flow_matching", "it is not", {**FEW, "learning_rate": 1e-9, "width": 8}),
)
REFUSED = Candidate("gan", "it is tried", {**FEW, "objective": "wasserstein", "optimizer": "adadelta"})


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """Two columns that nearly agree: an untrained model with the right columns is seen by any classifier."""
    x = RNG.normal(size=(800, 1))
    path = tmp_path_factory.mktemp("data") / "line.npy"
    np.save(path, np.concatenate([x, x + 0.3 * RNG.normal(size=x.shape)], axis=1))
    return path


@pytest.fixture(autouse=True)
def short_trials(monkeypatch):
    monkeypatch.setattr(auto, "_TRIAL", 0.0)


def compete(monkeypatch, *choices: Candidate) -> None:
    monkeypatch.setattr(auto, "RULES", (Rule("a line", lambda schema, n: True, choices),))


def run_auto(table: Path, out: Path, *options: str) -> int:
    return main(["run", "auto", str(table), "--out", str(out), "--validation-time", "1s", "--quiet", *options])


# the rules


@pytest.mark.parametrize(
    ("values", "what", "first"),
    [
        (RNG.normal(size=(1000, 4)), "a table", "flow_matching"),
        (RNG.normal(size=(60, 4)), "a table of less than 1,000 rows", "forest_flow"),
        (RNG.normal(size=(60, 300)), "more than 200 columns", "gan"),
        (RNG.integers(0, 2, (60, 9)).astype(float), "a table of bits", "rbm"),
        (RNG.choice([-1.0, 1.0], (60, 8, 8)), "spins on at most 1024 sites", "rbm"),
        (RNG.choice([-1.0, 1.0], (60, 40, 40)), "spins on many sites", "flow_matching"),
        (RNG.integers(0, 2, (60, 28, 28)), "black and white", "rbm"),
        (RNG.integers(0, 17, (60, 8, 8)).astype("uint8"), "small images", "flow_matching"),
        (RNG.integers(0, 256, (60, 28, 28)).astype("uint8"), "at least 16 pixels", "gan"),
        (RNG.normal(size=(60, 32, 32)), "fields", "flow_matching"),
    ],
)
def test_the_first_row_that_holds_is_that_of_the_kind(values, what, first):
    rule = rule_for(Dataset(values).schema, len(values))
    assert what in rule.what
    assert rule.candidates[0].model == first


def test_every_row_names_models_that_can_be_trained_two_of_them_with_conditions():
    for rule in RULES:
        names = [candidate.model for candidate in rule.candidates]
        least = 2 if rule.what == "sets of particles" else 3  # no more models learn sets
        assert len(set(names)) == len(names) >= least
        assert set(names) <= MODELS.keys() | ALIASES.keys()
        assert sum(model_class(name).takes_conditions for name in names) >= 2
        for candidate in rule.candidates:
            model_class(candidate.model)(**candidate.options)
    assert RULES[-1].holds(Dataset(RNG.normal(size=(60, 3, 8, 8))).schema, 60)


# how long


@pytest.mark.parametrize("budget", [20.0, 100.0, 1000.0])
def test_the_steps_that_are_planned_end_in_time_and_fill_it(budget):
    cost = Cost(fixed=2.0, step=0.01, check=1.5)
    n_steps, n_checks = cost.plan(budget, 10**6, 40)
    assert 0.9 * budget < cost.seconds(n_steps, n_checks) <= budget
    assert n_checks * cost.check <= 0.2 * budget
    assert cost.plan(1000 * budget, 300, 40) == (300, 40)  # never more than the default
    assert cost.plan(cost.seconds(730, 4), 730, 4) == (730, 4)


# which one


def selection(*aucs: float | None, error: float = 0.01) -> Selection:
    pairs = zip(("flow", "gan"), aucs, strict=True)
    both = [Candidate(name, "w", auc=a, error=error, failed="" if a else "It fell.") for name, a in pairs]
    return Selection("a table", both, 500, 0.5, 0.01)


@pytest.mark.parametrize(
    ("aucs", "kept", "words"),
    [
        ((0.60, 0.55), "gan", "those of flow with 0.600"),
        ((0.55, 0.60), "flow", "those of gan with 0.600 ± 0.010."),
        ((0.560, 0.550), "flow", "the same within the error: flow is the first choice for a table, since w"),
        ((0.560, 0.545), "gan", "with AUC 0.545 ± 0.010"),
        ((0.505, 0.470), "flow", "the same within the error"),  # below 1/2 is no better than 1/2
        ((None, 0.9), "gan", "flow could not be trained. It fell."),
        ((0.9, None), "flow", "gan could not be trained. It fell."),
    ],
)
def test_the_second_is_kept_only_if_it_is_better_by_more_than_the_error(aucs, kept, words):
    decided = selection(*aucs).decided()
    assert decided.kept == kept
    assert decided.sentence.startswith(f"{kept} is kept: boosting tells its samples from 500 held-out events")
    assert words in decided.sentence
    assert decided.sentence.endswith("The verdict is on other held-out events.")


def test_no_model_that_can_be_trained_is_an_error():
    with pytest.raises(TrainingError, match="flow: It fell. gan: It fell"):
        selection(None, None).decided()


def test_the_judge_sees_what_a_lattice_of_independent_sites_lacks(tmp_path):
    """Real against real is 1/2 within four errors; the twin, spins of the right mean without coupling, is found."""
    np.save(tmp_path / "spins.npy", Ising(side=4, beta=0.44).sample(1500, random_state=1))
    config = RunConfig(data=str(tmp_path / "spins.npy"), selection=0.5, model={"name": "auto"})
    inputs = load_inputs(config)
    judge, real = auto._Judge(config, inputs), auto._Judge(config, inputs).auc()
    assert abs(real.value - 0.5) < 4 * real.error

    class Independent:
        def sample(self, n, seed, condition=None):
            spins = np.random.default_rng(seed).choice([-1.0, 1.0], (n, *inputs.source.events.event_shape))
            return Dataset(spins, schema=inputs.source.events.schema)

    independent: Any = Independent()
    assert judge.auc(independent).value > 0.8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "second"),
    [(("--condition", "label"), "gan"), (("--weights", "w"), "flow"), (("--columns", "x,gap"), "forest_flow")],
)
def test_conditions_weights_and_missing_values_reach_the_candidates(options, second, tmp_path, monkeypatch):
    """A model that takes no conditions is passed over, one that takes no missing values gives way."""
    x, label, w = RNG.normal(size=300), RNG.integers(0, 2, 300), RNG.uniform(0.5, 1.5, 300)
    gap = np.where(RNG.random(300) < 0.1, np.nan, x)
    table = np.column_stack([x, label, w, x if "gap" not in options[1] else gap])
    np.savetxt(tmp_path / "t.csv", table, delimiter=",", header="x,label,w,gap", comments="")
    game = Candidate("gan", "w", {**FEW, "generator": [8], "discriminator": [8], "refine": False})
    ladder = {"max_steps": 40, "n_hidden": 4, "record_every": 10, "n_checks": 2, "batch_size": 64}
    trees = Candidate("forest_flow", "w", {"n_trees": 2, "n_evaluations": 4, "n_checks": 2})
    plain = GOOD if "--condition" not in options else Candidate("rbm", "w", ladder)
    compete(monkeypatch, UNTRAINED, plain, trees if second == "forest_flow" else game)
    if "--columns" not in options:
        options = (*options, "--columns", "x,gap" if "--condition" in options else "x,gap,w")
    assert run_auto(tmp_path / "t.csv", tmp_path / "x", "--no-validate", *options) == 0
    record = json.loads((tmp_path / "x" / "selection.json").read_text())
    assert [c["model"] for c in record["candidates"]] == ["flow_matching", second]
    assert all(0.3 < c["auc"] <= 1 for c in record["candidates"])


def test_events_of_the_selection_are_held_out_and_not_those_of_the_verdict(table):
    plain, split = (load_inputs(RunConfig(data=str(table), selection=s, model={"name": "flow"})) for s in (0.0, 0.5))
    assert split.selection is not None
    rows = [{tuple(row) for row in part.values} for part in (split.train, split.held_out, split.selection)]
    assert [len(part) for part in rows] == [520, 140, 140]
    assert rows[0] == {tuple(row) for row in plain.train.values}
    assert rows[1] | rows[2] == {tuple(row) for row in plain.held_out.values}
    assert plain.selection is None
    with pytest.raises(InputError, match="20 for the verdict, got 280 of which --selection 0.99"):
        load_inputs(RunConfig(data=str(table), selection=0.99, model={"name": "flow"}))


# the whole


@pytest.fixture(scope="module")
def chosen(table, tmp_path_factory) -> tuple[Path, str, str]:
    """Folder of a run that was chosen, and what was printed on the way."""
    out, told = tmp_path_factory.mktemp("runs") / "x", (io.StringIO(), io.StringIO())
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(told[0]), redirect_stderr(told[1]):
        patch.setattr(auto, "_TRIAL", 0.0)
        compete(patch, REFUSED, UNTRAINED, GOOD)
        assert main(["run", "auto", str(table), "--out", str(out), "--seed", "3", "--no-validate"]) == 0
    return out, told[0].getvalue(), told[1].getvalue()


@pytest.mark.slow
def test_the_better_of_a_good_and_a_broken_model_is_kept_and_all_is_told(chosen):
    out, results, progress = chosen
    record = json.loads((out / "selection.json").read_text())
    broken, good = record["candidates"]
    assert (record["kept"], broken["model"], good["model"]) == ("flow", "flow_matching", "flow")
    assert broken["auc"] - broken["error"] > good["auc"]
    assert record["sentence"].startswith("flow is kept: boosting tells its samples from 140 held-out events with AUC ")
    assert results.startswith(record["sentence"])
    assert record["sentence"] in (out / "report.html").read_text(encoding="utf-8")
    assert "gan cannot learn these data. Expected" in progress
    assert "flow_matching, since it is not: 40 steps (all)" in progress


@pytest.mark.slow
def test_the_folder_is_that_of_an_ordinary_run_which_the_command_that_is_shown_repeats(chosen, tmp_path, capsys):
    (out, _, progress), again = chosen, tmp_path / "again"
    config = RunFolder(out).config()
    assert (config.model_name, config.selection, config.max_time) == ("flow", 0.5, None)
    assert config.model_options == all_options(config)
    assert {path.name for path in (out / "candidates").iterdir()} == {"flow_matching"}
    assert main(["resume", str(out)]) == 0
    assert "is complete: 40 steps, ended by max_steps" in capsys.readouterr().err
    (line,) = [line for line in progress.splitlines() if line.startswith("again: reverie ")]
    assert main([*line.split()[2:], "--out", str(again), "--quiet", "--no-validate"]) == 0
    assert np.array_equal(np.load(again / "samples.npy"), np.load(out / "samples.npy"))
    sizes = [json.loads((folder / "data.json").read_text()) for folder in (out, again)]
    assert [(s["n_held_out"], s["n_selection"]) for s in sizes] == [(140, 140)] * 2
    RunFolder.create(out, held=ExitStack(), config="", command="", overwrite=True)
    assert not {"candidates", "selection.json"} & {path.name for path in out.iterdir()}


def test_one_model_that_can_learn_the_data_is_no_choice(table, tmp_path, monkeypatch, capsys):
    compete(monkeypatch, REFUSED, GOOD)
    assert main(["fit", "auto", str(table), "--out", str(tmp_path / "y")]) == 2
    assert "adadelta" in capsys.readouterr().err
    assert not (tmp_path / "y").exists()


class Impatient(training.Interrupt):
    """The user presses Ctrl-C in the twentieth step of the second training."""

    n_sessions = 0

    def __init__(self) -> None:
        super().__init__()
        Impatient.n_sessions += 1
        self.number, self.n_asked = Impatient.n_sessions, 0

    @property
    def requested(self) -> bool:
        self.n_asked += 1
        return self.number == 2 and self.n_asked >= 20

    @requested.setter
    def requested(self, value: bool) -> None:
        pass


def cut_short(place: Path, whole):
    """Return the function that moves a file, and is interrupted before it moves one to `place`."""

    def replace(path, target):
        if target == place:
            raise KeyboardInterrupt
        return whole(path, target)

    return replace


@pytest.mark.slow
def test_an_interrupted_choice_is_carried_on(table, tmp_path, monkeypatch, capsys):
    out = tmp_path / "x"
    compete(monkeypatch, UNTRAINED, GOOD)
    with monkeypatch.context() as patch:
        patch.setattr(training, "Interrupt", Impatient)
        assert run_auto(table, out, "--no-validate") == 130
    assert f"Carry on: reverie resume {out}\n" in capsys.readouterr().err
    for verb in ("report", "validate", "cite"):
        assert main([verb, str(out)]) == 2
        assert f"reverie resume {out}" in capsys.readouterr().err
    assert run_auto(table, out) == 2  # a run is there
    assert main(["resume", str(out), "--max-time", "5m"]) == 2
    with monkeypatch.context() as patch:  # and again, when half of the files of what is kept have moved up
        patch.setattr(Path, "replace", cut_short(out / "model", Path.replace))
        assert main(["resume", str(out), "--quiet"]) == 130
    assert (out / "history.jsonl").is_file() != (out / "model").exists()
    assert main(["resume", str(out), "--quiet"]) == 0
    assert RunFolder(out).config().model_name == "flow"
    assert {path.name for path in (out / "candidates").iterdir()} == {"flow_matching"}
    again = tmp_path / "y"  # the interrupted training ended at the bits of an unbroken one
    assert main(["run", "--config", str(out / "config.yaml"), "--out", str(again), "--quiet", "--no-validate"]) == 0
    assert np.array_equal(np.load(out / "samples.npy"), np.load(again / "samples.npy"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--time", "soon"), "Expected a duration such as 90s, 5m or 1h30m, got 'soon'"),
        (("--time", "0.001s"), r"Expected --time of at least \d+0s to train flow_matching and flow on these data"),
        (("--selection", "1.5"), "Expected --selection from 0 to below 1"),
        (("--n-samples", "3"), "Expected --n-samples of at least 20"),
        (("--seeds", "3"), "Unknown option --seeds"),
        (("--max-steps", "3"), "Unknown option --max-steps"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(table, tmp_path, monkeypatch, capsys, options, message):
    compete(monkeypatch, UNTRAINED, GOOD)
    assert run_auto(table, tmp_path / "x", *options) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("data", "pair", "time"), [("digits", ["flow_matching", "gan"], "3m"), ("spins", ["rbm", "flow_matching"], "1m")]
)
def test_images_and_spins_from_end_to_end(data, pair, time, tmp_path, monkeypatch, capsys):
    """Real against real is 1/2 within four errors; what is kept is told worse than independent pixels would be.

    A machine with other work may refuse the time as too short; twice what it asks for then has to do.
    """
    monkeypatch.setattr(auto, "_TRIAL", 1.0)
    if data == "spins":
        data = str(tmp_path / "spins.npy")
        np.save(data, Ising(side=4, beta=0.44).sample(3000, random_state=1))
    out = tmp_path / "x"
    command = ["run", "auto", data, "--out", str(out), "--validation-time", "20s", "--quiet", "--time"]
    if main([*command, time]) != 0:
        (asked,) = re.findall(r"Expected --time of at least (\d+)s", capsys.readouterr().err)
        assert main([*command, f"{2 * int(asked)}s"]) == 0
    record = json.loads((out / "selection.json").read_text())
    assert [c["model"] for c in record["candidates"]] == pair
    (kept,) = [c for c in record["candidates"] if c["model"] == record["kept"]]
    assert kept["auc"] < 0.95
    assert abs(record["real_vs_real"] - 0.5) < 4 * record["real_vs_real_error"]
    assert RunFolder(out).config().model_name == record["kept"]
    assert len(np.load(out / "samples.npy")) == json.loads((out / "data.json").read_text())["n_held_out"]
