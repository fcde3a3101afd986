"""JSON of any kind that a published OpenAPI schema allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import schemathesis
from hypothesis import strategies as st

Json = Any


def instances(schemas: Mapping[str, Any], components: dict[str, Any]) -> dict[str, st.SearchStrategy[Json]]:
    """What each schema allows, by its name; references lead into the components.

    schemathesis reads OpenAPI as it is, with ``nullable``, but bodies of requests only: so each schema
    becomes one.
    """
    api = schemathesis.openapi.from_dict(
        {
            "openapi": "3.0.3",
            "info": {"title": "Schemas", "version": "1"},
            "components": components,
            "paths": {f"/{name}": {"post": _accepting(schema)} for name, schema in schemas.items()},
        }
    )
    return {name: api[f"/{name}"]["POST"].as_strategy().map(_body) for name in schemas}


def _accepting(schema: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {
        "requestBody": {"required": True, "content": content},
        "responses": {"200": {"description": "Taken."}},
    }


def _body(case: schemathesis.Case[Any]) -> Json:
    return case.body
