"""The doctor: looks at everything that can be wrong in a set-up, and says what to do (``manage.py check_clerk``)."""
