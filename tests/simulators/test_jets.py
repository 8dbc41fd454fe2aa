"""Jets by Pythia and FastJet: physics at fixed targets, seeds, and what happens without them."""

import sys

import numpy as np
import pytest

from reverie.core.errors import InputError, MissingDependencyError
from reverie.simulators import Jets


def test_without_pythia_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    monkeypatch.setitem(sys.modules, "awkward", sys.modules.get("awkward", sys))
    monkeypatch.setitem(sys.modules, "fastjet", sys.modules.get("fastjet", sys))
    with pytest.raises(MissingDependencyError, match=r"reverie\[hep\]"):
        Jets("top").sample(1)
    with pytest.raises(InputError, match="kind"):
        Jets("bottom")
    for kinds in ((), ("top", "top")):
        with pytest.raises(InputError, match="each once"):
            Jets(kinds)


@pytest.fixture(scope="module")
def simulated() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return particles and columns of 250 jets of each kind, up to 200 particles each."""
    pytest.importorskip("pythia8mc", reason="simulates jets by Pythia")
    pytest.importorskip("fastjet", reason="clusters jets by FastJet")
    drawn = {kind: Jets(kind, max_size=200).sample(250, random_state=0) for kind in ("gluon", "quark", "top", "w")}
    return {kind: (sets.values, columns.values) for kind, (sets, columns) in drawn.items()}


@pytest.mark.slow  # one collision takes 10 ms; `test_without_pythia` is what a quick run can see
def test_jets_of_each_kind_are_those_of_the_physics(simulated: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """A share of 250 jets has a standard error of 0.03 at most, a mean multiplicity of about 1."""
    masses = {kind: columns[:, 2] for kind, (_, columns) in simulated.items()}
    assert 170 < np.median(masses["top"]) < 205  # m_t = 172.5 GeV and what the underlying event adds
    assert ((masses["top"] > 160) & (masses["top"] < 215)).mean() > 0.5
    assert 80 < np.median(masses["w"]) < 110  # m_W = 80.4 GeV
    assert ((masses["w"] > 75) & (masses["w"] < 115)).mean() > 0.6
    assert ((masses["gluon"] > 75) & (masses["gluon"] < 115)).mean() < 0.45  # the twin: no peak without a W
    sizes = {kind: x[..., -1].sum(axis=1).mean() for kind, (x, _) in simulated.items()}
    assert sizes["gluon"] > 1.25 * sizes["quark"]  # C_A / C_F = 9/4 in the leading order
    for particles, columns in simulated.values():
        assert np.abs(particles[..., 2].sum(axis=1).mean() - 1) < 0.03  # momentum is conserved
        assert (columns[:, 0] > 800).all()
        assert (columns[:, 0] < 1600).all()
        assert (np.diff(particles[..., 2], axis=1) <= 0).all()  # hardest first
        assert np.abs((particles[..., 0] * particles[..., 2]).sum(axis=1)).mean() < 0.02  # relative to the axis


@pytest.mark.slow  # 500 collisions at least
def test_jets_do_not_depend_on_the_number_of_processes_and_shorter_samples_are_their_beginning() -> None:
    pytest.importorskip("pythia8mc", reason="simulates jets by Pythia")
    one, columns = Jets("w").sample(260, random_state=3)
    two, _ = Jets("w").sample(260, random_state=3, n_jobs=2)
    few, _ = Jets("w").sample(10, random_state=3)
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.values[:10], few.values)
    assert columns.names == ["jet_pt", "jet_eta", "jet_mass", "jet_type"]
    assert not np.array_equal(Jets("w").sample(10, random_state=4)[0].values, few.values)


@pytest.mark.slow  # 500 collisions at least
def test_jets_of_several_kinds_come_in_turn_and_are_those_of_each() -> None:
    pytest.importorskip("pythia8mc", reason="simulates jets by Pythia")
    both, columns = Jets(("w", "top")).sample(9, random_state=3)
    for k, kind in enumerate(("w", "top")):
        alone, of_jets = Jets(kind).sample(5 - k, random_state=3)
        np.testing.assert_array_equal(both.values[k::2], alone.values)
        np.testing.assert_array_equal(columns.values[k::2, :3], of_jets.values[:, :3])
    assert (columns.values[:, 3] == np.arange(9) % 2).all()
    assert columns.schema.columns[3].labels == ("w", "top")
