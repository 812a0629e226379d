"""Retrieval: item index, text neighbours, history filters and the context of a prompt."""
