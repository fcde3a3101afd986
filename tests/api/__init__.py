"""The API; without Django REST framework there is none to test."""
