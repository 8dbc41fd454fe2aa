"""What several trainings of one model report together: a record of their means, and the checks of each."""

from collections.abc import Mapping, Sequence

from reverie.training.callbacks import Callback
from reverie.training.loop import Record
from reverie.training.monitor import Check

__all__ = ["ReplicaChecks", "mean_record", "over_replicas"]

_BANDS = ("score", "coverage", "plausible")  # numbers of a check whose range over the replicas is drawn


def over_replicas(scalars: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each number over the replicas, and for several the ends of those that are drawn as bands."""
    if len(scalars) == 1:
        return dict(scalars[0])
    names = dict.fromkeys(name for one in scalars for name in one)  # a replica that was rolled back is checked later
    values = {name: [one[name] for one in scalars if name in one] for name in names}
    ends = {f"{name}_{end.__name__}": end(values[name]) for name in _BANDS if name in values for end in (min, max)}
    return {name: sum(numbers) / len(numbers) for name, numbers in values.items()} | ends


def mean_record(records: Sequence[Record]) -> Record:
    """Return one record of the means of several, with all alarms; of the least step where some were rolled back."""
    last = min(records, key=lambda record: record.step)
    alarms = tuple(alarm for record in records for alarm in record.alarms)
    means = over_replicas([record.scalars for record in records])
    return Record(last.step, max(record.seconds for record in records), means, alarms, last.window)


class ReplicaChecks(Callback):
    """Hands the checks of each replica on to callbacks, whose records are those of all of them.

    Attributes
    ----------
    is_over : whether one of them has ended the training.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks, self.is_over = callbacks, False

    def on_check(self, check: Check) -> bool:
        """Return whether training is to end."""
        self.is_over = any([callback.on_check(check) for callback in self._callbacks]) or self.is_over  # each is called
        return self.is_over
