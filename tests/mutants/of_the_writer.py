"""Faults of the apply rule, of what is written by it, and of events."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant, mutant

RULE = ("test_decisions.py", "test_mirror.py")
EVENTS = ("test_envelopes.py", "test_events.py", "test_views.py")

MUTANTS = (
    mutant(
        ">= for > between versions",
        "decisions.py",
        "    if observation.updated_ms > row.updated_ms or row.state == INCOMPLETE:",
        "    if observation.updated_ms >= row.updated_ms or row.state == INCOMPLETE:",
        *RULE,
    ),
    mutant(
        ">= for > between a delete and the row",
        "decisions.py",
        "    if observation.observed_ms > row.observed_ms:\n        # A list",
        "    if observation.observed_ms >= row.observed_ms:\n        # A list",
        *RULE,
    ),
    mutant(
        "a tombstone in doubt because a list lacks the user",
        "decisions.py",
        "agreed = row.doubt_reason == Doubt.ABSENT",
        "agreed = False",
        *RULE,
    ),
    mutant(
        ">= for > between a read by id and a doubt",
        "decisions.py",
        "observation.source is Source.GET and observation.observed_ms > max(row.observed_ms, row.doubt_ms)",
        "observation.source is Source.GET and observation.observed_ms >= max(row.observed_ms, row.doubt_ms)",
        *RULE,
    ),
    mutant(
        "the tombstone clause dropped",
        "decisions.py",
        "    if row.state == DELETED:\n        return _decide_after_delete(row, observation)\n",
        "",
        *RULE,
    ),
    mutant(
        "rule 3 without 'even if the digest is equal'",
        "decisions.py",
        "        and observation.updated_ms == row.updated_ms\n        and row.state == ACTIVE\n",
        "        and row.state == ACTIVE\n",
        *RULE,
    ),
    mutant(
        "a doubt that a refetch never clears",
        "decisions.py",
        "    settled = settle(row, observation.observed_ms)\n",
        "    settled = row\n",
        *RULE,
    ),
    mutant(
        "a tie raises no doubt",
        "decisions.py",
        "    doubted = doubt(row, Doubt.TIE, at).row or row\n",
        "    doubted = row\n",
        *RULE,
    ),
    mutant(
        "a list that shows a deleted user raises no doubt",
        "decisions.py",
        "    if told_later or observation.source in (Source.LIST, Source.CLAIMS):\n",
        "    if told_later:\n",
        *RULE,
    ),
    mutant(
        "a 404 believed of a user who is seconds old",
        "decisions.py",
        "    if row.state == ACTIVE and later and old_enough:\n",
        "    if row.state == ACTIVE and later:\n",
        *RULE,
    ),
    mutant(
        "one read of a lower version overrules",
        "decisions.py",
        "    if first is not None and observation.observed_ms >= first + REGRESSION_MS:\n",
        "    if first is None or observation.observed_ms >= first + REGRESSION_MS:\n",
        *RULE,
    ),
    mutant(
        "a version from the future believed",
        "decisions.py",
        "    return observation.full and observation.updated_ms <= observation.observed_ms + MAX_AHEAD_MS\n",
        "    return observation.full\n",
        *RULE,
    ),
    mutant(
        "a batch folded in the order of arrival",
        "decisions.py",
        "    for observation in sorted(observations, key=_fold_order):\n",
        "    for observation in observations:\n",
        *RULE,
    ),
    Mutant(
        "an unsorted batch",
        (
            Edit(
                "clerksync/mirror.py",
                "        wanted = sorted(ids)\n        known",
                "        wanted = list(ids)\n        known",
            ),
            Edit(
                "clerksync/tables.py",
                "        in_order = sorted(decisions.items())\n",
                "        in_order = list(decisions.items())\n",
            ),
        ),
        ("tests/test_mirror.py",),
    ),
    mutant(
        "a write without the revision's guard",
        "tables.py",
        ' DO UPDATE SET {sets} WHERE {_NAME}."revision" = excluded."revision" - 1\'',
        " DO UPDATE SET {sets}'",
        "test_mirror.py",
    ),
    mutant(
        "what lost a race is not decided again",
        "mirror.py",
        "            if self.table.write(pending, now=now, savepoint=savepoint) == len(pending):\n",
        "            if self.table.write(pending, now=now, savepoint=savepoint) >= 0:\n",
        "test_mirror.py",
    ),
    mutant(
        "events in seconds taken for milliseconds",
        "envelopes.py",
        "    return int(timestamp) * 1000 if timestamp < _SECONDS_BELOW else int(timestamp)\n",
        "    return int(timestamp)\n",
        *EVENTS,
    ),
    mutant(
        "seconds for ms in the time of an event",
        "envelopes.py",
        "    return int(timestamp) * 1000 if timestamp < _SECONDS_BELOW else int(timestamp)\n",
        "    return int(timestamp) * 1000 if timestamp < _SECONDS_BELOW else int(timestamp) // 1000 * 1000\n",
        *EVENTS,
    ),
    mutant(
        "a payload of last week believed",
        "envelopes.py",
        "    return msgspec.structs.replace(observation, full=False) if too_old else observation\n",
        "    return observation\n",
        *EVENTS,
    ),
    mutant(
        "redelivery of a parked event treated as a duplicate",
        "journal.py",
        "DONE = (State.APPLIED, State.SUPERSEDED, State.IGNORED, State.FAILED)\n",
        "DONE = (State.APPLIED, State.SUPERSEDED, State.IGNORED, State.FAILED, State.PARKED)\n",
        *EVENTS,
    ),
    mutant(
        "an event that a walk has overtaken raises no doubt",
        "events.py",
        "        observations += (_unlisted(observation, deletes_ms),)\n",
        "        pass\n",
        "test_views.py",
    ),
    mutant(
        "an event of another instance applied",
        "events.py",
        "    if pinned and event.instance_id != pinned:\n",
        "    if pinned and not event.instance_id:\n",
        *EVENTS,
    ),
    mutant(
        "an event recorded in another transaction than its effect",
        "events.py",
        "        recorded = journal.record(entry, again=again)\n        if recorded.is_new and verdict.observations:\n            verdict = _apply(entry, verdict)\n",
        "        recorded = journal.record(entry, again=again)\n    with transaction.atomic(using=mirror.database()):\n        if recorded.is_new and verdict.observations:\n            verdict = _apply(entry, verdict)\n",
        "test_events.py",
        "crash/test_deliveries.py",
    ),
    mutant(
        "2xx for an event that was not recorded",
        "views.py",
        'return JsonResponse({"error": "unavailable"}, status=503,',
        'return JsonResponse({"error": "unavailable"}, status=200,',
        "test_views.py",
    ),
    mutant(
        "any signature accepted",
        "webhooks.py",
        "    except refusals:\n        return False\n",
        "    except refusals:\n        return True\n",
        "test_webhooks.py",
    ),
    mutant(
        "a delivery of last year accepted",
        "webhooks.py",
        "    fresh = [one for one in signed if _is_fresh(one.timestamp)]\n",
        "    fresh = signed\n",
        "test_webhooks.py",
    ),
)
