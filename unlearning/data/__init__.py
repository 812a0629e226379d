"""Forgetting a person at the backbone."""
