"""Errors name a page that says more, and `reverie explain` prints it."""

import pytest

import reverie
from reverie.cli import explain, main
from reverie.core import errors


def test_every_page_that_an_error_names_is_there():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ReverieError)]
    named = {kind.page for kind in kinds} - {""}
    assert named == {"checkpoint", "chains", "symmetry", "training", "workers"}
    assert named <= set(explain.pages())


def test_names_then_a_page_then_a_wrong_name(call):
    code, out, err = call("explain")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == sorted(explain.pages())
    assert call("explain", "training")[1].startswith("# Training cannot go on\n\n> Training stopped: d_loss became nan")
    code, _, err = call("explain", "trainign")
    assert code == 2
    assert "Did you mean 'training'?" in err


@pytest.mark.parametrize(("page", "more"), [("training", " More: reverie explain training"), ("", "")])
def test_an_error_on_the_command_line_names_its_page(call, monkeypatch, page, more):
    def fail(arguments):
        raise errors.TrainingError("It stopped.", step=3) if page else errors.InputError("It stopped.")

    monkeypatch.setattr(main, "_dispatch", fail)
    assert call("info") == (1 if page else 2, "", f"error: It stopped.{more}\n")


def test_a_broken_symmetry_is_such_an_error():
    events = reverie.data.load("ring", n=400)
    shifted = reverie.Dataset(events.values + [3.0, 0.0], names=["eta1", "eta2"])
    with pytest.raises(errors.BrokenSymmetryError, match="got data that break it"):
        reverie.VAE(symmetries=["reflect eta"], max_steps=1, random_state=0).fit(shifted)
