"""The page on architectures tells the truth: its Python runs and its numbers of parameters are counted."""

import re
from pathlib import Path

import pytest
import torch

from reverie.networks import build_discriminator, build_generator

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "architectures.md").read_text(encoding="utf-8")
PAIRS = [
    ((64, 64), 16, (6,)),
    ("mlp", 16, (6,)),
    ("residual", 16, (6,)),
    ("thesis", 100, (3,)),
    ("thesis", 100, (2,)),
    ("lecture_mlp", 20, (28, 28)),
    ("dcgan", 128, (28, 28)),
    ("dcgan28", 100, (28, 28)),
    ("wgan_conv", 100, (28, 28)),
    ("lattice", 1028, (16, 16)),
]


def test_python_of_the_page_runs():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(block, "architectures.md", "exec"), names)


@pytest.mark.parametrize(("spec", "n_noise", "shape"), PAIRS)
def test_numbers_of_parameters_are_those_of_the_page(spec, n_noise, shape):
    source = torch.Generator().manual_seed(0)
    G = build_generator(spec, n_noise=n_noise, event_shape=shape, random_generator=source)
    D = build_discriminator(spec, event_shape=shape, random_generator=source)
    event = f"{shape[0]} columns" if len(shape) == 1 else f"{shape[0]} × {shape[1]}"
    name = f'"{spec}"' if isinstance(spec, str) else str(spec)
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{name}` | {n_noise} | {event}"))
    counts = [int(cell.split()[0].replace(",", "")) for cell in row.split("|")[4:6]]
    assert counts == [sum(weight.numel() for weight in network.parameters()) for network in (G, D)]
