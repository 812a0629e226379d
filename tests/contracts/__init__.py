"""One conformance suite per interface; every implementation runs through it."""
