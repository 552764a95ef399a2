"""What a request body says: JSON with exact decimals, every fault named with its place. The bytes are ``intake``'s."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tapi_agent.domain.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

MAX_DEPTH: Final = 32
"""Far below what makes Python's own recursion give up, in this module or in whoever looks at the document later."""
_LONGEST_NAME: Final = 60
_NODE: Final = (dict, list)


class Body(BaseModel):
    """Base of request bodies, which are flat objects: strict types, unknown fields refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


AnyBody = TypeVar("AnyBody", bound=Body)


def parse(raw: bytes) -> object:
    """JSON with numbers exactly as written: ``int`` or ``Decimal``, never ``float``. Raises ``InvalidInputError``.

    Refused beside what is no JSON: NaN and Infinity, a name that occurs twice in an object, more than 32 levels.
    """
    try:
        document: object = json.loads(
            raw.decode(), parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_object
        )
    except UnicodeDecodeError as error:
        raise _malformed(f"is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise _malformed(f"is not JSON: {error}") from error
    except (ValueError, InvalidOperation) as error:
        raise _malformed("holds a number that is too long or too large") from error
    except RecursionError as error:
        raise _too_deep() from error
    if _is_too_deep(document):
        raise _too_deep()
    return document


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
    raise InvalidInputError(
        f"{ascii(twice)[:_LONGEST_NAME]} occurs twice in an object", code="duplicate_name", fix="send each name once"
    )


def _is_too_deep(document: object) -> bool:
    level = [document]
    for _ in range(MAX_DEPTH):
        nodes = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, _NODE)]
        level = list(chain.from_iterable(nodes))
    return bool(level)


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidInputError(
        f"{name} is not JSON and not a quantity", code="not_finite", fix="send a finite decimal number or string"
    )


def _malformed(what: str) -> InvalidInputError:
    return InvalidInputError(
        f"the body {what}", code="malformed_json", fix="send one JSON document (RFC 8259) in UTF-8"
    )


def _too_deep() -> InvalidInputError:
    return InvalidInputError(
        f"the body is nested deeper than {MAX_DEPTH} levels", code="malformed_json", fix="send a flatter document"
    )


async def read_json(request: Request) -> object:
    """The body as exact JSON."""
    return parse(await request.body())


async def read_model(request: Request, model: type[AnyBody]) -> AnyBody:
    """The body as ``model``."""
    return as_model(await read_json(request), model)


def as_model(document: object, model: type[AnyBody]) -> AnyBody:
    """A parsed document as ``model``; ``InvalidInputError`` names the first wrong field and counts the others."""
    if not isinstance(document, dict):
        shown = type(document).__name__
        raise InvalidInputError(f"a JSON object is needed here, not {shown}", code="wrong_type", fix=_fields(model))
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first, *others = error.errors(include_url=False, include_input=False, include_context=False)
        field = first["loc"][0]  # what follows is how pydantic tried a union, not a place in the body
        others = [other for other in others if other["loc"][0] != field]
        name = str(field)[:_LONGEST_NAME]
        raise InvalidInputError(
            f"{name}: {first['msg']}" + (f" (and {len(others)} more)" if others else ""),
            code=first["type"],
            pointer=f"#/{name}",
            fix=_fields(model),
        ) from error


def _fields(model: type[Body]) -> str:
    return f"fields: {', '.join(model.model_fields)}"
