"""Standard output and standard error that may be closed, full or read by nobody while a command goes on.

What a long run prints is less than what it makes. So a stream that cannot be written to any more is given up, and the
command goes on: `head` has seen enough, a terminal was closed, the disk behind a log is full. Why standard output was
given up is kept, for who ends the command. A warning of Python is one sentence there, without a line of code.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["LenientStream", "lenient_streams", "print_note"]


class LenientStream(io.TextIOBase):
    """A text stream whose failures are kept in `error` instead of being raised; other attributes are those of `inner`.

    Of a closed stream, for which Python has None, all is taken and nothing kept.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.error: Exception | None = None if inner is not None else OSError("closed")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    # pyrefly: ignore[bad-override] - an attribute of the parent, and nobody sets it
    def encoding(self) -> str:
        """Encoding of the stream."""
        return getattr(self.inner, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Tell whether a person looks at the stream."""
        return self.error is None and self.inner.isatty()

    def fileno(self) -> int:
        """Return the number of the file behind the stream."""
        if self.inner is None:
            raise io.UnsupportedOperation("fileno")
        return self.inner.fileno()

    def write(self, text: str) -> int:
        """Write `text`, letters that the encoding lacks as question marks; nothing once the stream has failed."""
        if self.error is None:
            try:
                self.inner.write(text)
            except UnicodeEncodeError:
                return self.write(text.encode(self.encoding, "replace").decode(self.encoding))
            except (OSError, ValueError) as error:  # a ValueError of a stream that was closed
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Write out what is kept back."""
        if self.error is None:
            try:
                self.inner.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Remember why, and let what is kept back, which Python writes at its end, go nowhere."""
        self.error = error
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.inner.fileno())
            os.close(nowhere)


@contextmanager
def lenient_streams() -> Iterator[tuple[LenientStream, LenientStream]]:
    """Let `sys.stdout` and `sys.stderr` be lenient in the block; yield both.

    The numbers 0, 1 and 2 of closed streams are taken, else the next file that is opened would have one of them, and
    be written to by whoever prints.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - the lowest number that is free
    before = sys.stdout, sys.stderr
    both = LenientStream(sys.stdout), LenientStream(sys.stderr)
    sys.stdout, sys.stderr = both
    try:
        yield both
    finally:
        for stream in both:
            stream.flush()
        sys.stdout, sys.stderr = before


def print_note(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning as one line, `note: ...`, on standard error; made to stand in for `warnings.showwarning`."""
    with suppress(OSError, ValueError):
        print(f"note: {' '.join(str(message).split())}", file=sys.stderr, flush=True)
