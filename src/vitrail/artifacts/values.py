"""Dataclasses as JSON and back, and JSON that carries a digest of itself."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from vitrail.artifacts.files import read_regular, write_text
from vitrail.artifacts.json_text import parse
from vitrail.errors import ArtifactError, UsageError

#: The key under which sealed JSON keeps the digest of everything else in it.
SEAL = "digest"

T = TypeVar("T")


def plain(value: Any) -> Any:
    """The value as JSON has it: dataclasses as objects, tuples and arrays as lists, NaN and infinity as null.

    >>> plain({"mean": float("nan"), 1: (True, 2)})
    {'mean': None, '1': [True, 2]}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, bytes):  # base64, as msgspec reads it
        return base64.b64encode(value).decode()
    if hasattr(value, "tolist"):  # a numpy array or number, without importing numpy
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def typed(value: Any, kind: type[T]) -> T:
    """JSON values as a value of `kind`: the inverse of `plain`, so null is NaN where `kind` has a float.

    >>> typed([1.5, None], tuple[float, ...])
    (1.5, nan)

    Raises:
        ValueError: the value does not have the fields of `kind`.
    """
    import msgspec  # its errors are ValueErrors

    return msgspec.convert(_with_nan(value, msgspec.inspect.type_info(kind)), kind, str_keys=True)


def _with_nan(value: Any, kind: Any) -> Any:
    """`value` with NaN instead of None wherever `kind`, a type of `msgspec.inspect`, is a float."""
    name = type(kind).__name__
    if value is None:
        return math.nan if name == "FloatType" else None
    if name == "UnionType":  # of one type and None, in our dataclasses
        return next((_with_nan(value, one) for one in kind.types if type(one).__name__ != "NoneType"), value)
    if isinstance(value, dict) and name == "DataclassType":
        known = {field.name: field.type for field in kind.fields}
        return {k: _with_nan(v, known[k]) if k in known else v for k, v in value.items()}
    if isinstance(value, dict) and name == "DictType":
        return {k: _with_nan(v, kind.value_type) for k, v in value.items()}
    if isinstance(value, list) and name in ("ListType", "VarTupleType"):
        return [_with_nan(v, kind.item_type) for v in value]
    if isinstance(value, list) and name == "TupleType" and len(value) == len(kind.item_types):
        return [_with_nan(v, one) for v, one in zip(value, kind.item_types, strict=True)]
    return value


#: What reading values that are not as expected may raise, whoever wrote them.
UNEXPECTED = (ValueError, LookupError, TypeError, AttributeError, OverflowError, UsageError)


def read_json(path: Path, kind: type[T], again: str) -> T:
    """The content of a JSON file as a value of `kind`: a dataclass, or a generic type of dataclasses; see `typed`.

    Args:
        again: the command that makes the file again, for the message.

    Raises:
        ArtifactError: the file is missing, is no JSON, or its content does not have the fields of `kind`.
    """
    return read_made(path, lambda values: typed(values, kind), again)


def read_made(path: Path, make: Callable[[Any], T], again: str) -> T:
    """What `make` makes of the content of a JSON file; whatever it finds wrong there is told with the file's name.

    Args:
        again: the command that makes the file again, for the message.

    Raises:
        ArtifactError: the file is missing, is no JSON, or `make` cannot use its content.
    """
    try:
        values = parse(read_regular(path).decode())
        if isinstance(values, dict) and SEAL in values:
            values = {k: v for k, v in read_sealed(path).items() if k != SEAL}
        return make(values)
    except (OSError, *UNEXPECTED) as error:
        raise ArtifactError(
            f"{path} is damaged or missing, or of another version of Vitrail ({why(error)}). "
            f"Remove {path.parent} and {again} again."
        ) from error


def why(error: Exception) -> str:
    """What an error says of values that are not as expected; of a name that is missing, that it is missing."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def write_json(path: Path, value: Any) -> None:
    """Writes `value` (see `plain`) as readable JSON, whole or not at all."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


# ---- sealed JSON -----------------------------------------------------------------------------------------------------


def write_sealed(path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Writes an object as JSON with a digest of itself, and gives back what was written."""
    found = plain(values)
    sealed = {**found, SEAL: seal(found)}
    write_json(path, sealed)
    return sealed


def read_sealed(path: Path) -> dict[str, Any]:
    """The object in a file by `write_sealed`, its digest included, or in one without a digest, as version 0.1.0 wrote.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON object, or not the one that was written.
    """
    values = parse(read_regular(path).decode())
    if not isinstance(values, dict):
        raise ValueError(f"an object was expected, not {type(values).__name__}")
    if SEAL in values and values[SEAL] != seal({k: v for k, v in values.items() if k != SEAL}):
        raise ValueError("its content is not what was written")
    return values


def seal(values: Mapping[str, Any]) -> str:
    """sha256 of an object in its canonical form: keys sorted, no spaces, ASCII."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
