"""Scorers: how a language model judges candidates."""
