"""The oracle keeps in its file what was offered and answered, and draws the same events by the same seed."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from tests.torture.oracle import Oracle

if TYPE_CHECKING:
    from pathlib import Path


def test_an_offer_is_in_the_file_before_it_is_sent_and_an_answer_once_it_is_there(tmp_path: Path) -> None:
    with closing(Oracle(tmp_path / "oracle", tenant="demo", seed=1)) as oracle:
        first, second = oracle.offer(2)
        assert oracle.known().offered.keys() == {first["resource_id"], second["resource_id"]}
        assert oracle.known().acknowledged == {}
        oracle.acknowledge([first], ["id-1"])
        assert oracle.known().acknowledged == {first["resource_id"]: "id-1"}
        assert oracle.unanswered() == [second]


def test_a_raw_offer_has_no_key_and_is_not_sent_again(tmp_path: Path) -> None:
    with closing(Oracle(tmp_path / "oracle", tenant="demo", seed=1)) as oracle:
        (draft,) = oracle.offer(1, raw=True)
        assert "dedupe_key" not in draft
        assert oracle.unanswered() == []
        assert draft["resource_id"] in oracle.known().offered


def test_a_seed_draws_the_same_events_again(tmp_path: Path) -> None:
    drawn = []
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        with closing(Oracle(tmp_path / name, tenant="demo", seed=seed)) as oracle:
            drawn.append(oracle.offer(20))
    assert drawn[0] == drawn[1] != drawn[2]
