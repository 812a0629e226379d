"""Backbones: collaborative filtering models, splits and metrics."""
