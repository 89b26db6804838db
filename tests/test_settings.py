"""Settings: what the environment says, and what is said of an environment that will not do."""

from __future__ import annotations

import msgspec
import pytest

from chalicelib import settings
from chalicelib.settings import NEEDED_ON_AWS, Settings, SettingsError, variable

KEY = "k" * 32
ON_AWS = {
    "RECORDER_BACKEND": "aws",
    "RECORDER_TABLE": "table",
    "RECORDER_UPLOADS_BUCKET": "uploads",
    "RECORDER_RECORDINGS_BUCKET": "recordings",
    "RECORDER_JWT_KEYS": f"first:{KEY}",
}
# Each variable, a value that is not its default, and what becomes of it.
VALUES: dict[str, tuple[str, object]] = {
    "backend": ("embedded", "embedded"),
    "stage": ("prod", "prod"),
    "table": ("recorder-prod", "recorder-prod"),
    "uploads_bucket": ("up", "up"),
    "recordings_bucket": ("rec", "rec"),
    "jwt_keys": (f"new:{KEY},old:{KEY}", f"new:{KEY},old:{KEY}"),
    "jwt_secret_id": ("recorder-prod-jwt-keys", "recorder-prod-jwt-keys"),
    "access_token_seconds": ("60", 60),
    "refresh_token_days": ("1", 1),
    "upload_url_seconds": ("604800", 604_800),
    "download_url_seconds": ("1", 1),
    "upload_days": ("30", 30),
    "max_recording_bytes": ("5000000000", 5_000_000_000),
    "direct_upload_bytes": ("1", 1),
    "trash_days": ("0", 0),
    "quota_bytes": ("0", 0),
    "cors_origin": ("https://app.example.com", "https://app.example.com"),
    "s3_public_url": ("http://10.0.2.2:9000", "http://10.0.2.2:9000"),
    "public_url": ("https://api.example.com/prod", "https://api.example.com/prod"),
    "mail_from": ("Recorder <no-reply@example.com>", "Recorder <no-reply@example.com>"),
    "unconfirmed_may": ("account", "account"),
    "login_failures_per_address": ("0", 0),
    "login_failures_per_source": ("1", 1),
    "refresh_failures_per_source": ("1", 1),
    "signups_per_source": ("1000", 1000),
    "forgot_per_source": ("1", 1),
    "mails_per_address": ("1", 1),
    "login_window_seconds": ("86400", 86_400),
    "signup_window_seconds": ("1", 1),
    "bcrypt_cost": ("4", 4),
    "log": ("json", "json"),
    "s3_endpoint": ("http://localhost:9000", "http://localhost:9000"),
}


def test_nothing_has_to_be_set() -> None:
    assert msgspec.structs.asdict(settings.load({})) == {
        "backend": "embedded",
        "stage": "dev",
        "table": "",
        "uploads_bucket": "",
        "recordings_bucket": "",
        "jwt_keys": None,
        "jwt_secret_id": None,
        "access_token_seconds": 900,
        "refresh_token_days": 60,
        "upload_url_seconds": 3600,
        "download_url_seconds": 900,
        "upload_days": 7,
        "max_recording_bytes": 2 * 1024**3,
        "direct_upload_bytes": 4_500_000,
        "trash_days": 30,
        "quota_bytes": 10 * 1024**3,
        "cors_origin": "*",
        "s3_public_url": None,
        "public_url": None,
        "mail_from": None,
        "unconfirmed_may": "everything",
        "login_failures_per_address": 10,
        "login_failures_per_source": 100,
        "refresh_failures_per_source": 300,
        "signups_per_source": 300,
        "forgot_per_source": 300,
        "mails_per_address": 5,
        "login_window_seconds": 900,
        "signup_window_seconds": 3600,
        "bcrypt_cost": 12,
        "log": "text",
        "s3_endpoint": None,
    }


@pytest.mark.parametrize("field", Settings.__struct_fields__)
def test_each_variable_sets_its_field(field: str) -> None:
    text, value = VALUES[field]

    assert getattr(settings.load({variable(field): text}), field) == value


@pytest.mark.parametrize("field", Settings.__struct_fields__)
def test_an_empty_variable_counts_as_unset(field: str) -> None:
    assert settings.load({variable(field): ""}) == settings.load({})


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORDER_QUOTA_BYTES", "12345")

    assert settings.load().quota_bytes == 12345


def test_settings_do_not_change() -> None:
    loaded = settings.load({})

    with pytest.raises(AttributeError):
        loaded.quota_bytes = 5  # type: ignore[misc]


# Where the data is


def test_outside_lambda_the_backend_is_embedded() -> None:
    assert settings.load({"AWS_PROFILE": "prod", "AWS_REGION": "eu-west-1"}).backend == "embedded"


def test_in_lambda_the_backend_is_aws_and_the_log_json() -> None:
    environ = {**ON_AWS, "AWS_LAMBDA_FUNCTION_NAME": "recorder-prod"}
    del environ["RECORDER_BACKEND"]

    loaded = settings.load(environ)

    assert (loaded.backend, loaded.log) == ("aws", "json")


def test_the_backend_can_be_told() -> None:
    in_lambda = {"AWS_LAMBDA_FUNCTION_NAME": "recorder-prod"}

    assert settings.load(ON_AWS).backend == "aws"
    assert settings.load(in_lambda | {"RECORDER_BACKEND": "embedded"}).backend == "embedded"


@pytest.mark.parametrize("fields", NEEDED_ON_AWS)
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_aws_does_not_start_without_what_it_needs(
    fields: tuple[str, ...], value: str | None
) -> None:
    names = [variable(field) for field in fields]
    environ = {name: text for name, text in ON_AWS.items() if name not in names}
    if value is not None:
        environ |= dict.fromkeys(names, value)

    with pytest.raises(SettingsError, match=rf"^{' or '.join(names)}: is not set$"):
        settings.load(environ)


@pytest.mark.parametrize(("given", "other"), [("secret_id", "keys"), ("keys", "secret_id")])
def test_keys_are_set_or_named(given: str, other: str) -> None:
    value = VALUES[f"jwt_{given}"][0]
    environ = ON_AWS | {"RECORDER_JWT_KEYS": "", variable(f"jwt_{given}"): value}

    loaded = settings.load(environ)

    assert (getattr(loaded, f"jwt_{given}"), getattr(loaded, f"jwt_{other}")) == (value, None)


def test_lambda_does_not_start_without_settings() -> None:
    with pytest.raises(SettingsError, match=r"^RECORDER_TABLE: "):
        settings.load({"AWS_LAMBDA_FUNCTION_NAME": "recorder-prod"})


def test_where_s3_is_follows_botocores_own_variables() -> None:
    both = {"AWS_ENDPOINT_URL": "http://all:1", "AWS_ENDPOINT_URL_S3": "http://s3:2"}

    assert settings.load({"AWS_ENDPOINT_URL": "http://all:1"}).s3_endpoint == "http://all:1"
    assert settings.load(both).s3_endpoint == "http://s3:2"


# What will not do


@pytest.mark.parametrize(
    "keys",
    [
        f"first:{'k' * 31}",
        f"first:{KEY},second:{'k' * 31}",
        KEY,
        f":{KEY}",
        f"first:{KEY},",
        f"first:{KEY},{KEY}",
        f"first {KEY}",
        f"first:{KEY} {KEY}",
    ],
    ids=[
        "31 characters",
        "second of 31",
        "no name",
        "empty name",
        "last comma",
        "second without name",
        "no colon",
        "space",
    ],
)
def test_keys_that_are_short_or_garbled_are_refused(keys: str) -> None:
    with pytest.raises(SettingsError, match=r"^RECORDER_JWT_KEYS: "):
        settings.load(ON_AWS | {"RECORDER_JWT_KEYS": keys})


def test_a_refusal_does_not_repeat_a_key() -> None:
    with pytest.raises(SettingsError) as refused:
        settings.load({"RECORDER_JWT_KEYS": "first:tooshort"})

    assert "tooshort" not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("backend", "moto"),
        ("stage", "Prod"),
        ("stage", "prod stage"),
        ("access_token_seconds", "0"),
        ("access_token_seconds", "86401"),
        ("access_token_seconds", "15 minutes"),
        ("refresh_token_days", "0"),
        ("refresh_token_days", "1.5"),
        ("jwt_secret_id", "recorder prod"),
        ("upload_url_seconds", "604801"),
        ("download_url_seconds", "-1"),
        ("upload_days", "0"),
        ("upload_days", "91"),
        ("max_recording_bytes", "5000000001"),
        ("direct_upload_bytes", "4500001"),
        ("trash_days", "-1"),
        ("trash_days", "3651"),
        ("quota_bytes", "-1"),
        ("quota_bytes", "10GiB"),
        ("cors_origin", "example.com"),
        ("cors_origin", "https://example.com/"),
        ("s3_public_url", "10.0.2.2:9000"),
        ("login_window_seconds", "0"),
        ("login_window_seconds", "86401"),
        ("bcrypt_cost", "3"),
        ("bcrypt_cost", "17"),
        ("s3_endpoint", "localhost:9000"),
    ],
)
def test_a_value_that_will_not_do_is_refused_by_the_variables_name(field: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{variable(field)}: \w+"):
        settings.load({variable(field): value})


@pytest.mark.parametrize(
    "field", ["stage", "cors_origin", "jwt_keys", "jwt_secret_id", "s3_public_url"]
)
def test_a_value_with_a_last_newline_is_refused(field: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{variable(field)}: "):
        settings.load({variable(field): VALUES[field][0] + "\n"})


def test_an_endpoint_for_all_services_is_refused_by_a_name_people_have_set() -> None:
    with pytest.raises(SettingsError, match=r"^AWS_ENDPOINT_URL: "):
        settings.load({"AWS_ENDPOINT_URL": "localhost:9000"})


def test_urls_that_would_outlast_their_uploads_are_refused() -> None:
    environ = {"RECORDER_UPLOAD_DAYS": "1", "RECORDER_UPLOAD_URL_SECONDS": "86401"}

    with pytest.raises(SettingsError, match=r"^RECORDER_UPLOAD_URL_SECONDS: .+_UPLOAD_DAYS$"):
        settings.load(environ)
    assert settings.load(environ | {"RECORDER_UPLOAD_URL_SECONDS": "86400"})


def test_two_keys_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"^RECORDER_JWT_KEYS: "):
        settings.load({"RECORDER_JWT_KEYS": f"same:{KEY},same:{'x' * 32}"})
