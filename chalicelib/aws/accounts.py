"""The accounts, as the table holds them."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from chalicelib.aws.items import (
    OPEN,
    Item,
    account_key,
    due,
    identity_key,
    session_key,
    timestamp,
    to_item,
)
from chalicelib.aws.table import NOT_THERE, ConditionFailed, Table
from chalicelib.errors import EmailTaken, NotAuthenticated
from chalicelib.models.entities import Account, ClosedAccount, Session


class AccountsTable:
    """Stores accounts and sessions; see core/ports.py for what each method promises."""

    def __init__(self, table: Table) -> None:
        """Take the table."""
        self._table = table

    def open(self, account: Account, session: Session) -> None:
        """Add an account with its first session, whole or not at all; EmailTaken."""
        identity = identity_key(account.email) | {"user_id": account.id}
        try:
            self._table.transact(
                self._table.adding(identity, NOT_THERE),
                self._table.adding(account_key(account.id) | to_item(account), NOT_THERE),
                self._table.adding(_session_item(session), NOT_THERE),
            )
        except ConditionFailed as error:
            raise EmailTaken("Somebody already signed up with this address") from error

    def find(self, user_id: str) -> Account | None:
        """The account, as last written."""
        return _account(self._table.get(account_key(user_id)))

    def owner_of(self, email: str) -> str | None:
        """The id of the user with this address, compared without case."""
        item = self._table.get(identity_key(email))
        return str(item["user_id"]) if item else None

    def rename(self, user_id: str, name: str | None) -> Account:
        """Set the name; NotAuthenticated when there is no such account."""
        try:
            item = self._table.update(account_key(user_id), {"name": name}, OPEN)
        except ConditionFailed as error:
            raise NotAuthenticated("The account is gone") from error
        return msgspec.convert(item, Account)

    def add_session(self, session: Session) -> None:
        """Add a session."""
        self._table.put(_session_item(session))

    def find_session(self, user_id: str, session_id: str) -> Session | None:
        """The session, as last written; it may have expired."""
        return _session(self._table.get(session_key(user_id, session_id)))

    def standing(self, user_id: str, session_id: str) -> tuple[Account | None, Session | None]:
        """The account and one session of it, both as last written."""
        account, session = self._table.get_all(
            account_key(user_id), session_key(user_id, session_id)
        )
        return _account(account), _session(session)

    def rotate(self, session: Session) -> bool:
        """Write a session's new token and times if its token still is the one now replaced."""
        try:
            self._table.update(
                session_key(session.user_id, session.id),
                _session_fields(session),
                "#refresh_hash = :presented_hash",
                presented_hash=session.replaced_hash,
            )
        except ConditionFailed:
            return False
        return True

    def end_session(self, user_id: str, session_id: str) -> None:
        """Remove a session; one that is gone already is no error."""
        self._table.delete(session_key(user_id, session_id))

    def close(self, account: Account, now: datetime) -> bool:
        """Close an account and free its address, both or neither; it is due from `now` on."""
        closed = {
            "email": None,
            "name": None,
            "password_hash": None,
            "closed_at": timestamp(now),
            **due(account.id, now),
        }
        try:
            self._table.transact(
                self._table.updating(
                    account_key(account.id),
                    closed,
                    "#password_hash = :hash_read",
                    hash_read=account.password_hash,
                ),
                self._table.deleting(
                    identity_key(account.email), "#user_id = :user_id", user_id=account.id
                ),
            )
        except ConditionFailed:
            return False
        return True

    def find_closed(self, user_id: str) -> ClosedAccount | None:
        """The account, if it is closed."""
        item = self._table.get(account_key(user_id))
        return msgspec.convert(item, ClosedAccount) if item and "closed_at" in item else None

    def forget_sessions(self, user_id: str) -> None:
        """Remove all that is kept under the user but the account and the recordings."""
        account = account_key(user_id)
        for item in self._table.query("#pk = :pk", pk=account["pk"]):
            if item["sk"] != account["sk"] and "status" not in item:
                self._table.delete({"pk": item["pk"], "sk": item["sk"]})

    def forget(self, account: ClosedAccount) -> None:
        """Remove what is left of a closed account."""
        self._table.delete(account_key(account.id), "attribute_exists(#closed_at)")


def _account(item: Item | None) -> Account | None:
    return msgspec.convert(item, Account) if item and "email" in item else None


def _session(item: Item | None) -> Session | None:
    return msgspec.convert(item, Session) if item else None


def _session_item(session: Session) -> Item:
    return session_key(session.user_id, session.id) | _session_fields(session)


def _session_fields(session: Session) -> Item:
    # DynamoDB deletes within about two days of this, so the time itself still decides.
    ttl = int((session.expires_at + timedelta(days=1)).timestamp())
    return to_item(session) | {"ttl": ttl}
