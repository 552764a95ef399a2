"""The accounts of all quotas: which one a use falls under, when a new one begins and an old one may go."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING

from tapi_agent.services.quotas.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from tapi_agent.services.quotas.rules import Rules


class Accounts:
    """One for each meter with ``rules`` and period; those of earlier periods stay while somebody counts on them."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._by_meter: defaultdict[str, list[Account]] = defaultdict(list)

    def __iter__(self) -> Iterator[Account]:
        """Every account there is, also while some begin or go."""
        return iter(list(chain.from_iterable(self._by_meter.values())))

    def counting(self, meter: str, at: datetime) -> Sequence[Account]:
        """Those that count a use of the meter at this time (UTC): more than one after a rule's period has changed."""
        accounts = self._by_meter.get(meter, ())
        return [account for account in accounts if account.key.window.start <= at < account.key.window.end]

    def current(self, meter: str, now: datetime) -> Account | None:
        """The one that grants for the meter now; begun if need be. ``None`` where nothing limits it."""
        rules = self._rules.meters.get(meter)
        if rules is None:
            return None
        for account in self.counting(meter, now):
            if account.key.window.period is rules.basic.period:
                return account
        account = Account(self._rules.of(meter, now))
        self._by_meter[meter].append(account)
        return account

    def renew(self, now: datetime) -> None:
        """Begin what is missing now, let all follow their rules, and let those go that have ended."""
        current = {self.current(meter, now) for meter in self._rules.meters}
        for meter, accounts in self._by_meter.items():
            for account in accounts:
                if account in current:
                    account.follow(self._rules.of(meter, now))
                else:
                    account.give_back()
            accounts[:] = [one for one in accounts if one in current or one.is_open or one.changed]
