"""The table of a network: every layer once, in order, with the numbers of Keras for the thesis's generator."""

import torch
from torch import nn

from reverie.networks import build_generator, summary
from reverie.networks.replicas import Stacked


def test_the_table_of_the_thesis_is_that_of_its_figure():
    generator = torch.Generator().manual_seed(0)
    network = build_generator("thesis", n_noise=100, event_shape=(3,), random_generator=generator).train()
    table = summary(network, torch.zeros(2, 100))
    counts = [row.n_parameters + row.n_buffers for row in table.rows if row.n_parameters]
    assert counts == [20_200, 800, 2_304, 512, 73_728, 256, 18_432, 128, 4_608, 64, 4_803]  # figure 3.7
    assert (table.n_parameters, table.n_buffers) == (124_955, 880)
    assert "125,835 in all, 124,955 trained, 880 not trained" in str(table)
    assert network.training


def test_a_layer_that_is_called_twice_counts_once():
    layer = nn.Linear(3, 3)
    table = summary(nn.Sequential(layer, nn.ReLU(), layer), torch.zeros(1, 3))
    assert [row.n_parameters for row in table.rows] == [12, 0, 0]
    assert table.n_parameters == 12
    assert [row.shape for row in table.rows] == [(1, 3)] * 3


def test_stacked_networks_that_take_turns_count_with_all_their_numbers():
    """Those of a single convolution 1 -> 2 of kernel 3 are 20; while its turn lasts, a stack holds these alone."""
    table = summary(Stacked([nn.Conv2d(1, 2, 3) for _ in range(3)]), torch.zeros(3, 1, 5, 5))
    assert sum(row.n_parameters for row in table.rows) == table.n_parameters == 60
