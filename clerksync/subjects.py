"""What somebody may ask of us about themselves: to be forgotten. For one user, with a receipt."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Q, QuerySet
from django.utils import timezone
from msgspec import Struct, field, to_builtins

from clerksync import (
    __version__,
    djangousers,
    erasure,
    instances,
    leaks,
    mentions,
    mirror,
    pagereads,
    scrubbing,
)
from clerksync.client import ClerkClient
from clerksync.exceptions import ClerkError, PayloadError, StillInClerk
from clerksync.leaks import Leak
from clerksync.linkreports import told
from clerksync.models import ClerkUser, ClerkUserChange, WebhookEvent
from clerksync.payloads import Kind, Parser
from clerksync.reads import Reader


class Receipt(Struct, frozen=True):
    """What was done, by which version, and when.

    ``in_clerk`` says whether Clerk still shows the user, None if it could not be asked. ``rows`` are the
    rows that were blanked, by table. ``values`` says how many texts were looked for afterwards (None: that
    was not asked for) and ``found`` where some of them still are; ``notes`` what is left to do.
    """

    clerk_id: str
    at: str
    version: str = __version__
    in_clerk: bool | None = None
    rows: dict[str, int] = field(default_factory=dict)
    values: int | None = None
    found: tuple[Leak, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found that is the user's alone."""
        return not any(leak.rows for leak in self.found)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        receipt: dict[str, Any] = to_builtins(self)
        return receipt


#: With what nobody knows any more nothing can be proved.
NOTHING_TO_LOOK_FOR = "Of the user's texts none is known any more: name those to look for with --value."


def is_known(clerk_id: str) -> bool:
    """Whether anything is kept of a user: a row, an event, or that they are forgotten."""
    return bool(mirror.read([clerk_id])) or _events(clerk_id).exists()


def shown_by_clerk(client: ClerkClient, ids: Iterable[str]) -> list[str]:
    """Those of these users whom Clerk still has, or may have; each is read by id.

    Raises:
        InstanceMismatch: The key is of another instance, which knows nobody of them.
        ClerkError: Clerk could not be asked.
    """
    instances.check(client, dry_run=True)
    reader = Reader(client, Parser.from_settings(), provenance="operator")
    return [clerk_id for clerk_id in ids if reader.read(clerk_id).kind is not Kind.ABSENT]


def erase(
    clerk_id: str,
    *,
    force: bool = False,
    verify: bool = False,
    values: Collection[str] = (),
    scrub: str = "auto",
) -> Receipt:
    """Anonymize one user for good: whatever comes later, from Clerk too, writes nothing of them.

    To be called outside of transactions.

    Args:
        clerk_id: Whom.
        force: Also if Clerk still has the user, or cannot be asked.
        verify: Look through all our tables afterwards for the user's texts.
        values: Further texts to look for.
        scrub: How the database's files are treated, one of ``scrubbing.MODES``.

    Raises:
        StillInClerk: The user has to be deleted in Clerk first.
        ClerkError: Clerk could not be asked.
        ImproperlyConfigured: There is no usable key.
        NotAnonymized: The project's own code failed for the Django user; nothing was blanked.
    """
    in_clerk = _ask(clerk_id, force=force)
    return let_go(clerk_id, in_clerk=in_clerk, verify=verify, values=values, scrub=scrub)


def find_events(ids: Sequence[str]) -> dict[str, list[int]]:
    """The keys of all events that name each of these users, or hold an address of theirs and are nobody's.

    Reads all events, once for a few users: to be called outside of transactions.
    """
    rows = ClerkUser.objects.using(mirror.database()).in_bulk(ids)
    own = {clerk_id: _values_of(rows.get(clerk_id), clerk_id) for clerk_id in ids}
    return mentions.find_texts({clerk_id: leaks.identifying(values) for clerk_id, values in own.items()})


def let_go(
    clerk_id: str,
    *,
    in_clerk: bool | None,
    events: Sequence[int] | None = None,
    verify: bool = False,
    values: Collection[str] = (),
    scrub: str = "auto",
) -> Receipt:
    """The same for whom has asked Clerk already, and says what came of it.

    ``events`` are those of ``find_events``, where these were found for several users at once.

    Raises:
        NotAnonymized: The project's own code failed for the Django user; nothing was blanked.
    """
    row = ClerkUser.objects.using(mirror.database()).filter(pk=clerk_id).select_related("user").first()
    own = _values_of(row, clerk_id)
    found = find_events([clerk_id])[clerk_id] if events is None else events
    with scrubbing.secure_deletes(mirror.database()):
        counts = erasure.anonymize([clerk_id], for_good=True, observed_ms=pagereads.now_ms(), events=found)
    # A second time nothing is blanked, and what could not be rewritten the first time is.
    notes = scrubbing.scrub({*counts, *leaks.TABLES}, using=mirror.database(), mode=scrub)
    wanted = own.union(values)
    return Receipt(
        clerk_id=clerk_id,
        at=timezone.now().isoformat(timespec="seconds"),
        in_clerk=in_clerk,
        rows=dict(sorted(counts.items())),
        values=len(wanted) if verify else None,
        found=tuple(leaks.search(wanted, clerk_id=clerk_id)) if verify else (),
        notes=(
            *_notes(row, in_clerk=in_clerk),
            *notes,
            *([NOTHING_TO_LOOK_FOR] if verify and not wanted else []),
        ),
    )


def look(clerk_id: str, values: Collection[str]) -> Receipt:
    """Change nothing, and look for these texts."""
    found = tuple(leaks.search(values, clerk_id=clerk_id))
    return Receipt(clerk_id, timezone.now().isoformat(timespec="seconds"), values=len(values), found=found)


def is_erased(clerk_id: str) -> bool:
    """Whether somebody has anonymized the user for good."""
    row = mirror.read([clerk_id]).get(clerk_id)
    return row is not None and row.digest == "erased"


def _ask(clerk_id: str, *, force: bool) -> bool | None:
    try:
        with ClerkClient() as client:
            in_clerk = bool(shown_by_clerk(client, [clerk_id]))
    except (ClerkError, ImproperlyConfigured):
        if not force:
            raise
        return None
    if in_clerk and not force:
        raise StillInClerk(
            f"Clerk still has {clerk_id}, and would tell of them again. Delete the user in Clerk first; "
            f"with --force nothing that Clerk tells of them is written here any more"
        )
    return in_clerk


def _values_of(row: ClerkUser | None, clerk_id: str) -> frozenset[str]:
    """The user's texts, as the row, the history and the user's events have them."""
    found = frozenset[str]() if row is None else leaks.values_of(row)
    for change in ClerkUserChange.objects.filter(clerk_id=clerk_id):
        found |= leaks.texts_of(list(change.fields.values()))
    for event in _events(clerk_id).filter(object_id=clerk_id, payload_text__isnull=False):
        try:
            found |= leaks.texts_of((event.payload or {}).get("data"))
        except PayloadError:
            continue  # nobody could read it when it came
    return found - {clerk_id}


def _notes(row: ClerkUser | None, *, in_clerk: bool | None) -> list[str]:
    notes = []
    if in_clerk:
        notes.append("Clerk still has the user: delete them there as well.")
    if in_clerk is None:
        notes.append("Clerk was not asked: make sure that the user is deleted there.")
    if row is not None and row.user_id is not None and djangousers.anonymizer() is None:
        notes.append(
            f"The linked Django user {told(row.user_id)} keeps what its own fields hold: see CLERKSYNC_USER_ON_DELETE."
        )
    return notes


def _events(clerk_id: str) -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.filter(Q(object_id=clerk_id) | Q(user_id=clerk_id))
