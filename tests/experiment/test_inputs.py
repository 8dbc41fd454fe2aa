"""Data of a run: conditions apart from events, weights that stay, thinning with the right law, the joint rows."""

import numpy as np
import pytest

from reverie.core.errors import InputError, UnknownNameError
from reverie.experiment.config import RunConfig, parse_condition
from reverie.experiment.inputs import Inputs, joined, joint_names, joint_rows, load_inputs

RNG = np.random.default_rng(11)
N = 1000


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Columns x, y, n (a label of 3 levels), word, w > 0 and v of either sign."""
    path = tmp_path_factory.mktemp("data") / "t.csv"
    x, y = RNG.normal(size=(2, N))
    n, word = RNG.integers(0, 3, N), RNG.choice(["mu", "e"], N)
    w, v = RNG.uniform(0.1, 1, N) * (1 + (x > 0)), np.where(RNG.random(N) < 0.1, -1.0, 1.0)
    rows = [",".join(map(str, row)) for row in zip(x, y, n, word, w, v, strict=True)]
    path.write_text("\n".join(["x,y,n,word,w,v", *rows]))
    return str(path)


def inputs_of(data: str, **options) -> Inputs:
    return load_inputs(RunConfig(data=data, model={"name": "gan"}, **options))


def test_conditions_leave_the_learnt_columns_and_stay_with_their_rows(table):
    alone = inputs_of(table, columns="x,y,n,word")
    apart = inputs_of(table, columns="x,y", condition="n,word")
    assert apart.train.events.names == ["x", "y"]
    assert apart.train.schema.names == ["x", "y", "n", "word"]
    assert np.array_equal(apart.train.values, alone.train.values)
    assert np.array_equal(apart.held_out.values, alone.held_out.values)
    assert inputs_of(table, columns="x,y,n,word", condition="n,word").train.events.names == ["x", "y"]


def test_few_whole_numbers_are_labels(table):
    schema = inputs_of(table, columns="x,y", condition="n,word").train.conditions.schema
    assert [column.kind for column in schema.columns] == ["categorical", "categorical"]
    assert schema["n"].levels == (0.0, 1.0, 2.0)
    assert schema["word"].labels == ("e", "mu")


def test_labels_of_images_and_conditions_from_a_file(tmp_path):
    inputs = inputs_of("digits", condition="label")
    assert inputs.train.events.event_shape == (8, 8)
    assert not inputs.source.is_one_table
    assert set(np.unique(inputs.train.conditions.values)) == set(range(10))
    np.save(tmp_path / "c.npy", np.asarray(inputs.source.conditions.values))
    other = inputs_of("digits", condition=str(tmp_path / "c.npy"))
    assert np.array_equal(other.held_out.conditions.values, inputs.held_out.conditions.values)
    np.save(tmp_path / "short.npy", np.zeros((5, 1)))
    with pytest.raises(InputError, match="a condition for each of the 1,797"):
        inputs_of("digits", condition=str(tmp_path / "short.npy"))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"condition": "nn"}, UnknownNameError, "'n'"),
        ({"columns": "x", "condition": "x"}, InputError, "besides the condition"),
        ({"condition": "n,n"}, InputError, "once"),
    ],
)
def test_conditions_that_cannot_be(table, options, error, words):
    with pytest.raises(error, match=words):
        inputs_of(table, **options)


def test_images_have_no_columns_to_be_asked_for():
    with pytest.raises(InputError, match="Images have no columns"):
        inputs_of("digits", condition="pixel")


def test_samples_are_asked_for_at_conditions_of_training_rows(table):
    inputs = inputs_of(table, columns="x,y", condition="n")
    asked = inputs.conditions(len(inputs.held_out))
    assert np.array_equal(asked.values, inputs.calibration.conditions.values)
    more = inputs.conditions(len(inputs.prior) + 3)
    assert np.array_equal(more.values[-3:], inputs.prior.conditions.values[:3])
    assert inputs_of(table, columns="x,y").conditions(10) is None


def test_weights_stay_in_training_and_the_other_rows_are_thinned_to_the_weighted_law(table):
    """Held-out and prior rows have the weighted mean; 5 standard errors: one false alarm in 1.7e6."""
    inputs = inputs_of(table, columns="x,y", condition="n", weights="w", held_out=0.5)
    assert inputs.train.weights is not None
    assert len(inputs.train) == N // 2
    assert inputs.held_out.weights is None
    assert inputs.unvalidated == ""
    source = inputs.source
    wanted = np.average(source.values[:, 0], weights=source.weights)
    unweighted = source.values[:, 0].mean()
    kept = np.concatenate([inputs.held_out.values[:, 0], inputs.prior.values[:, 0]])
    error = kept.std() / np.sqrt(len(kept))
    assert abs(kept.mean() - wanted) < 5 * error
    assert abs(unweighted - wanted) > 5 * error  # the twin: thinning by nothing would fail


def test_weights_reach_the_validation_where_nothing_is_conditioned_on(table):
    inputs = inputs_of(table, columns="x,y", weights="v")
    assert inputs.unvalidated == ""
    assert (inputs.held_out.weights < 0).any()
    assert len(inputs.calibration.weights) == len(inputs.calibration) == len(inputs.held_out)


def test_negative_weights_with_conditions_are_trained_on_and_the_validation_says_why_not(table):
    inputs = inputs_of(table, columns="x,y", condition="n", weights="v")
    assert (inputs.train.weights < 0).any()
    assert "negative weights" in inputs.unvalidated
    assert inputs.held_out.weights is not None
    assert inputs.to_json()["negative_weights"] == int((inputs.source.weights < 0).sum())


def test_extreme_weights_leave_too_few_to_validate(tmp_path):
    w = np.full(200, 1e-6)
    w[0] = 1.0
    path = tmp_path / "w.csv"
    np.savetxt(path, np.column_stack([RNG.normal(size=(200, 2)), w]), delimiter=",", header="x,y,w", comments="")
    assert "of equal weight, fewer than" in inputs_of(str(path), weights="w").unvalidated
    conditional = inputs_of(str(path), columns="x", condition="y", weights="w")
    assert "remain when they are thinned" in conditional.unvalidated


def test_the_fingerprint_sees_the_conditions(table):
    alone, apart = inputs_of(table, columns="x,y"), inputs_of(table, columns="x,y", condition="n")
    assert alone.source.fingerprint() == alone.source.events.fingerprint()
    assert apart.source.fingerprint() != alone.source.fingerprint()


def test_joint_rows_of_tables_hold_the_conditions_as_columns(table):
    inputs = inputs_of(table, columns="x,y", condition="n,word")
    rows = joint_rows(inputs, inputs.held_out)
    assert rows.shape == (len(inputs.held_out), 4)
    assert joint_names(inputs) == ["x", "y", "n", "word"]
    plain = inputs_of(table, columns="x,y")
    assert joint_rows(plain, plain.held_out) is plain.held_out.events
    assert joint_names(plain) is None


def test_joint_rows_of_images_give_labels_the_weight_of_the_image():
    inputs = inputs_of("digits", condition="label")
    rows = joined(inputs, inputs.source.values, inputs.source.conditions.values)
    assert rows.shape == (1797, 1, 64 + 10)
    assert len(joint_names(inputs)) == 74
    assert joint_names(inputs)[-1] == "label = 9"
    variance = rows[:, 0].var(axis=0)
    assert variance[64:].sum() == pytest.approx(variance[:64].sum(), rel=0.05)
    assert ((rows[:, 0, 64:] > 0).sum(axis=1) == 1).all()


def test_words_of_a_condition():
    assert parse_condition("label=3, energy=20.5") == {"label": "3", "energy": "20.5"}
    for text in ("label", "label=", "=3", "a=1,a=2", "a=1,,"):
        with pytest.raises(InputError, match="NAME=VALUE"):
            parse_condition(text)
