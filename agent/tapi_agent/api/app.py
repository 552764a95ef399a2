"""Builds the ASGI application: routes, error documents, the guard in front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import FastAPI

from tapi_agent.api import errors
from tapi_agent.api.guard import Guard
from tapi_agent.api.routes import (
    cameras,
    costs,
    doctor,
    entitlements,
    health,
    license,  # noqa: A004 - the route's name
    license_questions,
    plugins,
    quota,
    status,
    usage,
    usage_proof,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tapi_agent.api.context import Context

_ASKED: Final = (health, status, license, license_questions, entitlements, quota, costs, doctor)
ROOMS: Final = tuple(room.router for room in (*_ASKED, usage, usage_proof, cameras, plugins))


def create_app(context: Context) -> ASGIApp:
    """The application for one agent."""
    return Guard(
        create_routes(context),
        token=context.token,
        cors=context.cors,
        version=context.version,
        generation=lambda: context.entitlements.generation,
    )


def create_routes(context: Context) -> FastAPI:
    """What is behind the guard. Bodies are read by hand (exactly), so a generated OpenAPI page would be half a page."""
    app = FastAPI(title="tapi-agent", version=context.version, openapi_url=None, redirect_slashes=False)
    app.state.context = context
    app.state.reservations = quota.remembered()
    errors.install(app)
    for room in ROOMS:
        app.include_router(room)
    return app
