"""Whose users these are: a table holds the users of one Clerk instance."""

from __future__ import annotations

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
        raise InstanceMismatch(
            f"the secret key opens {instance.id} ({instance.environment_type}), but this table holds the users "
            f"of {state.instance_id} ({state.environment}). Use the key of that instance; if the table is "
            f"meant to change sides, pass --adopt-instance"
        )
    if state.instance_id != instance.id and not dry_run:
        fresh = {"instance_id": instance.id, "environment": instance.environment_type}
        MirrorState.objects.update_or_create(
            pk=1, defaults={**fresh, "updates_as_of": None, "deletes_as_of": None}
        )
    return instance
