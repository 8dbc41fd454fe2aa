"""Flow matching: estimator, velocity networks, training, sampling, likelihood along the flow."""

from reverie.models.flow_matching.estimator import FlowMatching

__all__ = ["FlowMatching"]
