"""The server's keys: where they come from, how they are replaced, and what goes wrong with them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from cfnlint.decode import cfn_yaml

from chalicelib import settings as settings_module
from chalicelib import wiring
from chalicelib.aws.clients import Clients
from chalicelib.aws.secrets import SigningKeySecret
from chalicelib.core.accounts import signing_keys as core_keys
from chalicelib.core.accounts.signing_keys import (
    BETWEEN_READS,
    CACHE,
    KEPT,
    LAST,
    SigningKeys,
    rotate,
)
from chalicelib.errors import Unavailable
from chalicelib.models import signing_keys as form
from chalicelib.models.signing_keys import SigningKey
from chalicelib.settings import Settings, SettingsError
from local.embedded.template import TEMPLATE
from ops import rotate_key
from tests.conftest import Clock
from tests.support.faults import Faults
from tests.support.forger import key_id
from tests.support.phone import Phone

SECOND = timedelta(seconds=1)
SECRET_ID = "recorder-dev-jwt-keys"


def generated() -> str:
    """What CloudFormation makes of the template, as its documentation describes it."""
    asked = cfn_yaml.load(str(TEMPLATE))["Resources"]["JwtSecret"]["Properties"]
    asked = asked["GenerateSecretString"]
    value = json.loads(asked["SecretStringTemplate"])
    return json.dumps(value | {asked["GenerateStringKey"]: "x" * asked["PasswordLength"]})


@pytest.fixture
def secret(clients: Clients) -> Iterator[SigningKeySecret]:
    """The stage's secret, as the template makes it."""
    clients.secretsmanager.create_secret(Name=SECRET_ID, SecretString=generated())
    yield SigningKeySecret(lambda: clients.secretsmanager, SECRET_ID)
    clients.secretsmanager.delete_secret(SecretId=SECRET_ID, ForceDeleteWithoutRecovery=True)


@pytest.fixture
def restart(secret: SigningKeySecret, configure: Callable[..., None]) -> Callable[[], None]:
    """Begins another process, whose keys are in the secret."""
    assert secret.read()
    return lambda: configure(jwt_secret_id=SECRET_ID, jwt_keys=None)


@pytest.fixture
def deployed(restart: Callable[[], None]) -> None:
    """A process whose keys are in the secret."""
    restart()


def put(clients: Clients, value: str) -> None:
    clients.secretsmanager.put_secret_value(SecretId=SECRET_ID, SecretString=value)


def rotated(clock: Clock, secret: SigningKeySecret) -> SigningKey:
    """Rotate as the command does, by the clock of the test; the new key."""
    secret.write(rotate(secret.read(), clock()))
    return secret.read()[0]


def sign_in(phone: Phone) -> str:
    """The kid of a fresh access token."""
    token = phone.post("/auth/refresh", {"refresh_token": phone.tokens["refresh_token"]})
    phone.tokens = token.json
    return key_id(phone.tokens["access_token"])


class Source:
    """Somewhere keys are read from, and how often they were."""

    def __init__(self, *keys: SigningKey) -> None:
        self.keys = list(keys)
        self.error: Exception | None = None
        self.reads = 0

    def __call__(self) -> list[SigningKey]:
        self.reads += 1
        if self.error:
            raise self.error
        return self.keys


@pytest.fixture
def read(old: SigningKey, clock: Clock) -> tuple[Source, SigningKeys]:
    """Where keys are read from, and those that were, so long ago that they may be again."""
    source = Source(old)
    keys = SigningKeys(source, clock)
    clock.advance(seconds=(BETWEEN_READS + SECOND).total_seconds())
    return source, keys


@pytest.fixture
def old(clock: Clock) -> SigningKey:
    return core_keys.new(clock() - timedelta(days=30))


# In a stage


@pytest.mark.usefixtures("deployed")
def test_the_first_key_is_the_one_that_the_template_has_generated(nobody: Phone) -> None:
    assert key_id(nobody.sign_up().tokens["access_token"]) == form.FIRST
    assert nobody.get("/me").status == 200


@pytest.mark.usefixtures("deployed")
def test_a_new_key_does_not_sign_before_every_process_knows_it(
    secret: SigningKeySecret, clock: Clock
) -> None:
    phone = Phone().sign_up()
    new = rotated(clock, secret)
    clock.advance(seconds=LAST.total_seconds() - 60)
    assert sign_in(phone) == form.FIRST

    clock.advance(seconds=120)

    assert sign_in(phone) == new.kid
    assert phone.get("/me").status == 200


@pytest.mark.usefixtures("deployed")
def test_a_rotation_logs_nobody_out_and_a_process_that_just_began_signs_as_the_others(
    nobody: Phone, secret: SigningKeySecret, clock: Clock, restart: Callable[[], None]
) -> None:
    phone = Phone().sign_up()
    rotated(clock, secret)
    restart()

    assert phone.get("/me").status == 200
    assert sign_in(phone) == form.FIRST
    assert key_id(nobody.sign_up().tokens["access_token"]) == form.FIRST


@pytest.mark.usefixtures("deployed")
def test_the_secret_is_read_once_for_many_requests(faults: Faults) -> None:
    calls = faults.record()
    phone = Phone().sign_up()
    for _ in range(3):
        phone.get("/me")

    assert [call.name for call in calls].count("secrets-manager.GetSecretValue") == 1


@pytest.mark.usefixtures("deployed")
def test_a_refresh_that_is_repeated_across_a_rotation_gives_the_same_answer(
    secret: SigningKeySecret, clock: Clock, restart: Callable[[], None]
) -> None:
    phone = Phone().sign_up()
    body = {"refresh_token": phone.tokens["refresh_token"]}
    first = phone.post("/auth/refresh", body).json["refresh_token"]
    rotated(clock, secret)
    restart()

    assert phone.post("/auth/refresh", body).json["refresh_token"] == first


# A secret that will not do


def value(*keys: dict[str, str], **more: object) -> str:
    """A secret of these keys."""
    return json.dumps({"keys": keys, **more})


@pytest.mark.parametrize(
    "value",
    [
        " ",
        "nonsense",
        "[]",
        "{}",
        value(),
        value(first="tooshort"),
        value(second="k" * 32),
        value({"kid": "a", "secret": "tooshort"}),
        value({"kid": "", "secret": "k" * 32}),
        value({"kid": "a b", "secret": "k" * 32}),
        value({"secret": "k" * 32}),
        value({"kid": "a", "secret": "k" * 32}, {"kid": "a", "secret": "l" * 32}),
        value({"kid": "first", "secret": "k" * 32}, first="k" * 32),
    ],
)
def test_a_secret_that_will_not_do_is_refused_by_the_name_of_its_setting(
    secret: SigningKeySecret, clients: Clients, value: str
) -> None:
    put(clients, value)

    with pytest.raises(SettingsError, match=r"^RECORDER_JWT_SECRET_ID: ") as refused:
        secret.read()
    assert "kkkk" not in str(refused.value)
    assert "tooshort" not in str(refused.value)


def test_a_secret_that_is_not_there_is_refused_by_the_name_of_its_setting(clients: Clients) -> None:
    with pytest.raises(SettingsError, match=r"^RECORDER_JWT_SECRET_ID: "):
        SigningKeySecret(lambda: clients.secretsmanager, "recorder-nowhere").read()


@pytest.fixture
def refused(
    nobody: Phone, stored: Callable[..., list[Any]], restart: Callable[[], None]
) -> Callable[[], tuple[int, str]]:
    """Has a process that just began refuse a sign-up, of which nothing may be left."""

    def refused() -> tuple[int, str]:
        restart()
        answer = nobody.post("/auth/signup", {"email": nobody.email, "password": "correct horse"})
        assert stored() == []
        return answer.status, answer.code

    return refused


def test_without_good_keys_nothing_is_begun(
    clients: Clients, caplog: pytest.LogCaptureFixture, refused: Callable[[], tuple[int, str]]
) -> None:
    put(clients, value(first="tooshort"))

    assert refused() == (500, "internal_error")
    assert "RECORDER_JWT_SECRET_ID" in caplog.text


# A Secrets Manager that does not answer


def test_while_the_keys_cannot_be_read_at_all_nothing_is_begun(
    nobody: Phone, faults: Faults, refused: Callable[[], tuple[int, str]]
) -> None:
    faults.refuse("secretsmanager", "GetSecretValue", times=1)

    assert refused() == (503, "unavailable")
    assert nobody.sign_up().get("/me").status == 200


@pytest.mark.usefixtures("deployed")
def test_a_process_that_has_keys_goes_on_with_them_for_as_long_as_a_rotation_waits(
    clock: Clock, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    phone = Phone().sign_up()
    faults.refuse("secretsmanager", "GetSecretValue")
    clock.advance(seconds=(CACHE + SECOND).total_seconds())
    assert phone.get("/me").status == 200
    assert "the keys could not be read again" in caplog.text

    clock.advance(seconds=(LAST - CACHE).total_seconds())

    assert phone.get("/me").status == 503


# How often they are read


def test_keys_are_read_again_when_they_are_old(old: SigningKey, clock: Clock) -> None:
    source = Source(old)
    keys = SigningKeys(source, clock)
    clock.advance(seconds=(CACHE - SECOND).total_seconds())
    keys.signing()
    assert source.reads == 1

    clock.advance(seconds=2)
    keys.signing()

    assert source.reads == 2


def test_a_key_that_is_not_known_is_looked_for(
    read: tuple[Source, SigningKeys], old: SigningKey, clock: Clock
) -> None:
    source, keys = read
    source.keys = [core_keys.new(clock())]

    assert keys.find(source.keys[0].kid) == source.keys[0]
    assert keys.find(old.kid) is None


def test_many_tokens_with_made_up_keys_are_one_read(read: tuple[Source, SigningKeys]) -> None:
    source, keys = read

    assert {keys.find(f"made-up-{number}") for number in range(50)} == {None}
    assert source.reads == 2


@pytest.mark.parametrize(
    "error", [Unavailable("gone"), SettingsError("RECORDER_JWT_SECRET_ID: broken")], ids=str
)
def test_whether_there_is_another_key_cannot_be_told_while_they_cannot_be_read(
    read: tuple[Source, SigningKeys], old: SigningKey, error: Exception
) -> None:
    source, keys = read
    source.error = error

    for _ in range(3):
        with pytest.raises(Unavailable):
            keys.find("other")
    assert keys.find(old.kid) == old
    assert source.reads == 2


# How they are replaced


def test_a_new_key_is_long_and_named_after_its_time(clock: Clock) -> None:
    now = clock()
    one, other = core_keys.new(now), core_keys.new(now)

    assert len(one.secret) == 64
    assert one.secret != other.secret
    assert one.kid != other.kid
    assert one.kid.startswith(f"{now:%Y%m%d}")


def test_the_replaced_key_is_kept_while_its_tokens_are_good(old: SigningKey, clock: Clock) -> None:
    at = clock()
    once = rotate([old], at)

    assert old in rotate(once, at + KEPT - SECOND)
    assert old not in rotate(once, at + KEPT)


def test_the_key_that_signs_is_never_dropped(old: SigningKey, clock: Clock) -> None:
    keys = [old]
    at = clock()
    for _ in range(50):
        at += timedelta(minutes=7)
        signing = SigningKeys(lambda keys=keys: keys, lambda at=at: at).signing()  # type: ignore[misc]
        keys = rotate(keys, at)
        assert signing in keys


def test_a_key_signs_until_its_successor_does(old: SigningKey, clock: Clock) -> None:
    keys = SigningKeys(lambda: rotate([old], wiring.now()), clock)

    assert keys.signing() == old
    clock.advance(seconds=(LAST + CACHE).total_seconds())
    assert keys.signing() != old


def test_what_is_kept_outlasts_any_token_of_any_stage() -> None:
    longest = settings_module.LONGEST_ACCESS_TOKEN_SECONDS

    assert timedelta(seconds=longest) + LAST < KEPT
    with pytest.raises(SettingsError):
        settings_module.load({"RECORDER_ACCESS_TOKEN_SECONDS": str(longest + 1)})


def test_keys_survive_being_written(clock: Clock) -> None:
    keys = rotate(rotate(form.parse(generated()), clock()), clock())

    assert form.parse(form.write(keys)) == keys
    assert [key.kid for key in keys][-1] == form.FIRST


# The command


def test_the_command_adds_a_key_and_says_so(
    secret: SigningKeySecret, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rotate_key.main(["--stage", "dev"]) == 0

    new, first = secret.read()
    said = capsys.readouterr().out
    assert first.kid == form.FIRST
    assert f"added {new.kid}, which signs from" in said
    assert "kept first; dropped none" in said
    assert new.secret not in said


@pytest.mark.usefixtures("deployed")
def test_after_a_leak_only_the_new_key_stays_and_signs(
    secret: SigningKeySecret, capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    phone = Phone().sign_up()
    assert rotate_key.main(["--stage", "dev", "--leaked"]) == 0
    clock.advance(seconds=(CACHE + SECOND).total_seconds())

    (new,) = secret.read()
    assert phone.get("/me").code == "not_authenticated"
    assert sign_in(phone) == new.kid
    assert "which signs from now on; kept none; dropped first" in capsys.readouterr().out


def test_the_command_fails_in_one_line_where_there_is_no_such_stage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert rotate_key.main(["--stage", "nowhere"]) == 1

    said = capsys.readouterr().err
    assert said.startswith("make rotate-key: recorder-nowhere-jwt-keys: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("stage", ["", "Prod", "a/b", "*"])
def test_the_command_takes_the_name_of_a_stage_alone(stage: str) -> None:
    with pytest.raises(SystemExit):
        rotate_key.main(["--stage", stage])


# The template and the embedded backend


def test_the_command_and_the_template_mean_the_same_secret() -> None:
    resource = cfn_yaml.load(str(TEMPLATE))["Resources"]["JwtSecret"]

    assert resource["Properties"]["Name"] == {"Fn::Sub": "recorder-${Stage}-jwt-keys"}
    assert SECRET_ID == "recorder-dev-jwt-keys"


def test_the_embedded_backend_has_a_key_of_its_own_and_no_secret(settings: Settings) -> None:
    (key,) = settings.keys.values()

    assert len(key) == 64
    assert settings.jwt_secret_id is None
    assert os.environ["RECORDER_JWT_SECRET_ID"] == ""


def test_a_key_is_refused_by_its_length_in_characters() -> None:
    with pytest.raises(msgspec.ValidationError, match="32"):
        form.parse(value(first="k" * 31))
