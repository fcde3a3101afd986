"""The rules for placeholder data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clerksync.placeholders import Placeholder, PlaceholderRules

OWN_ID = "user_2abcDEFghiJKLmnoPQRstuVWXyz"
RULES = PlaceholderRules()
OTHER_ID = "user_3zyxWVUtsrQPOnmlKJIhgfEDCba"


def find(rules: PlaceholderRules = RULES, **values: str | None) -> set[tuple[str, str]]:
    """The fields and rules that this user breaks; what is not given is blank."""
    blank = dict.fromkeys(("email", "first_name", "last_name", "username", "phone_number"))
    found = rules.find(**{"clerk_id": OWN_ID, **blank, **values})  # type: ignore[arg-type]  # ids are never None
    return {(placeholder.field, placeholder.rule) for placeholder in found}


def widened(text: str) -> str:
    """The same text in full-width letters."""
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def test_find__whole_object() -> None:
    """A finding names the column, the value as it is stored and the rule."""
    found = PlaceholderRules().find(
        clerk_id=OWN_ID,
        email="X@Example.com",
        first_name="Ada",
        last_name=None,
        username="",
        phone_number=None,
    )
    assert found == (Placeholder("email", "X@Example.com", "reserved_domain"),)


def test_find__ordinary_user() -> None:
    """A person with ordinary data has no placeholder."""
    found = find(
        email="ada@harbour-works.io",
        first_name="Ada",
        last_name="Lovelace",
        username="ada",
        phone_number="+4915123456789",
    )
    assert found == set()


@pytest.mark.parametrize("blank", [None, "", "  ", "\u200b", "\u3164", "\u00a0\ufeff"])
def test_find__blank(blank: str | None) -> None:
    """What is missing is no placeholder; that is judged against Clerk."""
    assert find(email=blank, first_name=blank, last_name=blank, username=blank, phone_number=blank) == set()


@pytest.mark.parametrize(
    "domain",
    [
        "example.com",
        "example.org",
        "example.net",
        "mail.example.com",
        "a.b.example.org",
        "EXAMPLE.COM",
        "example.com.",
        "example\u3002com",
        "ex\u00adample.com",
        "\uff45xample.com",
        "clerk.example",
        "users.invalid",
        "app.test",
        "my.localhost",
        "localhost",
        "b\u00fccher.test",
    ],
)
def test_email__reserved_domain(domain: str) -> None:
    """An address in a domain that receives no mail is made up, however the domain is written."""
    assert find(email=f"ada@{domain}") == {("email", "reserved_domain")}


@pytest.mark.parametrize(
    "domain",
    [
        "example.de",
        "myexample.com",
        "example.com.au",
        "test.com",
        "invalid.io",
        "localhost.run",
        "b\u00fccher.de",
    ],
)
def test_email__domain_that_only_looks_reserved(domain: str) -> None:
    """Only the reserved domains count, not those that contain their names."""
    assert find(email=f"ada@{domain}") == set()


@pytest.mark.parametrize(
    "email", ["ada", "None", "@harbour-works.io", "ada@", "ada@.", "N/A", "ada.harbour-works.io"]
)
def test_email__no_address(email: str) -> None:
    """Without something on both sides of an @ it is no address."""
    assert find(email=email) == {("email", "not_an_address")}


@pytest.mark.parametrize(
    "local",
    [
        OWN_ID,
        OWN_ID.lower(),
        OWN_ID[5:],
        OTHER_ID,
        f"{OTHER_ID}+1",
        f"noreply-{OTHER_ID}",
        OTHER_ID.replace("_", "-"),
    ],
)
def test_email__clerk_id(local: str) -> None:
    """An address made of a Clerk id is made up, also in a real domain."""
    assert find(email=f"{local}@harbour-works.io") == {("email", "clerk_id")}


def test_email__two_rules() -> None:
    """An address may break several rules."""
    expected = {("email", "clerk_id"), ("email", "reserved_domain")}
    assert find(email=f"{OWN_ID}@example.com") == expected


@pytest.mark.parametrize("local", ["user_smith", "superuser_of_the_whole_harbour", "user", "2abc"])
def test_email__local_part_that_is_no_id(local: str) -> None:
    """Words that start like an id are none."""
    assert find(email=f"{local}@harbour-works.io") == set()


def test_email__short_id_of_a_test() -> None:
    """The user's own id counts whatever its shape."""
    assert find(clerk_id="user_1", email="user_1@harbour-works.io") == {("email", "clerk_id")}


@pytest.mark.parametrize(
    "name",
    [
        "User",
        "user",
        "USER",
        " User ",
        "U\u200bser",
        "\uff35\uff53\uff45\uff52",
        "New User",
        "NewUser",
        "new_user",
        "new-user",
        "New\u00a0User",
        "New\u2003 User",
        "Test User",
        "Test",
        "User 17",
        "user17",
        "Unknown",
        "(unknown)",
        "Anonymous",
        "N/A",
        "n/a",
        "N.A.",
        "#N/A",
        "None",
        "<null>",
        "NULL",
        "undefined",
        "Clerk User",
        "clerkuser",
        "First Last",
        "-",
        "...",
    ],
)
def test_name__generic_alone(name: str) -> None:
    """A stand-in that is the whole name is a placeholder, however it is written and wherever it stands."""
    assert find(first_name=name) == {("first_name", "generic_name")}
    assert find(last_name=name, first_name=" ") == {("last_name", "generic_name")}


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("New", "User"),
        ("Test", "User"),
        ("Clerk", "User"),
        ("null", "null"),
        ("User", "2"),
        ("First", "Last"),
        ("Test", "-"),
    ],
)
def test_name__generic_pair(first: str, last: str) -> None:
    """The two parts of a name are judged together, and both columns are reported."""
    assert find(first_name=first, last_name=last) == {
        ("first_name", "generic_name"),
        ("last_name", "generic_name"),
    }


@pytest.mark.parametrize("name", ["undefined", "N/A", "Test User", "Unknown User", "[not provided]"])
def test_name__one_impossible_part(name: str) -> None:
    """What nobody is called is a placeholder even beside a real part."""
    assert find(first_name="Ada", last_name=name) == {("last_name", "generic_name")}
    assert find(first_name=name, last_name="Lovelace") == {("first_name", "generic_name")}


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("Christopher", "Null"),
        ("Test", "Ng"),
        ("Marie", "Guest"),
        ("N. A.", "Smith"),
        ("Na", "Li"),
        ("Nan", None),
        ("Anon", None),
        ("Newton", "Userman"),
        ("Ada", "-"),
        ("\u674e", None),
        ("Bj\u00f6rk", None),
        ("\U0001f98a", None),
        ("50", None),
        ("Malcolm", "10"),
    ],
)
def test_name__of_a_person(first: str, last: str | None) -> None:
    """Names that people have are no placeholders."""
    assert find(first_name=first, last_name=last) == set()


@pytest.mark.parametrize("field", ["first_name", "last_name", "username"])
@pytest.mark.parametrize("value", [OWN_ID, OTHER_ID, OWN_ID.upper(), f"Clerk {OTHER_ID}"])
def test_name__clerk_id(field: str, value: str) -> None:
    """A Clerk id is nobody's name."""
    assert find(RULES, **{field: value}) == {(field, "clerk_id")}


@pytest.mark.parametrize("username", ["undefined", "N/A", "test_user", "newuser"])
def test_username__generic(username: str) -> None:
    """A username that nobody would choose is a placeholder."""
    assert find(username=username) == {("username", "generic_name")}


@pytest.mark.parametrize("username", ["null", "user", "anonymous", "newuser2024", "tester"])
def test_username__chosen(username: str) -> None:
    """People choose odd usernames."""
    assert find(username=username) == set()


@pytest.mark.parametrize(
    "phone", ["+12125550100", "+1 (907) 555-0199", "12125550150", "212-555-0123", widened("+12125550100")]
)
def test_phone__fictional(phone: str) -> None:
    """Clerk's test numbers are placeholders unless the project wants them."""
    assert find(phone_number=phone) == {("phone_number", "test_phone")}
    assert find(PlaceholderRules(allow_test_users=True), phone_number=phone) == set()


@pytest.mark.parametrize("phone", ["+12125550200", "+12125551234", "+445555550100", "+491555501001"])
def test_phone__real(phone: str) -> None:
    """Other numbers are real, also those of other countries."""
    assert find(phone_number=phone) == set()


def test_phone__no_digit() -> None:
    """A number without a digit is none."""
    assert find(phone_number="unknown") == {("phone_number", "not_a_number")}


@pytest.mark.parametrize("domain", ["harbour-works.io", "example.com"])
def test_email__test_address(domain: str) -> None:
    """Clerk's test addresses are one rule, which the project can switch off, whatever the domain."""
    email = f"ada+Clerk_Test@{domain}"
    assert find(email=email) == {("email", "test_address")}
    assert find(PlaceholderRules(allow_test_users=True), email=email) == set()


@pytest.mark.parametrize(
    "real", ["example.com", "EXAMPLE.COM.", "test", "m\u00fcnchen.test", "xn--mnchen-3ya.test"]
)
def test_real_domains__excepted(real: str) -> None:
    """A domain that the project calls real is real in every spelling, with its subdomains."""
    rules = PlaceholderRules(real_domains=(real,))
    assert find(rules, email=f"ada@{real}") == set()
    assert find(rules, email=f"ada@mail.{real.upper()}") == set()


def test_real_domains__others_stay() -> None:
    """Only that domain is excepted, not those above it or beside it."""
    rules = PlaceholderRules(real_domains=("mail.example.com",))
    assert find(rules, email="ada@example.com") == {("email", "reserved_domain")}
    assert find(rules, email="ada@notmail.example.com") == {("email", "reserved_domain")}


def test_real_domains__ids_stay() -> None:
    """The exception is for the domain: an address made of an id is still made up."""
    rules = PlaceholderRules(real_domains=("example.com",))
    assert find(rules, email=f"{OWN_ID}@example.com") == {("email", "clerk_id")}


def test_extra__asked_about_each_field() -> None:
    """A further rule sees the field and its value, and no blank ones."""
    asked = []

    def no_agency(field: str, value: str) -> str | None:
        asked.append((field, value))
        return "agency" if value.endswith(" GmbH") else None

    rules = PlaceholderRules(extra=(no_agency,))
    assert find(rules, first_name="Ada", last_name="Works GmbH", username=" ") == {("last_name", "agency")}
    assert asked == [("first_name", "Ada"), ("last_name", "Works GmbH")]


anything = (
    st.none()
    | st.text()
    | st.text(alphabet=st.characters())
    | st.text(alphabet="@.+user_/- \u200b\u3002\ud800", max_size=20)
)


@given(st.text(), anything, anything, anything, anything, anything)
def test_find__never_raises(
    clerk_id: str,
    email: str | None,
    first: str | None,
    last: str | None,
    username: str | None,
    phone: str | None,
) -> None:
    """Any text is judged; every finding is about a column and its value."""
    values = {
        "email": email,
        "first_name": first,
        "last_name": last,
        "username": username,
        "phone_number": phone,
    }
    found = PlaceholderRules().find(clerk_id=clerk_id, **values)
    assert all(values[placeholder.field] == placeholder.value for placeholder in found)


@given(
    st.sampled_from(["User", "New User", "undefined", "N/A", "Ada", "Ada Null", OWN_ID]),
    st.lists(st.booleans(), min_size=31, max_size=31),
)
def test_find__case_and_width(text: str, upper: list[bool]) -> None:
    """Case and width of letters change no judgement."""
    mixed = "".join(char.upper() if up else char.lower() for char, up in zip(text, upper, strict=False))
    expected = find(first_name=text, email=f"{text}@example.com")
    assert find(first_name=mixed, email=f"{mixed}@EXAMPLE.com") == expected
    assert find(first_name=widened(mixed), email=widened(f"{mixed}@example.com")) == expected


labels = st.text(alphabet="abcxyz019-", min_size=1, max_size=12)


@given(
    st.lists(labels, max_size=3),
    st.sampled_from(["example.com", "test", "invalid", "a.localhost"]),
    st.booleans(),
)
def test_real_domains__always_except(below: list[str], real: str, dotted: bool) -> None:  # noqa: FBT001  # drawn
    """Nothing below a real domain breaks a domain rule."""
    domain = ".".join([*below, real]) + "." * dotted
    assert find(PlaceholderRules(real_domains=(real,)), email=f"ada@{domain}") == set()
