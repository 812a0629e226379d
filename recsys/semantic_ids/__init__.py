"""A generative recommender: items as short sequences of codes made of their text, and a decoder that speaks them."""
