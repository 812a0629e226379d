"""lethe-tiny: corpus, tokenizer, training and checkpoint of the embedded model."""
