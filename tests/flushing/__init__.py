"""An app with a ``flush`` that is faster than Django's, for the ends of tests with transactions of their own."""
