"""The compiler's room: a training step as one compiled computation, accepted only where it agrees with the plain one.

`torch.compile` does not serve here: a step takes gradients of gradients, draws from explicit generators, and is to be
one graph over forward, backward and optimiser. Only `reverie.compile.step.Compiled` is used from outside.
"""
