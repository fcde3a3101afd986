"""The form that changes a name in the demo's fake Clerk."""

from __future__ import annotations

from django import forms

#: How the site hears of the change.
HOW = [
    ("webhook", "Clerk sends a webhook"),
    ("nothing", "The webhook is lost: your next page load notices"),
]


class NameForm(forms.Form):
    """A name, and how the site hears of it."""

    first_name = forms.CharField(max_length=100, required=False)
    last_name = forms.CharField(max_length=100, required=False)
    how = forms.ChoiceField(choices=HOW, initial="webhook", widget=forms.RadioSelect, label="And then")
