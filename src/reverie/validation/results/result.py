"""The result of a validation: its verdict in words, its table, and its way to JSON and back."""

import math
from dataclasses import dataclass
from typing import Any

from reverie.core.errors import InputError
from reverie.validation.results.evidence import Evidence
from reverie.validation.results.sentences import full_text, verdict
from reverie.validation.results.serialisation import from_plain, to_plain

__all__ = ["ValidationResult"]


@dataclass(frozen=True)
class ValidationResult(Evidence):
    """The verdict on a generated sample; its fields are those of `Evidence`."""

    @property
    def verdict(self) -> str:
        """A few sentences: the answer, the number behind it, what it means for an analysis, and what is wrong."""
        return verdict(self)

    @property
    def references(self) -> list[str]:
        """Citation keys of the methods used, for `reverie.validation.REFERENCES`."""
        keys = {check.reference for check in self.checks} | {"phipson2010", "westfall1993", "benjamini1995", "holm1979"}
        keys |= {"rabin2012"} if "bonneel2015" in keys else set()
        keys |= {"lopezpaz2017", "mann1947", "delong1988"} if self.classifiers else set()
        keys |= {"clopper1934"} if self.constraints or self.memorisation is not None else set()
        keys |= {"meehan2020"} if self.memorisation is not None else set()
        keys |= {"das2023", "platt1999"} if self.located is not None else set()
        keys |= {"puri1971"} if "hotelling1931" in keys else set()
        keys |= {"wolff2004"} if self.chains.is_chain else set()
        return sorted(keys)

    def __str__(self) -> str:
        return full_text(self)

    def table(self) -> list[dict[str, Any]]:
        """Return one row per check, the classifiers last.

        The keys are statistic, feature, value, error, noise_low, noise_high, real_vs_real, p_value, p_adjusted,
        q_value, detectable, distinguishes, detail.
        """
        return [check.row() for check in self.checks] + [one.row(self.alpha) for one in self.classifiers]

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, numbers and strings; what is not finite becomes None."""
        more = {
            "verdict": self.verdict,
            "distinguishes": self.distinguishes,
            "auc": self.auc,
            "n_distinguish_is_lower_bound": self.n_distinguish == math.inf,
            "references": self.references,
        }
        return to_plain(self) | to_plain(more)

    @classmethod
    def from_json(cls, content: dict[str, Any], *, file: str = "validation.json") -> "ValidationResult":
        """Return the result that `to_json` wrote; the error names the `file`.

        Raises
        ------
        InputError
            When keys are missing or unknown.
        """
        try:
            kept = dict(content)
            if kept.get("n_distinguish_is_lower_bound"):
                kept["n_distinguish"] = math.inf
            if kept.get("n_distinguish") is not None and kept.get("n_distinguish_high") is None:
                kept["n_distinguish_high"] = math.inf
            return from_plain(cls, kept)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            said = str(error).rstrip(".")
            raise InputError(
                f"Expected a validation in {file}, got something else ({said}). Make it anew: reverie validate RUN"
            ) from None
