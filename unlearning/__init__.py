"""Forgetting: one small interface, and the methods that act on each layer."""
