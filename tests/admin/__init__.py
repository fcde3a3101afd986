"""The tests of the admin."""
