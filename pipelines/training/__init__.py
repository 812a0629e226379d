"""The stages of a training, in the order of the data: what is read, what is chosen, what is registered."""
