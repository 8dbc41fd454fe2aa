"""The JSON schema of `config.yaml`, made from the signatures and docstrings of `RunConfig` and of the models.

JSON Schema, draft 2020-12. What YAML cannot hold, such as a network of the user's, has no entry; where an annotation
says nothing about text, numbers or lists, every value passes, and the run answers for it.
"""

import collections.abc as abc
import inspect
import types
from dataclasses import MISSING, fields
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from reverie.core.arguments import Interval
from reverie.core.types import Json
from reverie.experiment.config import AUTO, DURATIONS, RunConfig, model_class, model_names, parameter_texts
from reverie.models import registry

__all__ = ["config_schema"]

_TYPES: dict[Any, str] = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}


def config_schema() -> Json:
    """Return the JSON schema of the configuration of a run."""
    texts, hints = parameter_texts(RunConfig), get_type_hints(RunConfig)
    properties = {f.name: {"description": texts[f.name], **_schema_of(hints[f.name])} for f in fields(RunConfig)}
    for f in fields(RunConfig):
        if f.default is not MISSING:
            properties[f.name]["default"] = f.default
    for name in ("columns", "condition"):  # lists of names are joined by commas
        properties[name]["type"] = [*properties[name]["type"], "array"]
    for name in DURATIONS:  # 90 is as good as 90s
        kinds = properties[name]["type"]
        properties[name]["type"] = [*([kinds] if isinstance(kinds, str) else kinds), "number"]
    properties["model"] = {
        "description": texts["model"],
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"enum": [AUTO, *model_names()]}},
        "allOf": [
            {"if": {"properties": {"name": {"const": name}}}, "then": {"$ref": f"#/$defs/{_class_of(name).__name__}"}}
            for name in model_names()
        ],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of a run of reverie",
        "type": "object",
        "required": ["data", "model"],
        "additionalProperties": False,
        "properties": properties,
        "$defs": {_class_of(name).__name__: _model_schema(_class_of(name)) for name in model_names()},
    }


def _class_of(name: str) -> type:
    """Return the class of a model or of an alias."""
    return model_class(registry.ALIASES[name][0] if name in registry.ALIASES else name)


def _model_schema(model: type) -> Json:
    """Return the schema of the entry `model`: the arguments of a constructor, without the seed, which is the run's."""
    texts, hints = parameter_texts(model), get_type_hints(model, include_extras=True)
    properties: dict[str, Json] = {"name": {"type": "string"}}
    for name, parameter in inspect.signature(model).parameters.items():
        if name != "random_state":
            properties[name] = {"description": texts.get(name, ""), **_schema_of(hints.get(name, Any))}
            default = parameter.default
            default = list(default) if isinstance(default, tuple) else default
            if default is None or isinstance(default, (bool, int, float, str, list)):
                properties[name]["default"] = default
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _schema_of(annotation: Any) -> Json:
    """Return the schema of the values of an annotation; of one that JSON does not know, {}, which takes every value."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation in _TYPES:
        return {"type": _TYPES[annotation]}
    if origin is Literal:
        return {"enum": list(parts)}
    if origin is Annotated:
        found = _schema_of(parts[0])
        for range_ in (part for part in parts[1:] if isinstance(part, Interval)):
            names = ("minimum" if range_.ends in ("both", "left") else "exclusiveMinimum", range_.low)
            other = ("maximum" if range_.ends in ("both", "right") else "exclusiveMaximum", range_.high)
            found |= {key: end for key, end in (names, other) if end is not None}
        return found
    if origin in (Union, types.UnionType):
        # modules and transforms are objects of Python, which no YAML file holds
        parts = [part for part in parts if part in _TYPES or not inspect.isclass(part) or
                 part.__module__.split(".")[0] not in ("torch", "reverie", "numpy")]  # fmt: skip
        known = [_schema_of(part) for part in parts if get_origin(part) is not abc.Callable]
        if {} in known:
            return {}
        if all(list(one) == ["type"] and isinstance(one["type"], str) for one in known):
            return {"type": [one["type"] for one in known]}
        return {"anyOf": known}
    if origin in (abc.Sequence, tuple, list):
        items = [_schema_of(part) for part in parts if part is not Ellipsis]
        return {"type": "array", **({"items": items[0]} if items and all(one == items[0] for one in items) else {})}
    if origin in (abc.Mapping, dict):
        return {"type": "object"}
    return {}
