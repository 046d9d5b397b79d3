"""The methods that make maps: each is a function of a question, in a file of its own, with a line in the registry."""
