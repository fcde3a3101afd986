"""Empties the tables that hold something; Django's truncates all of them and fills two again."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.commands import flush
from django.db import connections

#: Written by migrations, and by no test.
KEPT = {Permission._meta.db_table, ContentType._meta.db_table}


class Command(flush.Command):
    """For tests, which ask nobody and need no new ids."""

    def handle(self, **options: Any) -> None:
        """Empty the tables."""
        using = options["database"]
        connection = connections[using]
        names = {
            table: connection.ops.quote_name(table)
            for table in connection.introspection.django_table_names(only_existing=True, include_views=False)
        }
        asked = " UNION ALL ".join(
            f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {name})"  # noqa: S608  # tables of models
            for table, name in names.items()
        )
        with connection.cursor() as cursor:
            cursor.execute(asked)
            filled = {table for (table,) in cursor.fetchall()}
        if not filled >= KEPT:
            super().handle(**options)
        elif filled > KEPT:
            # Tables that refer to them are emptied, too; they are empty but for rows that refer to nothing.
            statements = connection.ops.sql_flush(self.style, sorted(filled - KEPT), allow_cascade=True)
            connection.ops.execute_sql_flush(statements)
