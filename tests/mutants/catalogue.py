"""All mutants."""

from __future__ import annotations

from tests.mutants import of_the_edges, of_the_readers, of_the_writer

MUTANTS = (*of_the_writer.MUTANTS, *of_the_readers.MUTANTS, *of_the_edges.MUTANTS)
