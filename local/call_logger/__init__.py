"""A stand-in for the DataTech Call Logger with the real one's rules, for demos and tests."""

from local.call_logger.faults import Fault, FaultKind, FaultPlan
from local.call_logger.server import Credential, RunningCallLogger, start
from local.call_logger.store import CallLogger

__all__ = ["CallLogger", "Credential", "Fault", "FaultKind", "FaultPlan", "RunningCallLogger", "start"]
