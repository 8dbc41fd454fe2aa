"""The verbs of the command line, with what each does in a few words.

Of each, `reverie.cli.VERB` has two functions: `options`, which returns the options of the verb, and `main`, which runs
it with the words of the command line and returns the exit code.
"""

import importlib
from types import ModuleType

__all__ = ["VERBS", "module_of"]

VERBS = {
    "run": "train a model, sample it, validate the samples, write the report",
    "fit": "train a model into a run folder",
    "sample": "draw samples from a trained model into a file",
    "validate": "compare generated with real data: p-values, errors, a verdict",
    "compare": "rank runs with error bars; which differences are significant",
    "report": "write the report of a run folder anew",
    "resume": "carry on an interrupted run, or train one further",
    "watch": "a page of a run while it trains: curves, alarms, samples",
    "tune": "search for better options of a model, judged by held-out events",
    "export": "write a trained model as a graph for C++: ONNX or torch.export",
    "pack": "a run in one file with a card and checksums; check and unpack it",
    "simulate": "draw lattices of spins, events of two muons or jets into a file",
    "explore": "components, dimension, clusters, forests: what the data say",
    "lecture": "run a page of the lectures: its figures, its numbers beside ours",
    "data": "list, fetch and describe data",
    "info": "versions, devices, threads and a self-test of two seconds",
    "doctor": "what is wrong with this installation or machine, and what to do",
    "schema": "JSON schema of config.yaml, for editors",
    "explain": "what an error means, and what to do",
    "cite": "BibTeX of reverie and of the methods used",
    "demo": "the whole path on simulated muons, in three minutes",
}


def module_of(verb: str) -> ModuleType:
    """Return the module of a verb, imported when it is called."""
    return importlib.import_module(f"reverie.cli.{verb}")
