"""Hostile webhook requests: refused with a status that Svix understands, or recorded; never an error of ours."""

from __future__ import annotations

import gzip
import time
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pytest
from django.http import UnreadablePostError
from django.test import Client, RequestFactory

from clerksync import views
from clerksync.models import ClerkUser, WebhookEvent
from tests.deliveries import URL, USER, WEBHOOK_SECRET, body_of, changed, now_ms
from tests.figures import tell
from tests.hostile.forging import sign, signature

pytestmark = pytest.mark.django_db(transaction=True)

GOOD = b'{"type":"role.created","data":{"id":"role_1"},"timestamp":1767225600000,"instance_id":"ins_1"}'


@dataclass(frozen=True, slots=True)
class Attack:
    """One request; ``headers`` replace those of a signed delivery, None takes one away."""

    status: int = 400
    body: bytes = GOOD
    headers: dict[str, str | None] = field(default_factory=dict)
    family: str = "svix"
    svix_id: str | None = None
    at: int | None = None
    method: str = "POST"
    content_type: str = "application/json"
    meta: dict[str, Any] = field(default_factory=dict)


def _headers(status: int = 400, **changes: str | None) -> Attack:
    return Attack(status, headers={f"svix-{name}": value for name, value in changes.items()})


def _body(body: bytes, status: int = 200) -> Attack:
    return Attack(status, body)


def _event(**changes: bytes) -> Attack:
    """A signed event, with these values as they are."""
    values = {
        b"type": b'"role.created"',
        b"data": b"{}",
        b"timestamp": b"1767225600000",
        b"instance_id": b'"ins_1"',
    }
    values |= {name.encode(): value for name, value in changes.items()}
    return _body(b"{%b}" % b",".join(b'"%b":%b' % pair for pair in values.items()))


_DEEP = b"[" * 20_000 + b"]" * 20_000

ATTACKS: dict[str, Attack] = {
    **{f"method_{method}": Attack(405, method=method) for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "LOCK", "\u00c4")},
    "unsigned": Attack(headers={"svix-id": None, "svix-timestamp": None, "svix-signature": None}),
    "signature_of_10000_entries": _headers(signature=" ".join(["v1,AAAA"] * 10_000)),
    "signature_of_10000_versions": _headers(signature=" ".join(f"v{n},AAAA" for n in range(10_000))),
    "signature_of_commas": _headers(signature="," * 10_000),
    "signature_of_blanks": _headers(signature=" " * 10_000),
    "signature_without_version": _headers(signature="," + "A" * 44),
    "signature_of_padding": _headers(signature="v1," + "=" * 5_000),
    "signature_not_ascii": _headers(signature="v1,\u00e4\u00ff"),
    "signature_of_controls": _headers(signature="v1,\x1b[31m\x07"),
    "signature_of_nought": _headers(signature="v1,\x00"),
    "signature_empty_base64": _headers(signature="v1,"),
    "signature_asymmetric": _headers(signature="v1a," + "A" * 88),
    "id_of_10_kb": _headers(id="m" * 10_240),
    "id_not_ascii": _headers(id="msg_\u00e9"),
    "id_of_controls": _headers(id="msg_\x1b[2J"),
    "id_of_blanks": _headers(id=" "),
    "id_signed_of_300": Attack(svix_id="m" * 300),
    "id_signed_with_newline": Attack(svix_id="msg_a\nb"),
    "id_signed_with_escape": Attack(svix_id="msg_\x1b[31m"),
    "id_signed_with_quotes": Attack(200, svix_id="msg_'\"; DROP TABLE --"),
    "id_signed_with_dots": Attack(200, svix_id="msg.1.2"),
    "timestamp_of_many_digits": _headers(timestamp="9" * 5_000),
    "timestamp_beyond_64_bits": _headers(timestamp="18446744073709551616"),
    "timestamp_negative": _headers(timestamp="-1"),
    "timestamp_fraction": _headers(timestamp=f"{time.time():.3f}"),
    "timestamp_exponent": _headers(timestamp="1e9"),
    "timestamp_hexadecimal": _headers(timestamp="0x5f5e100"),
    "timestamp_infinite": _headers(timestamp="inf"),
    "timestamp_underscored": _headers(timestamp="1_700_000_000"),
    "timestamp_in_arabic": _headers(timestamp="\u0661\u0667"),
    "timestamp_in_superscript": _headers(timestamp="\u00b9\u00b2"),
    "timestamp_in_milliseconds": _headers(timestamp=str(now_ms())),
    "timestamp_empty": _headers(timestamp=""),
    "timestamp_signed_long_ago": Attack(at=1_600_000_000),
    "timestamp_signed_far_ahead": Attack(at=99_999_999_999),
    "families_mixed": Attack(headers={"svix-signature": None, "webhook-signature": "v1,AAAA"}),
    "families_of_one_good": Attack(200, headers={"webhook-id": "x", "webhook-timestamp": "y", "webhook-signature": "z"}),
    "families_of_the_other_good": Attack(
        200, family="webhook", headers={"svix-id": "\x1b[31m", "svix-timestamp": "1", "svix-signature": "v1,"}
    ),
    "two_ids": _headers(id="msg_a,msg_b"),
    "type_of_a_form": Attack(200, content_type="application/x-www-form-urlencoded"),
    "type_of_files": Attack(200, content_type="multipart/form-data; boundary=x"),
    "type_of_files_without_boundary": Attack(200, content_type="multipart/form-data"),
    "type_unknown": Attack(200, content_type="text/\x00plain; charset=utf-99"),
    "type_in_utf_16": Attack(200, content_type="application/json; charset=utf-16"),
    "type_missing": Attack(200, content_type=""),
    "length_too_long": Attack(413, meta={"CONTENT_LENGTH": "99999999999"}),
    "length_of_many_digits": Attack(413, meta={"CONTENT_LENGTH": "9" * 5_000}),
    "length_of_words": Attack(413, meta={"CONTENT_LENGTH": "many"}),
    "length_negative": Attack(400, meta={"CONTENT_LENGTH": "-1"}),
    "length_too_short": Attack(400, meta={"CONTENT_LENGTH": "10"}),
    "expects": Attack(200, headers={"expect": "100-continue"}),
    "forwarded": Attack(200, headers={"x-forwarded-host": "evil.test", "x-http-method-override": "DELETE"}),
    "cookie_bomb": Attack(200, headers={"cookie": "; ".join(f"c{n}=" + "\\" * 9 for n in range(2_000))}),
    "token": Attack(200, headers={"authorization": "Bearer " + "a" * 20_000 + ".b.c"}),
    "empty": _body(b""),
    "oversized": _body(b'{"type":"a","data":{"a":"' + b"x" * 1_100_000 + b'"}}', 413),
    "packed": Attack(400, gzip.compress(GOOD), headers={"content-encoding": "gzip"}),
    "packed_bomb": Attack(400, gzip.compress(b" " * 50_000_000), headers={"content-encoding": "gzip"}),
    "claims_to_be_packed": Attack(200, headers={"content-encoding": "gzip, br"}),
    "not_text": Attack(400, b"\xff\xfe\x00"),
    "unsigned_and_deep": Attack(400, b"[" * 50_000, headers={"svix-signature": "v1,AAAA"}),
    "unsigned_and_deep_objects": Attack(400, b'{"a":' * 9_000, headers={"svix-signature": "v1,AAAA"}),
    "unsigned_and_a_megabyte": Attack(400, b"[" + b"1e9," * 260_000 + b"1]", headers={"svix-signature": "v1,AAAA"}),
    "unsigned_surrogates": Attack(400, b'"\\ud800"', headers={"svix-signature": "v1,AAAA"}),
    "unsigned_number": Attack(400, b"9" * 60_000, headers={"svix-signature": "v1,AAAA"}),
    "unsigned_nan": Attack(400, b'{"a":NaN}', headers={"svix-signature": "v1,AAAA"}),
    "byte_order_mark": _body(b"\xef\xbb\xbf" + GOOD),
    "deep": _body(_DEEP),
    "deep_data": _event(data=b'{"a":%b}' % _DEEP),
    "deep_type": _event(type=_DEEP),
    "deep_user": _event(type=b'"user.updated"', data=b'{"id":"%b","a":%b}' % (USER.encode(), _DEEP)),
    "deep_session": _event(type=b'"session.created"', data=b'{"user":%b}' % _DEEP),
    "wide": _event(data=b'{"a":[' + b"[]," * 300_000 + b"[]]}"),
    "keys_twice": _body(b'{"type":"a.b","type":"user.deleted","data":{},"data":{"id":"user_x","id":5}}'),
    "type_long": _event(type=b'"%b"' % (b"t" * 5_000)),
    "type_empty": _event(type=b'""'),
    "type_of_dots": _event(type=b'"..."'),
    "type_of_controls": _event(type=b'"user.\\u001b[31mupdated"'),
    "type_nought": _event(type=b'"\\u0000"'),
    "type_right_to_left": _event(type=b'"user.\\u202edeleted"'),
    "type_of_another_case": _event(type=b'"USER.DELETED"', data=b'{"id":"%b"}' % USER.encode()),
    "type_with_more": _event(type=b'"user.deleted.please"', data=b'{"id":"%b"}' % USER.encode()),
    "type_ours": _event(type=b'"clerksync.probe"', data=b'{"id":5}'),
    **{f"timestamp_{number}": _event(timestamp=value) for number, value in enumerate((
        b"-1", b"0", b"-0.0", b"1e400", b"1e308", b"NaN", b"9" * 10_000, b"99999999999999", b"100000000000000",
        b"true", b'"now"', b"[]", b"null", b"1.5", b"99999999999", b"100000000000",
    ))},
    "instance_long": _event(instance_id=b'"%b"' % (b"i" * 5_000)),
    "instance_nought": _event(instance_id=b'"\\u0000\\ud800"'),
    "instance_of_another_type": _event(instance_id=b"[5]"),
    "data_list": _event(data=b"[]"),
    "data_text": _event(data=b'"user"'),
    "data_null": _event(data=b"null"),
    "deleted_of_nobody": _event(type=b'"user.deleted"', data=b'{"deleted":true}'),
    "deleted_of_an_empty_id": _event(type=b'"user.deleted"', data=b'{"id":""}'),
    "deleted_of_a_number": _event(type=b'"user.deleted"', data=b'{"id":7}'),
    "deleted_of_a_long_id": _event(type=b'"user.deleted"', data=b'{"id":"%b"}' % (b"u" * 5_000)),
    "deleted_of_nought": _event(type=b'"user.deleted"', data=b'{"id":"user_\\u0000\\ud800"}'),
    "session_of_a_list": _event(type=b'"session.created"', data=b'{"user":[]}'),
    "session_of_a_text": _event(type=b'"session.created"', data=b'{"user":"%b"}' % USER.encode()),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _endpoint(settings: Any) -> None:
    settings.ROOT_URLCONF = "project.urls"
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET


def send(attack: Attack) -> Any:
    """Send it as it is; an error of ours would be raised here."""
    delivery = sign(attack.body, svix_id=attack.svix_id, at=attack.at, family=attack.family)
    headers = {
        name: value for name, value in {**delivery.headers, **attack.headers}.items() if value is not None
    }
    meta = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    client = Client(enforce_csrf_checks=True)
    return client.generic(attack.method, URL, attack.body, attack.content_type, **{**meta, **attack.meta})


def neighbours() -> list[Any]:
    """The row of a user whom no attack is about."""
    return list(ClerkUser.objects.filter(pk="user_neighbour").values())


@pytest.mark.parametrize("name", ATTACKS)
def test_attack__is_answered(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """One answer that Svix understands, no error in the log, and nobody else's row touched."""
    client = Client()
    good = sign(changed(now_ms(), clerk_id="user_neighbour"))
    assert (
        client.post(URL, good.body, content_type="application/json", headers=good.headers).status_code == 200
    )
    before = neighbours()
    began = time.process_time()
    response = send(ATTACKS[name])
    assert time.process_time() - began < 5
    assert response.status_code == ATTACKS[name].status, response.content
    assert neighbours() == before
    assert [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}] == []
    assert all(record.getMessage().isprintable() for record in caplog.records if "clerksync" in record.name)
    if response.status_code != 200:
        assert WebhookEvent.objects.count() == 1
    tell("hostile webhook requests")


def test_deleted__of_a_long_id_is_nobody_else() -> None:
    """The delete of an id that is too long does not meet the user whose id is its beginning."""
    longest = "user_" + "x" * 250
    for body in (
        changed(now_ms(), clerk_id=longest),
        body_of("user.deleted", {"id": longest + "y"}, at=now_ms() + 60_000),
    ):
        delivery = sign(body)
        Client().post(URL, delivery.body, content_type="application/json", headers=delivery.headers)
    assert ClerkUser.objects.get(pk=longest).state == "active"
    assert WebhookEvent.objects.latest("pk").state == "parked"


class _Broken(BytesIO):
    """A connection that ends in the middle of the body."""

    def read(self, *args: Any) -> bytes:
        raise UnreadablePostError("client disconnected")


def test_body__aborted(caplog: pytest.LogCaptureFixture) -> None:
    """Who hangs up gets no error page, and mails no admin."""
    request = RequestFactory().post(URL, b"", content_type="application/json")
    request._stream = _Broken()  # as WSGI would give it
    assert views.webhook(request).status_code == 400
    assert "aborted" in caplog.text or not caplog.records


def test_several_signatures__one_good_among_garbage() -> None:
    """A good signature counts wherever it stands among others."""
    moment = str(int(time.time()))
    good = signature(GOOD, "msg_many", moment)
    listed = " ".join(["v1,AAAA", "v1,!!!!", "v2,x", "v1a,y"] * 20 + [good] + ["v1,zzzz"] * 20)
    headers = {"svix-id": "msg_many", "svix-timestamp": moment, "svix-signature": listed}
    response = Client().post(URL, GOOD, content_type="application/json", headers=headers)
    assert response.status_code == 200
