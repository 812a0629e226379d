"""Preference drift: how far a recommendation follows the words in which it is asked for."""
