"""Builds the Chalice app: registers the blueprints, and what a laptop has in place of AWS."""

from chalice.app import Chalice

from chalicelib import jobs, settings, wiring
from chalicelib.api import (
    accounts,
    docs,
    links,
    passwords,
    recorder,
    recordings,
    sessions,
    sign_in,
    uploads,
)
from chalicelib.api.problems import cors, refusals_of_our_own
from chalicelib.models import media_types

# An environment of its own: Chalice would write to the process's. Nor has it a log apart from ours.
_settings = settings.load()
app = Chalice(app_name="recorder", env={}, configure_logs=False)
app.api.cors = cors(_settings.cors_origin)
# What API Gateway hands on as bytes rather than as text that it has spoilt.
app.api.binary_types = list(media_types.DIRECT)
app.register_middleware(refusals_of_our_own(app.api.cors), "http")
for module in (
    *(accounts, sign_in, sessions, passwords),
    *(uploads, recordings, links, docs, recorder),
):
    app.register_blueprint(module.blueprint)
app.register_blueprint(jobs.blueprint(_settings))


def _embedded() -> None:
    # Never packaged, so it is there on a developer's machine only.
    from local import in_process

    in_process.start()


wiring.embed(_embedded)


def _see_to_what_chalice_leaves_out() -> None:
    # Likewise; and Chalice's commands import this before anything of a stage.
    try:
        from local import bare
    except ModuleNotFoundError:
        return
    bare.check()


_see_to_what_chalice_leaves_out()
