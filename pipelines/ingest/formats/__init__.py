"""One file a format: where its files lie and what its columns mean."""
