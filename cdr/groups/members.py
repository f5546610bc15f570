"""Members of call groups where there is no phone system to ask."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cdr.groups.alerts import Member, Observation
from shared.errors import PipelineError


@dataclass(frozen=True, slots=True)
class UnreadableMembers:
    """A MemberSource that could not be set up: nothing is known of any group, and that is what has to be told."""

    problem: PipelineError

    def observe(self, group_ids: Collection[str]) -> Mapping[str, Observation]:  # noqa: ARG002 - as the protocol says
        raise self.problem


@dataclass(frozen=True, slots=True)
class StaticMemberSource:
    """A MemberSource for groups without a switchboard to ask: whoever is listed counts as available."""

    members: Mapping[str, Sequence[str]]

    def observe(self, group_ids: Collection[str]) -> Mapping[str, Observation]:
        return {name: self._observe(name) for name in group_ids}

    def _observe(self, name: str) -> Observation:
        if name not in self.members:
            return Observation(None, "no members are listed for the group")
        return Observation(tuple(Member(extension, available=True) for extension in self.members[name]))
