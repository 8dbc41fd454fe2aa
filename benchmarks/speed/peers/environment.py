"""The environment of the peers: made once, in a folder of its own, with pinned versions.

torch, numpy and what else fits are taken from the environment that the suite runs in, by a line in a `.pth` file, so
that both sides compute with the same torch and no second one is downloaded; the peers' own packages go before it.
A peer that cannot be installed is left out, and its rows say why.
"""

import hashlib
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import version
from pathlib import Path

__all__ = ["DEFAULT", "peers_python"]

DEFAULT = Path.home() / ".cache" / "reverie-benchmarks"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def peers_python(folder: Path) -> tuple[str | None, str]:
    """Return the interpreter of the peers' environment under `folder`, made if need be, and what went wrong, in words.

    Parameters
    ----------
    folder : where it is kept between runs; about 600 MB.
    """
    home = folder / f"peers-{sys.version_info.major}.{sys.version_info.minor}"
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp, wanted = home / "installed", _mark()
    if stamp.exists() and python.exists() and stamp.read_text().splitlines()[:1] == [wanted]:
        return str(python), "; ".join(stamp.read_text().splitlines()[1:])
    print(f"making the environment of the peers in {home} (once, some minutes) ...", file=sys.stderr, flush=True)
    try:
        venv.EnvBuilder(with_pip=True, clear=True).create(home)
        _borrow(python)
    except (OSError, subprocess.CalledProcessError) as error:
        return None, f"no environment for the peers: {error}"
    failed = _install(python, home / "constraints.txt")
    stamp.write_text("\n".join([wanted, *failed]))
    return str(python), "; ".join(failed)


def _mark() -> str:
    """Return a mark of the requirements and of the torch they are installed beside."""
    return hashlib.sha256((REQUIREMENTS.read_text() + version("torch") + sys.version).encode()).hexdigest()


def _borrow(python: Path) -> None:
    """Let the environment see our packages after its own."""
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([str(python), "-c", where], check=True, capture_output=True, text=True).stdout.strip()
    ours = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(found, "zz_borrowed.pth").write_text("\n".join(sorted(ours)) + "\n")


def _install(python: Path, constraints: Path) -> list[str]:
    """Install all requirements, or one by one if that fails; return a sentence for each that did not come."""
    constraints.write_text(f"torch=={version('torch')}\n")
    install = [str(python), "-m", "pip", "install", "--quiet", "-c", str(constraints)]
    lines = REQUIREMENTS.read_text().splitlines()
    wanted = [line for line in lines if line.strip() and not line.startswith("#")]
    if subprocess.run([*install, *wanted], check=False, capture_output=True).returncode == 0:
        return []
    failed = []
    for requirement in wanted:
        done = subprocess.run([*install, requirement], check=False, capture_output=True, text=True)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
            failed.append(f"{requirement} could not be installed: {said[-1].removeprefix('ERROR: ')}")
    return failed
