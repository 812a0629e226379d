"""History filters: which interactions of a person reach the prompt."""
