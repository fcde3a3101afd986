"""Any JSON at all, for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

#: NUL, lone surrogates and our own mark included.
any_text = st.text(st.characters(codec=None) | st.sampled_from("\x00\ud800\udfff\u241b\u2028"), max_size=12)
numbers = st.integers() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | any_text
any_json: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=8,
)
