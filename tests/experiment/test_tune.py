"""Searching for options: the space, scores and their errors, shared studies, the whole path on tiny models."""

import functools
import json
import math
import os
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats

from reverie.core.errors import FolderError, InputError, TrainingError
from reverie.data import load
from reverie.experiment import tune as tune_module
from reverie.experiment.config import RunConfig, all_options, model_class
from reverie.experiment.inputs import load_inputs
from reverie.experiment.search_space import Choice, Range, search_space
from reverie.experiment.tune import tune
from reverie.experiment.tune_scores import HeldOutScore, Scored, average, difference, resolved_criterion, split_off
from reverie.experiment.tune_study import Worker, is_alive, living
from reverie.models import Flow

pytest.importorskip("optuna")
from reverie.experiment.tune_study import JOURNAL, Study, Task

ALPHA = 1e-4
TINY = {"max_steps": 10, "record_every": 5, "n_transforms": 2, "hidden": [8], "n_bins": 4}
SPACE = "learning_rate=1e-3:1e-2:log,n_bins=4|6"


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory):
    """A file of 600 points of the ring, which `config` names."""
    path = tmp_path_factory.mktemp("data") / "ring.npy"
    np.save(path, load("ring", n=600).values)
    DATA["small"] = str(path)


DATA: dict[str, str] = {}


def config(model="flow", seed=0, **options):
    return RunConfig(data=DATA["small"], seed=seed, model={"name": model, **(options or TINY)})


# the space


@pytest.mark.parametrize("model", ["gan", "vae", "autoencoder", "rbm", "ebm", "flow", "flow_matching"])
def test_default_spaces_name_options_of_their_models(model):
    base = all_options(config(model, max_steps=5))
    space = search_space(None, model, base)
    assert space.text == model_class(model).search_space
    assert search_space(space.text, model, base) == space  # what study.yaml holds is read back


def test_a_space_is_read():
    base = all_options(config())
    space = search_space("learning-rate=1e-4:1e-2:log, n_bins=4:16,hidden=[8]|[8, 16]|[64]", "flow", base)
    assert space.options["learning_rate"] == Range(1e-4, 1e-2, is_log=True)
    assert space.options["n_bins"] == Range(4, 16, is_integer=True)
    hidden = space.options["hidden"]
    assert isinstance(hidden, Choice)
    assert list(hidden.values.values()) == [[8], [8, 16], [64]]
    assert hidden.holds((8, 16))
    assert not hidden.holds((16, 8))
    words = search_space("batch_size=auto|64,keep_best=true|false", "flow", base).options
    assert words["batch_size"] == Choice({"auto": "auto", "64": 64})
    assert words["keep_best"] == Choice({"true": True, "false": False})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learning_rat=1:2", "learning_rate"),
        ("random_state=1|2", "random_state"),
        ("learning_rate", "--space NAME=VALUES"),
        ("learning_rate=2:1", "LOW < HIGH"),
        ("learning_rate=0:1:log", "0 < LOW"),
        ("learning_rate=1:2:cubic", ":log"),
        ("n_bins=4", "two or more"),
        ("n_bins=4|4", "two or more"),
        ("n_bins=4|5,n_bins=6|7", "twice"),
    ],
)
def test_a_bad_space_is_refused(text, words):
    with pytest.raises(InputError, match="Expected|Unknown") as refused:
        search_space(text, "flow", all_options(config()))
    assert words in str(refused.value)


def test_what_the_user_has_set_is_not_searched():
    base = all_options(config("gan", learning_rate=1e-3, objective="hinge"))
    assert list(search_space(None, "gan", base).options) == [
        "batch_size",
        "ema_decay",
    ]  # gamma is of relativistic pairs


# scores and their errors


def scored(values, common=0.0):
    values = np.asarray(values, dtype=float)
    return Scored(values.mean(), values - values.mean(), np.empty(0), common)


def test_the_difference_of_one_training_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=200), rng.normal(0.1, 1, size=200)
    found = difference([scored(a)], [scored(b)])
    known = stats.ttest_rel(b, a)
    assert found.gain == pytest.approx(np.mean(b - a))
    assert found.error == pytest.approx(np.std(b - a) / math.sqrt(200))
    assert found.p_value == pytest.approx(known.pvalue, rel=0.05)  # the error there has n - 1
    assert found.from_training is None


def draws(rng, *, repeats, spread, n=100):
    """Scores of two configurations of one law: events scatter, and so do trainings."""
    events = rng.normal(size=n)
    return [
        [scored(events + rng.normal(0, 0.5, size=n) + rng.normal(0, spread)) for _ in range(repeats)] for _ in range(2)
    ]


def test_the_error_holds_for_configurations_and_not_only_for_trainings():
    """300 studies of equal configurations: at the level 5 %, binomial with at most 33 rejections at ALPHA."""
    rng, n = np.random.default_rng(1), 300
    most = stats.binom.isf(ALPHA, n, 0.05)
    found = [difference(*draws(rng, repeats=3, spread=0.3)) for _ in range(n)]
    assert sum(d.p_value < 0.05 for d in found) <= most
    blind = [difference(*(side[:1] for side in draws(rng, repeats=3, spread=0.3))) for _ in range(n)]
    assert sum(d.p_value < 0.05 for d in blind) > most  # the twin: one training each knows nothing of another seed


def test_an_average_and_files(tmp_path):
    rng = np.random.default_rng(2)
    one, two = scored(rng.normal(size=50), common=0.1), scored(rng.normal(size=50), common=0.2)
    found = average([one, two])
    assert found.value == pytest.approx((one.value + two.value) / 2)
    assert found.error >= math.hypot(0.1, 0.2) / 2
    one.save(tmp_path / "x.npz")
    again = Scored.load(tmp_path / "x.npz")
    assert again.value == one.value
    assert again.error == pytest.approx(one.error, rel=1e-6)  # kept in single precision


def test_parts_do_not_overlap():
    inputs = load_inputs(config())
    learnt, judged = split_off(inputs, 0.25, 0)
    parts = [{row.tobytes() for row in part.events.values} for part in (learnt, judged, inputs.held_out)]
    assert len(set.union(*parts)) == sum(len(part) for part in parts)
    assert len(judged) == round(0.25 * len(inputs.train))
    with pytest.raises(InputError, match="--tune-fraction"):
        split_off(inputs, 1e-3, 0)


@functools.cache
def _trained(share):
    """Return two flows, of the events of a part and of the same half as wide again."""
    events = split_off(load_inputs(config()), share, 0)[0].events
    tiny: Any = TINY | {"max_steps": 40, "random_state": 0}
    return Flow(**tiny).fit(events), Flow(**tiny).fit(events.values * 1.5)


@pytest.mark.slow  # quick: scores of models
@pytest.mark.parametrize("by", ["likelihood", "samples"])
def test_scores_tell_a_trained_model_from_another(by):
    """A flow of the events against one of the same events, half as wide again: five errors apart, either way."""
    inputs = load_inputs(config())
    learnt, judged = split_off(inputs, 0.25, 0)
    score = HeldOutScore(by, config(), inputs, learnt, judged, seed=1)
    known, shifted = _trained(0.25)
    good, bad = score.of(known), score.of(shifted)
    assert (bad.value - good.value) > 5 * difference([good], [bad]).error
    assert good.error > 0
    if by == "likelihood":
        assert -good.value == pytest.approx(known.score(judged.events))


def test_scores_of_models():
    inputs = load_inputs(config("gan"))
    learnt, judged = split_off(inputs, 0.25, 0)
    assert HeldOutScore("auto", config("gan"), inputs, learnt, judged, seed=0).kind == "samples"
    with pytest.raises(InputError, match="--by samples"):
        HeldOutScore("likelihood", config("gan"), inputs, learnt, judged, seed=0)
    fitted, forest = config("flow", observables=["delta_eta(x0, x1)"]), config("flow_matching", network="trees")
    assert [resolved_criterion("auto", one) for one in (fitted, forest, config("flow"))] == [
        "samples", "samples", "likelihood"
    ]  # fmt: skip
    with pytest.raises(InputError, match="flow with a kinematic fit. Use --by samples"):
        resolved_criterion("likelihood", fitted)


# shared studies


def parabola(trial, number):
    return {} if number == 0 else {"x": trial.suggest_float("x", 0, 1)}


def claimed(study, n) -> Task:
    task = study.claim(n)
    assert task is not None
    return task


def search(folder, n, *, stop_after=None):
    with Worker(folder) as worker:
        study = Study(folder, "trials", worker=worker, seed=3, suggest=parabola)
        while (task := study.claim(n)) is not None:
            if task.number == stop_after:
                return study.slots()  # as if killed: nothing is told
            study.tell(task, "done", (dict[str, Any](task.values).get("x", 0.5) - 0.3) ** 2)
        assert study.is_done(n)
        return study.slots()


def test_a_study_is_the_same_in_one_session_and_in_several(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    whole = search(tmp_path / "a", 12)
    search(tmp_path / "b", 12, stop_after=11)  # beyond the ten random proposals
    assert [s.state for s in Study(tmp_path / "b", "trials").slots()][-1] == "running"
    parts = search(tmp_path / "b", 12)
    assert [s.value for s in parts] == [s.value for s in whole]
    assert len({s.value for s in whole}) == 12


def test_a_slot_goes_to_one_process_only_and_is_given_back(tmp_path):
    with Worker(tmp_path) as one, Worker(tmp_path) as two:
        first, second = (Study(tmp_path, "t", worker=w, suggest=parabola) for w in (one, two))
        a, b = claimed(first, 2), claimed(second, 2)
        assert (a.number, b.number) == (0, 1)
        assert first.claim(2) is None
        assert not first.is_done(2)
        second.tell(b, "given back")
        c = claimed(first, 2)
        assert (c.number, c.values) == (1, b.values)
        first.tell(a, "done", math.inf, why="diverged")
        first.tell(c, "failed", why="too large")
        assert second.is_done(2)
        assert [(s.state, s.value) for s in second.slots()][0] == ("done", math.inf)
        assert second.slots()[1].notes == {"why": "too large"}
        second.tell(b, "done", 1.0)  # too late: the slot has another owner
        assert second.slots()[1].state == "failed"


def test_what_kills_every_process_is_given_up(tmp_path):
    (tmp_path / "workers").mkdir()
    for _ in range(3):
        with Worker(tmp_path) as worker:  # leaves without a word
            assert claimed(Study(tmp_path, "t", worker=worker, suggest=parabola), 2).number == 0
    with Worker(tmp_path) as worker:
        study = Study(tmp_path, "t", worker=worker, suggest=parabola)
        task = claimed(study, 2)
        assert task.number == 1
        for _ in range(4):  # handing a slot back is no death
            study.tell(task, "given back")
            task = claimed(study, 2)
            assert task.number == 1
        assert study.slots()[0].state == "failed"
        assert "killed 3 times" in study.slots()[0].notes["why"]


def test_the_median_rule_stops_what_lags_behind(tmp_path):
    with Worker(tmp_path) as worker:
        study = Study(tmp_path, "t", worker=worker, suggest=parabola, warm_up=5)
        for _ in range(6):
            task = claimed(study, 8)
            assert not any(task.is_worse(1.0 / step, step) for step in (2, 6))
            study.tell(task, "done", 0.1)
        task = claimed(study, 8)
        assert not task.is_worse(9.0, 2)  # too early to say
        assert task.is_worse(9.0, 6)
        assert not task.is_worse(9.0, 6)  # training went back
        study.tell(task, "stopped")
        assert study.slots()[-1].state == "stopped"


def test_an_unfinished_line_is_cut_off_and_a_spoilt_journal_is_told(tmp_path):
    search(tmp_path, 3)
    with open(tmp_path / JOURNAL, "ab") as file:
        file.write(b'{"op_code": 4, "tri')
    assert len(search(tmp_path, 4)) == 4
    (tmp_path / JOURNAL).write_text("no journal\n" * 3)
    with pytest.raises(InputError, match="--overwrite"):
        Study(tmp_path, "trials")


def test_the_dead_are_told_from_the_living(tmp_path):
    with Worker(tmp_path) as worker:
        assert living(tmp_path) == [worker.name]
    assert living(tmp_path) == []
    elsewhere = "another-host.7.abc"
    (tmp_path / "workers" / elsewhere).touch()
    assert is_alive(tmp_path, elsewhere)
    long_ago = time.time() - 200
    os.utime(tmp_path / "workers" / elsewhere, (long_ago, long_ago))
    assert not is_alive(tmp_path, elsewhere)
    here = f"{worker.name.split('.')[0]}.7.abc"
    (tmp_path / "workers" / here).touch()
    assert not is_alive(tmp_path, here)  # nobody holds its lock


def test_a_killed_process_loses_its_slot_at_once(tmp_path):
    with Worker(tmp_path) as worker:
        name = f"{worker.name.split('.')[0]}.7.abc"  # on this machine
    code = (
        "import fcntl, sys, time\nfile = open(sys.argv[1], 'w')\nfcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\ntime.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "workers" / name)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert is_alive(tmp_path, name)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not is_alive(tmp_path, name)


# the whole path


def run(folder, n=3, **options):
    how: Any = {"repeats": 2} | options
    return tune(config(), folder, trials=n, space=SPACE, quiet=True, **how)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tunes") / "x"
    assert run(folder) == 0
    return folder


def told(folder):
    return json.loads((folder / "tune.json").read_text(encoding="utf-8"))


def test_the_default_comes_first_and_the_winner_is_no_worse(finished):
    found = told(finished)
    assert [trial["number"] for trial in found["trials"]] == [0, 1, 2]
    assert found["trials"][0]["options"] == {}
    assert all(set(trial["options"]) == {"learning_rate", "n_bins"} for trial in found["trials"][1:])
    assert found["best"] == min(found["trials"], key=lambda t: t["value"])["number"]
    assert all(trial["error"] > 0 for trial in found["trials"])
    quoted = found["quoted"]
    if found["best"]:
        gain = quoted["default"]["value"] - quoted["best"]["value"]
        assert quoted["difference"]["gain"] == pytest.approx(gain)
        assert found["trials"][found["best"]]["gain"][0] > 0


def test_best_yaml_is_the_default_with_the_options_of_the_winner(finished):
    best = RunConfig.from_yaml(finished / "best.yaml")
    found = told(finished)
    chosen = found["trials"][found["best"]]["options"]
    assert best.model_options == all_options(config()) | chosen
    assert (best.data, best.seed) == (DATA["small"], 0)


def test_the_page_says_what_tune_json_holds(finished):
    page = (finished / "tune.html").read_text(encoding="utf-8")
    assert page.count("data:image/svg+xml") == 3  # the trials, and two options
    assert f"Trial {told(finished)['best']}" in page or "No trial was better" in page
    assert "<script" not in page


def test_the_same_command_goes_on_and_another_is_refused(finished, tmp_path):
    import shutil

    folder = tmp_path / "x"
    shutil.copytree(finished, folder)
    before = told(folder)["trials"]
    assert run(folder, 4) == 0
    assert [t["value"] for t in told(folder)["trials"]][:3] == [t["value"] for t in before]
    assert len(told(folder)["trials"]) == 4
    with pytest.raises(FolderError, match="space") as refused:
        tune(config(), folder, trials=4, space="n_bins=4|5", repeats=2)
    assert "--overwrite" in str(refused.value)
    with pytest.raises(FolderError, match="seed"):
        tune(config(seed=1), folder, trials=4, space=SPACE, repeats=2)
    with Worker(folder), pytest.raises(FolderError, match="in progress"):
        run(folder, overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(FolderError, match="no study"):
        run(tmp_path / "other")


def test_a_gan_is_judged_by_its_samples(tmp_path):
    tiny = {"max_steps": 20, "record_every": 10, "batch_size": 32, "refine": False}
    assert tune(config("gan", **tiny), tmp_path / "x", trials=2, repeats=1, space="ema_decay=0.9|0.99", quiet=True) == 0
    found = told(tmp_path / "x")
    assert found["by"] == "samples"
    assert found["quoted"]["repeats"] == 1
    assert all(0 < trial["error"] < trial["value"] for trial in found["trials"])


@pytest.mark.slow  # quick: a default that cannot be trained is told at once
def test_divergence_and_impossible_options_are_results(tmp_path, monkeypatch):
    def diverge(self, X, y=None, **options):
        raise TrainingError("Training stopped: loss became nan at step 3.", step=3)
        yield

    assert tune(config(), tmp_path / "x", trials=3, repeats=1, space="batch_size=200000|300000", quiet=True) == 0
    found = told(tmp_path / "x")
    assert [trial["state"] for trial in found["trials"]] == ["done", "failed", "failed"]
    assert "batch_size" in found["trials"][1]["why"]
    assert found["best"] == 0
    monkeypatch.setattr(Flow, "iter_fit", diverge)
    with pytest.raises(TrainingError, match="no trial|none in 2"):
        tune(config(), tmp_path / "y", trials=2, repeats=1, space=SPACE, quiet=True)
    assert Study(tmp_path / "y", "trials").slots()[1].value == math.inf


def test_a_default_that_cannot_be_trained_is_told_at_once(tmp_path):
    with pytest.raises(InputError, match="batch_size"):
        tune(config(**dict[str, Any](TINY, batch_size=10**6)), tmp_path / "x", trials=2, space=SPACE, quiet=True)
    assert not (tmp_path / "x").exists()  # so that the corrected command finds no other study


def test_a_wish_to_stop_keeps_what_was_tried(tmp_path, monkeypatch, capsys):
    from reverie.experiment import tune as module

    told_of = []

    def asked(self):
        told_of.append(1)
        return len(told_of) > 20

    monkeypatch.setattr(module.Interrupt, "requested", property(asked, lambda self, value: None), raising=False)
    assert run(tmp_path / "x", 6, repeats=1) == 130
    monkeypatch.undo()
    n_kept = len(told(tmp_path / "x")["trials"])
    assert 0 < n_kept < 6
    assert "same command" in capsys.readouterr().err
    assert run(tmp_path / "x", 3, repeats=1) == 0


def test_processes_share_the_cores_that_they_may_use(monkeypatch):
    monkeypatch.setattr(tune_module, "available_cores", lambda: 4)  # of 64, say, as a batch system allots them
    monkeypatch.setattr(tune_module.torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert [tune_module._threads(n) for n in (1, 2, 4, 8)] == [4, 2, 1, 1]


@pytest.mark.slow
def test_two_processes_make_one_study_and_survive_the_death_of_one(tmp_path):
    """The default is claimed by a process that is then killed; two others complete the study without it."""
    code = (
        "import sys\nfrom reverie.experiment.config import RunConfig\nfrom reverie.experiment.tune import tune\n"
        f"model = {{'name': 'flow', **{TINY!r}, 'max_steps': int(sys.argv[2])}}\n"
        f"config = RunConfig(data={DATA['small']!r}, model=model)\n"
        f"sys.exit(tune(config, sys.argv[1], trials=4, workers=int(sys.argv[3]), space={SPACE!r}, repeats=2))"
    )
    folder = tmp_path / "x"
    long = [sys.executable, "-c", code, str(folder), "4000"]
    first = subprocess.Popen([*long, "1"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not ((folder / JOURNAL).is_file() and '"worker"' in (folder / JOURNAL).read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(0.5)
    first.send_signal(signal.SIGKILL)
    first.wait()
    settings = (folder / "study.yaml").read_text().replace("max_steps: 4000", "max_steps: 10")
    (folder / "study.yaml").write_text(settings)  # the same study, shorter, so that the test is
    done = subprocess.run([*long[:-1], "10", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = told(folder)
    assert [trial["state"] for trial in found["trials"]] == ["done"] * 4
    assert found["quoted"] is not None
    journal = [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]
    workers = {line["user_attr"]["worker"] for line in journal if "worker" in line.get("user_attr", {})}
    assert len(workers) >= 2
    alone = tmp_path / "alone"
    assert tune(config(), alone, trials=1, space=SPACE, repeats=1) == 0
    assert told(alone)["trials"][0]["value"] == pytest.approx(found["trials"][0]["value"], abs=1e-9)
    assert yaml.safe_load((folder / "best.yaml").read_text())["model"]["max_steps"] == 10
