-- The CallLog table of the phone system as the canonical columns of a call detail record.
-- A schema file is one SELECT, without ORDER BY, WITH or LIMIT. The cost of a poll depends on id being an indexed column: a whole
-- number, another in each row. A JOIN must find one row for each call.
-- A row whose end is NULL, empty, infinite or a placeholder (0000-00-00, 1900-01-01, 9999-12-31) is a call that is still on.
-- No filter on what changes while a call goes on, such as WHERE EndTime IS NOT NULL: a call under way would turn up behind
-- what was read, and one that took longer than 3cx.gap_wait would only be found by the daily reconciliation.
SELECT
    Id           AS id,
    CallId       AS call_id,
    StartTime    AS started_at,
    EndTime      AS ended_at,
    Duration     AS duration_s,
    CallerNumber AS caller_number,
    DestNumber   AS dest_number,
    Extension    AS extension,
    CallType     AS call_type,
    Answered     AS answered,
    HangupCause  AS hangup_cause
FROM CallLog
