"""Has a stage's recordings listened to again, for operators: `make listen`.

Those alone that this version of the listener has not listened to: after a version that hears more,
all of them. It can be ended and run again at any time. The job that listens is told of each as S3
told of it, so many a minute, and does it in its own time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from chalicelib.aws.batches import batched
from chalicelib.aws.clients import Clients, our_errors
from chalicelib.aws.dynamodb.items import from_attributes, recording_key, to_attributes
from chalicelib.aws.events import EventBus
from chalicelib.core.recordings.listening import LISTENER
from chalicelib.errors import RecorderError
from chalicelib.models.entities import Keyed
from chalicelib.settings import Settings, SettingsError, load

DONE, FAILED = 0, 2
# What `listen_at_once` of 10 gets done of recordings of some minutes. What waits for Lambda for
# more than six hours is given up.
A_MINUTE = 300
AT_ONCE = 50
READ = ("pk", "sk", "user_id", "id", "status", "listener")


def main(
    arguments: Sequence[str] | None = None,
    clients: Clients | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Run the command; the exit code."""
    options = _options(arguments)
    try:
        settings = load()
        if settings.backend != "aws":
            return _failed("RECORDER_BACKEND is not aws: there is nothing to listen to")
        clients = clients or Clients(custom_s3=bool(settings.s3_endpoint))
        bus = EventBus(lambda: clients.events, settings.recordings_bucket)
        told, unheard = 0, _unheard(clients, settings)
        for batch in batched(unheard, AT_ONCE):
            bus.tell_of_kept(batch)
            told += len(batch)
            print(f"listen: told of {told} recordings", flush=True)
            pause(60 * len(batch) / options.a_minute)
    except SettingsError as error:
        return _failed(str(error))
    except RecorderError as error:
        return _failed(f"{error.detail} ({error.__cause__})")
    print(f"listen: {told} recordings are to be listened to")
    return DONE


def _unheard(clients: Clients, settings: Settings) -> Iterator[Keyed]:
    """The recordings of everybody that this version has not listened to; by the page."""
    pages = clients.dynamodb.get_paginator("scan").paginate(
        TableName=settings.table,
        FilterExpression=(
            "begins_with(#sk, :recording) AND #status IN (:ready, :trashed)"
            " AND (attribute_not_exists(#listener) OR #listener < :listener)"
        ),
        ExpressionAttributeValues=to_attributes(
            {
                ":recording": recording_key("", "")["sk"],
                ":ready": "ready",
                ":trashed": "trashed",
                ":listener": LISTENER,
            }
        ),
        ProjectionExpression=", ".join(f"#{name}" for name in READ),
        ExpressionAttributeNames={f"#{name}": name for name in READ},
    )
    with our_errors():
        for page in pages:
            for attributes in page["Items"]:
                item = from_attributes(attributes)
                yield Keyed(user_id=item["user_id"], id=item["id"])


def _failed(why: str) -> int:
    sys.stderr.write(f"listen: it could not be finished: {why}\n")
    return FAILED


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ops.listen",
        description="Has recordings listened to that this version has not listened to.",
        epilog="Exit code: 0 the job was told of all of them, 2 it could not be finished.",
    )
    parser.add_argument(
        "--a-minute", type=int, default=A_MINUTE, help="how many (%(default)s)", metavar="N"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
