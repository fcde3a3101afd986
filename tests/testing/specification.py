"""Clerk's published OpenAPI document as JSON Schema, where a copy lies beside the checkout."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types

NAME = "clerk-backend-api-2026-05-12.yml"
FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "openapi"

Schema = dict[str, Any]


def check(name: str, content: object) -> None:
    """Fail where the content breaks the schema of this name, and say at which path."""
    errors = [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"
        for error in _validator(name).iter_errors(content)
    ]
    assert errors == []


def schema(name: str) -> Schema:
    """Return the schema of this name as it is published."""
    found: Schema = document()["components"]["schemas"][name]
    return found


def paths() -> Schema:
    """Return the published paths, without the version prefix."""
    found: Schema = document()["paths"]
    return found


@cache
def document() -> Schema:
    """Return all of it; without a copy the test is skipped."""
    path = FOLDER / NAME
    if not path.exists():
        pytest.skip(f"Clerk's OpenAPI document is not there: shared/openapi/{NAME} beside the checkout")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: Schema = yaml.load(path.read_text("utf-8"), loader)  # noqa: S506  # both are the safe one
    return document


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"components": _components(), "$ref": f"#/components/schemas/{name}"})


@cache
def _components() -> Schema:
    return {"schemas": {name: translate(part) for name, part in document()["components"]["schemas"].items()}}


def translate(node: Any) -> Any:
    """Return an OpenAPI 3.0 schema as JSON Schema: ``nullable`` becomes a null in the union."""
    if isinstance(node, list):
        return [translate(part) for part in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return {"$ref": node["$ref"]}
    schema = {key: translate(part) for key, part in node.items() if key not in {"nullable", "discriminator"}}
    return _with_null(schema) if node.get("nullable") is True else schema


def _with_null(schema: Schema) -> Schema:
    """Let null pass; also where the alternatives leave it out, as EmailAddress.verification does."""
    return {"anyOf": [{"type": "null"}, schema]}
