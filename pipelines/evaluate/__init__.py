"""Evaluations: the same rows, split once, for every method; finished cells are kept and never measured again."""
