"""Opens large multimodal models: the concepts behind a word."""
