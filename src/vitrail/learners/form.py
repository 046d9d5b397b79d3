"""The two forms in which concepts are learned."""

from __future__ import annotations

from typing import Literal

#: "centred": the mean of the states is a row of its own, and scales are relative to their spread. "paper": as in
#: CoX-LMM, `Z ≈ V U`, with penalties and activations in the units of the states.
Form = Literal["centred", "paper"]
