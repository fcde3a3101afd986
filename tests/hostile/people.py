"""Hostile users, by hand: JSON that Clerk should never send of anybody."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Hostile:
    """What a user's JSON is changed to.

    ``changes`` replace values; bytes go onto the wire as they are. ``tail`` comes before the last brace,
    for keys that come twice. ``whole`` stands for all of it; ``%ID%`` in it is the user's id.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    tail: bytes = b""
    whole: bytes | None = None

    def spoil(self, user: dict[str, Any]) -> bytes:
        """The JSON of this user, spoilt."""
        if self.whole is not None:
            return self.whole.replace(b"%ID%", user["id"].encode())
        times = {b"%CREATED%": user["created_at"], b"%UPDATED%": user["updated_at"]}
        raw = {
            name: msgspec.Raw(_filled(value, times)) if isinstance(value, bytes) else value
            for name, value in self.changes.items()
        }
        return msgspec.json.encode({**user, **raw})[:-1] + self.tail + b"}"


def _filled(value: bytes, times: dict[bytes, int]) -> bytes:
    for mark, time in times.items():
        value = value.replace(mark, str(time).encode())
    return value


def _text(value: str) -> Hostile:
    """The same text wherever a user has text."""
    email = {"id": "idn_1", "email_address": value, "verification": {"status": value}}
    phone = {"id": "idn_2", "phone_number": value, "verification": {"status": "verified"}}
    return Hostile(
        {
            **dict.fromkeys(("first_name", "last_name", "username", "external_id", "image_url"), value),
            "primary_email_address_id": "idn_1",
            "email_addresses": [email],
            "primary_phone_number_id": "idn_2",
            "phone_numbers": [phone],
            "external_accounts": [{"provider": value, "provider_user_id": value}],
            "public_metadata": {value: [value]},
        }
    )


def _number(value: bytes) -> Hostile:
    """The same number, as it is written, in place of each time but those that make a row."""
    times = ("last_sign_in_at", "last_active_at", "legal_accepted_at", "lockout_expires_in_seconds")
    return Hostile({**dict.fromkeys(times, value), "public_metadata": b'{"number":%s}' % value})


def _version(value: bytes) -> Hostile:
    return Hostile({"updated_at": value})


def _creation(value: bytes) -> Hostile:
    return Hostile({"created_at": value})


def _id(value: bytes) -> Hostile:
    return Hostile({"id": value})


_EMAIL = {"id": "idn_1", "email_address": "a@harbour-works.io", "verification": {"status": "verified"}}

_TEXTS = {
    "right_to_left": "\u202egnp.exe\u202c\u2066x\u2069",
    "zero_width": "a\u200b\u200c\u200d\ufeffb\u2060",
    "combining_flood": "Z" + "\u0301\u0327\u0489" * 1_500,
    "long_name": "n" * 10_000,
    "long_name_of_four_bytes": "\U0001f980" * 10_000,
    "as_long_as_an_index_takes": "\U0010fffd" * 512,
    "blank": " \t\u3000 ",
    "empty": "",
    "line_ends": "a\r\nb\u2028c\u2029d\x0be\x85f",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\x80\x9f",
    "not_characters": "\ufffe\uffff\U0001ffff",
    "replacement": "\ufffd\ufffd",
    "quotes": "'; DROP TABLE clerksync_clerkuser; --\"`$$%s%(a)s{}{0}\\",
    "backslashes": "\\" * 999 + "u0000",
    "regional_flags": "\U0001f1e9" * 333,
    "null_as_text": "null",
    "turkish": "\u0130\u0131\u1e9e\ufb03\u0345" * 90,
}

_NUMBERS: dict[str, bytes] = {
    "negative": b"-1",
    "most_negative": b"-9223372036854775808",
    "beyond_64_bits": b"18446744073709551616",
    "huge": b"9" * 4_299,
    "beyond_what_python_reads": b"9" * 10_000,
    "negative_beyond_what_python_reads": b"-" + b"9" * 10_000,
    "fraction": b"1767225600000.999",
    "tiny": b"1e-400",
    "exponent": b"1.767225600e12",
    "infinite": b"1e400",
    "minus_nought": b"-0",
    "minus_nought_point": b"-0.0",
    "long_fraction": b"0." + b"3" * 10_000,
    "long_exponent": b"1e" + b"9" * 4_000,
    "true": b"true",
    "text": b'"1767225600000"',
    "text_of_nonsense": b'"yesterday"',
    "list": b"[1767225600000]",
}

_NO_NUMBERS: dict[str, bytes] = {
    "nan": b"NaN",
    "infinity": b"Infinity",
    "minus_infinity": b"-Infinity",
    "hexadecimal": b"0x10",
    "leading_nought": b"007",
    "plus": b"+1",
    "bare_point": b".5",
}


def _times(own: str) -> dict[str, bytes]:
    """Times that are none, or that fit into the order of the list: the user's own, written otherwise."""
    unusable = "negative", "most_negative", "beyond_64_bits", "huge", "infinite", "list"
    return {
        **{name: _NUMBERS[name] for name in (*unusable, "beyond_what_python_reads")},
        "fraction": b"%%%s%%.999" % own.encode(),
        "exponent": b"%%%s%%e0" % own.encode(),
        "text": b'"%%%s%%"' % own.encode(),
        "null": b"null",
        "too_late": b"253402214400000",
    }


#: What stands where an id should, and is none.
_NO_IDS: dict[str, bytes] = {
    "empty": b'""',
    "of_300_characters": b'"user_' + b"x" * 295 + b'"',
    "nul": b'"user_\\u0000"',
    "surrogate": b'"user_\\ud800"',
    "number": b"17",
    "list": b'["user_a"]',
    "object": b'{"id":"user_a"}',
    "null": b"null",
    "true": b"true",
}

#: Ids that users could have as far as JSON is concerned.
ODD_IDS: dict[str, str] = {
    "blank": " ",
    "of_255_characters": "user_" + "x" * 250,
    "of_255_characters_of_four_bytes": "\U0001f980" * 255,
    "slash": "user_a/../../instance",
    "newline": "user_a\nuser_b",
    "quotes": "user_\"a'`",
    "unicode": "user_\u00e9\u4e16",
    "right_to_left": "user_\u202eabc",
    "zero_width": "user_\u200b",
    "plus": "+user_a",
    "minus": "-user_a",
    "count": "count",
    "dots": "..",
    "question": "user_a?limit=500",
    "percent": "user_%2e%2e%2f",
    "escape": "user_\x1b[31m",
    "comma": "user_a,user_b",
    "markup": "<b>[red]user</b>",
    "formula": "=1+1",
}

_DEEP_OBJECT = b'{"a":' * 1_000 + b"1" + b"}" * 1_000

HOSTILE: dict[str, Hostile] = {
    **{f"text_{name}": _text(value) for name, value in _TEXTS.items()},
    **{f"number_{name}": _number(value) for name, value in {**_NUMBERS, **_NO_NUMBERS}.items()},
    **{f"version_{name}": _version(value) for name, value in {**_times("UPDATED"), **_NO_NUMBERS}.items()},
    **{f"creation_{name}": _creation(value) for name, value in {**_times("CREATED"), **_NO_NUMBERS}.items()},
    **{f"id_{name}": _id(value) for name, value in _NO_IDS.items()},
    "nested_objects": Hostile({"unsafe_metadata": _DEEP_OBJECT}),
    "nested_lists": Hostile({"public_metadata": b"[" * 1_000 + b"]" * 1_000}),
    "nested_where_text_belongs": Hostile({"first_name": _DEEP_OBJECT, "username": b"[" * 999 + b"]" * 999}),
    "nested_where_nobody_looks": Hostile({"saml_accounts": b"[" * 1_000 + b"]" * 1_000}),
    "nested_too_deeply": Hostile({"public_metadata": b"[" * 200_000 + b"]" * 200_000}),
    "metadata_of_a_megabyte": Hostile({"private_metadata": {"text": "\u4e16" * 350_000}}),
    "metadata_of_many_keys": Hostile(
        {"public_metadata": {f"key_{number}": number for number in range(40_000)}}
    ),
    "metadata_of_a_long_key": Hostile({"public_metadata": {"k" * 100_000: 1}}),
    "metadata_of_an_empty_key": Hostile({"public_metadata": {"": {"": ""}}}),
    "metadata_as_list": Hostile({"public_metadata": [1], "private_metadata": "text", "unsafe_metadata": 5}),
    "metadata_key_twice": Hostile({"public_metadata": b'{"a":1,"a":2,"\\u0061":3}'}),
    "nul_everywhere": Hostile({"first_name": b'"\\u0000"', "public_metadata": b'{"\\u0000":"\\u0000"}'}),
    "nul_raw": Hostile({"last_name": b'"\x00"'}),
    "surrogates": Hostile({"first_name": b'"\\udfff\\ud800"', "username": b'"\\ud83d"'}),
    "surrogates_as_bytes": Hostile({"first_name": b'"\xed\xa0\x80"'}),
    "utf8_too_long": Hostile({"first_name": b'"\xc0\x80\xf8\x88\x80\x80\x80"'}),
    "latin_1": Hostile({"first_name": b'"caf\xe9"'}),
    "escape_cut_off": Hostile({"first_name": b'"\\u00"'}),
    "escape_of_nothing": Hostile({"first_name": b'"\\x41"'}),
    "line_end_raw": Hostile({"first_name": b'"a\nb"'}),
    "keys_twice": Hostile(tail=b',"first_name":"second","banned":true,"username":5,"username":null'),
    "id_twice_and_null": Hostile(tail=b',"id":null'),
    "flags_as_numbers": Hostile({"banned": 1, "locked": 0, "has_image": 2, "two_factor_enabled": -1}),
    "flags_as_text": Hostile(
        {"banned": "true", "locked": "no", "password_enabled": "", "deprovisioned": "1"}
    ),
    "flags_as_lists": Hostile({"banned": [], "locked": {}, "has_image": [True]}),
    "texts_as_lists": Hostile({"first_name": ["a"], "last_name": {"a": 1}, "image_url": False}),
    "lists_as_text": Hostile({"email_addresses": "a@b.c", "phone_numbers": "+1", "external_accounts": "x"}),
    "lists_as_objects": Hostile({"email_addresses": {"0": _EMAIL}, "web3_wallets": {}}),
    "lists_of_lists": Hostile({"email_addresses": [[_EMAIL]], "phone_numbers": [[[]]]}),
    "lists_of_null": Hostile({"email_addresses": [None], "phone_numbers": [None, None], "passkeys": [None]}),
    "lists_of_numbers": Hostile(
        {"email_addresses": [1, 2], "external_accounts": [0.5], "web3_wallets": [True]}
    ),
    "many_addresses": Hostile({"email_addresses": [{**_EMAIL, "id": f"idn_{n}"} for n in range(5_000)]}),
    "addresses_of_one_id": Hostile(
        {"email_addresses": [_EMAIL, {**_EMAIL, "email_address": "b@c.d"}, _EMAIL]}
    ),
    "addresses_without_id": Hostile(
        {"primary_email_address_id": None, "email_addresses": [{"id": None}, {}]}
    ),
    "primary_of_another_type": Hostile({"primary_email_address_id": ["idn_1"], "primary_phone_number_id": 5}),
    "verification_as_text": Hostile({"email_addresses": [{**_EMAIL, "verification": "verified"}]}),
    "verification_as_list": Hostile({"email_addresses": [{**_EMAIL, "verification": ["verified"]}]}),
    "everything_null": Hostile(
        whole=b'{"id":"%ID%","created_at":null,"updated_at":null,"email_addresses":null}'
    ),
    "only_an_id": Hostile(whole=b'{"id":"%ID%"}'),
    "nothing": Hostile(whole=b"{}"),
    "null": Hostile(whole=b"null"),
    "text": Hostile(whole=b'"%ID%"'),
    "list": Hostile(whole=b'[{"id":"%ID%"}]'),
    "number": Hostile(whole=b"1e400"),
    "no_comma": Hostile(whole=b'{"id":"%ID%" "created_at":1}'),
    "comma_too_many": Hostile(whole=b'{"id":"%ID%","created_at":1,}'),
    "single_quotes": Hostile(whole=b"{'id':'%ID%'}"),
    "comment": Hostile(whole=b'{/* a comment */"id":"%ID%"}'),
    "byte_order_mark": Hostile(whole=b'\xef\xbb\xbf{"id":"%ID%"}'),
    "prototype": Hostile(tail=b',"__proto__":{"banned":true},"__class__":"x","constructor":null,"$ref":"#/"'),
    "another_object": Hostile({"object": "organization"}),
    "an_error": Hostile(whole=b'{"errors":[{"code":"resource_not_found","message":"%ID%"}]}'),
    "a_deleted_one": Hostile(whole=b'{"object":"user","id":"%ID%","deleted":true}'),
}
