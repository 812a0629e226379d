"""Where in the model the words of a request matter: layers, neurons and heads."""
