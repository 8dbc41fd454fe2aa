"""Processes of a pool that do not outlive the one that started them."""

import multiprocessing
import os
import threading
from multiprocessing.connection import wait

__all__ = ["end_with_parent"]


def end_with_parent() -> None:
    """Let this process end as soon as its parent has ended, in whatever way; in the first process, do nothing.

    A pool tells its processes when there is no more work. One that is killed tells nobody, and they would wait for it
    for ever, with all their memory. To be called at the start of a process of `multiprocessing`.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="end_with_parent", daemon=True).start()
