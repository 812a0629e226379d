"""Language model: prompts, scorers, re-ranking and the embedded model."""
