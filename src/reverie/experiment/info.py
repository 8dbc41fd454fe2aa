"""What a run stands on: versions, device, threads; a self-test; and what may be wrong with an installation or machine.

Of an examination, a "fault" keeps reverie from working; a "note" is what works more slowly, or needs something
installed first.
"""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reverie.core.version import __version__
from reverie.data.formats.unpacked import cache_folder
from reverie.scale.executors import available_cores

__all__ = ["Examination", "environment", "examinations", "self_test", "versions"]

_LIBRARIES = (
    "torch", "numpy", "scipy", "scikit-learn", "safetensors", "pyarrow", "h5py", "uproot", "awkward", "pandas",
)  # fmt: skip
_LEAST_GB, _LEAST_CACHE_GB = 1.0, 0.5


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


@dataclass(frozen=True)
class Examination:
    """One thing that was looked at: its name, "ok", "note" or "fault", and a sentence with the remedy if any."""

    name: str
    state: Literal["ok", "note", "fault"]
    sentence: str


def examinations(*, with_test: bool = True) -> Iterator[Examination]:
    """Yield what is found, each as soon as it is known; the last one trains for two seconds."""
    yield from _packages()
    yield _threads()
    yield _compiler()
    yield _gpu()
    yield _data_folder()
    yield _writable("cache", cache_folder(), _LEAST_CACHE_GB, "Set REVERIE_CACHE to a folder that is.")
    yield _writable("folder", Path.cwd(), _LEAST_GB, "Go to another folder, or give --out.")
    if with_test:
        test = self_test()
        said = f"{test['steps']:,} steps of a small GAN, {test['steps_per_second']:,.0f} steps/s"
        if test["finite"]:
            yield Examination("training", "ok", f"{said}, losses and samples finite.")
        else:
            yield Examination("training", "fault", f"{said}, but not all finite. Reinstall torch for this machine.")


def _packages() -> Iterator[Examination]:
    """Compare what is installed with what reverie asks for."""
    from packaging.requirements import Requirement  # comes with matplotlib

    wrong, missing, n_right = [], {}, 0
    for text in importlib.metadata.requires("reverie") or ():
        wanted = Requirement(text)
        extra = text.partition("extra ==")[2].strip(" '\"")
        if extra in ("test", "docs") or wanted.name == "reverie":
            continue
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            if extra:
                missing.setdefault(extra, []).append(wanted.name)
            else:
                wrong.append(f"{wanted.name} is not installed")
            continue
        if wanted.specifier.contains(version, prereleases=True):
            n_right += 1
        else:
            wrong.append(f"{wanted.name} {version} is not {wanted.specifier}")
    versions = f"reverie {__version__}, Python {platform.python_version()}"
    if wrong:
        yield Examination("packages", "fault", f"{versions}; {'; '.join(wrong)}. Run: pip install --upgrade reverie")
    else:
        yield Examination("packages", "ok", f"{versions}, and {n_right} packages of the versions that it asks for.")
    if missing:
        said = "; ".join(f"{extra} ({', '.join(names)})" for extra, names in missing.items())
        yield Examination("extras", "note", f"Not installed: {said}. Add one by: pip install 'reverie[NAME]'")


def _threads() -> Examination:
    import torch

    cores, threads = available_cores(), torch.get_num_threads()
    said = f"{threads} thread{'s' * (threads != 1)} of torch on {cores} cores."
    if threads > cores:
        return Examination("threads", "note", f"{said} They wait for each other. Set OMP_NUM_THREADS={cores}")
    return Examination("threads", "ok", said)


def _compiler() -> Examination:
    """Look for what compiled training steps need: a C++ compiler that runs, and the headers of Python."""
    slower = "Training works without, more slowly: steps are not compiled."
    found = shutil.which(os.environ.get("CXX", "")) or shutil.which("g++") or shutil.which("clang++")
    if found is None:
        return Examination("compiler", "note", f"No C++ compiler. {slower} Install g++ or clang++.")
    try:
        done = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Examination("compiler", "note", f"{found} does not run ({type(error).__name__}). {slower}")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return Examination("compiler", "note", f"No header Python.h. {slower} Install the package python3-dev.")
    return Examination("compiler", "ok", f"{done.stdout.splitlines()[0]}, with the headers of Python.")


def _gpu() -> Examination:
    import torch

    if torch.cuda.is_available():
        try:
            value = float(torch.ones(2, device="cuda").sum())
        except RuntimeError as error:
            said = str(error).strip().splitlines()[0]
            return Examination("GPU", "fault", f"{torch.cuda.get_device_name()} is there but {said}. Use --device cpu.")
        state = "ok" if value == 2 else "fault"
        return Examination("GPU", state, f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}.")
    if shutil.which("nvidia-smi") is None:
        return Examination("GPU", "ok", "None; training runs on the processor.")
    built = f"torch {torch.__version__} does not see it"
    return Examination("GPU", "note", f"A driver of NVIDIA, but {built}. Install a build of torch with CUDA.")


def _data_folder() -> Examination:
    folder = os.environ.get("REVERIE_DATA")
    if not folder:
        return Examination("data", "ok", "REVERIE_DATA is not set; data sets are downloaded into the cache.")
    if not Path(folder).expanduser().is_dir():
        return Examination("data", "fault", f"REVERIE_DATA names {folder!r}, which is no folder. Correct or unset it.")
    return Examination("data", "ok", f"REVERIE_DATA names {folder!r}.")


def _writable(name: str, folder: Path, least_gb: float, remedy: str) -> Examination:
    """Write into a folder, or into the first parent that is there."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=place) as file:
            file.write(b"reverie")
            file.flush()
        free = shutil.disk_usage(place).free / 1e9
    except OSError as error:
        return Examination(name, "fault", f"{str(folder)!r} cannot be written ({error.strerror}). {remedy}")
    if free < least_gb:
        return Examination(name, "note", f"{str(folder)!r} has {free:.1f} GB left. Free some space.")
    return Examination(name, "ok", f"{str(folder)!r} can be written, {free:.0f} GB free.")
