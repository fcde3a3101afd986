"""Whose users these are: a table holds the users of one Clerk instance."""

from __future__ import annotations

from django.utils import timezone

from clerksync.client import ClerkClient, Instance
from clerksync.exceptions import InstanceMismatch
from clerksync.models import MirrorState


def check(client: ClerkClient, *, adopt: bool = False, dry_run: bool = False) -> Instance:
    """Make sure that the key is of the instance whose users the table holds.

    The first sync decides which instance that is.

    Raises:
        InstanceMismatch: It is another one.
    """
    instance = client.instance()
    state = MirrorState.objects.filter(pk=1).first() or MirrorState(pk=1)
    if state.instance_id not in ("", instance.id) and not adopt:
        if not dry_run:
            MirrorState.objects.filter(pk=1, mismatch_at=None).update(mismatch_at=timezone.now())
        raise InstanceMismatch(
            f"the secret key opens {instance.id} ({instance.environment_type}), but this table holds the users "
            f"of {state.instance_id} ({state.environment}). Use the key of that instance; if the table is "
            f"meant to change sides, pass --adopt-instance"
        )
    if not dry_run:
        _remember(state, instance, fingerprint=client.fingerprint)
    return instance


def check_once(client: ClerkClient, *, dry_run: bool = False) -> Instance:
    """The same, without a request if this key was seen at this address before.

    A key is of one instance for good, so that an incremental sync, which deletes nobody on the word of a
    list, need not ask each time. A full sync does.
    """
    state = MirrorState.objects.filter(pk=1).first()
    is_known = state is not None and state.instance_id and state.key_fingerprint == client.fingerprint
    if state is not None and is_known and state.mismatch_at is None:
        return Instance(id=state.instance_id, environment_type=state.environment)
    return check(client, dry_run=dry_run)


def _remember(state: MirrorState, instance: Instance, *, fingerprint: str) -> None:
    values: dict[str, object] = {}
    if state.key_fingerprint != fingerprint:
        values["key_fingerprint"] = fingerprint
    if state.instance_id != instance.id:
        values |= {"instance_id": instance.id, "environment": instance.environment_type}
        values |= {
            "updates_as_of": None,
            "deletes_as_of": None,
            "census": {},
            "census_at": None,
            "placeholders": None,
        }
    if state.mismatch_at is not None:
        values["mismatch_at"] = None
    if values:
        MirrorState.objects.update_or_create(pk=1, defaults=values)
