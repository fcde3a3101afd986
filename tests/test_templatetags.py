"""Clerk's script on pages that Django renders."""

from __future__ import annotations

from typing import Any

import pytest
from django.template import Context, Template
from django.test import RequestFactory, override_settings

KEY = "pk_test_Y2xlcmsuaGFyYm91ci50ZXN0JA"  # of clerk.harbour.test


def render(tag: str = "{% clerk_script %}", **attributes: Any) -> str:
    """The page that a request with these attributes gets."""
    request = RequestFactory().get("/")
    for name, value in attributes.items():
        setattr(request, name, value)
    return Template("{% load clerksync %}" + tag).render(Context({"request": request}))


@override_settings(CLERK_PUBLISHABLE_KEY=KEY)
def test_clerk_script() -> None:
    """Clerk's script comes from the instance's own host; ours knows how the request stood."""
    html = render(clerk_state="expired")
    assert 'src="https://clerk.harbour.test/npm/@clerk/clerk-js@6/dist/clerk.browser.js"' in html
    assert f'data-clerk-publishable-key="{KEY}"' in html
    assert 'data-clerk-state="expired"' in html
    assert "nonce" not in html


@override_settings(CLERK_PUBLISHABLE_KEY=KEY)
def test_clerk_script__posted() -> None:
    """A page that answers a form is not loaded again."""
    assert 'data-clerk-state=""' in render(clerk_state="expired", method="POST")


@override_settings(CLERK_PUBLISHABLE_KEY=KEY)
def test_clerk_script__version_and_nonce() -> None:
    """Another version may be asked for; a nonce of the Content-Security-Policy is taken over."""
    assert "clerk-js@5/" in render('{% clerk_script version="5" %}')
    assert render(csp_nonce="abc").count('nonce="abc"') == 2
    assert render('{% clerk_script nonce="xyz" %}').count('nonce="xyz"') == 2


@pytest.mark.parametrize("key", ["", "pk_test_junk"])
def test_clerk_script__no_key(key: str) -> None:
    """Without a publishable key there is nothing to load."""
    with override_settings(CLERK_PUBLISHABLE_KEY=key):
        assert render().strip() == ""
