"""Where Prometheus asks."""

from __future__ import annotations

import logging

from django.contrib.auth.decorators import login_not_required
from django.db import Error as DatabaseError
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from clerksync import alarms
from clerksync.logs import Log, told
from clerksync.metrics import access

logger = logging.getLogger(__name__)

_PLAIN = "text/plain; charset=utf-8"


@login_not_required
@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Tell Prometheus how the mirror stands and what was done.

    404 unless CLERKSYNC_METRICS_TOKEN or CLERKSYNC_METRICS_NETWORKS is set, 401 for whoever is not let
    in, 503 if the database cannot be read.
    """
    if not access.is_on():
        return HttpResponse("There are no metrics here.\n", status=404, content_type=_PLAIN)
    if not access.is_allowed(request):
        challenge = {"WWW-Authenticate": 'Bearer realm="metrics"'}
        return HttpResponse("Not allowed.\n", status=401, content_type=_PLAIN, headers=challenge)
    # By name: prometheus-client may not be installed, and only who has turned the metrics on needs it.
    render = import_string("clerksync.metrics.collector.render")
    alarms.look_soon()
    try:
        body, content_type = render(request.headers.get("Accept", ""))
    except DatabaseError as error:
        logger.warning(
            "the metrics cannot be read: %s", type(error).__name__, extra=told(Log.METRICS_UNREADABLE)
        )
        return HttpResponse("The database cannot be read.\n", status=503, content_type=_PLAIN)
    return HttpResponse(body, content_type=content_type)


for _alias in connections:  # a database that is down is an answer, not an error before it
    metrics = transaction.non_atomic_requests(using=_alias)(metrics)
