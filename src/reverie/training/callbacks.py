"""A look at a training from outside: a logger, a metric or a stopping rule of the user's own.

    class Patience(reverie.training.Callback):
        def on_check(self, check):
            return check.scalars.get("held_out_loss", 0.0) > 5.0      # True ends training

    model.fit(X, callbacks=[Patience()])

Callbacks see what training reports and draw no random numbers of its own, so a training takes the same steps with and
without them, unless one ends it. They are not part of a saved state: give them again to a run that is resumed.
"""

from reverie.training.loop import Record
from reverie.training.monitor import Check

__all__ = ["Callback"]


class Callback:
    """What is called while a model trains; write those of the three methods that you need."""

    def on_record(self, record: Record) -> bool | None:
        """Look at the mean scalars and the alarms of a window of steps; return True to end training after it."""

    def on_check(self, check: Check) -> bool | None:
        """Look at a check of the model's health on held-out events; return True to end training after it.

        It has scalars and alarms, and says whether the state became the best so far; with replicas, one call for each.
        """

    def on_end(self, model: object) -> None:
        """Look at the model after training; it can be drawn from and saved."""
