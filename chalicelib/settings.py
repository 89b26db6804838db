"""Settings: the environment, read once, as one frozen and typed struct.

Every field is the variable RECORDER_<FIELD>. Nothing else in the app reads the environment,
but for botocore, whose own variables say where its clients go and as whom.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from chalicelib.models.entities import Quota
from chalicelib.models.fields import PROVIDERS, Provider

Url = Annotated[str, Meta(pattern=r"^https?://[^\s/]+[^\s]*\Z", max_length=2048)]
# RFC 7518, section 3.2: an HS256 key has at least as many bits as the hash, which is 32 bytes.
JwtKeys = Annotated[
    str, Meta(pattern=r"^([\w.-]+:[^\s,:]{32,},)*[\w.-]+:[^\s,:]{32,}\Z", max_length=4096)
]
# Several with commas, as an app has one for each platform.
ClientIds = Annotated[str, Meta(pattern=r"^[^\s,]+( *, *[^\s,]+)*\Z", max_length=2048)]
# Whoever could change the keys on their way could sign in as anybody: only on this machine without
# TLS.
ClientSecrets = Annotated[
    str, Meta(pattern=r"^[^\s,=]+=[^\s,]+( *, *[^\s,=]+=[^\s,]+)*\Z", max_length=8192)
]
ProviderUrl = Annotated[
    str,
    Meta(
        pattern=r"^(https://[^\s/@]+|http://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?)"
        r"(/[^\s]*)?\Z",
        max_length=2048,
    ),
]
LONGEST_ACCESS_TOKEN_SECONDS = 86_400
Limit = Annotated[int, Meta(ge=0)]
# Nobody is to be locked out for longer than a day.
Window = Annotated[int, Meta(ge=1, le=86_400)]
GIB = 1024**3


class SettingsError(Exception):
    """A variable is missing or has a value that cannot be used; the message names it."""


class Settings(Struct, frozen=True, kw_only=True):
    """What an operator can set. Sizes are bytes; durations have their unit in their name."""

    backend: Literal["embedded", "aws"]
    """`embedded` keeps everything on this machine; `aws` goes where botocore is configured to."""
    stage: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,14}\Z")] = "dev"
    """The name of the deployment; tokens of one stage are worth nothing on another."""
    table: str = ""
    uploads_bucket: str = ""
    recordings_bucket: str = ""
    jwt_keys: JwtKeys | None = None
    """`kid:secret`, several with commas: the first signs, each of them verifies."""
    jwt_secret_id: Annotated[str, Meta(pattern=r"^[\w/+=.@:-]{1,2048}\Z")] | None = None
    """The secret in Secrets Manager that has the keys instead: its name or its ARN."""
    upload_key_secret_id: Annotated[str, Meta(pattern=r"^[\w/+=.@:-]{1,2048}\Z")] | None = None
    """The secret that has the key which signs for upload libraries in browsers; without it, none
    is signed for on AWS."""
    access_token_seconds: Annotated[int, Meta(ge=1, le=LONGEST_ACCESS_TOKEN_SECONDS)] = 900
    refresh_token_days: Annotated[int, Meta(ge=1, le=3650)] = 60
    upload_url_seconds: Annotated[int, Meta(ge=1, le=604_800)] = 3600
    download_url_seconds: Annotated[int, Meta(ge=1, le=604_800)] = 900
    upload_days: Annotated[int, Meta(ge=1, le=90)] = 7
    """How long an upload lives without a sign of its phone; the uploads bucket keeps its bytes for
    four times that."""
    live_silence_seconds: Annotated[int, Meta(ge=60, le=90 * 86_400)] = 86_400
    """How long nothing is announced or arrives of what is sent while it is recorded, until it is
    taken for all there is; no longer than an upload lives."""
    # One CopyObject promotes an upload, and S3 copies at most 5 GB that way.
    max_recording_bytes: Annotated[int, Meta(ge=1, le=5_000_000_000)] = 2 * GIB
    # API Gateway hands Lambda at most 6 MB, and base64 takes a third of that.
    direct_upload_bytes: Annotated[int, Meta(ge=1, le=4_500_000)] = 4_500_000
    trash_days: Annotated[int, Meta(ge=0, le=3650)] = 30
    """How long a deleted recording can be brought back; 0 deletes for good at once."""
    quota_bytes: Annotated[int, Meta(ge=0)] = 10 * GIB
    """What one user may keep."""
    quota_recordings: Annotated[int, Meta(ge=0)] = 100_000
    """How many recordings that may be, those in the trash and those under way too."""
    cors_origin: Annotated[str, Meta(pattern=r"^(\*|https?://[^\s/]+)\Z")] = "*"
    s3_public_url: Url | None = None
    """The address of S3 that signed URLs carry, when phones reach it by another one than we do."""
    public_url: Url | None = None
    """The address of this API that links in mails begin with."""
    mail_from: Annotated[str, Meta(pattern=r"^[^@\r\n]+@[^@\s]+\Z", max_length=320)] | None = None
    """Who mails are from. Without this and `public_url` mails wait in the outbox."""
    google_client_ids: ClientIds | None = None
    """For whom Google's id tokens have to be; without any nobody signs in with Google."""
    apple_client_ids: ClientIds | None = None
    """The same for Apple: app ids, and services ids."""
    google_keys_url: ProviderUrl = "https://www.googleapis.com/oauth2/v3/certs"
    apple_keys_url: ProviderUrl = "https://appleid.apple.com/auth/keys"
    google_url: ProviderUrl = "https://accounts.google.com"
    """Where browsers are sent to sign in with Google."""
    apple_url: ProviderUrl = "https://appleid.apple.com"
    """The same for Apple, which is told there too that somebody has deleted their account."""
    apple_client_secrets: ClientSecrets | None = None
    """`client_id=secret`, several with commas, by which it knows us; without any it is not told."""
    apple_secret_id: Annotated[str, Meta(pattern=r"^[\w/+=.@:-]{1,2048}\Z")] | None = None
    """The secret in Secrets Manager that has them instead: its name or its ARN."""
    unconfirmed_may: Literal["everything", "account"] = "everything"
    """What may be done before the address is confirmed; `account` is what begins with /me."""
    # How often within the windows below; 0 is no limit.
    login_failures_per_address: Limit = 10
    login_failures_per_source: Limit = 100
    refresh_failures_per_source: Limit = 300
    signups_per_source: Limit = 50
    forgot_per_source: Limit = 300
    mails_per_address: Limit = 5
    announced_per_hour: Limit = 1000
    """Recordings that a user announces in an hour, direct uploads too."""
    exports_per_day: Limit = 5
    wrong_codes_per_source: Limit = 100
    """Codes of links that open nothing, within a log-in window."""
    opens_per_link: Limit = 1000
    """How often one link is opened in an hour."""
    login_window_seconds: Window = 900
    """Within what time failed log-ins and refreshes are counted, and how long it locks out."""
    signup_window_seconds: Window = 3600
    """Within what time sign-ups and forgotten passwords are counted."""
    bcrypt_cost: Annotated[int, Meta(ge=4, le=16)] = 12
    log: Literal["text", "json"] = "text"
    """`json` takes the log over, for CloudWatch; `text` leaves it to whoever runs the app."""
    s3_endpoint: Url | None = None
    """Where S3 is, if not at AWS: botocore's AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL."""

    @property
    def quota(self) -> Quota:
        """What one user may keep, and may announce in an hour."""
        return Quota(self.quota_bytes, self.quota_recordings, self.announced_per_hour)

    @property
    def providers(self) -> tuple[Provider, ...]:
        """By whom people may sign in."""
        return tuple(each for each in PROVIDERS if self.client_ids(each))

    def client_ids(self, provider: Provider) -> list[str]:
        """For whom a provider's id tokens have to be."""
        listed: str | None = getattr(self, f"{provider}_client_ids")
        return [each.strip() for each in listed.split(",")] if listed else []

    def sign_in_page(self, provider: Provider) -> str:
        """Where a browser is sent to sign in with a provider."""
        path = {"google": "/o/oauth2/v2/auth", "apple": "/auth/authorize"}[provider]
        return str(getattr(self, f"{provider}_url")).rstrip("/") + path

    @property
    def address(self) -> str:
        """What stands in front of every path of this API; nothing where that is not known."""
        return (self.public_url or "").rstrip("/")

    @property
    def tells_apple(self) -> bool:
        """Whether Apple is told when somebody signs in to their account by it no more."""
        return bool(self.apple_client_ids and (self.apple_secret_id or self.apple_client_secrets))

    @property
    def client_secrets(self) -> dict[str, str]:
        """The secrets of our apps with Apple that are set here, by client id."""
        listed = (self.apple_client_secrets or "").split(",")
        return dict(each.strip().split("=", 1) for each in listed if each)

    @property
    def keys(self) -> dict[str, str]:
        """The keys that are set here, by kid; the first signs."""
        return dict(key.split(":", 1) for key in (self.jwt_keys or "").split(",") if key)


# What an `aws` backend cannot run without; one of each. The embedded one brings its own.
NEEDED_ON_AWS = (
    ("table",),
    ("uploads_bucket",),
    ("recordings_bucket",),
    ("jwt_secret_id", "jwt_keys"),
)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ`, which is the process's own by default.

    Outside Lambda the backend is embedded, and the log is text, unless they are said to be others.
    Raises SettingsError naming the variable that is missing or wrong.
    """
    environ = os.environ if environ is None else environ
    names = {field: variable(field) for field in Settings.__struct_fields__}
    if not environ.get(names["s3_endpoint"]):
        names["s3_endpoint"] = "AWS_ENDPOINT_URL"
    given = {field: environ[name] for field, name in names.items() if environ.get(name)}
    on_lambda = "AWS_LAMBDA_FUNCTION_NAME" in environ
    given.setdefault("backend", "aws" if on_lambda else "embedded")
    given.setdefault("log", "json" if on_lambda else "text")
    try:
        settings = msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        raise SettingsError(f"{names[path.rstrip('`')]}: {_plainly(what)}") from error
    _check(settings)
    return settings


def without_secrets(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a process that nobody is to find out anything by."""
    environ = os.environ if environ is None else environ
    ours = ("AWS_", "RECORDER_", "_X_AMZN_")
    return {name: text for name, text in environ.items() if not name.startswith(ours)}


def variable(field: str) -> str:
    """The environment variable that a field of Settings is read from."""
    return "AWS_ENDPOINT_URL_S3" if field == "s3_endpoint" else f"RECORDER_{field.upper()}"


def _plainly(what: str) -> str:
    """What msgspec says is wrong, in words that fit a variable."""
    if "got `str`" in what:
        return "is not a whole number"
    if "matching regex" in what or what.startswith("Invalid enum value"):
        return "does not have the documented form; see docs/settings.md"
    return what[0].lower() + what[1:]


def _check(settings: Settings) -> None:
    if settings.backend == "aws":
        for fields in NEEDED_ON_AWS:
            if not any(getattr(settings, field) for field in fields):
                raise SettingsError(f"{' or '.join(map(variable, fields))}: is not set")
    if settings.upload_url_seconds > settings.upload_days * 86_400:
        too_long = f"outlasts an upload, which lives for {variable('upload_days')}"
        raise SettingsError(f"{variable('upload_url_seconds')}: {too_long}")
    if settings.live_silence_seconds > settings.upload_days * 86_400:
        too_long = f"outlasts an upload, which lives for {variable('upload_days')}"
        raise SettingsError(f"{variable('live_silence_seconds')}: {too_long}")
    if settings.jwt_keys and len(settings.keys) <= settings.jwt_keys.count(","):
        raise SettingsError(f"{variable('jwt_keys')}: two keys have the same kid")
