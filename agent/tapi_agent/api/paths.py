"""What stands in the path of a request."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, HTTPException, Path, Request

from tapi_agent.domain.ids import CameraId


def _in_one_piece(request: Request, camera_id: Annotated[str, Path(max_length=128)]) -> CameraId:
    """The camera in the path. A slash in its id is sent as %2F: /validate/gate/typo must not make a camera."""
    if request.scope["raw_path"].count(b"/") != request.scope["route"].path.count("/"):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return CameraId(camera_id)


CameraInPath = Annotated[CameraId, Depends(_in_one_piece)]
