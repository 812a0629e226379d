"""Attempts to bring a forgotten concept back, each with a fixed budget."""
