"""Runs: what each command does, as one Python call. `vitrail.NAME` is the function `NAME` of `vitrail.runs.NAME`."""
