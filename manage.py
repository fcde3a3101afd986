#!/usr/bin/env python
"""Django's commands for the project."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line


def main(arguments: list[str]) -> None:
    """Run one command; the demo has settings of its own, so that it cannot touch real data."""
    demo = arguments[1:2] in (["demo"], ["send_clerk_event"])
    if demo:
        os.environ["DJANGO_SETTINGS_MODULE"] = "project.demo_settings"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    execute_from_command_line(arguments)


if __name__ == "__main__":
    main(sys.argv)
