"""What people write to a study: names and notes of its concepts, and sets of its samples. It lies beside the study as
`notes.json`, which carries its own digest, and goes where the study goes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from vitrail.artifacts import check_ours, one_writer, plain, read_json, write_sealed
from vitrail.errors import UsageError

NOTES = "notes.json"
#: The longest name, and the longest note, in characters; and the most sets.
LONGEST_NAME, LONGEST_NOTE, MOST_SETS = 120, 4000, 200


@dataclass(frozen=True)
class ConceptNote:
    """What somebody wrote to a concept.

    Args:
        name: what it is called, instead of its title; empty for its own title.
        text: a note.
    """

    name: str = ""
    text: str = ""


@dataclass(frozen=True)
class Notes:
    """What people wrote to a study.

    Args:
        grounding: the hash of the manifest of the grounding whose concepts are meant; another grounding has others.
        concepts: number of a concept → what was written to it.
        sets: name → ids of samples.
    """

    grounding: str = ""
    concepts: dict[int, ConceptNote] = field(default_factory=dict)
    sets: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def with_concept(self, k: int, note: ConceptNote) -> Notes:
        """The same with this note to concept `k`, which an empty one takes away.

        Raises:
            UsageError: the note is too long.
        """
        for text, most in ((note.name, LONGEST_NAME), (note.text, LONGEST_NOTE)):
            if len(text) > most:
                raise UsageError(f"At most {most} characters are kept; got {len(text)}.")
        note = ConceptNote(" ".join(note.name.split()), note.text.strip())
        others = {i: one for i, one in self.concepts.items() if i != k}
        return replace(self, concepts=others | ({k: note} if note != ConceptNote() else {}))

    def with_set(self, name: str, ids: tuple[str, ...]) -> Notes:
        """The same with a set of samples of this name, which an empty one takes away.

        Raises:
            UsageError: no name, one that is too long, or too many sets.
        """
        name = " ".join(name.split())
        if not 0 < len(name) <= LONGEST_NAME:
            raise UsageError(f"A set has a name of 1 to {LONGEST_NAME} characters.")
        others = {one: kept for one, kept in self.sets.items() if one != name}
        if len(others) >= MOST_SETS:
            raise UsageError(f"There are {MOST_SETS} sets already. Remove one.")
        return replace(self, sets=others | ({name: ids} if ids else {}))


def read_notes(folder: str | Path, grounding: str) -> Notes:
    """The notes to the study in `folder`; none where nobody wrote any, or where its concepts have become others.

    Args:
        grounding: the hash of the manifest of its grounding.

    Raises:
        ArtifactError: the file is damaged, or somebody else's.
    """
    path = Path(folder) / NOTES
    if not path.is_file():
        return Notes(grounding)
    check_ours([path])
    kept = read_json(path, Notes, "write the notes")
    return kept if kept.grounding == grounding else Notes(grounding, {}, kept.sets)


@one_writer
def write_notes(notes: Notes, *, out: Path) -> None:
    """Writes the notes to the study in the folder `out`.

    Raises:
        ArtifactError: somebody else's file is there, or it cannot be written.
    """
    check_ours([out / NOTES])
    write_sealed(out / NOTES, plain(notes))
