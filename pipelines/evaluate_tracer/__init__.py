"""Measures how well ids are moved: TRACER, its ablations and what it is compared with, beside an oracle."""
