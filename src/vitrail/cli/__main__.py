"""`python -m vitrail.cli`."""

from vitrail.cli import main

main()
