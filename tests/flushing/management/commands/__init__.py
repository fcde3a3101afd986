"""See ``tests.flushing``."""
