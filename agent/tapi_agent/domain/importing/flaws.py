"""Why something of the old data cannot be taken over: a code for machines, words for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class QuarantineCode(StrEnum):
    """Reason of a row, a table or a file in quarantine (docs/import-sqlite.md)."""

    NOT_A_DATABASE = "NOT_A_DATABASE"
    DAMAGED_FILE = "DAMAGED_FILE"
    MISSING_TABLE = "MISSING_TABLE"
    UNKNOWN_TABLE = "UNKNOWN_TABLE"
    WRONG_COLUMNS = "WRONG_COLUMNS"
    WRONG_TYPE = "WRONG_TYPE"
    MISSING_VALUE = "MISSING_VALUE"
    EMPTY_NAME = "EMPTY_NAME"
    TEXT_TOO_LONG = "TEXT_TOO_LONG"
    VALUE_TOO_LARGE = "VALUE_TOO_LARGE"
    NUL_IN_TEXT = "NUL_IN_TEXT"
    INVALID_UTF8 = "INVALID_UTF8"
    INVALID_JSON = "INVALID_JSON"
    NOT_AN_OBJECT = "NOT_AN_OBJECT"
    TOO_DEEP = "TOO_DEEP"
    NUMBER_OUT_OF_RANGE = "NUMBER_OUT_OF_RANGE"
    TIME_OUT_OF_RANGE = "TIME_OUT_OF_RANGE"
    UNKNOWN_EVENT_TYPE = "UNKNOWN_EVENT_TYPE"
    INCONSISTENT = "INCONSISTENT"
    DUPLICATE_ID = "DUPLICATE_ID"
    CAMERA_OF_ANOTHER_DEVICE = "CAMERA_OF_ANOTHER_DEVICE"
    CONFLICT = "CONFLICT"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a value; a value itself, not an error: an import goes on."""

    code: QuarantineCode
    detail: str

    def of(self, name: str) -> Flaw:
        """The same, saying of what."""
        return Flaw(self.code, f"{name}: {self.detail}")
