"""The JSON Schema that stands beside the configuration file, so that editors complete and check it.

    python -m shared.config.schema > config/3cx-config.schema.json

It is pydantic's schema of the settings, widened to what the file may hold: an editor sees ``${NAME}`` where the loader
sees the value of the variable, and a bare 101 where the loader sees text.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from shared.config.settings import Settings
from shared.config.types import Section
from shared.config.written import ENVIRONMENT

Schema = dict[str, Any]

VARIABLE: Schema = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}
A_VARIABLE: Schema = {"$ref": "#/$defs/Variable"}
NOTHING: Schema = {"type": "null"}
ANNOTATIONS = ("description", "default")
LEFT_OUT = ("title", "discriminator", "writeOnly")


def config_schema() -> Schema:
    """The schema of the configuration file as people write it."""
    schema = Settings.model_json_schema(schema_generator=_Generator)
    definitions: Schema = {name: _as_written(part) for name, part in schema.pop("$defs").items()}
    root = _as_written(schema)
    for path in ENVIRONMENT:
        _may_be_absent(path, root, definitions)
    for section in (root, *definitions.values()):
        section |= {"properties": {key: _or_nothing(part) for key, part in section["properties"].items()}}
    definitions["Variable"] = VARIABLE
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "$defs": definitions}


class _Generator(GenerateJsonSchema):
    """Writes a default as it would stand in the file; that of a whole section says nothing that its keys do not."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, Section):
            return None
        return span_as_written(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def span_as_written(span: timedelta) -> str:
    """In the largest unit of which there are several."""
    for unit in ("days", "hours", "minutes"):
        number, rest = divmod(span, timedelta(**{unit: 1}))
        if number > 1 and not rest:
            return f"{number} {unit}"
    return f"{span // timedelta(seconds=1)} seconds"


def _as_written(schema: Schema) -> Schema:
    kept = {key: value for key, value in schema.items() if key not in LEFT_OUT}
    if kept.get("default", ...) is None:
        del kept["default"]
    match kept:
        case {"properties": properties}:
            return kept | {"properties": {name: _as_written(part) for name, part in properties.items()}}
        case {"anyOf": members} | {"oneOf": members}:
            kept.pop("oneOf", None)
            return kept | {"anyOf": [_as_written(member) for member in members]}
        case {"items": items}:
            return kept | {"items": _as_written(items)}
        case {"type": "object", "additionalProperties": values}:
            return kept | {"additionalProperties": _as_written(values)}
        case {"type": "string" | "number" | "integer" | "boolean"}:
            return _scalar(kept)
    return kept


def _scalar(schema: Schema) -> Schema:
    annotations = {key: value for key, value in schema.items() if key in ANNOTATIONS}
    rules = {key: value for key, value in schema.items() if key not in annotations}
    if rules.get("format") == "password":
        del rules["format"]
    if rules["type"] == "string" and not rules.keys() & {"enum", "const", "pattern", "format"}:
        rules["type"] = ["string", "number"]
    is_free_text = rules.keys() <= {"type", "minLength"} and "string" in rules["type"]
    return annotations | (rules if is_free_text else {"anyOf": [rules, A_VARIABLE]})


def _may_be_absent(path: tuple[str, ...], schema: Schema, definitions: Schema) -> None:
    """What the environment can give is not required of the file, nor are the sections around it."""
    for key in path:
        schema["required"] = [name for name in schema.get("required", ()) if name != key]
        if not schema["required"]:
            del schema["required"]
        schema = schema["properties"][key]
        for choice in schema.get("anyOf", [schema]):
            if "$ref" in choice and choice != A_VARIABLE:
                schema = definitions[choice["$ref"].rpartition("/")[2]]


def _or_nothing(schema: Schema) -> Schema:
    """A section, list or mapping may have everything in it commented out."""
    annotations = {key: value for key, value in schema.items() if key in ANNOTATIONS}
    rules = {key: value for key, value in schema.items() if key not in annotations}
    choices = rules.get("anyOf", [rules])
    if NOTHING in choices or not any(map(_is_container, choices)):
        return schema
    return annotations | {"anyOf": [*choices, NOTHING]}


def _is_container(schema: Schema) -> bool:
    return schema.get("type") in ("array", "object") or ("$ref" in schema and schema != A_VARIABLE)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n")
