"""S3 events and schedules: the other door into core.

Lambda calls these functions by their names in this module, without app.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from chalice.app import Blueprint, Rate

from chalicelib import deadline, telemetry
from chalicelib.models.entities import Keyed
from chalicelib.models.fields import EVENT_SOURCE
from chalicelib.settings import Settings
from chalicelib.wiring import services, work

# As little as is left when a run stops: a page of items and a copy in S3 end well within it. Of a
# function that has little time, half.
ENOUGH_MILLISECONDS = 60_000
# What is left for the line in the log when a run has no time for another call.
SECONDS_TO_SAY_SO = 1

Done = TypeVar("Done")


def blueprint(settings: Settings) -> Blueprint:
    """The jobs, and what starts them."""
    jobs = Blueprint(__name__)
    arrival = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [settings.uploads_bucket]}},
    }
    jobs.on_cw_event(arrival)(notice)
    kept = {
        # S3's, and upkeep's, which tells again of what nobody listened to.
        "source": ["aws.s3", EVENT_SOURCE],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [settings.recordings_bucket]}},
    }
    jobs.on_cw_event(kept)(listen)
    jobs.schedule(Rate(15, unit=Rate.MINUTES))(upkeep)
    jobs.schedule(Rate(1, unit=Rate.MINUTES))(deliver_mail)
    return jobs


def _job(job: Callable[[Any, Any], Done]) -> Callable[[Any, Any], Done]:
    """Have a job end before Lambda ends it, and log each run as a line.

    A run that fails has its cause there: Lambda's own report leaves it out.
    """

    @functools.wraps(job)
    def run(event: Any, context: Any) -> Done:
        seconds = context.get_remaining_time_in_millis() / 1000 - SECONDS_TO_SAY_SO
        doing = work(job.__name__, job=job.__name__, request_id=context.aws_request_id)
        with doing, deadline.within(seconds):
            return job(event, context)

    return run


@_job
def notice(event: dict[str, Any], _context: object) -> None:
    """An object was created in the uploads bucket: complete its upload.

    `event` is S3's, as EventBridge hands it on. Raises when AWS cannot be reached; Lambda then
    calls again.
    """
    created = event["detail"]
    key = created["object"]["key"]
    arrived = Keyed.at(key)
    if arrived and created["bucket"]["name"] == services().settings.uploads_bucket:
        telemetry.note(user=arrived.user_id)
        etag = f'"{created["object"]["etag"]}"'
        services().completion.notice(arrived, key, etag)


@_job
def listen(event: dict[str, Any], _context: object) -> None:
    """An object was created in the recordings bucket: listen to it. `event` is as above."""
    created = event["detail"]
    kept = Keyed.at(created["object"]["key"])
    if kept and created["bucket"]["name"] == services().settings.recordings_bucket:
        telemetry.note(user=kept.user_id)
        services().listening.listen(kept.user_id, kept.id)


@_job
def upkeep(_event: object, context: Any) -> dict[str, int]:
    """Move what is due; says what was done, and the metrics do too."""
    tally = services().upkeep.run(_goes_on(context))
    numbers: dict[str, int] = msgspec.structs.asdict(tally)
    telemetry.count(**{f"upkeep_{name}": number for name, number in numbers.items()})
    return numbers


@_job
def deliver_mail(_event: object, context: Any) -> None:
    """Send the mails that wait; and tell Apple what it is to be told, where it is."""
    goes_on = _goes_on(context)
    services().mail.deliver(goes_on)
    if services().settings.tells_apple:
        services().grants.settle(goes_on)


def _goes_on(context: Any) -> Callable[[], bool]:
    """Says whether a run has time for more."""
    enough = min(ENOUGH_MILLISECONDS, context.get_remaining_time_in_millis() // 2)
    return lambda: context.get_remaining_time_in_millis() > enough
