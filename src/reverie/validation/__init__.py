"""Validation: arrays in, results out. It answers whether generated events can be told from real ones."""

from reverie.validation.multiple import holm
from reverie.validation.permutation import permutation_test
from reverie.validation.references import REFERENCES
from reverie.validation.result import ClassifierResult, TestResult, ValidationResult
from reverie.validation.suite import validate

__all__ = [
    "REFERENCES",
    "ClassifierResult",
    "TestResult",
    "ValidationResult",
    "holm",
    "permutation_test",
    "validate",
]
