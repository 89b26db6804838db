"""DynamoDB: ministack's, with what it holds on the disk."""

from __future__ import annotations

import json
from threading import Lock
from typing import Any

from local.embedded import signatures
from local.embedded.disk import Disk
from local.embedded.engine import dynamodb as engine
from local.embedded.http import Answer, Request, finished

ORIGINAL = {name: getattr(engine, name) for name in ("_set_item", "_remove_item")}
TARGET = "x-amz-target"


class DynamoDB:
    """The DynamoDB of this process: ministack keeps one."""

    def __init__(self, secret: str, disk: Disk | None) -> None:
        """`disk` None is memory alone."""
        self._secret = secret
        self._disk = disk
        # What has expired is removed by a thread of ministack's, which holds its lock.
        self._lock: Lock = engine._lock
        self._touched: dict[tuple[str, str, str], None] = {}
        for name in ORIGINAL:
            setattr(engine, name, self._noting(name))

    def make_table(self, properties: dict[str, Any]) -> str:
        """Make a table as the template has it; its name."""
        name = str(properties["TableName"])
        engine._create_table(properties)
        ttl = properties["TimeToLiveSpecification"]
        engine._update_ttl({"TableName": name, "TimeToLiveSpecification": ttl})
        return name

    def load(self) -> None:
        """Take what is on the disk."""
        for key, item in self._disk.rows("item") if self._disk else ():
            table, *keys = json.loads(key)
            ORIGINAL["_set_item"](engine._tables[table], *keys, item)

    def answer(self, request: Request) -> Answer:
        """The answer to a request."""
        refusal = signatures.refusal_of_header(request, "dynamodb", self._secret)
        if refusal:
            refused: Answer = engine.error_response_json(
                "UnrecognizedClientException", refusal.message, 400
            )
            return refused
        with self._lock:
            answer = finished(
                engine.handle_request("POST", "/", request.headers, request.body, request.query)
            )
            self._save()
        return answer

    def forget(self) -> None:
        """Forget all that is in memory, and be ministack's as it was."""
        engine.reset()
        for name, original in ORIGINAL.items():
            setattr(engine, name, original)

    def _noting(self, name: str) -> Any:
        original = ORIGINAL[name]

        def change(table: dict[str, Any], pk: str, sk: str, *rest: Any) -> Any:
            self._touched[table["TableName"], pk, sk] = None
            return original(table, pk, sk, *rest)

        return change

    def _save(self) -> None:
        touched, self._touched = self._touched, {}
        if self._disk:
            self._disk.save(
                "item",
                {
                    json.dumps(key): engine._tables[key[0]]["items"].get(key[1], {}).get(key[2])
                    for key in touched
                },
            )
