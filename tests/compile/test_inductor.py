"""Machine code of a graph: numbers computed once, a second try after a broken cache."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from reverie.compile.inductor import parts_apart

TWICE = """
import sys, torch
from reverie.compile.step import Compiled

weight = torch.ones(500)

def step(inputs, generator):
    weight.mul_(inputs["rate"]).add_(torch.randn(500, generator=generator))
    return weight.sum()

compiled = Compiled(step, mode=True)
compiled({"rate": 0.5}, torch.Generator().manual_seed(0))
sys.exit(compiled.reason or 0)
"""


def corrected(weight: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return weight / (1 - 0.9 ** (t + 1))


def test_a_number_is_computed_once_and_not_for_every_weight():
    weight, t = torch.randn(100), torch.tensor(3.0)
    graph = parts_apart(make_fx(corrected)(weight, t))
    apart = [node for node in graph.graph.nodes if node.target is torch.ops.aten.as_strided.default]
    assert [node.args[0].meta["val"].numel() for node in apart] == [1]
    assert all(user.meta["val"].numel() == 100 for user in apart[0].users)
    torch.testing.assert_close(graph(weight, t), corrected(weight, t))


@pytest.mark.slow
def test_half_a_file_in_the_cache_does_not_stop_compilation(tmp_path, monkeypatch):
    """As a machine leaves it that stops while it compiles."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, check=False)

    assert run().returncode == 0
    libraries = list(Path(tmp_path).rglob("*.so"))
    assert libraries
    for library in libraries:
        library.write_bytes(b"")
    again = run()
    assert again.returncode == 0, again.stderr
