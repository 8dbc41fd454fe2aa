"""Two processes train what one process trains, hold the same weights, and do not outlive each other in silence."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from torch import nn

from reverie.core.errors import InputError
from reverie.core.random import child_generator
from reverie.models.autoencoder.estimator import Autoencoder
from reverie.models.flow.estimator import Flow
from reverie.models.flow_matching.estimator import FlowMatching
from reverie.models.gan import training as games
from reverie.models.gan.estimator import GAN
from reverie.models.rbm.estimator import RBM
from reverie.models.vae.estimator import VAE
from reverie.networks.normalisation import SharedBatchNorm, share_batch_norm
from reverie.scale.distributed import Distributed, meeting_point, runtime_from_environment

N_STEPS = 3
COMMON = {"max_steps": N_STEPS, "n_checks": 0, "random_state": 0, "batch_size": 32, "n_threads": 1, "compile": False}
SMALL = {"generator": (16,), "discriminator": (16,)}


def events() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)


def images() -> np.ndarray:
    return np.random.default_rng(0).random((80, 8, 8)).astype(np.float32)


CASES = {
    "r1 every second step": lambda: (
        GAN(objective="non_saturating", penalty="r1", penalty_every=2, **SMALL, **COMMON),
        events(),
    ),
    "gradient penalty, two critics": lambda: (GAN(objective="wasserstein", n_critic=2, **SMALL, **COMMON), events()),
    "batch normalisation": lambda: (GAN(**{**COMMON, "batch_size": 16}), images()),
    "vae": lambda: (VAE(**COMMON), events()),
    "autoencoder": lambda: (Autoencoder(**COMMON), events()),
    "flow": lambda: (Flow(hidden=(16,), **COMMON), events()),
    "flow matching": lambda: (FlowMatching(width=16, **COMMON), events()),
}


def weights(model) -> torch.Tensor:
    networks = model._run.train_step
    found = [networks.G, networks.D] if hasattr(networks, "G") else networks.trained()
    return torch.cat([p.detach().flatten() for network in found for p in network.parameters()])


def train_in(rank: int, folder: str, size: int) -> None:
    torch.set_num_threads(1)
    with Distributed(rank, size, init_method=f"file://{folder}/meet", timeout=60) as runtime:
        found = {}
        for name, made in CASES.items():
            model, x = made()
            for _ in model.iter_fit(x, runtime=runtime):
                pass
            found[name] = weights(model)
        found["norm"], found["mean"] = normalised(runtime, rank), runtime.mean([torch.tensor([float(rank)]), None])[0]
        with pytest.raises(InputError, match="same data"):
            next(GAN(**SMALL, **COMMON).iter_fit(events() + rank, runtime=runtime))
        with pytest.raises(InputError, match="batch_size"):
            next(GAN(**SMALL, **{**COMMON, "batch_size": 33}).iter_fit(events(), runtime=runtime))
        with pytest.raises(InputError, match="RBM"):
            next(RBM().iter_fit((events() > 0).astype(int), runtime=runtime))
        torch.save(found, f"{folder}/{rank}.pt")


def norm_rows() -> torch.Tensor:
    return torch.randn(12, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def normed(layer: nn.Module, x: torch.Tensor, whole: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradient of a loss, and that of a penalty on the gradient, with respect to rows x."""
    x = x.clone().requires_grad_()
    loss = (layer(x).sin() * whole).sum()
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    (bent,) = torch.autograd.grad(slope.square().sum(), x)
    return slope.detach(), bent


def normalised(runtime: Distributed, rank: int) -> tuple[torch.Tensor, ...]:
    network = nn.Sequential(nn.BatchNorm1d(3)).double()
    share_batch_norm(network, runtime.differentiable_mean, runtime.world_size)
    assert isinstance(network[0], SharedBatchNorm)
    rows, factor = norm_rows(), torch.arange(1.0, 13, dtype=torch.float64)[:, None, None]
    return *normed(network, rows[rank::2], factor[rank::2]), network[0].running_var


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("ranks")
    other = mp.get_context("spawn").Process(target=train_in, args=(1, str(folder), 2))
    other.start()
    train_in(0, str(folder), 2)  # this process is the first
    other.join()
    assert other.exitcode == 0
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CASES))
def test_weights_are_the_same_on_all_ranks(ranks, name):
    assert torch.equal(ranks[0][name], ranks[1][name])
    assert ranks[0][name].isfinite().all()


@pytest.mark.slow
def test_means_and_normalisation_are_those_of_the_whole_batch(ranks):
    """Gradients of first and second order, and running variances. The twin: parts alone give other ones."""
    assert float(ranks[0]["mean"]) == float(ranks[1]["mean"]) == 0.5
    layer = nn.BatchNorm1d(3).double()
    factor = torch.arange(1.0, 13, dtype=torch.float64)[:, None, None]
    slope, bent = normed(layer, norm_rows(), factor)
    for rank in range(2):
        ours = ranks[rank]["norm"]
        torch.testing.assert_close(ours[0], slope[rank::2], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(ours[1], bent[rank::2], rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(ours[2], layer.running_var, rtol=1e-9, atol=1e-9)
        alone = normed(nn.BatchNorm1d(3).double(), norm_rows()[rank::2], factor[rank::2])
        assert not torch.allclose(alone[0], slope[rank::2], rtol=1e-3)


def noise_of_both(n: int, n_noise: int, *, prior: str, generator: torch.Generator) -> torch.Tensor:
    """Return the noise of both processes at a step, row by row in turn."""
    sources = [child_generator(0, "noise", noise_of_both.step, rank) for rank in range(2)]
    noise_of_both.step += 1
    return torch.stack([PLAIN(n // 2, n_noise, prior=prior, generator=g) for g in sources], dim=1).flatten(0, 1)


PLAIN = games.draw_noise


@pytest.mark.slow
@pytest.mark.parametrize("name", ["r1 every second step", "autoencoder", "flow"])
def test_two_processes_train_what_one_trains(ranks, name, monkeypatch):
    """To 1e-6, with the noise of both. The twin: half of each batch alone gives other weights."""
    noise_of_both.step = 0
    monkeypatch.setattr(games, "draw_noise", noise_of_both)
    model, x = CASES[name]()
    for _ in model.iter_fit(x):
        pass
    torch.testing.assert_close(weights(model), ranks[0][name], rtol=1e-5, atol=1e-6)
    monkeypatch.undo()
    half, x = CASES[name]()
    half.set_params(batch_size=16)
    for _ in half.iter_fit(x):
        pass
    assert float((weights(half) - ranks[0][name]).abs().max()) > 1e-4


def test_the_launcher_is_recognised():
    for environment in (
        {},
        {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "4"},  # no step of srun
    ):
        with runtime_from_environment("cpu", environment) as runtime:
            assert runtime is None


def launch(folder: Path, *arguments: str) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "reverie", *arguments]
    options = {"cwd": folder, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return [
        subprocess.Popen(command, env={**os.environ, **place, "RANK": str(r), "LOCAL_RANK": str(r)}, **options)
        for r in range(2)
    ]


RUN = ["fit", "gan", "events.npy", "--out", "run", "--max-steps", "3000", "--n-checks", "0", "--record-every", "20",
       "--quiet", "--refine", "false", "--checkpoint-every", "3s"]  # fmt: skip


@pytest.mark.slow
def test_a_killed_process_ends_the_job_with_a_sentence_and_the_run_goes_on(tmp_path):
    """Rank 1 is killed: rank 0 says so and leaves; the resumed run ends at the bits of an unbroken one."""
    np.save(tmp_path / "events.npy", events())
    first, second = launch(tmp_path, *RUN)
    wait_for(lambda: list((tmp_path / "run" / "checkpoints").glob("*")), first)
    second.send_signal(signal.SIGKILL)
    second.communicate()
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 1
    assert "process 0 of 2 waited for another" in said
    assert "resume" in said
    for process in launch(tmp_path, "resume", "run", "--quiet"):
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    whole = tmp_path / "whole"
    whole.mkdir()
    np.save(whole / "events.npy", events())
    for process in launch(whole, *RUN):
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    saved = [folder / "run" / "model" / "model.safetensors" for folder in (tmp_path, whole)]
    assert saved[0].read_bytes() == saved[1].read_bytes()


def wait_for(happens, process: subprocess.Popen, seconds: float = 120.0) -> None:
    began = time.monotonic()
    while not happens():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() - began < seconds, "waited too long"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("nodes", "n_nodes", "address"),
    [
        ("node[03-05,07]", "4", "node03"),
        ("a1,a2", "2", "a1"),
        ("gpu[1,4]-ib", "2", "gpu1-ib"),
        ("rack[1-2]node[03-04]", "2", "rack1node03"),
        ("node03", "1", "127.0.0.1"),
    ],
)
def test_processes_of_srun_meet_on_the_first_machine(nodes, n_nodes, address):
    assert meeting_point({"SLURM_STEP_NODELIST": nodes, "SLURM_STEP_NUM_NODES": n_nodes}) == address
