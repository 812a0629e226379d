"""Forgetting a concept inside the language model: where it sits, how it goes, and what shows that it went."""
