"""tapi-agent cameras: which there are, what one is made of, away with one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.output import console, facts, safe, show_json, table
from tapi_agent.cli.text import moment

app = typer.Typer(no_args_is_help=True, help="See the cameras of this site, and delete those that are gone.")

_LINE, _AREA = "line", "area"
_SECTIONS: Final = {
    "components": ("COMPONENT", "ROLE", "TYPE"),
    "zones": ("ZONE", "KIND", "NAME", "WATCHED BY"),
}
CameraArgument = Annotated[str, typer.Argument(metavar="ID", help="Camera id.")]


@app.command("list")
def list_cameras(
    device: Annotated[str | None, typer.Option("--device", help="Only the cameras of this device.")] = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the cameras of this tenant, by seniority."""
    with agent(socket) as client:
        document = client.cameras(device)
    if as_json:
        show_json(document)
    elif document["cameras"]:
        console.print(table(("CAMERA", "NAME", "DEVICE", "STATE", "PARTS", "ZONES"), map(_row, document["cameras"])))
    else:
        console.print("no cameras: one is added when it is first validated, or by POST /api/v1/cameras")


def _row(camera: dict[str, Any]) -> tuple[object, ...]:
    zones = len(camera["line_zones"]) + len(camera["polygon_zones"])
    names = (safe(camera[name]) for name in ("camera_id", "name", "device_id"))
    return (*names, _switch(camera), len(camera["components"]), zones)


def _switch(camera: dict[str, Any]) -> str:
    return "enabled" if camera["enabled"] else "[yellow]disabled[/]"


@app.command()
def show(camera: CameraArgument, socket: SocketOption = None, as_json: JsonOption = False) -> None:
    """Show what a camera is made of; what the application keeps with it, passwords included, is only in --json."""
    with agent(socket) as client:
        document = client.camera(camera)
    if as_json:
        show_json(document)
    else:
        _show(document)


def _show(camera: dict[str, Any]) -> None:
    console.print(
        facts(
            {
                "Camera": safe(camera["camera_id"]),
                "Name": safe(camera["name"]) or "-",
                "Device": safe(camera["device_id"]),
                "Registered": moment(camera["registered_at"]),
                "State": _switch(camera),
            }
        )
    )
    for section, rows in (("components", list(_components(camera))), ("zones", list(_zones(camera)))):
        if rows:
            console.print()
            console.print(table(_SECTIONS[section], rows))


def _components(camera: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for one in camera["components"]:
        yield safe(one["component_id"]), safe(one["role"]), safe(one["type"])


def _zones(camera: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for kind, zones in ((_LINE, camera["line_zones"]), (_AREA, camera["polygon_zones"])):
        for one in zones:
            yield safe(one["zone_id"]), kind, safe(one["name"]), safe(one["component_id"])


@app.command()
def delete(
    camera: CameraArgument,
    device: Annotated[
        str | None, typer.Option("--device", help="Device that served it and is gone; default: this one.")
    ] = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a camera and free its place under the camera limit; what it has seen stays."""
    with agent(socket) as client:
        document = client.delete_camera(camera, device)
    show_json(document) if as_json else console.print(f"deleted {safe(document['camera_id'])}")
