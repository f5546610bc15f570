"""A fake of the Call Logger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cdr.calls.body import body_of
from cdr.calls.call import Call
from cdr.submission.ports import Accepted, Visit
from local.call_logger.store import BackendError, CallExistsError, CallLogger, InvalidBodyError
from shared.errors import ApiFailed, ApiRejected
from tests.fakes.fake import Fake


@dataclass(frozen=True)
class Asked:
    """With how much patience a call was submitted."""

    give_up_at: datetime
    patient: bool


class InMemoryCallApi(Fake):
    """A CallApi with the Call Logger's own rules. Its failures are those that are left after all tries."""

    def __init__(self, call_logger: CallLogger | None = None) -> None:
        super().__init__()
        self.call_logger = call_logger or CallLogger()
        self.asked: list[Asked] = []
        """How each submission was asked for, whatever became of it."""

    @property
    def submitted(self) -> list[str]:
        """The pbxCallIds that got in, in order; a call that got in twice is there twice."""
        return [entry["pbxCallId"] for entry in self.call_logger.entries]

    def submit(self, call: Call, *, give_up_at: datetime, patient: bool = True, visit: Visit | None = None) -> Accepted:
        self.asked.append(Asked(give_up_at, patient))
        if visit is not None:
            visit.tries += 1
        with self.operation("submit"):
            try:
                return Accepted(self.call_logger.submit(body_of(call))["id"], earlier=False)
            except CallExistsError:
                return Accepted(None, earlier=True)
            except BackendError as exc:
                raise ApiFailed("the API answered 500") from exc
            except InvalidBodyError as exc:
                words = "; ".join(f"{violation.field} {violation.message}" for violation in exc.violations)
                raise ApiRejected(f"the API answered 400: {words}") from exc

    def check_health(self) -> None:
        with self.operation("check_health"):
            pass
