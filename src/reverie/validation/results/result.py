"""The result of a validation: all its numbers, its verdict in words, its table, and its way to JSON and back."""

import math
from dataclasses import dataclass, field

from reverie.core.errors import InputError
from reverie.core.html import card, folded, listed, table
from reverie.validation.classifiers.regions import Located
from reverie.validation.inputs.chains import ChainReport
from reverie.validation.inputs.large_samples import Streamed
from reverie.validation.permutation.multiple_testing import bonferroni_factors, global_p
from reverie.validation.power.biases import Bias
from reverie.validation.power.events_needed import EventsNeeded, detectable_auc
from reverie.validation.results.findings import Finding
from reverie.validation.results.serialisation import from_plain, to_plain
from reverie.validation.results.tests import ClassifierResult, Row, TestResult, p_text, strongest
from reverie.validation.statistics.constraints import ConstraintResult
from reverie.validation.statistics.memorisation import MemorisationResult
from reverie.validation.statistics.observables import ObservableMeans
from reverie.validation.statistics.occupancy import Occupancy

__all__ = ["UNLIKE", "ValidationResult"]

UNLIKE = 0.001  # p-value of the classifier between two real samples below which they are said to differ
_MOST_FINDINGS = 3  # in the verdict
_MOST_TESTS = 6  # that a card shows without a click


@dataclass(frozen=True)
class ValidationResult:
    """What the tests of a generated sample gave.

    Parameters
    ----------
    p_value : The global p-value, over all statistics, classifiers and constraints.
    battery_p : The p-value of the statistics alone (min-P over shared permutations).
    checks : The results of the statistics, one per statistic and feature.
    classifiers : The results of the classifiers.
    n_distinguish : events per class at which the best of all tests rejects at 5 % with 80 % power
        (`reverie.validation.power.events_needed`); inf when the global test does not tell the samples apart, or they
        are too close for an estimate; None when no test has such a number.
    n_distinguish_low, n_distinguish_high : its 95 % interval for all tests at once; when n_distinguish is inf, the
        95 % lower limit and inf.
    n_distinguish_test, n_distinguish_of : the test with this number, and of how many it is the smallest; "" and 0 in
        results of older versions, where the numbers are those of the classifier within one standard error.
    needs : the same number of the strongest tests, the fewest events first.
    biases : Biases of mean, width and tails of each column and observable, beside the statistical error of an analysis.
    findings : what is wrong, in sentences, the plainest first.
    constraints : hard constraints that were given, or that some event breaks.
    regions : occupancy of the bins; None if unknown.
    observables : means of the observables in both samples.
    memorisation : whether training events were copied; None without training events.
    located : The place where the strongest classifier finds its evidence; None if it finds none.
    chains : whether rows depend on their neighbours.
    sizes : n_real, n_generated, n_calibration (used); given_... (before cuts, of large samples the part); n_features.
    streamed : what one pass over all rows of large samples found; None where the tests could draw from all rows.
    left_out : tests that did not run, for want of time or since they would not end with so many rows.
    alpha : the level of the verdict.
    warnings : what to keep in mind, in sentences.
    settings : every option that was in force.
    """

    p_value: float
    battery_p: float
    checks: tuple[TestResult, ...]
    classifiers: tuple[ClassifierResult, ...]
    n_distinguish: float | None
    n_distinguish_low: float | None
    n_distinguish_high: float | None
    sizes: dict[str, int]
    seed: int
    n_permutations: int
    findings: tuple[Finding, ...] = ()
    constraints: tuple[ConstraintResult, ...] = ()
    regions: Occupancy | None = None
    observables: tuple[ObservableMeans, ...] = ()
    memorisation: MemorisationResult | None = None
    located: Located | None = None
    chains: ChainReport = ChainReport()
    streamed: Streamed | None = None
    n_distinguish_test: str = ""
    n_distinguish_of: int = 0
    needs: tuple[EventsNeeded, ...] = ()
    biases: tuple[Bias, ...] = ()
    left_out: tuple[str, ...] = ()
    alpha: float = 0.05
    warnings: tuple[str, ...] = ()
    settings: dict[str, object] = field(default_factory=dict)
    version: str = ""

    @property
    def auc(self) -> ClassifierResult | None:
        """The classifier with the smallest p-value, of several with equal ones that of largest AUC; None without."""
        return strongest(self.classifiers)

    @property
    def distinguishes(self) -> bool:
        """Whether the generated sample can be told from the real one at level `alpha`."""
        return self.p_value <= self.alpha

    @property
    def answer(self) -> str:
        """The first sentences of the verdict: the answer, the numbers behind it, and what it means for an analysis."""
        first = "No test tells the generated sample from the real one at this size"
        first = "The generated sample can be told from the real one" if self.distinguishes else first
        classifier = ""
        if self.auc is not None:
            is_alone = math.isnan(self.auc.real_vs_real)
            beside = "" if is_alone else f" where real against real gives {self.auc.measured_real}"
            classifier = f", classifier AUC {str(self.auc.measured).split(' (n =')[0]}{beside}"
        parts = [f"{first}: global p {p_text(self.p_value)} ({_source(self)}){classifier}.", _events_and_bias(self)]
        return " ".join(part for part in parts if part)

    @property
    def verdict(self) -> str:
        """A few sentences: the answer, the numbers behind it, what it means for an analysis, and what is wrong."""
        parts = [self.answer]
        if self.distinguishes:  # the first finding of each kind
            kinds = {finding.kind: str(finding) for finding in reversed(self.findings)}
            parts += [kinds[kind] for kind in dict.fromkeys(finding.kind for finding in self.findings)][:_MOST_FINDINGS]
        if self.memorisation is not None and self.memorisation.memorised:
            parts.append(self.memorisation.verdict)
        return " ".join(parts)

    def summary(self) -> str:
        """Return the answer, and a line each for the three strongest findings and for known training events."""
        lines = [self.answer, *[f"  {finding}" for finding in self.findings[:3]]]
        if self.memorisation is not None and self.memorisation.memorised:
            lines.append(f"  {self.memorisation.verdict}")
        return "\n".join(lines)

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
        """Return the verdict, a sentence for each group of checks, sizes and seed, and the warnings."""
        lines = [self.verdict]
        if self.findings:
            lines += ["", "What was seen:", *[f"  {finding}" for finding in self.findings]]
        lines.append("")
        for name in dict.fromkeys(check.name for check in self.checks if check.feature is not None):
            group = [check for check in self.checks if check.name == name]
            seen = sorted((check for check in group if check.distinguishes), key=lambda check: -check.value)
            number = f"{len(seen)} of {len(group)} told apart at {self.alpha:.0%}"
            lines.append(f"{name} by feature: {number}, corrected for their number.")
            lines += [*[f"  {check}" for check in seen[:5]], *(["  ..."] if len(seen) > 5 else [])]
        lines += [str(check) for check in self.checks if check.feature is None]
        lines.append(f"All statistics together: p {p_text(self.battery_p)} (min-P over shared permutations).")
        lines += [*map(str, self.classifiers), *_power_lines(self)]
        lines += [] if self.located is None else [self.located.sentence]
        lines += [*map(str, self.constraints), *map(str, self.observables)]
        if self.classifiers:
            lines.append(
                "The global p is the smallest of this p and those of the classifiers, each times its factor: "
                "Bonferroni's rule, by which all statistics together have the weight of four classifiers."
            )
        if self.memorisation is not None:
            lines += ["", "Training events:", *[f"  {line}" for line in str(self.memorisation).splitlines()]]
        if self.streamed is not None:
            lines += ["", *str(self.streamed).splitlines()]
        sizes = self.sizes
        lines += [
            "",
            f"Sizes: {sizes['n_real']:,} real (reference), {sizes['n_generated']:,} generated, "
            f"{sizes['n_calibration']:,} real (calibration), {sizes['n_features']:,} features. Seed {self.seed}.",
            *[f"Note: {warning}" for warning in self.warnings],
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the verdict, what was seen, and the tests, those of least p-value first."""
        right = ("value", "chance", "real against real", "p")
        rows = []
        for row in sorted(self.table(), key=lambda row: (row["p_adjusted"], row["p_value"])):
            band = ("noise_low", "noise_high")
            chance = " to ".join(f"{row[key]:.3g}" for key in band if row[key] is not None)
            numbers = ["" if row[key] is None else f"{row[key]:.3g}" for key in ("value", "real_vs_real")]
            p = p_text(row["p_adjusted"]).removeprefix("= ")
            rows.append([row["statistic"], row["feature"] or "all", numbers[0], chance, numbers[1], p])
        head = ("test", "of", *right)
        return card(
            "Told apart." if self.distinguishes else "Not told apart.",
            self.verdict,
            table(head, rows[:_MOST_TESTS], right=right),
            folded(f"{len(rows) - _MOST_TESTS} tests more", table(head, rows[_MOST_TESTS:], right=right)),
            folded("Notes", listed(self.warnings)),
            tone="bad" if self.distinguishes else "good",
        )

    def table(self) -> list[Row]:
        """Return one row per check, the classifiers last.

        The keys are statistic, feature, value, error, noise_low, noise_high, real_vs_real, p_value, p_adjusted,
        q_value, detectable, distinguishes, detail.
        """
        return [check.row() for check in self.checks] + [one.row(self.alpha) for one in self.classifiers]

    def to_json(self) -> dict[str, object]:
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
    def from_json(cls, content: dict[str, object], *, file: str = "validation.json") -> "ValidationResult":
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


def _source(result: ValidationResult) -> str:
    """Return which test the global p-value comes from: only the battery's is one of permutations."""
    permuted = f"min-P of the battery over {result.n_permutations:,} permutations"
    in_blocks = result.chains.block > 1 or bool(result.settings.get("weighted"))
    ranks = "permutations of the AUC" if in_blocks else "Mann-Whitney test of the scores"
    sources = [permuted, *(f"{ranks} of the classifier ({one.learner})" for one in result.classifiers)]
    p, first, factor = global_p(result.battery_p, [one.p_value for one in result.classifiers])
    if not math.isclose(result.p_value, p, rel_tol=1e-6):
        return "the smallest of several tests, corrected for their number"  # of an older version
    return sources[first] if factor == 1 else f"{sources[first]}, times {factor:g} after Bonferroni"


def _events_and_bias(result: ValidationResult) -> str:
    """Return how many events show the difference, and how many make a bias matter."""
    n, low, high = result.n_distinguish, result.n_distinguish_low or 0.0, result.n_distinguish_high
    if result.auc is not None and result.auc.real_vs_real_p < UNLIKE:
        return "The two real samples differ from each other (see the notes), so this says little about the generator."
    if n is None:
        return ""
    if not result.n_distinguish_test:  # of an older version
        about = f"more than N = {_count(low)}" if n == math.inf else f"about N = {_count(n)}"
        return f"This classifier needs {about} events per class for 80 % power; a better test may need fewer."
    of = f"{result.n_distinguish_of} tests"
    if n == math.inf and result.distinguishes:
        text = f"The difference is too close to chance to say how many events the best of {of} needs: more than "
        text += f"N = {_count(low)} per class for 80 % power (95 % limit)"
    elif n == math.inf:
        text = f"Each of {of} would need more than N = {_count(low)} events per class to see a difference with "
        text += "80 % power (95 % limit)"
    else:
        text = f"The strongest of {of} ({result.n_distinguish_test}) tells them apart at 5 % with 80 % power from "
        text += f"N = {_count(n)} events per class (95 % interval: {_count(low)} to {_count(high or math.inf)})"
    text += ", a better test may need fewer"
    seen = [one for one in result.biases if one.events is not None]
    if seen:
        one = min(seen, key=lambda one: one.events or math.inf)
        text += f", and the {one.quantity} of {one.column} {'are' if one.quantity == 'tails' else 'is'} off by the "
        text += f"statistical error of an analysis of N = {_count(one.events or 0)} events "
        text += f"({_count(one.low)} to {_count(one.high or math.inf)})"
    elif result.biases:
        n_seen = result.sizes.get("n_one_by_one")
        of_which = "" if n_seen is None else f" of the {n_seen} features looked at one by one"
        text += f", and no mean, width or tail{of_which} is off by the statistical error of an analysis of "
        text += f"N = {_count(min(one.low for one in result.biases))} events (95 %)"
    return f"{text}."


def _power_lines(result: ValidationResult) -> list[str]:
    """Return what would be seen at this size, so that "not told apart" means something, and the events needed."""
    lines, best = [], result.auc
    if best is not None:
        sizes = best.n_effective or (best.n_test / 2, best.n_test / 2)  # results of older versions lack them
        level = result.alpha / float(bonferroni_factors(len(result.classifiers))[1])
        seen = detectable_auc(*sizes, alpha=level)
        ks = [c.detectable or 0.0 for c in result.checks if c.name == "KS" and c.detectable is not None]
        shapes = f", and a KS distance of {max(ks):.3f} of a single feature" if ks else ""
        lines.append(
            f"At this size a classifier of AUC {seen:.3f} on its test events makes the global p at most "
            f"{result.alpha:g} with 80 % power{shapes}."
        )
    needs = [f"{one.test} {_count(one.events)}" for one in result.needs if one.events is not None]
    lines += [f"Events per class for 80 % power at 5 %: {', '.join(needs)}."] if needs else []
    biased = sorted((one for one in result.biases if one.events is not None), key=lambda one: one.events or 0)[:5]
    said = [f"{one.quantity} of {one.column} {_count(one.events or 0)}" for one in biased]
    return [*lines, f"Events at which a bias equals the statistical error: {', '.join(said)}."] if said else lines


def _count(number: float) -> str:
    if not math.isfinite(number):
        return "infinity"
    digits = max(0, math.floor(math.log10(max(number, 1))) - 2)
    return f"{round(number, -digits):,.0f}"
