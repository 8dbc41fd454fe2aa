"""Permutations: labellings of the pooled rows, multiple testing, and the permutation test of any statistic."""
