"""Results in words: sentences that can be pasted into a paper, the verdict first."""

import math
from collections.abc import Sequence

from reverie.validation.power.biases import Bias
from reverie.validation.power.events_needed import detectable_auc
from reverie.validation.results.evidence import Evidence
from reverie.validation.results.findings import Finding
from reverie.validation.results.tests import p_text

__all__ = ["UNLIKE", "full_text", "verdict"]

UNLIKE = 0.001  # p-value of the classifier between two real samples below which they are said to differ


def verdict(result: Evidence) -> str:
    """Return the answer, the numbers behind it, what it means for an analysis, and what is wrong."""
    first = (
        "The generated sample can be told from the real one"
        if result.distinguishes
        else "No test tells the generated sample from the real one at this size"
    )
    classifier = ""
    if result.auc is not None:
        beside = (
            "" if math.isnan(result.auc.real_vs_real) else f" where real against real gives {result.auc.measured_real}"
        )
        classifier = f", classifier AUC {str(result.auc.measured).split(' (n =')[0]}{beside}"
    parts = [f"{first}: global p {p_text(result.p_value)} ({_source(result)}){classifier}."]
    parts += [sentence for sentence in [_events_and_bias(result)] if sentence]
    if result.distinguishes:
        parts += [str(finding) for finding in _plainest(result.findings)]
    if result.memorisation is not None and result.memorisation.memorised:
        parts.append(result.memorisation.verdict)
    return " ".join(parts)


def full_text(result: Evidence) -> str:
    """Return the verdict, a sentence for each group of checks, sizes and seed, and the warnings."""
    sizes = result.sizes
    lines = [verdict(result)]
    if result.findings:
        lines += ["", "What was seen:", *[f"  {finding}" for finding in result.findings]]
    lines += ["", *_feature_lines(result)]
    lines += [str(check) for check in result.checks if check.feature is None]
    lines.append(f"All statistics together: p {p_text(result.battery_p)} (min-P over shared permutations).")
    lines += [str(one) for one in result.classifiers]
    lines += _power_lines(result) + _event_lines(result)
    lines += [] if result.located is None else [result.located.sentence]
    lines += [str(rule) for rule in result.constraints]
    lines += [str(one) for one in result.observables]
    if result.classifiers:
        lines.append("The global p is the smaller of this p and that of a classifier, times their number (Bonferroni).")
    if result.memorisation is not None:
        lines += ["", "Training events:", *[f"  {line}" for line in str(result.memorisation).splitlines()]]
    if result.streamed is not None:
        lines += ["", *str(result.streamed).splitlines()]
    lines += [
        "",
        f"Sizes: {sizes['n_real']:,} real (reference), {sizes['n_generated']:,} generated, "
        f"{sizes['n_calibration']:,} real (calibration), {sizes['n_features']:,} features. Seed {result.seed}.",
        *[f"Note: {warning}" for warning in result.warnings],
    ]
    return "\n".join(lines)


def _source(result: Evidence) -> str:
    """Return which test the global p-value comes from: only the battery's is one of permutations."""
    permuted = f"min-P of the battery over {result.n_permutations:,} permutations"
    parts = [(result.battery_p, permuted)]
    in_blocks = result.chains.block > 1 or bool(result.settings.get("weighted"))
    ranks = "permutations of the AUC" if in_blocks else "Mann-Whitney test of the scores"
    parts += [(one.p_value, f"{ranks} of the classifier ({one.learner})") for one in result.classifiers]
    least, words = min(parts, key=lambda part: part[0])
    if not math.isclose(result.p_value, min(1.0, len(parts) * least), rel_tol=1e-6):
        return "the smallest of several tests, corrected for their number"  # of an older version
    return words if len(parts) == 1 else f"{words}, times {len(parts)} after Bonferroni"


def _power_lines(result: Evidence) -> list[str]:
    """Return what would be found at this size, so that "not told apart" means something."""
    found = result.auc
    if found is None:
        return []
    sizes = found.n_effective or (found.n_test / 2, found.n_test / 2)  # results of older versions lack them
    level = result.alpha / (1 + len(result.classifiers))
    seen = detectable_auc(*sizes, alpha=level)
    ks = [c for c in result.checks if c.name == "KS" and c.detectable is not None]
    shapes = f", and a KS distance of {max(c.detectable or 0.0 for c in ks):.3f} of a single feature" if ks else ""
    return [
        f"At this size a classifier of AUC {seen:.3f} on its test events makes the global p at most {result.alpha:g} "
        f"with 80 % power{shapes}."
    ]


def _event_lines(result: Evidence) -> list[str]:
    """Return the events that the strongest tests need, and the biases that are seen."""
    seen = [one for one in result.needs if one.events is not None]
    said = [f"{one.test} {_count(one.events or 0)}" for one in seen]
    lines = [f"Events per class for 80 % power at 5 %: {', '.join(said)}."] if said else []
    biased = sorted((one for one in result.biases if one.events is not None), key=lambda one: one.events or 0)[:5]
    said = [f"{one.quantity} of {one.column} {_count(one.events or 0)}" for one in biased]
    return [*lines, f"Events at which a bias equals the statistical error: {', '.join(said)}."] if said else lines


def _plainest(findings: Sequence[Finding], most: int = 3) -> list[Finding]:
    """Return the first finding of each kind, at most `most`."""
    first = {finding.kind: finding for finding in reversed(findings)}
    return [finding for finding in findings if first[finding.kind] is finding][:most]


def _events_and_bias(result: Evidence) -> str:
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
    return f"{text}, a better test may need fewer{_worst_bias(result.biases)}."


def _worst_bias(biases: Sequence[Bias]) -> str:
    seen = [one for one in biases if one.events is not None]
    if seen:
        one = min(seen, key=lambda one: one.events or math.inf)
        what = f"the {one.quantity} of {one.column} {'are' if one.quantity == 'tails' else 'is'} off by"
        between = f"{_count(one.low)} to {_count(one.high or math.inf)}"
        return f", and {what} the statistical error of an analysis of N = {_count(one.events or 0)} events ({between})"
    if not biases:
        return ""
    least = _count(min(one.low for one in biases))
    return f", and no mean, width or tail is off by the statistical error of an analysis of N = {least} events (95 %)"


def _feature_lines(result: Evidence) -> list[str]:
    lines = []
    for name in dict.fromkeys(c.name for c in result.checks if c.feature is not None):
        group = [c for c in result.checks if c.name == name]
        seen = sorted((c for c in group if c.distinguishes), key=lambda c: -c.value)
        lines.append(
            f"{name} by feature: {len(seen)} of {len(group)} told apart at {result.alpha:.0%}, corrected for "
            "their number."
        )
        lines += [*[f"  {check}" for check in seen[:5]], *(["  ..."] if len(seen) > 5 else [])]
    return lines


def _count(number: float) -> str:
    if not math.isfinite(number):
        return "infinity"
    digits = max(0, math.floor(math.log10(max(number, 1))) - 2)
    return f"{round(number, -digits):,.0f}"
