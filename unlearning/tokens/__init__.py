"""Forgetting a concept in the generative recommender: TRACER, its ablations, and what it is compared with."""
