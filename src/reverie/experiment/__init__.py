"""From a configuration to a run folder: the only place that strings the stages together.

Import what you need from its modules: `config`, `inputs`, `folder`, `run`, `info`, `cite`.
Nothing is imported here, so that the command line starts at once.
"""
