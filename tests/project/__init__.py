"""The tests of the project around clerksync."""
