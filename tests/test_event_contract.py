"""Every event type of Clerk's published webhook specification is taken, recorded and answered 2xx."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from clerksync.models import ClerkUser, WebhookEvent
from tests.deliveries import WEBHOOK_SECRET, now_ms, post, signed

pytestmark = pytest.mark.django_db(transaction=True)

SPECIFICATION = Path(__file__).resolve().parents[2] / "shared" / "openapi" / "clerk-webhooks-2025-04-15.yml"


@pytest.fixture(autouse=True)
def _endpoint(settings: Any) -> None:
    settings.ROOT_URLCONF = "project.urls"
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET


@cache
def document() -> dict[str, Any]:
    """The specification."""
    if not SPECIFICATION.exists():
        pytest.skip(f"Clerk's webhook specification is not there: shared/openapi/{SPECIFICATION.name}")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    read: dict[str, Any] = yaml.load(SPECIFICATION.read_text("utf-8"), loader)  # noqa: S506  # both are the safe one
    return read


def content_of(event_type: str) -> dict[str, Any]:
    """What the specification says of the body of an event."""
    post_of = document()["x-webhooks"][event_type]["post"]
    content: dict[str, Any] = post_of["requestBody"]["content"]["application/json"]
    return content


class Generator:
    """Makes an instance of a schema: every property, and of alternatives any."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # data of tests

    def make(self, schema: dict[str, Any], depth: int = 0) -> Any:
        if "$ref" in schema:
            target: Any = document()
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            return self.make(target, depth)
        if schema.get("nullable") and self.random.random() < 0.3:
            return None
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return self.make(self.random.choice(schema[key]), depth)
        if "allOf" in schema:
            return {
                key: value
                for part in schema["allOf"]
                for key, value in (self.make(part, depth) or {}).items()
            }
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        return self._make_typed(schema, depth)

    def _make_typed(self, schema: dict[str, Any], depth: int) -> Any:
        match schema.get("type", "object"):
            case "object":
                properties = schema.get("properties", {}) if depth < 8 else {}
                return {name: self.make(part, depth + 1) for name, part in properties.items()}
            case "array":
                count = self.random.randrange(3) if depth < 8 else 0
                return [self.make(schema.get("items", {}), depth + 1) for _ in range(count)]
            case "integer" | "number":
                return self.random.randrange(2_000_000_000_000)
            case "boolean":
                return self.random.random() < 0.5
            case _:
                return self.random.choice(["", "text", "a\u00e9\u4e16", str(self.random.random())])


@pytest.mark.parametrize("seed", range(3))
def test_every_type__of_the_specification_is_recorded(seed: int) -> None:
    """45 types, generated from their schemas: 2xx and one row each."""
    types = list(document()["x-webhooks"])
    assert len(types) == 45
    for event_type in types:
        body = Generator(seed).make(content_of(event_type)["schema"])
        body |= {"object": "event", "type": event_type, "timestamp": now_ms(), "instance_id": "ins_1"}
        response = post(signed(json.dumps(body).encode()))
        assert response.status_code == 200, (event_type, response.content)
    assert set(WebhookEvent.objects.values_list("type", flat=True)) == set(types)
    assert WebhookEvent.objects.count() == 45


def examples_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The specification's own examples of a body."""
    if "example" in content:
        return [content["example"]]
    named = content.get("examples", {}).values()
    return [
        document()["components"]["examples"][one["$ref"].rsplit("/", 1)[1]]["value"]
        if "$ref" in one
        else one["value"]
        for one in named
    ]


def test_every_example__of_the_specification_is_taken() -> None:
    """Sparse and in seconds, as they are; none leaves a user that looks real without being full."""
    taken = 0
    for event_type in document()["x-webhooks"]:
        for example in examples_of(content_of(event_type)):
            response = post(signed(json.dumps(example).encode()))
            assert response.status_code == 200, (event_type, response.content)
            taken += 1
    assert taken >= 45
    assert not ClerkUser.objects.filter(state="incomplete").exists()
