"""Energy networks: one number per event, the symmetry of a lattice, and a finite normalisation."""

import pytest
import torch
from torch import nn

from reverie.core.errors import InputError, UnknownNameError
from reverie.networks.energies import ConvEnergy, LatticeEnergy, RidgeMLP, build_energy


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _built(spec="auto", shape=(3,), **options):
    return build_energy(spec, event_shape=shape, random_generator=_generator(), **options)


@pytest.mark.parametrize(
    ("spec", "shape", "periodic", "kind"),
    [
        ("auto", (3,), False, RidgeMLP),
        ("auto", (9, 7), False, ConvEnergy),
        ("auto", (6, 6), True, LatticeEnergy),
        ("conv", (3, 16, 20), False, ConvEnergy),
        ("mlp", (4, 4), False, RidgeMLP),
        ((8,), (2,), False, RidgeMLP),
    ],
)
def test_every_network_gives_one_smooth_energy_per_event(spec, shape, periodic, kind):
    energy = _built(spec, shape, periodic=periodic).double()
    assert isinstance(energy.network, kind)
    x, v = torch.randn(2, 4, *shape, generator=_generator(1), dtype=torch.float64)
    x.requires_grad_()
    e = energy(x)
    assert e.shape == (4,)
    (force,) = torch.autograd.grad(e.sum(), x, create_graph=True)
    (curved,) = torch.autograd.grad((force * v).sum(), x)
    h = 1e-4  # a kink anywhere within would show in the second difference, and curvature is zero between kinks
    second = (energy(x + h * v) + energy(x - h * v) - 2 * e) / h**2
    torch.testing.assert_close((curved * v).flatten(1).sum(1), second.detach(), rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("global_random_state_untouched")
def test_the_same_generator_gives_the_same_weights():
    x = torch.randn(5, 3, generator=_generator(1))
    assert torch.equal(_built()(x), _built()(x))


def test_a_lattice_energy_is_the_same_for_shifted_events_and_grows_with_the_lattice():
    x = torch.randn(3, 6, 8, generator=_generator(1), dtype=torch.float64)
    energy = _built("conv", (6, 8), periodic=True).double()
    torch.testing.assert_close(energy(x.roll((2, 3), (1, 2))), energy(x), rtol=1e-12, atol=1e-12)
    larger = LatticeEnergy((6, 16)).double()
    larger.load_state_dict(energy.network.state_dict())
    torch.testing.assert_close(larger(torch.cat([x, x], 2)), 2 * energy.network(x), rtol=1e-12, atol=1e-12)


def test_an_energy_with_edges_would_be_seen():
    """The twin: padded with zeros, the energy of a shifted event is another."""
    x = torch.randn(3, 6, 8, generator=_generator(1))
    energy = _built("conv", (6, 8), periodic=False)
    change = energy(x.roll((2, 3), (1, 2))) - energy(x)
    assert float(change.detach().abs().max()) > 1e-3


def test_the_confinement_outgrows_the_network_and_without_it_nothing_does():
    far = 1e4 * torch.nn.functional.normalize(torch.randn(200, 2, generator=_generator(1)), dim=1)
    energy = _built(shape=(2,), confinement=2.0)
    torch.testing.assert_close((energy(far) / (far.square().sum(1) / 8)).detach(), torch.ones(200), rtol=0.02, atol=0)
    free = _built(shape=(2,), confinement=None)
    assert float(free(far).detach().abs().max()) < 1e6  # linear


def test_ridges_start_with_all_sharpnesses_up_to_thirty_two():
    lengths = _built(shape=(2,)).network.first.weight.detach().norm(dim=1)
    assert 1 <= float(lengths.min()) < 1.5
    assert 24 < float(lengths.max()) <= 32


def test_networks_of_the_user_are_copied_and_must_give_one_energy():
    mine = nn.Linear(2, 1)
    energy = _built(mine, (2,))
    assert energy.network is not mine
    assert energy(torch.zeros(7, 2)).shape == (7,)
    assert _built(lambda shape: nn.Linear(shape[0], 1), (2,))(torch.zeros(7, 2)).shape == (7,)
    with pytest.raises(InputError, match="one energy per event"):
        _built(nn.Linear(2, 2), (2,))(torch.zeros(7, 2))


@pytest.mark.parametrize("spec", [(), (0,), ("a",)])
def test_widths_are_checked(spec):
    with pytest.raises(InputError, match="widths"):
        _built(spec)


def test_names_are_checked():
    with pytest.raises(UnknownNameError, match="conv"):
        _built("convv", (8, 8))
    with pytest.raises(UnknownNameError):
        _built(activation="relu")
    with pytest.raises(InputError, match="images"):
        _built("conv", (3,))


@pytest.mark.parametrize(("n_features", "sharpness", "largest"), [(2, "auto", 32.0), (3, "auto", 1.0), (6, 8, 8.0)])
def test_ridges_start_sharp_for_few_features_only(n_features, sharpness, largest):
    norms = _built((4000,), (n_features,), sharpness=sharpness).network.first.weight.detach().norm(dim=1)
    assert float(norms.max()) == pytest.approx(largest, rel=0.01)
    assert float(norms.min()) == pytest.approx(1.0, rel=0.01)
