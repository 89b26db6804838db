"""The accounts, as the table holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct

from chalicelib.aws.dynamodb.grants import grant_item
from chalicelib.aws.dynamodb.items import (
    OPEN,
    Item,
    Key,
    account_key,
    all_legible,
    due,
    export_key,
    identity_key,
    nonce_key,
    provider_key,
    read,
    read_account,
    read_standing,
    recording_key,
    session_key,
    timestamp,
    to_fields,
    to_item,
)
from chalicelib.aws.dynamodb.outbox import letter_item
from chalicelib.aws.dynamodb.table import NOT_THERE, THERE, ConditionFailed, Increment, Table
from chalicelib.errors import EmailTaken, InvalidCredentials, NotAuthenticated
from chalicelib.models.entities import (
    Account,
    ClosedAccount,
    Grant,
    Identity,
    Nonce,
    Session,
    Standing,
)
from chalicelib.models.fields import PROVIDERS, LetterKind, Provider, Way, comparable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

# Beyond the time that a token with it is good for: as the clocks of two machines may differ.
NONCES_KEPT = timedelta(minutes=5)
# When a session that was ended expired: whoever compares it with a time taken before sees it too.
LONG_AGO = datetime.fromtimestamp(0, UTC)
# How long a device that was logged in is told from one that never was.
REMEMBERED = timedelta(days=30)
# The condition that an account is open, and its password the one that was checked.
SAME_PASSWORD = f"{OPEN} AND #password_version = :version_checked"
HAS_PASSWORD = "attribute_exists(#password_hash)"  # noqa: S105 - a condition
# What is no longer good of a link that was mailed, and of what it was to bring about.
NO_CHANGE: Item = {"new_email": None, "change_hash": None, "change_expires_at": None}
NO_RESET: Item = {"reset_hash": None, "reset_expires_at": None}
NO_CONFIRMATION: Item = {"confirmation_hash": None, "confirmation_expires_at": None}
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


class Owned(Struct, frozen=True):
    """What says whose an address or an identity is."""

    user_id: str


class AccountsTable(Struct, frozen=True):
    """Stores accounts and sessions; see core/ports.py for what each method promises."""

    table: Table

    def open(self, account: Account, session: Session, nonce: Nonce | None = None) -> None:
        writes = [
            self.table.adding(identity_key(account.email) | {"user_id": account.id}, NOT_THERE),
            self.table.adding(account_key(account.id) | to_item(account), NOT_THERE),
            self.table.adding(_session_item(session), NOT_THERE),
            *(
                self.table.adding(
                    provider_key(provider, identity.subject) | {"user_id": account.id}, NOT_THERE
                )
                for provider in PROVIDERS
                if (identity := account.identity(provider))
            ),
        ]
        if account.email_confirmed_at is None:
            writes.append(self._mailing("confirmation", account.email, account.created_at))
        if not self._done(writes, nonce):
            raise EmailTaken("Somebody already signed up with this address")

    def find(self, user_id: str) -> Account | None:
        return read_account(self.table.get(account_key(user_id)))

    def owner_of(self, email: str) -> str | None:
        return self._owner(identity_key(email))

    def signs_in(self, provider: Provider, subject: str) -> str | None:
        return self._owner(provider_key(provider, subject))

    def use_nonce(self, nonce: Nonce, purpose: str) -> bool:
        try:
            self.table.transact(self._using(nonce, purpose))
        except ConditionFailed:
            return False
        return True

    def add_way(
        self,
        account: Account,
        provider: Provider,
        identity: Identity,
        now: datetime,
        *,
        confirmed: bool,
        entering: tuple[Session, Nonce | None] | None = None,
    ) -> bool:
        session, nonce = entering or (None, None)
        changes: Item = {"email_confirmed_at": timestamp(now)} if confirmed else {}
        writes = self._another_way(account, {provider: identity}, changes, now)
        writes.append(self._mailing(_added(provider), account.email, now))
        if session:
            writes.append(self.table.adding(_session_item(session)))
        return self._done(writes, nonce)

    def take_over(
        self,
        account: Account,
        provider: Provider,
        identity: Identity,
        now: datetime,
        *,
        name: str | None,
        entering: tuple[Session, Nonce | None],
    ) -> bool:
        session, nonce = entering
        identities: dict[Provider, Identity | None] = dict.fromkeys(PROVIDERS)
        identities[provider] = identity
        changes: Item = {
            **NO_CHANGE,
            **NO_RESET,
            **NO_CONFIRMATION,
            "name": name,
            "password_hash": None,
            "password_version": Increment(1),
            "email_confirmed_at": timestamp(now),
        }
        writes = self._another_way(
            account, identities, changes, now, "attribute_not_exists(#email_confirmed_at)"
        )
        writes += [
            self._mailing(_added(provider), account.email, now),
            self.table.adding(_session_item(session)),
        ]
        return self._done(writes, nonce)

    def keep_identity(self, account: Account, provider: Provider, identity: Identity) -> bool:
        same, those = _same_ways(account)
        changes = to_fields({provider: identity})
        return self._changed(account.id, changes, f"{OPEN} AND {same}", **those)

    def remove_way(self, account: Account, way: Way, now: datetime) -> bool:
        if way == "password":
            writes = self._another_way(account, {}, {"password_hash": None, **NO_RESET}, now)
        else:
            writes = self._another_way(account, {way: None}, {}, now)
        return self._done([*writes, self._mailing(_removed(way), account.email, now)])

    def ask_for_address(self, account: Account, email: str, now: datetime) -> bool:
        same, those = _same_ways(account)
        changing = self.table.updating(
            account_key(account.id),
            {**NO_CHANGE, "new_email": email},
            same,
            **those,
        )
        kinds: tuple[LetterKind, ...] = ("change", "changing")
        letters = (self._mailing(kind, account.email, now) for kind in kinds)
        return self._done([changing, *letters])

    def change_address(self, account: Account, now: datetime) -> bool:
        new = account.new_email or ""
        changes: Item = {
            **NO_RESET,
            **NO_CONFIRMATION,
            "email": new,
            "email_confirmed_at": timestamp(now),
            # The hash stays, by which the link is known when it is opened again.
            "new_email": None,
            "change_expires_at": None,
        }
        writes = [
            self.table.updating(
                account_key(account.id),
                changes,
                "#email = :email_then AND #new_email = :email"
                " AND #change_hash = :link_hash AND #change_expires_at > :now",
                email_then=account.email,
                link_hash=account.change_hash,
                now=timestamp(now),
            )
        ]
        if comparable(new) != comparable(account.email):
            writes += [
                self.table.deleting(
                    identity_key(account.email), "#user_id = :user_id", user_id=account.id
                ),
                self.table.adding(identity_key(new) | {"user_id": account.id}, NOT_THERE),
            ]
        try:
            self.table.transact(*writes)
        except ConditionFailed as error:
            if error.index == len(writes) - 1 > 0:
                raise EmailTaken("Somebody already has an account with this address") from error
            return False
        return True

    def rename(self, user_id: str, name: str | None) -> Account:
        try:
            item = self.table.update(account_key(user_id), {"name": name}, OPEN)
        except ConditionFailed as error:
            raise NotAuthenticated("The account is gone") from error
        return read(item, Account)

    def change_password(
        self, account: Account, password_hash: str, session_id: str, now: datetime
    ) -> bool:
        changes = _another_password(password_hash) | NO_RESET
        try:
            self.table.transact(
                self.table.updating(
                    account_key(account.id),
                    changes,
                    f"{SAME_PASSWORD} AND {HAS_PASSWORD}",
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
        condition = f"{SAME_PASSWORD} AND {HAS_PASSWORD}"
        self._changed(account.id, hashed, condition, version_checked=version)

    def reset_password(self, account: Account, password_hash: str, now: datetime) -> bool:
        changes: Item = {
            **_another_password(password_hash),
            "reset_expires_at": None,
            "email_confirmed_at": timestamp(account.email_confirmed_at or now),
        }
        if account.email_confirmed_at:
            return self._by_link(account, "reset", changes, now)
        condition, values = _by_this_link(account, "reset", now)
        return self._done(
            self._another_way(account, dict.fromkeys(PROVIDERS), changes, now, condition, **values)
        )

    def confirm(self, account: Account, now: datetime) -> bool:
        return self._by_link(account, "confirmation", {"email_confirmed_at": timestamp(now)}, now)

    def keep_link(
        self, account: Account, kind: LetterKind, link_hash: str, expires_at: datetime
    ) -> bool:
        link = {f"{kind}_hash": link_hash, f"{kind}_expires_at": timestamp(expires_at)}
        # Bound to the address that it is mailed to, whatever the account's becomes meanwhile.
        if kind == "change":
            return self._changed(account.id, link, "#new_email = :to", to=account.new_email or "")
        return self._changed(account.id, link, "#email = :to", to=account.email)

    def add_session(self, session: Session, nonce: Nonce | None = None) -> None:
        if nonce:
            self._done([self.table.adding(_session_item(session))], nonce)
        else:
            self.table.put(_session_item(session))

    def find_with_session(
        self, user_id: str, session_id: str, recording_id: str | None = None
    ) -> tuple[Account | None, Session | None, Standing | None]:
        named = [recording_key(user_id, recording_id)] if recording_id else []
        account, session, *standing = self.table.get_all(
            account_key(user_id), session_key(user_id, session_id), *named
        )
        [found] = standing or [None]
        return read_account(account), _session(session), read_standing(found)

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
        return list(all_legible(items, Session))

    def _owner(self, key: Key) -> str | None:
        item = self.table.get(key)
        return read(item, Owned).user_id if item else None

    def _mailing(self, kind: LetterKind, email: str, now: datetime) -> TransactWriteItemTypeDef:
        return self.table.adding(letter_item(kind, email, now))

    def _by_link(self, account: Account, kind: LetterKind, changes: Item, now: datetime) -> bool:
        """Change an account if the link in `account` still is the one mailed last, and is good."""
        condition, values = _by_this_link(account, kind, now)
        return self._changed(account.id, changes, condition, **values)

    def _another_way(
        self,
        account: Account,
        identities: Mapping[Provider, Identity | None],
        changes: Item,
        at: datetime,
        condition: str = OPEN,
        **values: str,
    ) -> list[TransactWriteItemTypeDef]:
        """Have these sign in to an account in place of those of their providers, or nobody (None).

        If what signs in to it is what `account` has, since the last way in is never to go. What
        Apple gave of who does no more is to be revoked.
        """
        same, those = _same_ways(account)
        changed = changes | to_fields(dict(identities.items()))
        key, whose = account_key(account.id), {"user_id": account.id}
        writes = [self.table.updating(key, changed, f"{condition} AND {same}", **values, **those)]
        for provider, identity in identities.items():
            before = account.identity(provider)
            if identity:
                mine = f"{NOT_THERE} OR #user_id = :user_id"
                item = provider_key(provider, identity.subject) | whose
                writes.append(self.table.adding(item, mine, **whose))
            if before and not (identity and identity.subject == before.subject):
                key = provider_key(provider, before.subject)
                writes.append(self.table.deleting(key, "#user_id = :user_id", **whose))
                writes += map(self.table.adding, _to_be_revoked(account.id, before, at))
        return writes

    def _done(self, writes: list[TransactWriteItemTypeDef], nonce: Nonce | None = None) -> bool:
        """Do all of the writes, and use a nonce up, or none; False if a condition did not hold.

        InvalidCredentials if nothing but the nonce stood in the way.
        """
        if nonce:
            writes = [*writes, self._using(nonce)]
        try:
            self.table.transact(*writes)
        except ConditionFailed as error:
            if nonce and error.index == len(writes) - 1:
                raise InvalidCredentials("The id token was used before") from error
            return False
        return True

    def _using(self, nonce: Nonce, purpose: str | None = None) -> TransactWriteItemTypeDef:
        """Use a nonce up; one that was used is good for the same purpose again, if it has one."""
        ttl = int((nonce.until + NONCES_KEPT).timestamp())
        item = nonce_key(nonce) | {"ttl": ttl}
        if not purpose:
            return self.table.adding(item, NOT_THERE)
        again = f"{NOT_THERE} OR #used_for = :used_for"
        return self.table.adding(item | {"used_for": purpose}, again, used_for=purpose)

    def _changed(self, user_id: str, changes: Item, condition: str, **values: str | int) -> bool:
        key = account_key(user_id)
        return self.table.try_update(key, changes, condition, **values) is not None

    def close(self, account: Account, now: datetime) -> bool:
        closed: Item = {
            **{field: None for field in Account.__struct_fields__ if field not in KEPT},
            **due(account.id, now),
            "closed_at": timestamp(now),
        }
        email = identity_key(account.email)
        return self._done(
            [
                *self._another_way(account, dict.fromkeys(PROVIDERS), closed, now),
                self.table.deleting(email, "#user_id = :user_id", user_id=account.id),
            ]
        )

    def find_closed(self, user_id: str) -> ClosedAccount | None:
        item = self.table.get(account_key(user_id))
        return read(item, ClosedAccount) if item and "closed_at" in item else None

    def note_export(self, user_id: str, due_at: datetime) -> None:
        self.table.put(export_key(user_id) | due(user_id, due_at))

    def forget_export(self, user_id: str, due_at: datetime) -> None:
        self.table.delete(export_key(user_id), "#due_at = :then", then=timestamp(due_at))

    def forget_rest(self, user_id: str, most: int) -> int:
        stays = account_key(user_id)["sk"], recording_key(user_id, "")["sk"]
        pk = account_key(user_id)["pk"]
        there = self.table.query("#pk = :pk", fields=("pk", "sk"), page=most + 1, pk=pk)
        rest = list(islice((key for key in there if not key["sk"].startswith(stays)), most))
        self.table.transact(*map(self.table.deleting, rest))
        return len(rest)

    def forget(self, account: ClosedAccount) -> None:
        self.table.delete(account_key(account.id), "attribute_exists(#closed_at)")


def _session(item: Item | None) -> Session | None:
    return read(item, Session) if item else None


def _session_item(session: Session) -> Item:
    return session_key(session.user_id, session.id) | _session_fields(session)


def _session_fields(session: Session) -> Item:
    return to_item(session) | _expiry(session.expires_at)


def _expiry(at: datetime) -> Item:
    # DynamoDB deletes within about two days of this, so the time itself still decides.
    return {"expires_at": timestamp(at), "ttl": int((at + REMEMBERED).timestamp())}


def _another_password(password_hash: str) -> Item:
    # Nor is the address to become another, whoever asked for that before.
    return {**NO_CHANGE, "password_hash": password_hash, "password_version": Increment(1)}


def _by_this_link(account: Account, kind: LetterKind, now: datetime) -> tuple[str, dict[str, str]]:
    """The condition that the link in `account` still is the one mailed last, and is good."""
    condition = f"{OPEN} AND #{kind}_hash = :link_hash AND #{kind}_expires_at > :now"
    return condition, {"link_hash": getattr(account, f"{kind}_hash"), "now": timestamp(now)}


def _same_ways(account: Account) -> tuple[str, Item]:
    """The condition that what signs in to an account is what it has here, and so is its address."""
    conditions = ["#email = :email_checked AND #password_version = :version_checked"]
    values: Item = {
        "email_checked": account.email,
        "version_checked": account.password_version,
    }
    conditions.append(HAS_PASSWORD if account.password_hash else f"NOT {HAS_PASSWORD}")
    for provider in PROVIDERS:
        if identity := account.identity(provider):
            conditions.append(f"#{provider}.#subject = :{provider}_subject")
            values[f"{provider}_subject"] = identity.subject
            # What Apple gave meanwhile is not to be lost.
            if identity.refresh_tokens:
                conditions.append(f"#{provider}.#refresh_tokens = :{provider}_tokens")
                values[f"{provider}_tokens"] = identity.refresh_tokens
            else:
                conditions.append(f"attribute_not_exists(#{provider}.#refresh_tokens)")
        else:
            conditions.append(f"attribute_not_exists(#{provider})")
    return " AND ".join(conditions), values


def _to_be_revoked(user_id: str, identity: Identity, now: datetime) -> Iterator[Item]:
    for client_id, token in identity.refresh_tokens.items():
        yield grant_item(
            Grant(
                id=hashlib.sha256(f"{client_id} {token}".encode()).hexdigest(),
                user_id=user_id,
                subject=identity.subject,
                client_id=client_id,
                asked_at=now,
                due_at=now,
                refresh_token=token,
            )
        )


def _added(provider: Provider) -> LetterKind:
    return "google_added" if provider == "google" else "apple_added"


def _removed(way: Way) -> LetterKind:
    kinds: dict[Way, LetterKind] = {
        "password": "password_removed",
        "google": "google_removed",
        "apple": "apple_removed",
    }
    return kinds[way]
