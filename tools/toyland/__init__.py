"""How Toyland's models are made: built, trained and measured. The drawn world itself is `vitrail.toyland`."""
