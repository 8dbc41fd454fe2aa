"""What a run stands on: versions, device, threads; and a self-test that is bounded by time."""

import importlib.metadata
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from reverie.core.version import __version__
from reverie.scale.executors import available_cores

__all__ = ["environment", "self_test", "versions"]

_LIBRARIES = (
    "torch", "numpy", "scipy", "scikit-learn", "safetensors", "pyarrow", "h5py", "uproot", "awkward", "pandas",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of reverie, Python and the libraries that are installed."""
    installed = {"python": platform.python_version(), "reverie": __version__}
    for name in _LIBRARIES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed[name] = "not installed"
    return installed


def environment(*, device: str = "") -> dict[str, Any]:
    """Return what a run folder records of the machine; `device` is the one that trained."""
    import torch

    commit = _ask_git("rev-parse", "HEAD")
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "processor": _processor(),
        "n_cores": available_cores(),
        "torch_threads": torch.get_num_threads(),
        "devices": ["cpu", *(f"cuda:{k} {torch.cuda.get_device_name(k)}" for k in range(torch.cuda.device_count()))],
        "device": device,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "git": None if commit is None else {"commit": commit, "changed_files": bool(_ask_git("status", "--porcelain"))},
    }


def self_test(seconds: float = 2.0) -> dict[str, Any]:
    """Train a small GAN on the ring for about `seconds`, look whether all is finite, and write to the disk.

    The time counts from the end of the imports, with all that comes before the first step, and at least one step is
    taken. Nothing is compiled, which may take minutes on a busy machine.

    Returns
    -------
    dict with "steps" taken in "seconds" of wall time and "processor_seconds", their quotient "steps_per_second",
    "finite", "can_write" and "free_gb".
    """
    import numpy as np

    from reverie.data import load
    from reverie.models import GAN

    began, processor = time.monotonic(), time.process_time()
    model = GAN(max_steps=10**6, record_every=10**6, n_checks=0, compile=False, random_state=0)
    (last,) = model.iter_fit(load("ring"), stop=lambda: time.monotonic() - began >= seconds)
    finite = all(np.isfinite(v) for v in last.scalars.values())
    finite = finite and bool(np.isfinite(np.concatenate(list(model.iter_sample(100, random_state=0)))).all())
    content = b"reverie" * 1000
    try:
        with tempfile.TemporaryDirectory(dir=".") as folder:
            path = Path(folder) / "self-test"
            can_write = path.write_bytes(content) > 0 and path.read_bytes() == content
    except OSError:
        can_write = False
    return {
        "steps": last.step,
        "seconds": round(time.monotonic() - began, 2),
        "processor_seconds": round(time.process_time() - processor, 2),
        "steps_per_second": round(last.step / max(last.seconds, 1e-9), 1),
        "finite": finite,
        "can_write": can_write,
        "free_gb": round(shutil.disk_usage(".").free / 1e9, 1),
    }


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _ask_git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
