"""Ranking runs: the tests hold their level, the refusals are sentences, and the page says what the numbers say."""

import json
import math
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, norm, ttest_ind

from reverie.core.errors import FolderError, InputError, UnknownNameError
from reverie.experiment.compare import Score, compare_runs, difference, scores_of, welch
from reverie.experiment.folder import RunFolder, write_json
from reverie.validation.power.events_needed import events_for_auc
from reverie.validation.results.result import ValidationResult
from reverie.validation.results.tests import ClassifierResult, TestResult

ALPHA = 1e-4  # false-alarm rate of each statistical test here
LEVEL = 0.05


def check(name, feature, value, error):
    return TestResult(name, feature, value, 0.0, 0.01, 0.002, 0.3, 0.6, False, "", "", error=error)


def validation(auc=0.55, error=0.007, *, n_real=1000, energy=0.02, energy_error=None):
    n = (events_for_auc(auc) if auc > 0.5 else math.inf), 100.0, math.inf
    classifier = ClassifierResult(auc, error, 0.498, 0.008, 0.5, 0.01, {"x": 0.1}, 100, 100, "", "")
    checks = (
        check("KS", "pt1", 0.1, None),
        check("KS", "pt2", 0.2, None),
        check("energy distance", None, energy, energy_error),
    )
    sizes = {"n_real": n_real, "n_generated": n_real, "n_calibration": n_real, "n_features": 2}
    return ValidationResult(0.01, 0.01, checks, (classifier,), *n, sizes, seed=0, n_permutations=99)


@pytest.fixture
def make(tmp_path):
    """Make a run folder under `tmp_path` and return its path."""

    def run(name, auc=0.55, error=0.007, *, seed=0, held_out=0.35, sha="a" * 64, model="gan", steps=100, **more):
        config = f"data: ring\nseed: {seed}\nheld_out: {held_out}\nmodel: {{name: {model}, max_steps: {steps}}}\n"
        folder = RunFolder.create(tmp_path / name, held=ExitStack(), config=config, command="reverie run")
        write_json(folder / "data.json", {"sha256": sha, "n_rows": 3000})
        write_json(folder / "status.json", {"training": {"step": steps, "seconds": 90.0, "ended_by": "max_steps"}})
        write_json(folder / "validation.json", validation(auc, error, **more).to_json())
        return folder.path

    return run


@pytest.fixture
def three(make):
    """Runs a, b and c: two alike and one worse."""
    return [make("c", 0.602, 0.006), make("a", 0.551, 0.007), make("b", 0.556, 0.007)]


# laws


def test_exchanged_runs_change_the_sign_alone():
    a, b = Score(0.55, 0.007), Score(0.56, 0.005)
    there, back = difference(a, b), difference(b, a)
    assert there[:2] == (-back[0], -back[1])
    assert there[2] == back[2]


def rejections(error_of_z, n=4000):
    """Share of pairs of equal runs that are told apart at `LEVEL`, z made with `error_of_z` times the errors."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.55, 0.007, n), rng.normal(0.55, 0.004, n)
    tests = (difference(Score(x, 0.007 * error_of_z), Score(y, 0.004 * error_of_z)) for x, y in zip(a, b, strict=True))
    return sum(p <= LEVEL for _, _, p in tests)


def test_equal_runs_differ_at_the_level():
    low, high = binom.interval(1 - ALPHA, 4000, LEVEL)
    assert low <= rejections(1.0) <= high
    assert not low <= rejections(0.8) <= high  # the twin: errors that are too small are found out


def spread_of_differences(sign, n=300, n_runs=1500):
    """Var(AUC_b - AUC_a) / (e_a^2 + e_b^2) for two generators beside shared real events; see the module.

    Generator a is shifted by +0.3, generator b by `sign` times that; the classifiers are x and sign * x.
    """
    rng = np.random.default_rng(1)
    aucs = []
    for _ in range(n_runs):
        real = rng.normal(size=n)
        fakes = (rng.normal(0.3, size=n), sign * rng.normal(0.3, size=n))
        aucs.append([area(s * real, s * fake) for s, fake in zip((1, sign), fakes, strict=True)])
    a, b = np.transpose(aucs)
    return np.var(b - a) / (np.var(a) + np.var(b))


def area(real, fake):
    return np.searchsorted(np.sort(real), fake).mean() / len(real)


def test_the_stated_bounds_of_the_correlation():
    room = norm.isf(ALPHA / 2) * math.sqrt(2 / 1500)  # relative, of a variance from 1,500 runs
    same, opposite = spread_of_differences(+1), spread_of_differences(-1)
    assert same == pytest.approx(0.5, rel=2 * room)
    assert opposite == pytest.approx(1.5, rel=room)
    assert same != pytest.approx(1.5, rel=room)  # the twin


def test_welch_is_that_of_scipy():
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.55, 0.01, 4), rng.normal(0.6, 0.03, 3)
    gap, t, p = welch(a, b)
    known = ttest_ind(b, a, equal_var=False)
    assert (t, p) == pytest.approx((known.statistic, known.pvalue), rel=1e-10)
    assert gap == pytest.approx(b.mean() - a.mean())


@pytest.mark.parametrize(("a", "b"), [([0.5], [0.6, 0.7]), ([1.0, 1.0], [0.9, 0.9])])
def test_welch_without_spread_says_nothing(a, b):
    assert welch(a, b)[1:] == (None, None)


def test_welch_with_spread_on_one_side():
    assert 0 < welch([1.0, 1.0], [0.6, 0.62])[2] < LEVEL


# known answers


def test_three_runs(three):
    result = compare_runs(three)
    assert [run.name for run in result.runs] == ["a", "b", "c"]
    assert result.ranks == ("=1", "=1", "3")
    by_names = {(p.better, p.worse): p for p in result.pairs}
    z = (0.602 - 0.551) / math.hypot(0.006, 0.007)
    assert by_names["a", "c"].distance == pytest.approx(z)
    assert by_names["a", "c"].p_adjusted == pytest.approx(3 * 2 * norm.sf(z))
    assert by_names["a", "b"].p_adjusted == pytest.approx(2 * norm.sf(0.005 / 0.007 / math.sqrt(2)))
    assert [p.is_significant for p in result.pairs] == [False, True, True]


def test_the_sentences_of_three_runs(three):
    said = compare_runs(three).to_json()["sentences"]
    assert said[0] == "a and b are not told apart (p = 0.61)."
    assert said[1].startswith("a is better than c (AUC 0.5510 ± 0.0070 against 0.6020 ± 0.0060, p = ")
    assert said[1].endswith(" after Holm’s correction for 3 pairs).")


def test_holm_counts_all_pairs(make):
    """p = 0.02 is a difference between two runs, and none among six runs of which the others are alike."""
    z = float(norm.isf(0.01))
    two = [make("a", 0.55, 0.01), make("b", 0.55 + z * 0.01 * math.sqrt(2), 0.01)]
    assert compare_runs(two).ranks == ("1", "2")
    more = [make(f"x{k}", 0.55 + 0.001 * k, 0.01) for k in range(1, 5)]
    assert set(compare_runs([*two, *more]).ranks) == {"=1"}


def test_text_has_a_row_for_each_run_and_real_against_real(three):
    text = str(compare_runs(three))
    rows = text.splitlines()[1:4]
    assert [row.split()[:3] for row in rows] == [["=1", "a", "gan"], ["=1", "b", "gan"], ["3", "c", "gan"]]
    assert all("0.4980 ± 0.0080" in row and "1 min 30 s" in row for row in rows)
    assert "energy distance (real)" in text
    assert "KS" not in text  # single features are left to --by


# statistics


def test_another_statistic_without_errors_ranks_and_tests_nothing(make):
    runs = [make("a", 0.55, energy=0.03), make("b", 0.60, energy=0.01)]
    result = compare_runs(runs, by="Energy")
    assert result.by == "energy distance"
    assert [run.name for run in result.runs] == ["b", "a"]
    assert result.ranks == ("1", "2")
    assert "no standard errors" in " ".join(result.notes)
    assert result.pairs[0].p_value is None
    assert str(result)


def test_a_statistic_with_errors_is_tested(make):
    runs = [make("a", energy=0.03, energy_error=0.001), make("b", energy=0.01, energy_error=0.001)]
    result = compare_runs(runs, by="energy")
    assert result.pairs[0].is_significant
    assert result.pairs[0].distance == pytest.approx(0.02 / math.hypot(0.001, 0.001))


def test_what_falls_with_the_difference_is_turned_round():
    checks = (check("coverage", None, 0.9, 0.01), check("KS", "x", 0.1, None))
    result = replace(validation(), checks=checks)
    assert scores_of(result)["1 - coverage"].value == pytest.approx(0.1)
    assert "coverage" not in scores_of(result)


def test_one_feature_by_name(three):
    assert compare_runs(three, by="ks PT1").by == "KS pt1"
    assert compare_runs(three, by="classifier AUC").by == "AUC"
    with pytest.raises(InputError, match="may be KS pt1, KS pt2"):
        compare_runs(three, by="ks")
    with pytest.raises(UnknownNameError, match="energy distance"):
        compare_runs(three, by="enregy distance")


def test_a_run_without_classifier_is_ranked_by_what_all_have(make):
    runs = [make("a"), make("b")]
    content = validation().to_json() | {"classifiers": []}
    write_json(runs[1] / "validation.json", content)
    result = compare_runs(runs, by="energy")
    assert result.statistics == ("energy distance",)
    with pytest.raises(UnknownNameError):
        compare_runs(runs, by="auc")


# groups


def test_seeds_of_one_configuration_form_groups(make):
    slow = [make(f"slow{k}", auc, seed=k, steps=900) for k, auc in enumerate((0.54, 0.55, 0.545))]
    fast = [make(f"fast{k}", auc, seed=k, steps=100) for k, auc in enumerate((0.60, 0.62))]
    result = compare_runs([*fast, *slow])
    first, second = result.groups
    assert set(first.runs) == {"slow0", "slow1", "slow2"}
    assert first.mean == pytest.approx(0.545)
    assert first.error == pytest.approx(0.005 / math.sqrt(3))
    pair = result.group_pairs[0]
    assert (pair.better, pair.worse) == (first.name, second.name)
    assert pair.p_value == pytest.approx(ttest_ind([0.54, 0.55, 0.545], [0.60, 0.62], equal_var=False).pvalue)
    assert "share about 35%" in " ".join(result.notes)


def test_a_single_run_beside_a_group_is_not_tested(make):
    result = compare_runs([make("a0", 0.55, seed=0), make("a1", 0.56, seed=1), make("b", 0.6, steps=900)])
    assert [group.error is None for group in result.groups] == [False, True]
    assert result.group_pairs == ()
    assert "another --seed" in str(result)


def test_single_runs_form_no_groups(three, make):
    assert compare_runs([three[0], make("d", steps=900)]).groups == ()


# what differs


def test_only_keys_that_differ_are_listed(make):
    result = compare_runs([make("a", steps=100), make("b", steps=900)])
    assert result.differences == {"model.max_steps": {"a": 100, "b": 900}}


def test_notes_on_sizes_and_on_samples_that_repeat_the_real_events(make):
    result = compare_runs([make("a", 0.46, 0.006), make("b", n_real=500)])
    notes = " ".join(result.notes)
    assert "a: 1,000 real and 1,000 generated events" in notes
    assert "AUC of a is below 1/2" in notes


def test_names_are_as_long_as_they_must_be(make):
    result = compare_runs([make("first/x", 0.55), make("second/x", 0.56)])
    assert [run.name for run in result.runs] == ["first/x", "second/x"]


# refusals


def refused(paths, words):
    with pytest.raises(InputError, match=words) as caught:
        compare_runs(paths)
    assert "\n" not in str(caught.value)


def test_too_few_and_twice(make, tmp_path):
    run = make("a")
    refused([], "two or more run folders, got 0")
    refused([run], "two or more run folders, got 1")
    refused([run, f"{run}/"], "twice")
    (tmp_path / "again").symlink_to(run)
    refused([run, tmp_path / "again"], "twice")


def test_a_folder_of_runs_stands_for_them(make, tmp_path):
    runs = [make("a"), make("b")]
    assert [run.name for run in compare_runs([tmp_path]).runs] == [run.name for run in compare_runs(runs).runs]
    refused([tmp_path, runs[0]], "twice")


def test_no_run(make, tmp_path):
    run = make("a")
    refused([run, tmp_path / "b"], "Runs beside it: a")
    (tmp_path / "empty").mkdir()
    refused([run, tmp_path / "empty"], r"no config\.yaml")
    refused([run, run / "config.yaml"], "does not exist|run folder")


def test_other_data_and_other_parts(make):
    run = make("a")
    refused([run, make("b", sha="b" * 64)], "same data")
    refused([run, make("c", held_out=0.5)], "same part of the data, got 0.35 in 'a' and 0.5 in 'c'")


def test_no_validation(make):
    runs = [make("a"), make("b")]
    (runs[1] / "validation.json").unlink()
    refused(runs, "reverie resume")
    (runs[1] / "samples.npy").touch()
    refused(runs, "reverie validate")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"checks": 3}', "\x00"])
def test_unreadable_json(make, text):
    runs = [make("a"), make("b")]
    (runs[1] / "validation.json").write_text(text)
    refused(runs, r"validation\.json")


def test_a_value_that_is_no_number(make):
    runs = [make("a"), make("b")]
    content = validation().to_json()
    content["classifiers"][0]["value"] = "high"
    write_json(runs[1] / "validation.json", content)
    refused(runs, "reverie validate")


def test_no_record_of_the_data(make):
    runs = [make("a"), make("b")]
    write_json(runs[1] / "data.json", {})
    refused(runs, "sha256")
    write_json(runs[1] / "data.json", [])
    refused(runs, "data.json")


# files


def test_page_and_file(three, make, tmp_path):
    result = compare_runs([*three, make("<b>", 0.58, seed=1)])
    page = result.write(tmp_path / "new" / "out").read_text(encoding="utf-8")
    content = json.loads((tmp_path / "new" / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert content == json.loads(json.dumps(result.to_json()))
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    for words in ("4 runs compared", "0.6020 ± 0.0060", "Holm", "data:image/svg+xml", "config.yaml", "=1"):
        assert words in page
    assert "<script" not in page


def test_the_page_with_groups_and_without_errors(make, tmp_path):
    runs = [make(f"r{k}", 0.55 + 0.01 * k, seed=k // 2, steps=100 + k % 2, energy=10.0**-k) for k in range(4)]
    page = compare_runs(runs, by="energy").write(tmp_path / "out").read_text(encoding="utf-8")
    assert "Welch" in page
    assert "not tested" in page
    assert "Which differences are significant" not in page


def test_many_pairs_are_counted(make):
    result = compare_runs([make(f"r{k:02d}", 0.55 + 0.01 * k) for k in range(12)])
    alike, worse, all_pairs = result.to_json()["sentences"]
    assert alike.startswith("r00 is not told apart from r01, r02")
    assert worse.endswith("r11 (p = 0.002 or less).")
    assert all_pairs.startswith("Of 66 pairs of runs ")


def test_a_place_that_is_a_file(three, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="folder to write in"):
        compare_runs(three).write(tmp_path / "file")
