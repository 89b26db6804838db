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
# Each variable's default, and a value that is another, which is written as it is.
DEFAULTS: dict[str, tuple[object, object]] = {
    "backend": ("embedded", "embedded"),
    "stage": ("dev", "prod"),
    "table": ("", "recorder-prod"),
    "uploads_bucket": ("", "up"),
    "recordings_bucket": ("", "rec"),
    "jwt_keys": (None, f"new:{KEY},old:{KEY}"),
    "jwt_secret_id": (None, "recorder-prod-jwt-keys"),
    "upload_key_secret_id": (None, "arn:aws:secretsmanager:us-east-1:1:secret:upload-key"),
    "access_token_seconds": (900, 60),
    "refresh_token_days": (60, 1),
    "upload_url_seconds": (3600, 604_800),
    "download_url_seconds": (900, 1),
    "upload_days": (7, 30),
    "max_recording_bytes": (2 * 1024**3, 5_000_000_000),
    "direct_upload_bytes": (4_500_000, 1),
    "trash_days": (30, 0),
    "live_silence_seconds": (86_400, 60),
    "quota_bytes": (10 * 1024**3, 0),
    "quota_recordings": (100_000, 0),
    "cors_origin": ("*", "https://app.example.com"),
    "s3_public_url": (None, "http://10.0.2.2:9000"),
    "public_url": (None, "https://api.example.com/prod"),
    "mail_from": (None, "Recorder <no-reply@example.com>"),
    "google_client_ids": (None, "app.ios, app.web"),
    "apple_client_ids": (None, "com.example.app"),
    "google_keys_url": ("https://www.googleapis.com/oauth2/v3/certs", "http://127.0.0.1:8001/keys"),
    "apple_keys_url": ("https://appleid.apple.com/auth/keys", "https://keys.example.com"),
    "google_url": ("https://accounts.google.com", "https://google.example.com"),
    "apple_url": ("https://appleid.apple.com", "http://localhost:8002/apple"),
    "apple_client_secrets": (None, "com.example.app=ey.J.x, com.example.web=ey.J.y"),
    "apple_secret_id": (None, "recorder-prod-apple"),
    "unconfirmed_may": ("everything", "account"),
    "login_failures_per_address": (10, 0),
    "login_failures_per_source": (100, 1),
    "refresh_failures_per_source": (300, 1),
    "signups_per_source": (50, 1000),
    "forgot_per_source": (300, 1),
    "mails_per_address": (5, 1),
    "announced_per_hour": (1000, 0),
    "exports_per_day": (5, 1),
    "wrong_codes_per_source": (100, 1),
    "opens_per_link": (1000, 0),
    "login_window_seconds": (900, 86_400),
    "signup_window_seconds": (3600, 1),
    "bcrypt_cost": (12, 4),
    "log": ("text", "json"),
    "s3_endpoint": (None, "http://localhost:9000"),
}


def test_nothing_has_to_be_set() -> None:
    assert msgspec.structs.asdict(settings.load({})) == {
        field: default for field, (default, _) in DEFAULTS.items()
    }


@pytest.mark.parametrize("field", Settings.__struct_fields__)
def test_each_variable_sets_its_field_and_counts_as_unset_when_it_is_empty(field: str) -> None:
    _, value = DEFAULTS[field]

    assert getattr(settings.load({variable(field): str(value)}), field) == value
    assert settings.load({variable(field): ""}) == settings.load({})


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORDER_QUOTA_BYTES", "12345")

    assert settings.load().quota_bytes == 12345


def test_settings_do_not_change() -> None:
    loaded = settings.load({})

    with pytest.raises(AttributeError):
        loaded.quota_bytes = 5  # type: ignore[misc]


# Where the data is


def test_the_backend_is_aws_in_lambda_alone_unless_it_is_told() -> None:
    lambda_ = {"AWS_LAMBDA_FUNCTION_NAME": "recorder-prod"}
    untold = {name: value for name, value in ON_AWS.items() if name != "RECORDER_BACKEND"}
    somewhere = {"AWS_PROFILE": "prod", "AWS_REGION": "eu-west-1"}

    in_lambda = settings.load(untold | lambda_)
    assert (in_lambda.backend, in_lambda.log) == ("aws", "json")
    assert settings.load(somewhere).backend == "embedded"
    assert settings.load(ON_AWS).backend == "aws"
    assert settings.load(lambda_ | {"RECORDER_BACKEND": "embedded"}).backend == "embedded"
    with pytest.raises(SettingsError, match=r"^RECORDER_TABLE: "):
        settings.load(lambda_)


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
    value = str(DEFAULTS[f"jwt_{given}"][1])
    environ = ON_AWS | {"RECORDER_JWT_KEYS": "", variable(f"jwt_{given}"): value}

    loaded = settings.load(environ)

    assert (getattr(loaded, f"jwt_{given}"), getattr(loaded, f"jwt_{other}")) == (value, None)


def test_where_s3_is_follows_botocores_own_variables() -> None:
    both = {"AWS_ENDPOINT_URL": "http://all:1", "AWS_ENDPOINT_URL_S3": "http://s3:2"}

    assert settings.load({"AWS_ENDPOINT_URL": "http://all:1"}).s3_endpoint == "http://all:1"
    assert settings.load(both).s3_endpoint == "http://s3:2"


# What will not do


BAD_VALUES: dict[str, list[str]] = {
    "jwt_keys": [
        *(f"first:{'k' * 31}", f"first:{KEY},second:{'k' * 31}", KEY, f":{KEY}", f"first:{KEY},"),
        *(f"first:{KEY},{KEY}", f"first {KEY}", f"first:{KEY} {KEY}", f"first:{KEY}\n"),
        # Two of one name.
        f"same:{KEY},same:{'x' * 32}",
    ],
    "backend": ["moto"],
    "stage": ["Prod", "prod stage", "prod\n"],
    "access_token_seconds": ["0", "86401", "15 minutes"],
    "refresh_token_days": ["0", "1.5"],
    "jwt_secret_id": ["recorder prod", "recorder-prod\n"],
    "upload_url_seconds": ["604801"],
    "download_url_seconds": ["-1"],
    "upload_days": ["0", "91"],
    "max_recording_bytes": ["5000000001"],
    "direct_upload_bytes": ["4500001"],
    "trash_days": ["-1", "3651"],
    "live_silence_seconds": ["59", "7776001"],
    "quota_bytes": ["-1", "10GiB"],
    "quota_recordings": ["-1"],
    "announced_per_hour": ["-1"],
    "exports_per_day": ["-1"],
    "cors_origin": ["example.com", "https://example.com/", "https://example.com\n"],
    "s3_public_url": ["10.0.2.2:9000", "http://10.0.2.2:9000\n"],
    "google_url": ["http://accounts.google.com"],
    "apple_url": ["http://appleid.apple.com"],
    "apple_client_secrets": ["secret", "=secret", "id=", "id=one,two"],
    "apple_secret_id": ["recorder prod"],
    "google_client_ids": [",", "one,", "one two", "one,,two", "one\n"],
    "google_keys_url": [
        # Whoever is on the way could put keys of their own in place of these.
        *(
            "http://keys.example.com",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com",
        ),
        *(
            "http://127.0.0.1@example.com/",
            "https://me@example.com/",
            "ftp://localhost/",
            "https://",
        ),
    ],
    "login_window_seconds": ["0", "86401"],
    "bcrypt_cost": ["3", "17"],
    "s3_endpoint": ["localhost:9000"],
}


@pytest.mark.parametrize("field", BAD_VALUES)
def test_a_value_that_will_not_do_is_refused_by_the_variables_name(field: str) -> None:
    for value in BAD_VALUES[field]:
        with pytest.raises(SettingsError, match=rf"^{variable(field)}: \w+"):
            settings.load({variable(field): value})


def test_a_refusal_does_not_repeat_a_key() -> None:
    with pytest.raises(SettingsError) as refused:
        settings.load({"RECORDER_JWT_KEYS": "first:tooshort"})

    assert "tooshort" not in str(refused.value)


def test_an_endpoint_for_all_services_is_refused_by_a_name_people_have_set() -> None:
    with pytest.raises(SettingsError, match=r"^AWS_ENDPOINT_URL: "):
        settings.load({"AWS_ENDPOINT_URL": "localhost:9000"})


def test_a_silence_that_would_outlast_an_upload_is_refused() -> None:
    environ = {"RECORDER_UPLOAD_DAYS": "2", "RECORDER_LIVE_SILENCE_SECONDS": "172801"}

    with pytest.raises(SettingsError, match=r"^RECORDER_LIVE_SILENCE_SECONDS: .+_UPLOAD_DAYS$"):
        settings.load(environ)
    assert settings.load(environ | {"RECORDER_LIVE_SILENCE_SECONDS": "172800"})


def test_urls_that_would_outlast_their_uploads_are_refused() -> None:
    environ = {"RECORDER_UPLOAD_DAYS": "1", "RECORDER_UPLOAD_URL_SECONDS": "86401"}

    with pytest.raises(SettingsError, match=r"^RECORDER_UPLOAD_URL_SECONDS: .+_UPLOAD_DAYS$"):
        settings.load(environ)
    assert settings.load(environ | {"RECORDER_UPLOAD_URL_SECONDS": "86400"})
