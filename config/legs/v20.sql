-- Legs of calls in the database of a 3CX V20 phone system itself (Update 6 and later).
--
-- A poll asks for the legs that ended lately, then for all legs of their calls (call_history_id), then for what was
-- joined to one of these (main_call_history_id). Which indexes 3CX gives its table is not documented: if a poll takes
-- seconds there, look with EXPLAIN, and rather read a replica, which may be given indexes.
SELECT
  cdr_id,
  call_history_id,
  main_call_history_id,
  source_entity_type,
  source_dn_number,
  source_participant_id,
  source_participant_phone_number,
  source_participant_is_incoming,
  destination_entity_type,
  destination_dn_number,
  destination_participant_id,
  destination_participant_phone_number,
  destination_participant_is_incoming,
  base_cdr_id,
  originating_cdr_id,
  continued_in_cdr_id,
  creation_method,
  creation_forward_reason,
  termination_reason,
  termination_reason_details,
  cdr_started_at,
  cdr_answered_at,
  cdr_ended_at
FROM cdroutput
