"""What `docs/configuration.md` says beside the settings' own descriptions: the chapters, in the order of the file."""

from __future__ import annotations

from dataclasses import dataclass

from shared.config.call_logger import Api, ApiKeyAuth, BearerAuth, EntraAuth
from shared.config.calls import Calls, Ledger, Reconcile
from shared.config.extensions import DatabaseExtensions, XapiExtensions
from shared.config.groups import CallGroups, DatabaseMembers, MonitoredGroup, Notify, XapiMembers
from shared.config.hours import BusinessHours, DayHours
from shared.config.phone_system import CdrDatabase, ThreeCx
from shared.config.settings import Settings
from shared.config.types import Section


@dataclass(frozen=True, slots=True)
class Table:
    """The settings of a section, under the path at which it stands in the file."""

    path: str
    section: type[Section]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Chapter:
    title: str
    prose: str
    tables: tuple[Table, ...] = ()


CHAPTERS = (
    Chapter(
        "The file",
        """
`config/3cx-config.yml`, or another file that the app setting `CONFIG_FILE` names: its path, relative to the app's
folder. `config/3cx-config.schema.json` beside it lets editors complete and check it. It is the file of the earlier
Node.js integration with more in it: that one's file works unchanged.

**Variables.** `${NAME}` is taken from the environment (app settings in Azure, `local.settings.json` locally),
`${NAME:-default}` with a default. Nothing else with a `$` is understood: `${NAME-default}`, `$NAME` or `$(NAME)` as a
value is a mistake. A value that comes out empty counts as absent. Within `{…}` a variable needs quotes:
`{host: "${NAME}"}`. What a variable holds is taken as it is, so that is the place for a password with `${` in it.

**Without the file.** A setting that the file does not name is read from the environment variable that the tables name.

**Secrets.** Leave them to variables. In Azure such an app setting can be a Key Vault reference; one that the platform
could not resolve reaches the app as `@Microsoft.KeyVault(…)`, and is named as a mistake instead of tried as a password.

**Text.** Every value is read as text first: extension `0101` is not `101`, and `08:00` needs no quotes. A section, list
or mapping of which everything is commented out is as good as none. YAML's aliases (`*name`) and tags (`!name`) are
refused, and a key that stands twice.

**Mistakes** are reported all at once, each with its path, what stands there and what is allowed; secrets are not shown.
Until they are mended `/health` answers 503 with their number, the log has them (`config.invalid`), and messages wait in
the queue.
""",
        (Table("", Settings),),
    ),
    Chapter(
        "3cx",
        """
The phone system, and how its table of calls is read. The interval between two polls is at most
`polling_interval_seconds`, because a timer's schedule can only divide a minute or an hour.

`start_from` is for the very first poll; after that the position is stored. A day that lies ahead is as good as `now`
where calls are read by their ids (calllog, v18), because nobody knows the ids of then. Eight digits that are a date,
such as `20261101`, may be meant as a day or as an id and are asked back: `2026-11-01` is the day, `020261101` the id.

`gap_wait` and `open_row_wait` say how long a poll comes back to what is not there yet: an id that a running transaction
may still commit, a row without an end. A row with an end is taken for final. Where a table gets its end first and the
rest (whether it was answered, its duration) a moment later, `settle_seconds` says for how long it is left alone.
""",
        (Table("3cx", ThreeCx),),
    ),
    Chapter(
        "3cx.cdr_database",
        """
Where the call detail records are. The login needs nothing but SELECT. Connections are encrypted and the server's
certificate is verified, unless it is said otherwise. An instance of SQL Server (`SRV\\SQLEXPRESS`) is named by its
server's `host` and its own `port`, which the SQL Server Configuration Manager shows.
""",
        (Table("3cx.cdr_database", CdrDatabase),),
    ),
    Chapter(
        "Schema files",
        """
`3cx.schema` names the SELECT that turns the phone system's table into call detail records: one SELECT, without ORDER
BY, WITH or LIMIT. [config/schemas/calllog.sql](../config/schemas/calllog.sql) does so for the `CallLog` table. Every
schema file yields:

| column | meaning |
|---|---|
| `id` | a whole number that grows, indexed: a poll reads only beyond the last one |
| `call_id` | the phone system's name of the call; the rows of a transferred call share it |
| `started_at`, `ended_at` | date and time; without an offset in `3cx.cdr_database.timezone`; no end: still running |
| `duration_s` | seconds, or h:mm:ss |
| `caller_number`, `dest_number` | as the phone system has them |
| `extension` | of the call's owner |
| `call_type` | 0 inbound, 1 outbound, 2 internal, anything else: by which side looks like an extension |
| `answered` | true or false, 1 or 0 |
| `hangup_cause` | in the phone system's words |
| `call_group_id` | if there is one: the queue or ring group that the call came through |

A LIMIT, TOP or FETCH on the whole is refused, because nothing beyond it would ever be read; within a subquery or an
APPLY it is fine. **Leave out filters on what changes while a call goes on.** With `WHERE EndTime IS NOT NULL` a call
that is under way is not there, and when it has ended, its id may lie far behind what was read: if it took longer than
`3cx.gap_wait`, no poll comes back to it, and only the daily reconciliation finds it. A row without an end does no harm:
it is remembered. Filters on what a row has from the start, such as a tenant or a trunk, are fine.
""",
    ),
    Chapter(
        "api",
        """
The Call Logger. A login in `base_url` (`https://user:password@…`) is refused: the address stands in the log and in
`/status`; `api.auth` is the place for credentials.
""",
        (Table("api", Api),),
    ),
    Chapter(
        "api.auth",
        """
`{type: none}` sends no credentials. With `entra` the app's managed identity gets a token for the API.
""",
        (
            Table("api.auth", BearerAuth, "With `type: bearer`:"),
            Table("api.auth", ApiKeyAuth, "With `type: api_key`:"),
            Table("api.auth", EntraAuth, "With `type: entra`:"),
        ),
    ),
    Chapter(
        "calls",
        """
How a row of the phone system becomes a call in the Call Logger. `internal_number_digits` tells extensions from numbers
outside, for calls of which `call_type` does not say what they are. A template for `pbx_call_id` must keep calls apart:
`{call_id}{id}` would give call 1 with row 23 and call 12 with row 3 the same key.
""",
        (Table("calls", Calls),),
    ),
    Chapter(
        "ledger",
        """
How long the records of calls are kept. A call whose record is gone is not known any more: were it read again, it would
be left to the Call Logger to notice.
""",
        (Table("ledger", Ledger),),
    ),
    Chapter(
        "reconcile",
        """
The timer function `reconcile_calls` compares the calls of the last days with the ledger, as `GET /reconcile` does, and
queues what is missing and what was changed since it was passed over. Its event `reconcile.finished` says what it found.
""",
        (Table("reconcile", Reconcile),),
    ),
    Chapter(
        "business_hours",
        """
When somebody should be there; call groups raise alerts in these hours alone, and `/status` shows them. A weekday is a
span, a list of spans, or `null`, which is closed, as is a day that is not named. The end is not part of a span. A span
over midnight belongs to the day on which it starts:

```yaml
business_hours:
  timezone: America/Anchorage
  monday: { start: "08:00", end: "17:00" }
  tuesday: [{ start: "08:00", end: "12:00" }, { start: "13:00", end: "17:00" }]
  wednesday: { start: "00:00", end: "24:00" }
  friday: { start: "22:00", end: "06:00", overnight: true }
  holidays: { country: US, subdivision: AK, dates: [2026-12-24] }
```
""",
        (
            Table("business_hours", BusinessHours),
            Table("business_hours.monday", DayHours, "Each span of a day, here of Monday:"),
        ),
    ),
    Chapter(
        "call_groups",
        """
Queues and ring groups. A monitored one is named on its calls, and `check_call_groups` looks whether it has anybody
during business hours: if not, it raises an alert at the Call Logger, and resolves it when somebody is back or the hours
end. One alert for an episode, however often it looks. When the members cannot be read, no group is taken to be empty:
after `unknown_after` one alert of type `MEMBERSHIP_UNKNOWN` says so. An alert that somebody ends at the Call Logger by
hand is not raised again until the group has had somebody.
""",
        (Table("call_groups", CallGroups),),
    ),
    Chapter(
        "call_groups.monitored_groups",
        """
`business_hours` of a group's own have the settings of [business_hours](#business_hours) and take their place; its time
zone and holidays are those of all where it names none.
""",
        (Table("call_groups.monitored_groups[]", MonitoredGroup),),
    ),
    Chapter(
        "call_groups.members",
        """
Who belongs to the groups, and how much can be seen of them:

- `none`: nothing. Groups are named on calls but not checked.
- `static`: the `members` that each group lists. Whoever is listed counts as available.
- `database`: the phone system's own PostgreSQL. Queue agents who are enabled and logged in, to queues and to this
  queue; enabled members of ring groups. [config/members/3cx-v20.sql](../config/members/3cx-v20.sql) is the SELECT. Any
  other that yields `group_id`, `extension` and `available` works, on any engine, with one row without extension for a
  group that has no members.
- `xapi`: 3CX V20's REST API (Enterprise licence). Members, and one log-in state per user. It cannot see who is logged
  out of one queue only.
""",
        (
            Table("call_groups.members", DatabaseMembers, "With `source: database`:"),
            Table("call_groups.members", XapiMembers, "With `source: xapi`:"),
        ),
    ),
    Chapter(
        "call_groups.notify",
        """
Webhooks that are told of alerts as well. A Teams webhook gets an adaptive card, a Slack-compatible one `{text}`, and
`json` an object with `event` (raised, reminder, resolved), `title`, `text`, `groupId`, `groupName`, `alertType` and
`at`.
""",
        (Table("call_groups.notify[]", Notify),),
    ),
    Chapter(
        "extension_mapping",
        """
Whose calls they are: `101: alice@example.com`. Extensions are text, so leading zeros count. The number of a queue is
looked up like an extension: with `calls.include_unanswered` a call that nobody answered may be a queue's. What becomes
of a call whose extension is not here, nor in the phone system's own list, is `calls.unmapped_extensions`.
""",
    ),
    Chapter(
        "extension_mapping_from",
        """
Where else an extension's address comes from, so that a new extension needs no deployment:

- `none`: from nowhere. What `extension_mapping` says is all there is.
- `database`: the phone system's own. [config/directory/3cx-v20.sql](../config/directory/3cx-v20.sql) is the SELECT. Any
  other that yields `extension` and `email` works, on any engine.
- `xapi`: 3CX V20's REST API (Enterprise licence), with the address and credentials of `3cx.xapi`.

It is read again every 15 minutes. What `extension_mapping` says wins, so that is the place for what the phone system
has wrong, and for the numbers of queues. Its last good answer is kept in the storage account, and goes on being used
while the phone system does not answer; `/status` says how old it is. As long as it was never read, calls of extensions
that `extension_mapping` does not have wait. An extension without an address, with one that is none, or with the same
one as another extension is named in the log (`directory.problems`), once.

Calls that were rejected as `unmapped_extension` are sent again by themselves as soon as their extension has an address,
wherever it comes from.
""",
        (
            Table("extension_mapping_from", DatabaseExtensions, "With `source: database`:"),
            Table("extension_mapping_from", XapiExtensions, "With `source: xapi`:"),
        ),
    ),
)
