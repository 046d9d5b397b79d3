"""What the doctor found of a model: the certificate that artifacts keep."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vitrail.artifacts import Check
from vitrail.lmm.description import ModelDescription
from vitrail.notebook import Shown, View


@dataclass(frozen=True)
class Diagnosis(Shown):
    """The certificate of a model.

    Args:
        model: the model as it was loaded.
        modules: which modules were taken for what, by name.
        checks: what was found, check by check.
        versions: of Python and the libraries.
    """

    model: ModelDescription
    modules: dict[str, str]
    checks: tuple[Check, ...]
    versions: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.passed is not False for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.passed is False)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"passed": self.passed, "model": self.model.as_dict(), **self._findings(), "versions": self.versions}

    def certificate(self) -> dict[str, Any]:
        """What an artifact keeps of it; the model's description and the versions lie beside it."""
        return {"passed": self.passed, **self._findings()}

    def _findings(self) -> dict[str, Any]:
        return {"modules": self.modules, "checks": [asdict(check) for check in self.checks]}

    def _shown(self) -> View:
        rows = tuple((c.mark, c.name, "" if c.error is None else f"{c.error:.1e}", c.says) for c in self.checks)
        return View("Doctor", f"of {self.model.name}", ("", "what should be true", "error", "found"), rows)
