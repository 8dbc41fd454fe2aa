"""Classifier two-sample tests: training, area under the ROC curve, likelihood ratios, and the regions that differ."""
