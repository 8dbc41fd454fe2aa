"""How good: figures over seeds beside the perfect sampler and real against real."""
