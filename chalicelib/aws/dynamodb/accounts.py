"""The accounts, as the table holds them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from chalicelib.aws.dynamodb.items import (
    OPEN,
    Item,
    account_key,
    due,
    export_key,
    identity_key,
    read_account,
    read_recording,
    recording_key,
    session_key,
    timestamp,
    to_item,
)
from chalicelib.aws.dynamodb.outbox import letter_item
from chalicelib.aws.dynamodb.table import NOT_THERE, THERE, ConditionFailed, Increment, Table
from chalicelib.errors import EmailTaken, NotAuthenticated
from chalicelib.models.entities import Account, ClosedAccount, Session, Standing
from chalicelib.models.fields import LetterKind

# When a session that was ended expired: whoever compares it with a time taken before sees it too.
LONG_AGO = datetime.fromtimestamp(0, UTC)
# How long a device that was logged in is told from one that never was.
REMEMBERED = timedelta(days=30)
# The condition that an account is open, and its password the one that was checked.
SAME_PASSWORD = f"{OPEN} AND #password_version = :version_checked"
# What a refresh changes of a session. Not its password's version, which may change meanwhile.
ROTATED = (
    "refresh_hash",
    "replaced_hash",
    "replacement_salt",
    "earlier",
    "rotation",
    "last_used_at",
    "expires_at",
    "ttl",
)
# As many as one look at the table shows, newest first.
MOST_SESSIONS = 1000
# What stays of an account that is closed: without its recordings nobody could count them down.
KEPT = {"id", "created_at", "bytes_used", "recordings_used"}


class AccountsTable(Struct, frozen=True):
    """Stores accounts and sessions; see core/ports.py for what each method promises."""

    table: Table

    def open(self, account: Account, session: Session) -> None:
        identity = identity_key(account.email) | {"user_id": account.id}
        try:
            self.table.transact(
                self.table.adding(identity, NOT_THERE),
                self.table.adding(account_key(account.id) | to_item(account), NOT_THERE),
                self.table.adding(_session_item(session), NOT_THERE),
                self.table.adding(letter_item("confirmation", account.email, account.created_at)),
            )
        except ConditionFailed as error:
            raise EmailTaken("Somebody already signed up with this address") from error

    def find(self, user_id: str) -> Account | None:
        return read_account(self.table.get(account_key(user_id)))

    def owner_of(self, email: str) -> str | None:
        item = self.table.get(identity_key(email))
        return str(item["user_id"]) if item else None

    def rename(self, user_id: str, name: str | None) -> Account:
        try:
            item = self.table.update(account_key(user_id), {"name": name}, OPEN)
        except ConditionFailed as error:
            raise NotAuthenticated("The account is gone") from error
        return msgspec.convert(item, Account)

    def change_password(
        self, account: Account, password_hash: str, session_id: str, now: datetime
    ) -> bool:
        changes = _another_password(password_hash) | {"reset_hash": None, "reset_expires_at": None}
        try:
            self.table.transact(
                self.table.updating(
                    account_key(account.id),
                    changes,
                    SAME_PASSWORD,
                    version_checked=account.password_version,
                ),
                self.table.updating(
                    session_key(account.id, session_id),
                    {"password_version": Increment(1)},
                    "#password_version = :version_checked AND #expires_at > :now",
                    version_checked=account.password_version,
                    now=timestamp(now),
                ),
            )
        except ConditionFailed:
            return False
        return True

    def rehash(self, account: Account, password_hash: str) -> None:
        hashed = {"password_hash": password_hash}
        version = account.password_version
        self._changed(account.id, hashed, SAME_PASSWORD, version_checked=version)

    def reset_password(self, account: Account, password_hash: str, now: datetime) -> bool:
        return self._by_link(
            account,
            "reset",
            {
                **_another_password(password_hash),
                "reset_expires_at": None,
                "email_confirmed_at": timestamp(account.email_confirmed_at or now),
            },
            now,
        )

    def confirm(self, account: Account, now: datetime) -> bool:
        return self._by_link(account, "confirmation", {"email_confirmed_at": timestamp(now)}, now)

    def keep_link(
        self, account: Account, kind: LetterKind, link_hash: str, expires_at: datetime
    ) -> bool:
        link = {f"{kind}_hash": link_hash, f"{kind}_expires_at": timestamp(expires_at)}
        return self._changed(account.id, link, OPEN)

    def add_session(self, session: Session) -> None:
        self.table.put(_session_item(session))

    def find_with_session(
        self, user_id: str, session_id: str, recording_id: str | None = None
    ) -> tuple[Account | None, Session | None, Standing | None]:
        named = [recording_key(user_id, recording_id)] if recording_id else []
        account, session, *standing = self.table.get_all(
            account_key(user_id), session_key(user_id, session_id), *named
        )
        [found] = standing or [None]
        return read_account(account), _session(session), read_recording(found) if found else None

    def rotate(self, session: Session) -> bool:
        fields = _session_fields(session)
        rotated = self.table.try_update(
            session_key(session.user_id, session.id),
            {name: fields[name] for name in ROTATED},
            # One that was ended meanwhile stays so; its time to last_used_at, which is now.
            "#refresh_hash = :presented_hash AND #expires_at > :last_used_at",
            presented_hash=session.replaced_hash,
        )
        return rotated is not None

    def note_use(self, session: Session) -> None:
        self.table.try_update(
            session_key(session.user_id, session.id),
            {"used_rotation": session.rotation},
            "#rotation = :rotation",
            rotation=session.rotation,
        )

    def end_session(self, user_id: str, session_id: str, now: datetime) -> bool:
        over = _expiry(now) | {"expires_at": timestamp(LONG_AGO)}
        return self.table.try_update(session_key(user_id, session_id), over, THERE) is not None

    def sessions(self, user_id: str, password_version: int, now: datetime) -> list[Session]:
        items = self.table.query(
            "#pk = :pk AND begins_with(#sk, :sk)",
            limit=MOST_SESSIONS,
            only="#expires_at > :now AND #password_version = :password_version",
            forward=False,
            pk=account_key(user_id)["pk"],
            sk=session_key(user_id, "")["sk"],
            now=timestamp(now),
            password_version=password_version,
        )
        return [msgspec.convert(item, Session) for item in items]

    def _by_link(self, account: Account, kind: LetterKind, changes: Item, now: datetime) -> bool:
        """Change an account if the link in `account` still is the one mailed last, and is good."""
        return self._changed(
            account.id,
            changes,
            f"{OPEN} AND #{kind}_hash = :link_hash AND #{kind}_expires_at > :now",
            link_hash=getattr(account, f"{kind}_hash"),
            now=timestamp(now),
        )

    def _changed(self, user_id: str, changes: Item, condition: str, **values: str | int) -> bool:
        key = account_key(user_id)
        return self.table.try_update(key, changes, condition, **values) is not None

    def close(self, account: Account, now: datetime) -> bool:
        closed: Item = {
            **{field: None for field in Account.__struct_fields__ if field not in KEPT},
            **due(account.id, now),
            "closed_at": timestamp(now),
        }
        try:
            self.table.transact(
                self.table.updating(
                    account_key(account.id),
                    closed,
                    SAME_PASSWORD,
                    version_checked=account.password_version,
                ),
                self.table.deleting(
                    identity_key(account.email), "#user_id = :user_id", user_id=account.id
                ),
            )
        except ConditionFailed:
            return False
        return True

    def find_closed(self, user_id: str) -> ClosedAccount | None:
        item = self.table.get(account_key(user_id))
        return msgspec.convert(item, ClosedAccount) if item and "closed_at" in item else None

    def note_export(self, user_id: str, due_at: datetime) -> None:
        self.table.put(export_key(user_id) | due(user_id, due_at))

    def forget_export(self, user_id: str, due_at: datetime) -> None:
        self.table.delete(export_key(user_id), "#due_at = :then", then=timestamp(due_at))

    def forget_sessions(self, user_id: str) -> None:
        account = account_key(user_id)
        for item in self.table.query("#pk = :pk", pk=account["pk"]):
            if item["sk"] != account["sk"] and "status" not in item:
                self.table.delete({"pk": item["pk"], "sk": item["sk"]})

    def forget(self, account: ClosedAccount) -> None:
        self.table.delete(account_key(account.id), "attribute_exists(#closed_at)")


def _session(item: Item | None) -> Session | None:
    return msgspec.convert(item, Session) if item else None


def _session_item(session: Session) -> Item:
    return session_key(session.user_id, session.id) | _session_fields(session)


def _session_fields(session: Session) -> Item:
    return to_item(session) | _expiry(session.expires_at)


def _expiry(at: datetime) -> Item:
    # DynamoDB deletes within about two days of this, so the time itself still decides.
    return {"expires_at": timestamp(at), "ttl": int((at + REMEMBERED).timestamp())}


def _another_password(password_hash: str) -> Item:
    return {"password_hash": password_hash, "password_version": Increment(1)}
