"""Job arrays: many tasks of one command that know nothing of each other, without any engine.

Task i of k does every k-th shard, counted from the i-th. Tasks may run at any time, on any machine that sees the
folder, and again after a failure: what is finished is not done twice.
"""

import re
import shlex
from collections.abc import Sequence

from reverie.core.errors import InputError

__all__ = ["array_script", "parse_task"]


def parse_task(text: str) -> tuple[int, int]:
    """Return (i, k) of "i/k", task i of k.

    Raises
    ------
    InputError
        Unless 1 <= i <= k.
    """
    found = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise InputError(f"Expected --shard I/K with 1 <= I <= K, got {text!r}. The third of twenty tasks is 3/20.")
    return int(found[1]), int(found[2])


def array_script(command: Sequence[str], n_tasks: int) -> str:
    """Return a script for `sbatch` that does `command` in an array of `n_tasks` tasks.

    Parameters
    ----------
    command : that does everything, without ``--shard``.
    n_tasks : of the array, one core each.
    """
    whole = shlex.join(command)
    return f"""#!/bin/bash
#SBATCH --job-name=reverie
#SBATCH --array=1-{n_tasks}
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=01:00:00
#SBATCH --output=%x-%A-%a.log
# job=$(sbatch --parsable THIS_FILE)
# sbatch --dependency=afterok:$job --cpus-per-task=1 --mem=2G --wrap {shlex.quote(whole)}
# The second job draws what is missing and puts everything together; or type its command when the array is done.
# A task that failed or ran out of time may be submitted again: it carries on with what is missing.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
{whole} --shard "$SLURM_ARRAY_TASK_ID/{n_tasks}" --quiet
"""
