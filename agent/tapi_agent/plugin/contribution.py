"""What one plugin brings: loaded, checked and asked on the plugin's own thread; merged on the agent's.

Owns what a well-formed answer to a hook is (the annotation in ``spec``) and what a plugin may be refused for at start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import islice
from types import NoneType
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tapi_agent.domain.catalog import Catalog, Declaration
from tapi_agent.domain.errors import RejectedError
from tapi_agent.plugin.importing import check_hooks, import_plugin
from tapi_agent.plugin.limits import Limits
from tapi_agent.plugin.spec import HOOKS, Hooks
from tapi_agent.plugin.work import askable, followable, schedulable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pluggy import PluginManager

    from tapi_agent.domain.features import Feature, GrowthPack
    from tapi_agent.domain.quota import QuotaRule
    from tapi_agent.domain.usage import Meter
    from tapi_agent.plugin.discovery import Candidate
    from tapi_agent.plugin.values import Job
    from tapi_agent.plugin.work import Target

_METER_KEY = re.compile(r"[a-z0-9_]+")
_MOST_ITEMS = 10_000
"""Of a generator: an endless one must fill neither memory nor the bill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """A plugin's hooks and what it registered; ``ask`` calls one of its hooks, and belongs on its thread."""

    hooks: tuple[str, ...] = ()
    features: tuple[Feature, ...] = ()
    packs: tuple[GrowthPack, ...] = ()
    meters: tuple[Meter, ...] = ()
    quotas: tuple[QuotaRule, ...] = ()
    jobs: tuple[Job, ...] = ()
    sinks: Mapping[str, Target] = field(default_factory=dict)
    ask: Callable[[str, Mapping[str, object]], Any] = lambda _hook, _arguments: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declarations:
    """All plugins' contributions together; ``meter_sources`` says which plugin declared each meter first."""

    catalog: Catalog = field(default_factory=Catalog)
    meters: Mapping[str, Meter] = field(default_factory=dict)
    meter_sources: Mapping[str, str] = field(default_factory=dict)
    quotas: tuple[QuotaRule, ...] = ()

    def extended(self, candidate: Candidate, contribution: Contribution) -> Declarations:
        """With one more plugin; raises ``RejectedError`` on a conflict with an earlier one."""
        meters = dict(self.meters)
        for meter in contribution.meters:
            self._check(meter, meters.setdefault(meter.key, meter))
        declaration = Declaration(
            source=candidate.name,
            first_party=candidate.first_party,
            features=contribution.features,
            packs=contribution.packs,
        )
        catalog = self.catalog.extended(declaration)
        sources = dict.fromkeys(meters, candidate.name) | dict(self.meter_sources)
        limits = Limits(rules=self.quotas, meter_sources=sources, packs=catalog.packs)
        quotas = limits.extended(contribution.quotas, source=candidate.name, first_party=candidate.first_party)
        return Declarations(catalog=catalog, meters=meters, meter_sources=sources, quotas=quotas)

    def _check(self, meter: Meter, known: Meter) -> None:
        if not _METER_KEY.fullmatch(meter.key) or not meter.unit:
            raise RejectedError(f"meter {meter.key!r} in {meter.unit!r} needs a key and a unit", code="meter_malformed")
        if known.unit != meter.unit:
            owner = self.meter_sources.get(meter.key, "the same plugin")
            raise RejectedError(
                f"meter {meter.key} is already declared by {owner} in {known.unit}, not {meter.unit}",
                code="meter_conflict",
            )


def collect(manager: PluginManager, candidate: Candidate) -> Contribution:
    """Import the plugin, register its hooks and ask it what it adds. Raises what is wrong with it."""
    manager.add_hookspecs(Hooks)
    manager.register(import_plugin(candidate), candidate.name)
    check_hooks(manager)
    hooks = tuple(name for name in HOOKS if getattr(manager.hook, name).get_hookimpls())
    if not hooks:
        raise RejectedError("it implements no hook: mark its functions with @hookimpl", code="no_hooks")
    return Contribution(
        hooks=hooks,
        features=tuple(ask(manager, "register_features", {}) or ()),
        packs=tuple(ask(manager, "register_packs", {}) or ()),
        meters=askable(ask(manager, "register_meters", {}) or ()),
        quotas=tuple(ask(manager, "register_quotas", {}) or ()),
        jobs=schedulable(ask(manager, "register_jobs", {}) or ()),
        sinks=followable(ask(manager, "usage_sink", {})),
        ask=partial(ask, manager),
    )


def ask(manager: PluginManager, hook: str, arguments: Mapping[str, object]) -> Any:  # noqa: ANN401 - what the hook's annotation says
    """Call one hook of the manager's one plugin; ``None`` when it does not implement it.

    Raises what the plugin raises, or ``RejectedError`` when the answer is not what the hook's annotation says.
    """
    caller = getattr(manager.hook, hook)
    if not caller.get_hookimpls():
        return None
    answers = caller(**arguments)
    return _well_formed(hook, answers[0] if answers else None)


def _well_formed(hook: str, answer: object) -> object:
    try:
        checked = _checker(hook).validate_python(answer)
        return list(islice(checked, _MOST_ITEMS)) if isinstance(checked, Iterator) else checked
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise RejectedError(
            f"{hook}(){place} gave {type(first['input']).__name__}: {first['msg']}", code="malformed_answer"
        ) from error


@cache
def _checker(hook: str) -> TypeAdapter[Any]:
    """Checks an answer against the annotation, inside too: a value with rubbish in it would fail much later."""
    annotation = get_type_hints(getattr(Hooks, hook))["return"]
    if annotation is NoneType:
        return TypeAdapter(object)
    return TypeAdapter(
        annotation, config=ConfigDict(strict=True, revalidate_instances="always", arbitrary_types_allowed=True)
    )
