"""The quotas of all plugins together: which rule may be added to which meter, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tapi_agent.domain.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tapi_agent.domain.features import GrowthPack
    from tapi_agent.domain.quota import QuotaRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The rules so far, which plugin declared each meter first, and the packs that a rule may name."""

    rules: tuple[QuotaRule, ...]
    meter_sources: Mapping[str, str]
    packs: Mapping[str, GrowthPack]

    def extended(self, rules: Sequence[QuotaRule], *, source: str, first_party: bool) -> tuple[QuotaRule, ...]:
        """With the rules of one more plugin; an exact repeat says nothing new. Raises ``RejectedError``.

        Only the plugin that declared a meter, or a first-party one, may limit it: whoever adds to a limit permits.
        """
        joined = tuple(dict.fromkeys((*self.rules, *rules)))
        for rule in rules:
            self._check_place(rule)
            owner = self.meter_sources[rule.meter]
            if owner != source and not first_party:
                raise _refused(
                    f"meter {rule.meter} belongs to {owner}, which alone may limit it", fix="limit a meter of your own"
                )
            self._check_basic(rule, [one for one in joined if one.meter == rule.meter and one.pack is None])
        return joined

    def _check_place(self, rule: QuotaRule) -> None:
        if rule.meter not in self.meter_sources:
            raise _refused(
                f"a quota limits the unknown meter {rule.meter!r}",
                fix="declare it in register_meters, or correct the name",
            )
        if rule.pack is not None and rule.pack not in self.packs:
            raise _refused(
                f"a quota of meter {rule.meter} comes with the unknown pack {rule.pack!r}",
                fix="give the slug of a pack that register_packs declares",
            )

    def _check_basic(self, rule: QuotaRule, basic: Sequence[QuotaRule]) -> None:
        if len(basic) > 1:
            raise _refused(
                f"meter {rule.meter} of {self.meter_sources[rule.meter]} is limited to {basic[0].limit} a "
                f"{basic[0].period} already, not {basic[1].limit} a {basic[1].period}",
                fix="leave one basic rule, or name the pack that adds to it",
            )
        if not basic or basic[0].period != rule.period:
            raise _refused(
                f"pack {rule.pack} adds to a limit of meter {rule.meter} a {rule.period}, and there is none",
                fix="declare a basic rule (one without a pack) of the same period",
            )


def _refused(message: str, *, fix: str) -> RejectedError:
    return RejectedError(message, code="quota_conflict", fix=fix)
