"""A project with user models of its own; ``tests/test_custom_users.py`` runs its tests, a process for each model."""
