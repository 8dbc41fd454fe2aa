"""Results in words: sentences that can be pasted into a paper, the verdict first."""

import math
from typing import TYPE_CHECKING

from reverie.validation.reach import detectable_auc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverie.validation.findings import Finding
    from reverie.validation.result import ClassifierResult, TestResult, ValidationResult

__all__ = ["UNLIKE", "check_sentence", "classifier_sentence", "full_text", "verdict"]

UNLIKE = 0.001  # p-value of the classifier between two real samples below which they are said to differ


def verdict(result: "ValidationResult") -> str:
    """Return the answer, the numbers behind it, what it means for an analysis, and what is wrong."""
    first = (
        "The generated sample can be told from the real one"
        if result.distinguishes
        else "No test tells the generated sample from the real one at this size"
    )
    parts = [f"{first}: global p {_p(result.p_value)} ({result.n_permutations} permutations){_auc(result)}."]
    if result.auc is not None:
        parts.append(_safety(result))
    if result.distinguishes:
        parts += [str(finding) for finding in _plainest(result.findings)]
    if result.memorisation is not None and result.memorisation.memorised:
        parts.append(result.memorisation.verdict)
    return " ".join(parts)


def full_text(result: "ValidationResult") -> str:
    """Return the verdict, a sentence for each group of checks, sizes and seed, and the warnings."""
    sizes = result.sizes
    lines = [result.verdict]
    if result.findings:
        lines += ["", "What was seen:", *[f"  {finding}" for finding in result.findings]]
    lines += ["", *_feature_lines(result)]
    lines += [str(check) for check in result.checks if check.feature is None]
    lines.append(f"All statistics together: p {_p(result.battery_p)} (min-P over shared permutations).")
    lines += [str(one) for one in result.classifiers]
    lines += _power_lines(result)
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


def _power_lines(result: "ValidationResult") -> list[str]:
    """Return what would be found at this size, so that "not told apart" means something."""
    found = result.auc
    if found is None:
        return []
    seen = detectable_auc(found.n_test / 2, alpha=result.alpha)
    ks = [c for c in result.checks if c.name == "KS" and c.detectable is not None]
    shapes = f", and a KS distance of {max(c.detectable or 0.0 for c in ks):.3f} of a single feature" if ks else ""
    return [f"At this size a classifier of AUC {seen:.3f} is found with 80 % power{shapes}."]


def _plainest(findings: "Sequence[Finding]", most: int = 3) -> "list[Finding]":
    """Return the first finding of each kind, at most `most`."""
    first = {finding.kind: finding for finding in reversed(findings)}
    return [finding for finding in findings if first[finding.kind] is finding][:most]


def check_sentence(check: "TestResult") -> str:
    """Return one sentence: value, chance band, real against real, p-value."""
    of = f" of {check.feature}" if check.feature else ""
    real = "" if check.real_vs_real is None else f", real against real {check.real_vs_real:.3g}"
    p = f"p {_p(check.p_value)}"
    if check.p_adjusted != check.p_value:
        p += f" (adjusted {_p(check.p_adjusted)})"
    detail = f"; {check.detail}" if check.detail else ""
    error = "" if check.error is None else f" ± {check.error:.2g}"
    return (
        f"{_capital(check.name)}{of}: {check.value:.3g}{error} (chance {check.noise_low:.3g} to {check.noise_high:.3g}"
        f"{real}), {p}{detail}."
    )


def classifier_sentence(auc: "ClassifierResult") -> str:
    """Return one sentence: AUC ± error, real against real, p-value, what the classifier used."""
    top = [name for name, loss in sorted(auc.importances.items(), key=lambda item: -item[1])[:3] if loss > auc.error]
    used = f"; it used mostly {', '.join(top)}" if top and auc.p_value <= 0.05 else ""
    beside = "" if math.isnan(auc.real_vs_real) else f", real against real {auc.measured_real}"
    return (
        f"Classifier ({auc.learner}): AUC {auc.measured} on events it has not seen{beside}, p {_p(auc.p_value)}{used}."
    )


def _auc(result: "ValidationResult") -> str:
    if result.auc is None:
        return ""
    here, real = result.auc.measured, result.auc.measured_real
    beside = "" if math.isnan(result.auc.real_vs_real) else f" where real against real gives {real}"
    return f", classifier AUC {_short(str(here))}{beside}"


def _safety(result: "ValidationResult") -> str:
    low, high = result.n_distinguish_low or 0.0, result.n_distinguish_high or math.inf
    if result.n_distinguish is None:
        return ""
    if result.auc is not None and result.auc.real_vs_real_p < UNLIKE:
        return "The two real samples differ from each other (see the notes), so this says little about the generator."
    if result.n_distinguish == math.inf:
        return f"This classifier would need more than about {_count(low)} events per class to see a difference (95 %)."
    return (
        f"Safe for analyses of fewer than about N = {_count(result.n_distinguish)} events per class "
        f"({_count(low)} to {_count(high)} within one standard error, for this classifier)."
    )


def _feature_lines(result: "ValidationResult") -> list[str]:
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


def _p(p: float) -> str:
    if p < 1e-10:  # so far out the normal approximation behind it is not to be quoted
        return "< 1e-10"
    return f"= {p:.3f}" if p >= 0.0995 else f"= {p:.2g}"


def _count(number: float) -> str:
    if not math.isfinite(number):
        return "infinity"
    digits = max(0, math.floor(math.log10(max(number, 1))) - 2)
    return f"{round(number, -digits):,.0f}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _short(text: str) -> str:
    return text.split(" (n =")[0]
