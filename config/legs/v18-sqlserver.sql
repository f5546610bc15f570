-- The calls of a 3CX V16 to V20 Update 5 from a copy of its tables in SQL Server: one row for each segment, and one
-- without a segment for a call whose segments have not been copied yet. Times without an offset are UTC.
--
-- src_part_id and dst_part_id are ids of cl_participants; joined to cl_party_info they would name strangers.
--
-- Cheap where it is asked for a window of call_id, if the ids are the keys of their tables, and cl_segments has an
-- index on call_id, which a copy may have to be given.
SELECT
    cl_calls.id              AS call_id,
    cl_calls.start_time      AS call_started_at,
    cl_calls.end_time        AS call_ended_at,
    cl_segments.id           AS seg_id,
    cl_segments.seq_order    AS seg_order,
    cl_segments.type         AS seg_type,
    cl_segments.action_id    AS seg_action,
    cl_segments.start_time   AS seg_started_at,
    cl_segments.end_time     AS seg_ended_at,
    cl_segments.src_part_id  AS src_part_id,
    src_info.id              AS src_info_id,
    src_info.dn_type         AS src_dn_type,
    src_info.dn              AS src_dn,
    src_info.caller_number   AS src_caller_number,
    cl_segments.dst_part_id  AS dst_part_id,
    dst_info.id              AS dst_info_id,
    dst_info.dn_type         AS dst_dn_type,
    dst_info.dn              AS dst_dn,
    dst_info.caller_number   AS dst_caller_number
FROM cl_calls
LEFT JOIN cl_segments ON cl_segments.call_id = cl_calls.id
LEFT JOIN cl_participants AS src_part ON src_part.id = cl_segments.src_part_id
LEFT JOIN cl_party_info AS src_info ON src_info.id = src_part.info_id
LEFT JOIN cl_participants AS dst_part ON dst_part.id = cl_segments.dst_part_id
LEFT JOIN cl_party_info AS dst_info ON dst_info.id = dst_part.info_id
