"""EventBridge, which has jobs started: as S3 does when something is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

from chalicelib.aws.batches import batched
from chalicelib.aws.clients import our_errors
from chalicelib.errors import Unavailable
from chalicelib.models.entities import Keyed
from chalicelib.models.fields import EVENT_SOURCE

if TYPE_CHECKING:
    from mypy_boto3_events.client import EventBridgeClient

# EventBridge's own limit for one PutEvents.
TOLD_AT_ONCE = 10


class EventBus(Struct, frozen=True):
    """See core/ports.py for what each method promises."""

    client: Callable[[], EventBridgeClient]
    bucket: str

    def tell_of_kept(self, recordings: Iterable[Keyed]) -> None:
        for batch in batched(recordings, TOLD_AT_ONCE):
            with our_errors():
                answer = self.client().put_events(
                    Entries=[
                        {
                            "Source": EVENT_SOURCE,
                            "DetailType": "Object Created",
                            "Detail": self._detail(recording.key),
                        }
                        for recording in batch
                    ]
                )
            if answer["FailedEntryCount"]:
                raise Unavailable("EventBridge took some of the events, and not all")

    def _detail(self, key: str) -> str:
        """As much of what S3 says as the jobs look at."""
        return json.dumps({"bucket": {"name": self.bucket}, "object": {"key": key}})
