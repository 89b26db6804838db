"""Search: which recordings of a shelf are wanted, by what people said of them."""

from __future__ import annotations

from datetime import datetime

from msgspec import UNSET, Struct

from chalicelib.models.answers import Recording
from chalicelib.models.fields import rfc3339, searchable
from chalicelib.models.requests import ShelfQuery


class Wanted(Struct, frozen=True):
    """What a recording has to be, all of it."""

    words: tuple[str, ...] = ()
    """Each stands in its name, its notes or a tag; in the form of `searchable`."""
    tag: str | None = None
    recorded_from: str | None = None
    recorded_to: str | None = None
    """Answers have one form of a time, so that their text sorts as time does."""

    @classmethod
    def by(cls, query: ShelfQuery) -> Wanted:
        """What a query asks for."""
        return cls(
            words=tuple(dict.fromkeys(searchable(query.q or "").split())),
            tag=query.tag,
            recorded_from=_text(query.recorded_from),
            recorded_to=_text(query.recorded_to),
        )

    def matches(self, recording: Recording) -> bool:
        """Whether a recording is wanted; what nobody said a time of is in no span of time."""
        if self.tag is not None and self.tag not in recording.tags:
            return False
        if self.recorded_from or self.recorded_to:
            at = recording.recorded_at
            if at is UNSET or at < (self.recorded_from or at) or at > (self.recorded_to or at):
                return False
        return not self.words or self._has_words(recording)

    def _has_words(self, recording: Recording) -> bool:
        said = [recording.file_name, *recording.tags, recording.notes or ""]
        # A word has no line break in it, so none is found across two of these.
        text = "\n".join(searchable(each) for each in said)
        return all(word in text for word in self.words)


def _text(at: datetime | None) -> str | None:
    return rfc3339(at) if at else None


EVERYTHING = Wanted()
