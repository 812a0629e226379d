"""Concepts: from a name to items, from a request to an adapter, and what they change in a recommendation."""
