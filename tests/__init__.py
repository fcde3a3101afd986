"""The tests of clerksync."""
