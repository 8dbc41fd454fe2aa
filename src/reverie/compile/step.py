"""A step as one compiled computation: the same numbers, without the price of many small calls.

The networks of physics are small. A step of a perceptron game is some two hundred calls of torch, whose own work is
half of what the step takes; compiled, it is one call and the matrix products. `Compiled` wraps a function

    fn(inputs, generator) -> outputs          nested tuples and dictionaries of tensors, and of numbers among the inputs

that may read and change other tensors in place (weights, moments of the optimiser, chains), and calls it as it is, or
compiled. Before the first compiled call

    1. the function runs once; tensors from outside that it touches are copied at first sight, and what it
       draws from the generator is listed: sizes and order
    2. it runs again, put back to the start and watched by `make_fx`, on the numbers drawn before: one flat graph,
       both players, gradients of gradients and optimisers included
    3. the graph is compiled for this machine by TorchInductor, for a GPU also captured as a CUDA graph
    4. the compiled step is taken from the start, and must agree with the plain one in every number that it returns and
       in the change of every tensor (`reverie.compile.agreement`)
    5. all is put back to the start

Random numbers are drawn outside the graph, in the listed order, from the same generator: both ways take the same
trajectory, up to rounding. Nothing of this depends on a clock, so a resumed run goes the way of the unbroken one.

What cannot be compiled runs as it is: where a size or a branch depends on values, where numbers are drawn with
probabilities that change or without the generator, where there is no C++ compiler, where step 4 fails, and where the
installed PyTorch has moved the private names that `capture` and `inductor` import. `reason` says which, models say it
in `compiled_`, a run in its log, status and report, and mode True warns. A function that binds new tensors to
attributes instead of changing the old ones breaks the contract.

A compilation takes seconds. With mode "auto" it is spent where it is repaid, by the number of operations in the graph
and of calls to come (`is_repaid`); torch keeps its result on disk for the next run of the same configuration.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import torch

from reverie.core.errors import InputError

if TYPE_CHECKING:
    from reverie.compile.inductor import CompiledGraph

Inputs = TypeVar("Inputs")  # nested tuples and dictionaries of tensors and numbers
Outputs = TypeVar("Outputs")

__all__ = ["LEAST_CALLS", "Compiled", "check_compile", "declined", "is_repaid", "outcome", "take_up", "warn_plain"]


LEAST_CALLS = 2000  # below it not even the graph is made
_SAVED_PER_OPERATION = 3e-6  # seconds that a call saves for each operation of its graph; measured on two cores, rounded
_FIXED, _PER_OPERATION = 6.0, 0.015  # seconds that a compilation takes, whatever the graph, and for each operation


def is_repaid(n_operations: int, n_calls: int) -> bool:
    """Return whether `n_calls` calls of a graph of `n_operations` save more than its compilation takes."""
    return n_calls * n_operations * _SAVED_PER_OPERATION > _FIXED + n_operations * _PER_OPERATION


def check_compile(mode: object) -> None:
    """Raise `InputError` unless `mode` is True, False or "auto"."""
    if mode not in (True, False, "auto"):
        raise InputError(f"Expected compile to be True, False or 'auto', got {mode!r}. Use 'auto'.")


def outcome(steps: Iterable["Compiled"]) -> str:
    """Return how the steps of a training were taken so far: "compiled", or "not compiled: " and the reasons."""
    taken = [step for step in steps if step.is_begun]
    reasons = list(dict.fromkeys(step.reason for step in taken if step.reason))
    if not taken or not reasons:
        return "compiled" if taken else "not compiled: no step was taken"
    some = "compiled in part; others not" if len(reasons) < len({step.reason for step in taken}) else "not compiled"
    return f"{some}: {'; '.join(reasons)}"


def warn_plain(reason: str) -> None:
    """Warn that steps which were asked to be compiled are not, and why."""
    warnings.warn(
        f"Expected steps that can be compiled (compile=True), got: {reason}. They run as they are: the numbers are the "
        "same up to rounding, and come slower. compile='auto' does so without this warning.",
        UserWarning,
        stacklevel=2,
    )


def declined(steps: Iterable["Compiled"]) -> list[str]:
    """Return why each of the steps is plain, "" for those that are not; part of the state of a training."""
    return [step.reason for step in steps]


def take_up(steps: Iterable["Compiled"], reasons: Sequence[str]) -> None:
    """Let steps that were plain before an interruption be plain after it, so that the same bits come out."""
    for step, reason in zip(steps, reasons, strict=False):
        if reason:
            step.decline(reason)


class Compiled(Generic[Inputs, Outputs]):
    """A function of tensors and a generator, compiled where that is possible and worth it.

    Parameters
    ----------
    fn : (inputs, generator) -> outputs. It draws only from `generator`, and changes outer tensors in place.
    mode : True compiles, False does not, "auto" does where `n_calls` calls repay it.
    n_calls : calls of the whole run, those before an interruption included.
    remainders : tensors that rounding alone changes, shared by the forms of one step; see
        `reverie.compile.agreement`. None where there is one form.

    Attributes
    ----------
    reason : why calls are plain, or "" for compiled ones and before the first call.
    is_begun : whether there was a call.
    """

    def __init__(
        self,
        fn: Callable[[Inputs, torch.Generator], Outputs],
        *,
        mode: object = "auto",
        n_calls: int = 0,
        remainders: set[int] | None = None,
    ) -> None:
        self._fn, self._mode, self._n_calls = fn, mode, n_calls
        self._remainders = set() if remainders is None else remainders
        self._graph: CompiledGraph[Inputs, Outputs] | None = None
        self.reason = "not asked for" if mode is False else ""
        if mode == "auto" and n_calls < LEAST_CALLS:
            self.reason = "a short run"
        self.is_begun = False

    def __call__(self, inputs: Inputs, generator: torch.Generator) -> Outputs:
        """Return fn(inputs, generator)."""
        if not self.is_begun:
            self.is_begun = True
            if not self.reason:
                self._graph = self._compiled(inputs, generator)
            if self._mode is True and self.reason:
                warn_plain(self.reason)
        return self._fn(inputs, generator) if self._graph is None else self._graph(inputs, generator)

    def decline(self, reason: str) -> None:
        """Run as it is from now on."""
        self._graph, self.reason = None, self.reason or reason

    def __getstate__(self) -> dict[str, object]:
        # machine code is neither copied nor stored, nor where tensors lie
        return {**self.__dict__, "_graph": None, "is_begun": False, "_remainders": set()}

    @property
    def is_compiled(self) -> bool:
        """Whether calls are compiled; False before the first one."""
        return self._graph is not None

    def _compiled(self, inputs: Inputs, generator: torch.Generator) -> "CompiledGraph[Inputs, Outputs] | None":
        """Return the compiled function, or None with the reason; every tensor is left as it was."""
        try:
            from reverie.compile.capture import TracedStep, UnsuitableError
        except (ImportError, AttributeError) as error:
            self.reason = f"torch {torch.__version__} lacks what compilation needs ({error})"
            return None
        start = generator.get_state()
        traced = TracedStep(self._fn, inputs, generator, self._remainders)
        try:
            traced.record()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the compiler about itself
                graph = traced.graph()
                n_operations = sum(node.op == "call_function" for node in graph.graph.nodes)
                if self._mode == "auto" and not is_repaid(n_operations, self._n_calls):
                    raise UnsuitableError(
                        f"{self._n_calls} steps of {n_operations} operations do not repay compilation"
                    )
                return traced.compiled(graph)
        except UnsuitableError as error:
            self.reason = str(error)
        except Exception as error:  # whatever a compiler meets, training goes on
            self.reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
        finally:
            traced.put_back()
            generator.set_state(start)
        return None
