-- Legs of calls in a replica that the Data Connector of a 3CX V20 phone system writes, on PostgreSQL, MySQL or SQL Server.
-- Whatever types the columns have there, they are read as what they stand for. offload_id tells which of two copies of a
-- leg was sent last.
--
-- A replica has no index of its own. A poll is cheap with these three, and without them it reads the whole table:
--   CREATE INDEX cdroutput_ended ON cdroutput (cdr_ended_at)
--   CREATE INDEX cdroutput_flow ON cdroutput (call_history_id)
--   CREATE INDEX cdroutput_main_flow ON cdroutput (main_call_history_id)
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
  cdr_ended_at,
  offload_id
FROM cdroutput
