"""Hostile answers to a list of users, by hand: whole ones, and bytes that are hardly HTTP."""

from __future__ import annotations

import gzip
import itertools
import time
import zlib
from collections.abc import Iterator

from clerksync.testing import Response
from tests.hostile.wires import Pieces

_JSON = {"Content-Type": "application/json"}
_USER = b'{"id":"user_of_nobody","object":"user","created_at":1,"updated_at":2,"email_addresses":[]}'
MARK = "\x1b]8;;http://evil.test\x07\x1b[31mred\r\nFORGED LINE [bold]"


def _body(body: bytes, status: int = 200, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, {**_JSON, **named}, body)


def _error(status: int, body: bytes = b"", **headers: str) -> Response:
    return _body(body or b'{"errors":[{"code":"c","message":"m","long_message":"l"}]}', status, **headers)


def _deflated(body: bytes) -> bytes:
    packed = zlib.compressobj(wbits=-15)
    return packed.compress(body) + packed.flush()


_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \r\n\t ",
    "null": b"null",
    "true": b"true",
    "text": b'"[]"',
    "nought": b"0",
    "nan": b"NaN",
    "object": b"{}",
    "one_user": _USER,
    "data_null": b'{"data":null}',
    "data_object": b'{"data":{}}',
    "data_twice": b'{"data":[],"data":7}',
    "data_empty": b'{"data":[],"total_count":4}',
    "error_with_200": b'{"errors":[{"code":"internal_clerk_error","message":"no"}]}',
    "empty_list": b"[]",
    "list_of_nothing": b"[,]",
    "list_of_null": b"[null]",
    "list_of_numbers": b"[1,2,3]",
    "list_of_texts": b'["user_a","user_b"]',
    "list_of_lists": b"[[],[[]]]",
    "list_of_objects": b"[{},{}]",
    "list_of_bad_numbers": b"[NaN,1e400,-Infinity," + b"9" * 10_000 + b"]",
    "half_a_list": b"[" + _USER,
    "list_closed_twice": b"[]]",
    "two_lists": b"[] []",
    "list_and_garbage": b"[]garbage",
    "list_and_garbage_like_a_list": b'[]garbage["',
    "user_and_garbage": b"[" + _USER + b"garbage]",
    "no_commas": b"[" + _USER + _USER + b"]",
    "lines_of_json": _USER + b"\n" + _USER,
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep_and_open": b"[" * 100_000,
    "deep_user": b'[{"id":"user_deep","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
    "never_closed_inside": b'[{"id":"user_open","a":' + b"[" * 3_000 + b"}]",
    "byte_order_mark": b"\xef\xbb\xbf[]",
    "utf_16": "[]".encode("utf-16"),
    "utf_16_le": "[{}]".encode("utf-16-le"),
    "utf_32": "[]".encode("utf-32"),
    "noughts": b"\x00" * 1_000,
    "not_utf_8": b'["\xff\xfe"]',
    "html": b"<!DOCTYPE html><title>Just a moment...</title>",
    "xml": b'<?xml version="1.0"?><users/>',
    "html_after_blanks": b"\n\n  <html></html>",
    "guarded": b")]}',\n[]",
    "callback": b"callback([])",
    "comment": b"[/* nobody */]",
    "plain_words": MARK.encode(),
    "one_user_500_times": b"[" + b",".join([_USER] * 500) + b"]",
    "user_in_two_versions": b"[" + _USER + b"," + _USER.replace(b":2,", b":3,") + b"," + _USER + b"]",
    "users_out_of_order": b"[" + _USER.replace(b":1,", b":9,").replace(b"nobody", b"x") + b"," + _USER + b"]",
}

_DATES = (
    "", "now", "Mon, 01 Jan 99999999999 00:00:00 GMT", "Mon, 99 Foo 2026 99:99:99 XYZ", "9" * 5_000,
    "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 +2359",
    "Mon, 01 Jan 2026 00:00:00 +" + "9" * 30, "1 2 3 4 5 6 7", "\x00",
)  # fmt: skip
_WAITS = (
    "-1",
    "-" + "9" * 30,
    "9" * 400,
    "9" * 5_000,
    "1e3",
    "nan",
    "\u00b2",
    "soon",
    "0x10",
    "5, 7",
    *_DATES,
)

REPLIES: dict[str, Response] = {
    **{f"body_{name}": _body(body) for name, body in _BODIES.items()},
    **{f"status_{status}": _error(status) for status in (
        201, 202, 203, 206, 207, 226, 299, 300, 305, 306, 399, 400, 402, 403, 404, 405, 407, 410, 418, 421,
        422, 451, 499, 500, 501, 505, 520, 529, 599, 600, 999,
    )},
    "status_204": Response(204),
    "status_205": Response(205),
    "status_304": Response(304),
    "wrong_key": _error(401),
    "wrong_key_in_html": _body(b"<html>", 401, Content_Type="text/html"),
    "error_nested": _error(400, b'{"errors":' + b"[" * 100_000),
    "error_not_utf_8": _error(400, b'{"errors":[{"code":"\xff","message":"\xfe"}],"clerk_trace_id":"\xe9"}'),
    "error_of_numbers": _error(422, b'{"errors":[1,2],"clerk_trace_id":5}'),
    "error_of_a_megabyte": _error(400, b'{"errors":[{"code":"%b","message":"%b"}]}' % (b"c" * 500_000, b"m" * 500_000)),
    "error_forges_lines": _error(
        422, b'{"errors":[{"code":"\\u001b[31m\\r\\nFORGED","long_message":"\\u001b]8;;x\\u0007\\nFORGED\\u202e"}]}'
    ),
    "trace_forges_lines": _error(400, b"no", cf_ray="\x1b[31mFORGED"),
    **{f"date_{number}": _body(b"[", Date=date) for number, date in enumerate(_DATES)},
    **{f"wait_{number}": _error(429, Retry_After=wait) for number, wait in enumerate(_WAITS)},
    **{f"wait_503_{number}": _error(503, Retry_After=wait) for number, wait in enumerate(_WAITS[:4])},
    "date_and_wait": _error(429, Retry_After=_DATES[6], Date=_DATES[2]),
    **{f"redirect_{number}": _error(302, Location=location) for number, location in enumerate((
        "http://evil.test/v1/users", "https://evil.test/", "//evil.test", "/v1/users", "", "http://[", "//[x]:y",
        "javascript:alert(1)", "file:///etc/passwd", "http://" + "a" * 10_000, "http://\x1b[31mevil.test/",
    ))},
    "redirect_without_location": _error(307),
    "not_gzip": _body(b"[]", Content_Encoding="gzip"),
    "gzip_cut": _body(gzip.compress(_USER * 99)[:40], Content_Encoding="gzip"),
    "gzip_and_garbage": _body(gzip.compress(b"[") + b"garbage", Content_Encoding="gzip"),
    "not_deflate": _body(b"[]", Content_Encoding="deflate"),
    "deflate_of_nothing": _body(_deflated(b""), Content_Encoding="deflate"),
    "brotli": _body(b"\x8b\x02\x80[]\n\x03", Content_Encoding="br"),
    "zstandard": _body(b"(\xb5/\xfd\x04\x00\x11\x00\x00[]", Content_Encoding="zstd"),
    "unknown_packing": _body(b"xx", Content_Encoding="x-rot13"),
    "packed_a_hundred_times": _body(b"xx", Content_Encoding=", ".join(["gzip"] * 100)),
    "type_of_a_picture": _body(b"\x89PNG\r\n", Content_Type="image/png"),
    "cookie": _body(b"{", Set_Cookie="__session=evil; Domain=.com", Location="http://evil.test"),
}  # fmt: skip

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def _once(*pieces: bytes) -> Pieces:
    return lambda: pieces


def _endless(head: bytes, piece: bytes) -> Pieces:
    """Sends until the other side hangs up."""
    return lambda: itertools.chain([head], itertools.repeat(piece))


def _dripping(head: bytes, piece: bytes) -> Pieces:
    """Sends slowly, each piece in time."""

    def drip() -> Iterator[bytes]:
        yield head
        for _ in range(200):
            time.sleep(0.05)
            yield piece

    return drip


_MEGABYTE = 1024 * 1024

#: Each of them comes to its end by itself.
WIRES: dict[str, Pieces] = {
    "silence": _once(),
    "words": _once(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "tls": _once(b"\x15\x03\x01\x00\x02\x02\x46"),
    "noughts": _once(b"\x00" * 10_000),
    "http_0_9": _once(b"[]"),
    "http_9": _once(b"HTTP/9.9 200 OK\r\n\r\n[]"),
    "http_2": _once(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "status_of_words": _once(b"HTTP/1.1 abc OK\r\n\r\n[]"),
    "status_negative": _once(b"HTTP/1.1 -200 OK\r\n\r\n[]"),
    "status_99": _once(b"HTTP/1.1 99 Odd\r\n\r\n[]"),
    "status_of_many_digits": _once(b"HTTP/1.1 " + b"2" * 5_000 + b" OK\r\n\r\n[]"),
    "status_line_of_a_megabyte": _once(b"HTTP/1.1 200 " + b"O" * _MEGABYTE + b"\r\n\r\n[]"),
    "reason_forges_lines": _once(b"HTTP/1.1 400 \x1b[31mFORGED\r\n\r\n"),
    "head_alone": _once(_HEAD),
    "header_of_a_megabyte": _once(_HEAD + b"X: " + b"x" * _MEGABYTE + b"\r\n\r\n[]"),
    "headers_of_a_megabyte": _once(_HEAD + b"X: y\r\n" * 175_000 + b"\r\n[]"),
    "header_without_colon": _once(_HEAD + b"no colon here\r\n\r\n[" + b"x"),
    "header_with_nought": _once(_HEAD + b"Content-Length: 1\x00\r\n\r\n["),
    "header_folded": _once(_HEAD + b"Date:\r\n Mon\r\n\tFORGED\r\nContent-Length: 1\r\n\r\n["),
    "length_negative": _once(_HEAD + b"Content-Length: -1\r\n\r\n["),
    "length_of_words": _once(_HEAD + b"Content-Length: many\r\n\r\n["),
    "length_of_many_digits": _once(_HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n["),
    "length_too_long": _once(_HEAD + b"Content-Length: 99999999999\r\n\r\n[]"),
    "length_too_short": _once(_HEAD + b"Content-Length: 1\r\n\r\n[" + _USER + b"]"),
    "lengths_that_differ": _once(_HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n[]"),
    "length_and_chunks": _once(_HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n[]"),
    "chunk_cut": _once(_CHUNKED + b"20\r\n[" + _USER[:10]),
    "chunk_without_size": _once(_CHUNKED + b"\r\n[]\r\n0\r\n\r\n"),
    "chunk_of_words": _once(_CHUNKED + b"size\r\n[]\r\n0\r\n\r\n"),
    "chunk_negative": _once(_CHUNKED + b"-2\r\n[]\r\n0\r\n\r\n"),
    "chunk_too_large": _once(_CHUNKED + b"f" * 16 + b"\r\n[]"),
    "chunk_of_many_digits": _once(_CHUNKED + b"f" * 60_000 + b"\r\n[]"),
    "chunk_with_a_long_extension": _once(_CHUNKED + b"2;" + b"x" * _MEGABYTE + b"\r\n[]\r\n"),
    "chunks_never_end": _once(_CHUNKED + b"1\r\n[\r\n"),
    "trailers_of_a_megabyte": _once(_CHUNKED + b"1\r\n[\r\n0\r\n" + b"X: y\r\n" * 175_000),
    "switching": _once(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
    "hints_then_silence": _once(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "a_thousand_continues": _once(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
}

#: These never end: the client has to.
ENDLESS: dict[str, Pieces] = {
    "continues": _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "continues_with_headers": _endless(b"", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * 100),
    "continues_drip": _dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "status_drips": _dripping(b"HTTP/1.1 200 ", b"O"),
    "headers_drip": _dripping(_HEAD, b"X: y\r\n"),
    "trailers_drip": _dripping(_CHUNKED + b"1\r\n[\r\n0\r\n", b"X: y\r\n"),
    "chunk_size_drips": _dripping(_CHUNKED, b"0"),
    "chunks": _endless(_CHUNKED, b"10000\r\n" + b" " * 65_536 + b"\r\n"),
    "chunks_of_gzip": _endless(
        _CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"),
        b"%x\r\n%b\r\n" % (len(packed := gzip.compress(b" " * 1_000_000)), packed),
    ),
    "body_without_length": _endless(_HEAD + b"\r\n[", b" " * 65_536),
    "trailers": _endless(_CHUNKED + b"1\r\n[\r\n0\r\n", b"X: y\r\n" * 1_000),
}
