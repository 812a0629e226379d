"""Composition: the jobs a person runs, their configuration and the command line."""
