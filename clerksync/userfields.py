"""CLERKSYNC_USER_FIELDS: which values a Django user takes over from a row. Writes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Field
from django.utils.module_loading import import_string
from msgspec import Struct, field

from clerksync.conf import settings
from clerksync.fields import WATCHED, UserFields
from clerksync.linkreports import Problem, ProblemKind
from clerksync.logs import Log, told, where
from clerksync.placeholders import PlaceholderRules

if TYPE_CHECKING:
    from clerksync.models import ClerkUser

logger = logging.getLogger(__name__)

#: What a field may be taken from.
SOURCES = frozenset({*UserFields.__struct_fields__, "clerk_id", "full_name"})

#: Takes the row and the Django user, answers the value.
Source = Callable[["ClerkUser", AbstractBaseUser], Any]


class FieldRule(Struct, frozen=True):
    """One entry of the setting; ``source`` is a name or a callable."""

    target: str
    source: str | Source
    only_blank: bool = False


class Change(Struct):
    """The new values of one Django user, by field, and what cannot be held."""

    row: ClerkUser
    user: AbstractBaseUser
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def leave(self, name: str, reason: str) -> None:
        """Leave a field as it is."""
        self.values.pop(name, None)
        self.problems.append(Problem(self.row.pk, ProblemKind.LEFT, reason, name))


def parse_rules(value: Mapping[str, Any]) -> tuple[FieldRule, ...]:
    """The rules that the setting's value says; a dotted path is imported.

    Raises:
        ImportError: There is nothing at a dotted path.
    """
    return tuple(_parse_rule(target, source) for target, source in value.items())


def _parse_rule(target: str, source: Any) -> FieldRule:
    match source:
        case (str() as name, str() as when):
            return FieldRule(target, name, only_blank=when == "blank")
        case str() if "." in source:
            return FieldRule(target, import_string(source))
        case _:
            return FieldRule(target, source)


class FieldRules:
    """The rules, and the model that they are about."""

    def __init__(self, model: type[AbstractBaseUser], rules: Sequence[FieldRule]) -> None:
        self.model = model
        self.rules = rules
        self.targets = frozenset(rule.target for rule in rules)
        self._placeholders = PlaceholderRules.from_settings()

    @classmethod
    def from_settings(cls, model: type[AbstractBaseUser]) -> FieldRules:
        """The rules under USER_FIELDS."""
        return cls(model, parse_rules(settings.USER_FIELDS))

    def plan(self, row: ClerkUser, user: AbstractBaseUser) -> Change:
        """What has to change, so that the Django user has what the rules say."""
        change = Change(row, user)
        replaceable = self._placeholders_of(row, user)
        for rule in self.rules:
            current = getattr(user, rule.target)
            if rule.only_blank and not _is_blank(current) and rule.target not in replaceable:
                continue
            try:
                value = _value(rule, row, user)
            except Exception as error:  # the project's own code may raise anything
                logger.error(
                    "the callable of %s in CLERKSYNC_USER_FIELDS failed",
                    rule.target,
                    exc_info=where(error),
                    extra=told(Log.LINK_FAILED, field=rule.target),
                )
                change.leave(rule.target, f"the callable failed ({type(error).__name__})")
                continue
            if value != current and not (_is_blank(value) and _is_blank(current)):
                self._take(change, rule.target, value, current)
        return change

    def _take(self, change: Change, name: str, value: Any, current: Any) -> None:
        try:
            cleaned = clean(self.model, name, value, change.user)
        except ValidationError as error:
            change.leave(name, reason_of(error, get_field(self.model, name)))
        else:
            if cleaned != current:
                change.values[name] = cleaned

    def _placeholders_of(self, row: ClerkUser, user: AbstractBaseUser) -> frozenset[str]:
        """The fields of the Django user that hold placeholders, judged together as ours are."""
        judged = {
            rule.source: rule.target
            for rule in self.rules
            if rule.only_blank and isinstance(rule.source, str) and rule.source in WATCHED
        }
        if not judged:
            return frozenset()
        values = {name: _text(getattr(user, judged[name])) if name in judged else None for name in WATCHED}
        found = self._placeholders.find(clerk_id=row.pk, **values)
        return frozenset(judged[placeholder.field] for placeholder in found)


def _value(rule: FieldRule, row: ClerkUser, user: AbstractBaseUser) -> Any:
    return getattr(row, rule.source) if isinstance(rule.source, str) else rule.source(row, user)


def clean(model: type[AbstractBaseUser], name: str, value: Any, user: AbstractBaseUser) -> Any:
    """The value as the field takes it.

    Raises:
        ValidationError: The field cannot hold it.
    """
    field = get_field(model, name)
    if value is None:
        if not field.null:
            raise ValidationError("", code="null")
        return None
    return field.clean(value, user)


def get_field(model: type[AbstractBaseUser], name: str) -> Field[Any, Any]:
    """A column of the Django user; the checks have seen that it is one."""
    return cast("Field[Any, Any]", model._meta.get_field(name))


def has_column(model: type[AbstractBaseUser], name: str) -> bool:
    """Whether the model itself holds a value under this name."""
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return bool(getattr(field, "concrete", False)) and not field.is_relation


def reason_of(error: ValidationError, field: Field[Any, Any]) -> str:
    """What is wrong, without the value, which the message of an error may quote."""
    codes = sorted({item.code or "invalid" for item in _items(error)})
    words = {
        "null": "Clerk has none, and NULL is not allowed",
        "max_length": f"longer than {field.max_length} characters",
        "blank": "it may not be blank",
    }
    return "; ".join(words.get(code, f"not valid there ({code})") for code in codes)


def _items(error: ValidationError) -> Iterator[ValidationError]:
    yield from error.error_list


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
