"""The main job from the command line, and what can be done with its folder."""

import json
import shutil
import time
import warnings

import numpy as np
import pytest
import yaml

from reverie import load
from reverie.core.errors import SamplingWarning
from reverie.core.random import child_seed
from reverie.data import read
from reverie.experiment import sampling
from reverie.experiment.folder import RunFolder
from reverie.experiment.inputs import load_inputs
from reverie.experiment.sampling import draw, draw_rows, read_samples

OUTPUTS = (
    "config.yaml", "command.txt", "environment.json", "data.json", "status.json", "history.jsonl", "checkpoints/latest",
    "model/model.safetensors", "samples.npy", "validation.json", "report.html",
)  # fmt: skip


def test_a_run_leaves_everything(finished):
    for name in OUTPUTS:
        assert (finished / name).is_file(), name
    assert not list(finished.rglob("*.tmp"))
    sizes = json.loads((finished / "data.json").read_text())
    assert (sizes["n_train"], sizes["n_held_out"]) == (156, 84)
    assert np.load(finished / "samples.npy").shape == (84, 3)
    assert [record["step"] for record in RunFolder(finished).history()] == [20, 40, 60]
    assert RunFolder(finished).snapshots()[60].shape[1:] == (3,)
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "<html" in page
    resolved = json.loads((finished / "resolved.json").read_text())
    assert (resolved["learning_rate"], resolved["penalty"]) == (0.001, "r1_r2")
    assert "What options left open came to" in page


def test_the_validation_file_holds_what_is_promised(finished):
    result = json.loads((finished / "validation.json").read_text())
    assert 0 < result["p_value"] <= 1
    assert {"value", "error", "real_vs_real"} <= set(result["auc"])
    assert "n_distinguish" in result
    assert result["sizes"]["n_generated"] == 84


@pytest.mark.slow  # another seed gives others, below; the same bits: tests/experiment/test_resume_models.py
def test_the_configuration_runs_again_to_the_same_samples(call, finished, tmp_path):
    again = tmp_path / "again"
    code, out, _ = call("run", "--config", finished / "config.yaml", "--out", again, "--quiet")
    assert code == 0
    assert str(again / "report.html") in out
    assert np.array_equal(np.load(again / "samples.npy"), np.load(finished / "samples.npy"))
    assert (again / "config.yaml").read_text() == (finished / "config.yaml").read_text()


def test_a_run_can_start_at_the_weights_of_another(call, finished, tmp_path):
    """Steps of next to no length keep the weights and the change of variables of the start, whatever the seed."""
    still = ("--config", finished / "config.yaml", "--seed", "6", "--model.learning_rate", "1e-12", "--quiet")
    still += ("--model.max_steps", "20", "--model.refine", "false")
    tuned = tmp_path / "tuned"
    assert call("fit", *still, "--start", finished, "--out", tuned)[0] == 0
    first, kept = load(finished), load(tuned)
    pairs = list(
        zip(first._networks()["generator"].parameters(), kept._networks()["generator"].parameters(), strict=True)
    )
    assert max(float((a - b).abs().max()) for a, b in pairs) < 1e-6
    assert kept.preprocessing_.transform.to_json() == first.preprocessing_.transform.to_json()
    assert yaml.safe_load((tuned / "config.yaml").read_text())["start"] == str(finished)
    assert "start" not in yaml.safe_load((finished / "config.yaml").read_text())
    for wrong, said in ((tmp_path / "no such", "Expected a saved model"), (tmp_path, "Expected a saved model")):
        code, _, error = call("fit", *still, "--start", wrong, "--out", tmp_path / "never")
        assert code != 0
        assert said in error
        assert not (tmp_path / "never").exists()


@pytest.mark.slow  # quick: the law of seeds of every model
def test_another_seed_gives_other_samples(call, finished, tmp_path):
    other = tmp_path / "other"
    code, _, _ = call("fit", "--seed", "6", "--config", finished / "config.yaml", "--out", other, "--quiet")
    assert code == 0
    assert not (other / "samples.npy").exists()
    assert yaml.safe_load((other / "config.yaml").read_text())["seed"] == 6
    call("sample", other, "-n", 84, "-o", other / "s.npy", "--quiet")
    assert not np.array_equal(np.load(other / "s.npy"), np.load(finished / "samples.npy"))


SLOW = pytest.mark.slow  # images and spins: tests/laws/test_model_laws.py and, in a report, tests/report


def mixed_table(path):
    """Columns of five kinds, one of them words, one with a point mass at zero."""
    rng = np.random.default_rng(1)
    pt, phi, e0 = (
        rng.exponential(20, 200),
        rng.uniform(-3.1, 3.1, 200),
        rng.exponential(1, 200) * rng.integers(0, 2, 200),
    )
    words = rng.choice(["mu", "e", "tau"], 200)
    rows = [f"{a},{b},{c},{d},{e}" for a, b, c, d, e in zip(pt, phi, rng.poisson(3, 200), words, e0, strict=True)]
    path.write_text("\n".join(["pt [GeV],phi,n,kind,e0", *rows]))


def images(path):
    np.save(path, np.random.default_rng(1).normal(size=(150, 2, 4, 4)))


def spins(path):
    np.save(path, (2 * np.random.default_rng(1).integers(0, 2, size=(150, 4, 4)) - 1).astype(np.int8))


@pytest.mark.parametrize(
    ("make", "name"),
    [(mixed_table, "m.csv"), pytest.param(images, "i.npy", marks=SLOW), pytest.param(spins, "s.npy", marks=SLOW)],
)
def test_every_kind_of_data_goes_all_the_way_through_text(call, tmp_path, tiny, make, name):
    make(tmp_path / name)
    out = tmp_path / "x"
    code, text, err = call("run", "gan", tmp_path / name, "--samples-format", "csv", "--out", out, *tiny)
    assert code == 0, err
    assert text.splitlines()[-1] == f"report: {out / 'report.html'}"
    real, generated = read(tmp_path / name), read(out / "samples.csv")
    assert generated.values[0].size == real.values[0].size
    if name == "s.npy":
        assert set(np.unique(generated.values)) <= {-1, 1}
    if name == "m.csv":
        assert set(generated.schema["kind"].labels or ()) <= {"mu", "e", "tau"}
        assert generated.schema["n"].integral
        folder, model = RunFolder(out), load(out)
        samples = read_samples(folder, load_inputs(folder.config()))  # words, whole numbers, point masses
        drawn = draw_rows(model, len(samples), seed=child_seed(0, "samples"))
        assert np.array_equal(samples.events.values, drawn.astype(samples.events.values.dtype))


@pytest.mark.parametrize("suffix", ["npy", "csv", "parquet", "h5", "root"])
def test_samples_stream_to_each_format(call, finished, tmp_path, suffix):
    path = tmp_path / f"samples.{suffix}"
    code, out, err = call("sample", finished, "-n", 9000, "-o", path, "--seed", 1, "--quiet")
    assert (code, err) == (0, "")
    assert str(path) in out
    data = read(path)
    assert data.values.shape == (9000, 3)
    if suffix != "npy":
        assert list(data.names) == ["px", "py", "pz"]


def test_samples_do_not_depend_on_how_many_follow(call, finished, tmp_path):
    for n in (10, 50):
        assert call("sample", finished, "-n", n, "-o", tmp_path / f"{n}.npy", "--quiet")[0] == 0
    assert np.array_equal(np.load(tmp_path / "10.npy"), np.load(tmp_path / "50.npy")[:10])


@pytest.mark.slow
def test_a_run_without_verdict_can_be_judged_later(call, finished, table, tmp_path, as_finished):
    out = tmp_path / "x"
    assert call("run", "gan", table, "--out", out, "--seed", 5, "--no-validate", *as_finished)[0] == 0
    assert yaml.safe_load((out / "config.yaml").read_text())["no_validate"] is True
    code, _, err = call("resume", out)
    assert code == 0
    assert "complete" in err
    assert not (out / "validation.json").exists()
    assert f"reverie validate {out}" in (out / "report.html").read_text(encoding="utf-8")
    assert call("validate", out)[0] == 0
    assert (out / "validation.json").read_bytes() == (finished / "validation.json").read_bytes()
    assert "--no-validate" not in (out / "report.html").read_text(encoding="utf-8").split("</section>")[0]


def test_the_report_of_an_unfinished_run_says_what_is_missing_and_all_can_be_made_anew(call, finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    samples = (folder / "samples.npy").read_bytes()
    for name in ("samples.npy", "validation.json", "assessment.json", "report.html"):
        (folder / name).unlink()
    assert call("report", folder)[0] == 0
    assert f"reverie validate {folder}" in (folder / "report.html").read_text(encoding="utf-8")
    shutil.move(folder / "model", tmp_path / "model")
    assert call("report", folder)[0] == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "stands at step 60 of 60" in page
    assert f"reverie resume {folder}" in page
    assert "reverie resume" in call("validate", folder)[2]  # nothing to judge yet: the same sentence, as an error
    shutil.move(tmp_path / "model", folder / "model")
    assert call("validate", folder)[0] == 0  # draws the samples
    assert (folder / "samples.npy").read_bytes() == samples
    assert json.loads((folder / "validation.json").read_text()) == json.loads(
        (finished / "validation.json").read_text()
    )


def test_words_of_two_files_are_told_apart_by_their_letters(call, tmp_path):
    rows = np.random.default_rng(0).normal(size=300).round(3).tolist()
    for name, words in {"real": ("b", "c"), "generated": ("c", "d"), "same": ("c", "b")}.items():
        lines = [f"{words[k % 2]},{x}" for k, x in enumerate(rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["k,x", *lines]) + "\n")
    p = []
    for name in ("generated", "same"):
        files = (tmp_path / "real.csv", tmp_path / f"{name}.csv", "--classifiers", "none", "--seed", 0)
        assert call("validate", *files, "--out", tmp_path / name)[0] == 0
        p.append(json.loads((tmp_path / name / "validation.json").read_text())["p_value"])
    assert p[0] <= 0.05 < p[1]


def test_two_files_are_validated(call, table, tmp_path):
    out = tmp_path / "check"
    code, text, _ = call(
        "validate", table, table, "--train", table, "--columns", "px,py", "--classifiers", "none", "--out", out
    )
    assert code == 0
    assert "p" in text
    assert json.loads((out / "validation.json").read_text())["sizes"]["n_features"] == 2
    assert (out / "report.html").is_file()


@pytest.mark.slow  # one bit is changed by none: tests/validation/test_tasks.py
def test_workers_that_share_the_tests_are_not_seen_in_the_verdict(call, table, tmp_path):
    asked = ("validate", table, table, "--permutations", 19, "--classifiers", "none", "--out")
    assert call(*asked, tmp_path / "a")[0] == call(*asked, tmp_path / "b", "--workers", 1)[0] == 0
    assert (tmp_path / "a" / "validation.json").read_bytes() == (tmp_path / "b" / "validation.json").read_bytes()
    assert "--workers" in call(*asked, tmp_path / "c", "--workers", 0)[2]
    assert "dask" in call(*asked, tmp_path / "c", "--engine", "dusk")[2]


def test_resume_of_a_complete_run_says_so(call, finished):
    code, out, err = call("resume", finished)
    assert code == 0
    assert "complete" in err
    assert str(finished / "report.html") in out


def test_max_time_ends_training_cleanly_and_can_be_raised(call, table, tmp_path):
    out = tmp_path / "timed"
    steps = ("--model.max_steps", 1000000, "--model.record_every", 5)
    code, _, _ = call("fit", "gan", table, "--out", out, "--max-time", "0.1s", *steps, "--quiet")
    assert code == 0
    first = RunFolder(out).read_json("status.json")["training"]
    assert first["ended_by"] == "max_time"
    assert first["seconds"] < 3
    assert (out / "model").is_dir()
    assert call("resume", out, "--max-time", f"{first['seconds'] + 0.1}s", "--quiet")[0] == 0
    second = RunFolder(out).read_json("status.json")["training"]
    assert second["step"] > first["step"]
    steps = [record["step"] for record in RunFolder(out).history()]
    assert steps == sorted(set(steps))


def test_overwrite_replaces_the_run_and_nothing_else(call, finished, table, tmp_path, tiny):
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    (folder / "my notes.txt").write_text("keep me")
    code, _, _ = call("fit", "gan", table, "--out", folder, "--overwrite", *tiny)
    assert code == 0
    assert not (folder / "samples.npy").exists()
    assert (folder / "my notes.txt").read_text() == "keep me"


def test_weights_go_into_training_and_leave_every_event_in(call, tmp_path, tiny):
    rng = np.random.default_rng(0)
    path = tmp_path / "weighted.csv"
    rows = np.column_stack([rng.normal(size=(300, 2)), rng.uniform(0.5, 1, 300)])
    np.savetxt(path, rows, delimiter=",", header="a,b,w", comments="")
    out = tmp_path / "w"
    assert call("fit", "gan", path, "--weights", "w", "--out", out, *tiny)[0] == 0
    recorded = RunFolder(out).read_json("data.json")
    assert recorded["n_rows"] == 300
    assert [c["name"] for c in recorded["schema"]["columns"]] == ["a", "b"]


def test_print_config_resolves_and_runs_nothing(call, table, tmp_path):
    code, out, _ = call("run", "gan", table, "--columns", "px,pz", "--print-config", "--out", tmp_path / "no")
    assert code == 0
    content = yaml.safe_load(out)
    assert content["columns"] == "px,pz"
    assert content["model"]["name"] == "gan"
    assert "objective" in content["model"]
    assert not (tmp_path / "no").exists()


def test_cite_names_reverie_and_the_methods(call, finished):
    _, alone, _ = call("cite")
    assert alone.count("@") == 1
    _, all_of_it, _ = call("cite", finished)
    for key in ("reverie", "goodfellow2014", "gretton2012"):
        assert f"{{{key}," in all_of_it


def test_info_prints_versions_and_json(call):
    code, out, _ = call("info", "--no-test")
    assert code == 0
    assert "torch" in out
    code, out, _ = call("info", "--json", "--no-test")
    assert json.loads(out)["n_cores"] >= 1


@pytest.mark.slow
def test_info_tests_itself(call):
    code, out, _ = call("info", "--json")
    assert code == 0
    assert json.loads(out)["self_test"]["steps_per_second"] > 0


@pytest.mark.slow
def test_demo_ends_with_the_report(call, tmp_path):
    code, out, _ = call("demo", "--out", tmp_path / "demo", "--max-time", "2s", "--quiet")
    assert code == 0
    assert out.splitlines()[-1] == f"report: {tmp_path / 'demo' / 'report.html'}"


def test_the_self_test_ends_in_its_time_and_says_what_it_measured(monkeypatch):
    """Steps that take 0.1 s each, as on a busy machine: a handful of them, not the window of a record."""
    from reverie.experiment.info import self_test
    from reverie.models.gan.training import AdversarialStep

    take = AdversarialStep.train_step
    monkeypatch.setattr(AdversarialStep, "train_step", lambda *given: (time.sleep(0.1), take(*given))[1])
    began = time.monotonic()
    told = self_test(seconds=0.25)
    assert 1 <= told["steps"] <= 3
    assert 0.25 <= told["seconds"] <= time.monotonic() - began + 0.005  # it is rounded to hundredths
    assert told["finite"]


@pytest.mark.filterwarnings("default")
def test_resume_makes_what_is_missing_and_doubts_about_samples_are_said_on_the_screen_and_in_the_report(
    finished, call, tmp_path, monkeypatch
):
    def doubtful(*args, **options):
        warnings.warn("Some samples\nwere refused.", SamplingWarning, stacklevel=1)
        warnings.warn("A library grows old.", FutureWarning, stacklevel=1)
        return draw(*args, **options)

    folder = tmp_path / "x"
    shutil.copytree(finished, folder)
    for name in ("samples.npy", "validation.json", "report.html"):
        (folder / name).unlink()
    monkeypatch.setattr(sampling, "draw", doubtful)
    code, _, err = call("resume", folder)
    assert code == 0
    assert np.array_equal(np.load(folder / "samples.npy"), np.load(finished / "samples.npy"))
    assert (folder / "validation.json").is_file()
    notes = [line for line in err.splitlines() if "refused" in line or "old" in line or "warn" in line]
    assert notes == ["note: Some samples were refused.", "note: A library grows old."]
    assert "Some samples\nwere refused." in (folder / "report.html").read_text(encoding="utf-8")
    assert json.loads((folder / "status.json").read_text())["notes"] == ["Some samples\nwere refused."]


@pytest.mark.slow
def test_replicas_have_their_samples_in_the_folder_and_bands_in_the_report(call, table, tmp_path):
    out, few = tmp_path / "x", ("--width", 4, "--n-blocks", 1, "--n-evaluations", 2, "--max-steps", 4)
    options = ("--n-replicas", 2, "--bootstrap", "true", *few, "--no-validate", "--quiet")
    assert call("run", "flow_matching", table, "--out", out, "--seed", 5, *options)[0] == 0
    replicas = np.load(out / "replicas.npy")
    assert replicas.shape[0] == 2
    np.testing.assert_array_equal(
        load(out / "model" / "replica_1").preprocessing_.schema.names, load(out).schema_.names
    )
    assert [quantity["name"] for quantity in yaml.safe_load((out / "assessment.json").read_text())["numbers"]][0] == (
        "log-likelihood of the ensemble"
    )
    assert "Each replica was trained on" in (out / "report.html").read_text(encoding="utf-8")
    code, _, err = call("resume", out)
    assert (code, "complete" in err) == (0, True)
