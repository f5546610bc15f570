"""Rows, calls, rules and configuration for tests: a plain case each, of which a test names only what matters to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cdr.calls.call import Call, CallRecord, Direction, Job
from cdr.calls.message import Message
from cdr.calls.rules import CallRules, job_of
from shared.config.phone_system import CdrDatabase
from shared.config.settings import Settings
from tests.support.settings import parse_settings

OUTSIDE = "+1 907 555 0142"
"""A caller from outside, as the phone system writes it."""

ALICE = "alice@example.com"
"""Has extension 101."""

CONFIG = """
3cx:
  cdr_database: {host: pbx.example.internal, database: cdr, username: cdr_reader, password: "s3cret;}word"}
api:
  base_url: https://calls.example.com/api
"""
"""The shortest usable configuration file."""


def make_raw_row(**changed: Any) -> dict[str, Any]:
    """An answered inbound call of 90 seconds to extension 101, as a database driver yields it."""
    return {
        "id": 7,
        "call_id": "0000017F-7",
        "started_at": datetime.fromisoformat("2026-11-22 10:00:00"),
        "ended_at": datetime.fromisoformat("2026-11-22 10:01:30"),
        "duration_s": 90,
        "caller_number": OUTSIDE,
        "dest_number": "101",
        "extension": "101",
        "call_type": 0,
        "answered": True,
        "hangup_cause": "NormalClearing",
        "call_group_id": None,
    } | changed


def make_record(**changed: Any) -> CallRecord:
    """The same as a call detail record."""
    return CallRecord.from_row(make_raw_row(**changed))


def make_message(**changed: Any) -> Message:
    """The same as it travels on the queue."""
    return Message((make_record(**changed),))


def make_leg_row(leg: str, flow: str, at: datetime, **changed: Any) -> dict[str, Any]:
    """A leg of a call from outside to extension 101, which began and ended at that moment and was not answered."""
    return {
        "cdr_id": leg,
        "call_history_id": flow,
        "source_entity_type": "external_line",
        "source_participant_id": f"caller of {flow}",
        "source_participant_phone_number": OUTSIDE,
        "source_participant_is_incoming": True,
        "destination_entity_type": "extension",
        "destination_dn_number": "101",
        "termination_reason": "continued_in" if changed.get("continued_in_cdr_id") else "src_participant_terminated",
        "cdr_started_at": at,
        "cdr_ended_at": at,
    } | changed


def make_job(rules: CallRules | None = None, **changed: Any) -> Job:
    """The same in hand of a worker."""
    return job_of(make_record(**changed), rules or make_rules())


def make_rules(**changed: Any) -> CallRules:
    """The rules of a configuration that only maps extension 101."""
    return CallRules(**({"emails": {"101": ALICE}} | changed))


def make_call(**changed: Any) -> Call:
    """The plain row's call by the plain rules."""
    return Call(
        **{
            "pbx_call_id": "0000017F-7-7",
            "phone_number": "19075550142",
            "duration_s": 90,
            "extension": "101",
            "email": ALICE,
            "direction": Direction.INBOUND,
            "call_group_id": None,
            "ended_at": datetime(2026, 11, 22, 10, 1, 30, tzinfo=UTC),
        }
        | changed
    )


def make_settings(more: str = "", environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of the shortest configuration and further sections of YAML."""
    return parse_settings(CONFIG + more, environment or {})


def make_database(**changed: Any) -> CdrDatabase:
    """A SQL Server's settings."""
    return CdrDatabase(
        **{
            "host": "pbx.example.internal",
            "database": "cdr",
            "username": "cdr_reader",
            "password": "s3cret",
        }
        | changed
    )
