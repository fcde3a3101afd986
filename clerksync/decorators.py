"""Guards for plain views: only for those who are signed in with Clerk."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, overload
from urllib.parse import urlencode

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings as django_settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import resolve_url
from django.views import View

from clerksync.conf import settings
from clerksync.exceptions import TokenError
from clerksync.sessions import vary
from clerksync.visits import Visit

_View = TypeVar("_View", bound=Callable[..., Any])

if TYPE_CHECKING:
    _AnyView = View
else:
    _AnyView = object


@overload
def clerk_login_required(view: _View) -> _View: ...
@overload
def clerk_login_required(
    *, role: str | None = None, permission: str | None = None
) -> Callable[[_View], _View]: ...
def clerk_login_required(view: Any = None, *, role: str | None = None, permission: str | None = None) -> Any:
    """Let nobody in without a Clerk session; for functions, sync or async.

    Browsers are sent to ``CLERKSYNC_SIGN_IN_URL``, with the address of the page as
    ``redirect_url``; whoever asks for something else than HTML gets 401 as JSON. Those who
    are signed in without the role or the permission get 403, and everybody gets 503
    while Clerk's keys cannot be had.

    Args:
        view: The view, if the decorator is used without parentheses.
        role: Of the session's organisation, for instance ``org:admin``.
        permission: In the session's organisation, for instance ``org:invoices:create``.
    """

    def decorate(view: _View) -> _View:
        # Django's LoginRequiredMiddleware would ask for a session of Django's.
        return login_not_required(cast("_View", _guarded(view, role=role, permission=permission)))

    return decorate if view is None else decorate(view)


class ClerkLoginRequiredMixin(_AnyView):
    """The same for class-based views; stands before the view's class."""

    #: Of the session's organisation, for instance ``org:admin``.
    clerk_role: ClassVar[str | None] = None
    #: In the session's organisation, for instance ``org:invoices:create``.
    clerk_permission: ClassVar[str | None] = None

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., Any]:
        """The view, guarded."""
        guard = clerk_login_required(role=cls.clerk_role, permission=cls.clerk_permission)
        return guard(super().as_view(**initkwargs))


def _guarded(view: Callable[..., Any], *, role: str | None, permission: str | None) -> Callable[..., Any]:
    def refuse(request: HttpRequest) -> HttpResponse | None:
        return _refusal(_visit(request), role=role, permission=permission)

    if not iscoroutinefunction(view):

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            # Here, too: ``cache_page`` around the view does not wait for the middleware.
            return vary(refuse(request) or view(request, *args, **kwargs))

        return guarded

    @wraps(view)
    async def guarded_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return vary(await sync_to_async(refuse)(request) or await view(request, *args, **kwargs))

    return guarded_async


def _visit(request: HttpRequest) -> Visit:
    visit = getattr(request, "clerk_visit", None)
    if not isinstance(visit, Visit):
        raise ImproperlyConfigured(
            "clerk_login_required needs clerksync.middleware.ClerkMiddleware in MIDDLEWARE, "
            "after AuthenticationMiddleware."
        )
    return visit


def _refusal(visit: Visit, *, role: str | None, permission: str | None) -> HttpResponse | None:
    session = visit.session
    if session.claims is None and session.problem and not isinstance(session.problem, TokenError):
        return HttpResponse(
            "Who you are cannot be verified at present. Please try again in a moment.\n",
            status=503,
            content_type="text/plain",
            headers={"Retry-After": "10"},
        )
    if session.claims is None or not visit.is_welcome():
        return _to_sign_in(visit)
    wants = {"role": role, "permission": permission}
    if any(wants.values()) and not session.claims.has(**wants):
        return HttpResponse("You may not see this page.\n", status=403, content_type="text/plain")
    return None


def _to_sign_in(visit: Visit) -> HttpResponse:
    request = visit.request
    if not _wants_html(request):
        reason = getattr(visit.session.problem, "reason", "signed_out")
        return JsonResponse(
            {"error": "not signed in", "reason": reason},
            status=401,
            headers={"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"},
        )
    url = settings.SIGN_IN_URL or resolve_url(django_settings.LOGIN_URL)
    query = urlencode({"redirect_url": request.build_absolute_uri()})
    response = HttpResponseRedirect(f"{url}{'&' if '?' in url else '?'}{query}")
    response["Cache-Control"] = "no-store"
    return response


def _wants_html(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("Accept", "") and "HTTP_AUTHORIZATION" not in request.META
