"""A project that uses clerksync as an installed package, and tests itself with ``clerksync.testing``."""
