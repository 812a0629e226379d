"""Evaluations of concept forgetting: every way to forget, asked the same held-out questions, on the same concepts."""
