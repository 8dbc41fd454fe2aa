"""Training on several processes with torch.distributed: the `Runtime` behind torchrun and srun.

    torchrun --nproc_per_node 2 -m reverie run gan events.parquet --out runs/x
    srun reverie run gan events.parquet --out runs/x

Processes are found by the variables that torchrun sets (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT), or by
those of a step of SLURM (SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID). They talk by gloo, with a CUDA device by
NCCL, one device per local process. A process that ends leaves the others waiting for it: they notice, within `timeout`
at the latest, and end with a sentence.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor

from reverie.core.errors import InputError, WorkerError

__all__ = ["Distributed", "meeting_point", "runtime_from_environment"]

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
_PORT, _PORTS = 20_000, 20_000


class Distributed:
    """A `reverie.core.protocols.Runtime` on torch.distributed.

    Parameters
    ----------
    rank, world_size : Number of this process, and how many there are.
    device : Device of training, which chooses gloo or NCCL.
    init_method : Address where the processes meet, as torch has it.
    timeout : Seconds that a process waits for another.
    """

    def __init__(
        self,
        rank: int,
        world_size: int,
        *,
        device: str | torch.device = "cpu",
        init_method: str = "env://",
        timeout: float = 300.0,
    ) -> None:
        self.rank, self.world_size = rank, world_size
        self._device = torch.device(device)
        backend = "nccl" if self._device.type == "cuda" else "gloo"
        place = {"init_method": init_method, "rank": rank, "world_size": world_size}
        self._talk(lambda: dist.init_process_group(backend, timeout=timedelta(seconds=timeout), **place))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the group of processes."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def mean(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return the mean over processes of each tensor, in one exchange; None stays None."""
        known = [x for x in tensors if x is not None]
        if not known:
            return list(tensors)
        flat = torch.cat([x.detach().reshape(-1).to(self._device) for x in known])
        self._talk(lambda: dist.all_reduce(flat))
        parts = iter(flat.div_(self.world_size).split([x.numel() for x in known]))
        return [None if x is None else next(parts).view(x.shape).to(x) for x in tensors]

    def differentiable_mean(self, x: Tensor) -> Tensor:
        """Return the mean of `x` over processes; gradients of any order run through it."""
        total: list[Tensor] = []
        self._talk(lambda: total.append(_Sum.apply(x)))
        return total[0] / self.world_size

    def _talk(self, exchange: Callable[[], object]) -> None:
        try:
            exchange()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise WorkerError(
                f"Training stopped: process {self.rank} of {self.world_size} waited for another that has ended "
                f"({reason}). Look at the output of the others; the last state is kept: carry on with the same "
                "launcher and 'reverie resume'."
            ) from None


class _Sum(torch.autograd.Function):
    """The sum of a tensor over processes, whose gradient is the sum of their gradients.

    `torch.distributed.nn` has it, but newer PyTorch gives that up for functions that are private to it.
    """

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return _Sum.apply(gradients[0])


def runtime_from_environment(
    device: str = "auto", environment: Mapping[str, str] | None = None, *, timeout: float = 300.0
) -> AbstractContextManager[Distributed | None]:
    """Return the runtime that torchrun or srun asks for, to be entered by `with`; entered, that of one process is None.

    Parameters
    ----------
    device : "auto", "cpu" or "cuda"; with CUDA every local process takes its own, and more processes than devices
        are an `InputError`.
    environment : Variables; those of the process by default.
    timeout : Seconds that a process waits for another.
    """
    environment = os.environ if environment is None else environment
    names = next((names for names in (_TORCHRUN, _SLURM) if all(name in environment for name in names)), None)
    if names is None:
        return nullcontext()
    rank, size, local = (int(environment[name]) for name in names)
    if size < 2:
        return nullcontext()
    os.environ.setdefault("MASTER_ADDR", meeting_point(environment))
    os.environ.setdefault("MASTER_PORT", str(_PORT + int(environment.get("SLURM_JOB_ID", "0")) % _PORTS))
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if on_gpu:
        local = 0 if torch.cuda.device_count() == 1 else local  # a scheduler may show each process its own device alone
        if local >= torch.cuda.device_count():
            raise InputError(
                f"Expected a CUDA device for each local process, got {torch.cuda.device_count()} for process {local}. "
                "Start fewer processes, or give --device cpu."
            )
        torch.cuda.set_device(local)
    return Distributed(rank, size, device="cuda" if on_gpu else "cpu", timeout=timeout)


def meeting_point(environment: Mapping[str, str]) -> str:
    """Return the machine on which srun starts the first process, where all meet: this one unless there are several.

    It is the first of a list such as ``node[03-05,07]`` or ``a1,a2``.
    """
    if int(environment.get("SLURM_STEP_NUM_NODES", environment.get("SLURM_NNODES", "1"))) < 2:
        return "127.0.0.1"
    nodes = environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_JOB_NODELIST", ""))
    first = re.match(r"(?:[^\[,]|\[[^\]]*\])*", nodes)
    host = re.sub(r"\[(\w+)[^\]]*\]", r"\1", first.group() if first else "")
    return host or "127.0.0.1"
