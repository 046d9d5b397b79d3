"""Artifacts on the Hugging Face hub: `hf://owner/name`, `hf://owner/name@revision`, `hf://owner/name/folder`.

They are read where a URL is (`remote.at`), and written by `vitrail push` (`runs.push`). The client of the hub keeps
what it fetched in its own cache; files are checked against their manifests when an artifact is opened.
"""

from __future__ import annotations

import re
from pathlib import Path

from vitrail.errors import ArtifactError, UsageError

PROTOCOL = "hf://"
_ADDRESS = re.compile(r"hf://(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?(?:/(?P<inner>.+))?")


def fetched(url: str) -> Path:
    """The folder here of what lies at an address of the hub.

    Raises:
        UsageError: it is no such address.
        ArtifactError: there is no such repository or revision, it is private, or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download

    parts = _ADDRESS.fullmatch(url)
    if parts is None:
        raise UsageError(
            f"{url} is no address on the hub. It is hf://OWNER/NAME, with @REVISION and /FOLDER as needed."
        )
    repo, revision, inner = parts["repo"], parts["revision"], parts["inner"]
    patterns = None if inner is None else [f"{inner}/*"]
    try:
        top = snapshot_download(repo, revision=revision, allow_patterns=patterns)
    except Exception as error:  # of the client, of the network: whatever they raise
        raise ArtifactError(why(url, error)) from error
    folder = Path(top) / (inner or "")
    if not folder.is_dir():
        raise ArtifactError(f"{url} is not there: the repository has no folder {inner!r}.")
    return folder


def why(place: str, error: Exception) -> str:
    """What went wrong with the hub, and what to do."""
    name, reason = type(error).__name__, " ".join(str(error).split())[:300]
    if "RepositoryNotFound" in name or "401" in reason or "403" in reason:
        return f"{place} is not there, or not for you: log in with `hf auth login`, and check the name. {reason}"
    if "RevisionNotFound" in name:
        return f"{place} has no such revision. {reason}"
    return f"{place}: the hub cannot be reached, or refuses. {name}: {reason}"
