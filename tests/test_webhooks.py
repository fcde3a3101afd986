"""Verification of deliveries."""

from __future__ import annotations

import base64
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clerksync import webhooks
from clerksync.exceptions import WebhookError
from tests.deliveries import WEBHOOK_SECRET, body_of, signed

OTHER = "whsec_" + base64.b64encode(b"another endpoint").decode()
BODY = body_of("role.created", {"id": "role_1"})


@pytest.fixture(autouse=True)
def _secret(settings: Any) -> None:
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET


def reason(body: bytes, headers: dict[str, str]) -> tuple[str, int]:
    """Why a delivery is refused."""
    with pytest.raises(WebhookError) as caught:
        webhooks.verify(body, headers)
    return caught.value.reason, caught.value.status


def changed_headers(**changes: str | None) -> dict[str, str]:
    """Good headers with some changed; None takes one away."""
    headers: dict[str, str | None] = {**signed(BODY, svix_id="msg_1").headers}
    headers |= {f"svix-{name}": value for name, value in changes.items()}
    return {name: value for name, value in headers.items() if value is not None}


@pytest.mark.parametrize("family", ["svix", "webhook"])
def test_verify__both_families_of_headers(family: str) -> None:
    """Svix's own names and those of Standard Webhooks."""
    delivery = webhooks.verify(BODY, signed(BODY, svix_id="msg_1", family=family).headers)
    assert delivery.svix_id == "msg_1"


def test_verify__a_wrong_family_lets_the_other_be_tried() -> None:
    """Given both, each is tried."""
    good = signed(BODY, svix_id="msg_1", family="webhook").headers
    bad = {name.replace("webhook-", "svix-"): value for name, value in good.items()} | {
        "svix-signature": "v1,AAAA"
    }
    assert webhooks.verify(BODY, {**bad, **good}).svix_id == "msg_1"


def test_verify__header_names_in_any_case() -> None:
    """HTTP does not care."""
    headers = {name.title(): value for name, value in signed(BODY).headers.items()}
    assert webhooks.verify(BODY, headers).svix_id.startswith("msg_")


@pytest.mark.parametrize(
    "form", [[OTHER, WEBHOOK_SECRET], f"{OTHER},{WEBHOOK_SECRET}", f"{OTHER} {WEBHOOK_SECRET}"]
)
def test_verify__several_secrets(form: Any, settings: Any) -> None:
    """During a rotation every configured secret counts, and the record says which one matched."""
    settings.CLERK_WEBHOOK_SIGNING_SECRET = form
    for secret in (WEBHOOK_SECRET, OTHER):
        delivery = webhooks.verify(BODY, signed(BODY, secret=secret).headers)
        assert delivery.secret == webhooks.fingerprint(secret)


def test_verify__a_retired_secret_is_refused() -> None:
    """I16: once it is out of the settings."""
    assert reason(BODY, signed(BODY, secret=OTHER).headers) == ("signature", 400)


def test_verify__several_signatures_in_one_header() -> None:
    """Svix signs with old and new secrets at once; one match is enough, other versions are passed over."""
    good = signed(BODY, svix_id="msg_1").headers["svix-signature"]
    assert webhooks.verify(BODY, changed_headers(signature=f"v1a,AAAA v1,AAAA {good}")).svix_id == "msg_1"


@pytest.mark.parametrize("seconds", [-299, 299])
def test_verify__within_the_tolerance(seconds: int) -> None:
    """Five minutes on either side."""
    headers = signed(BODY, svix_id="msg_1", sent_at=datetime.now(UTC) + timedelta(seconds=seconds)).headers
    assert webhooks.verify(BODY, headers).svix_id == "msg_1"


@pytest.mark.parametrize("seconds", [-302, 302])
def test_verify__beyond_the_tolerance(seconds: int) -> None:
    """A recorded delivery cannot be used for long."""
    headers = signed(BODY, sent_at=datetime.now(UTC) + timedelta(seconds=seconds)).headers
    assert reason(BODY, headers) == ("timestamp", 400)


MALFORMED: dict[str, tuple[dict[str, str | None], str]] = {
    "no id": ({"id": None}, "headers"),
    "empty id": ({"id": ""}, "headers"),
    "long id": ({"id": "m" * 300}, "headers"),
    "no timestamp": ({"timestamp": None}, "headers"),
    "no signature": ({"signature": None}, "headers"),
    "word as timestamp": ({"timestamp": "now"}, "timestamp"),
    "timestamp nan": ({"timestamp": "nan"}, "timestamp"),
    "timestamp negative": ({"timestamp": "-1"}, "timestamp"),
    "timestamp huge": ({"timestamp": "9" * 400}, "timestamp"),
    "timestamp other digits": ({"timestamp": "\u0661\u0662"}, "timestamp"),
    "timestamp fraction": ({"timestamp": f"{datetime.now(UTC).timestamp():.2f}"}, "timestamp"),
    "garbage": ({"signature": "garbage"}, "signature"),
    "no comma": ({"signature": "v1"}, "signature"),
    "extra comma": ({"signature": "v1,a,b"}, "signature"),
    "double space": ({"signature": "v1,AAAA  v1,AAAA"}, "signature"),
    "bad base64": ({"signature": "v1,!"}, "signature"),
    "not ascii": ({"signature": "v1,\u00e4\u00f6"}, "signature"),
    "other version": ({"signature": "v2," + "A" * 44}, "signature"),
    "other id": ({"id": "msg_2"}, "signature"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_verify__malformed_headers(name: str) -> None:
    """Each is refused with a reason, and none is an error of ours."""
    changes, expected = MALFORMED[name]
    assert reason(BODY, changed_headers(**changes)) == (expected, 400)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", BODY + b" ", b"\xff\xfe", BODY[:-1]],
    ids=["empty", "other", "longer", "no text", "shorter"],
)
def test_verify__another_body(body: bytes) -> None:
    """One byte is enough, and bytes that are no UTF-8 are refused as well."""
    assert reason(body, changed_headers()) == ("signature", 400)


@pytest.mark.parametrize("secret", ["", [], " , ", "whsec_", "whsec_!!", "sk_test_abc"])
def test_verify__no_usable_secret(secret: Any, settings: Any) -> None:
    """Nothing unsigned is ever accepted: 503, so that the deliveries come again."""
    settings.CLERK_WEBHOOK_SIGNING_SECRET = secret
    assert reason(BODY, changed_headers()) == ("no_secret", 503)


def test_hint__json_written_anew(caplog: pytest.LogCaptureFixture) -> None:
    """The log names the usual mistake; the answer does not."""
    headers = signed(b'{"test":2432232314}').headers
    with caplog.at_level("INFO", logger="clerksync.webhooks"):
        assert reason(b'{ "test": 2432232314 }', headers) == ("signature", 400)
    assert "raw body" in caplog.text


def test_signature__of_the_published_vector() -> None:
    """The vector of Svix's own test suites."""
    from svix.webhooks import Webhook  # noqa: PLC0415

    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    sent_at = datetime.fromtimestamp(1614265330, UTC)
    signature = Webhook(secret).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", sent_at, '{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_import__svix_is_not_loaded_by_the_urls() -> None:
    """It takes longer to import than everything else; only the first delivery pays."""
    code = "import sys, clerksync.webhooks; sys.exit('svix' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def run(*command: str, cwd: Path) -> str:
    """Run a program of the machine's."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, cwd=cwd)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the npm package ``svix``."""
    directory = tmp_path_factory.mktemp("node")
    try:
        run("npm", "install", "--silent", "svix", cwd=directory)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"node, npm or the npm package svix cannot be had here: {type(error).__name__}")
    return directory


def test_verify__signed_by_the_npm_package(node: Path) -> None:
    """Another implementation of the same signature."""
    script = (
        "const {Webhook} = require('svix');"
        f"console.log(new Webhook('{WEBHOOK_SECRET}').sign('msg_js', new Date(), process.argv[1]))"
    )
    signature = run("node", "-e", script, BODY.decode(), cwd=node)
    headers = {**signed(BODY, svix_id="msg_js").headers, "svix-signature": signature}
    assert webhooks.verify(BODY, headers).svix_id == "msg_js"
