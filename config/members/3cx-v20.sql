-- Who belongs to the queues and ring groups of a 3CX V20 phone system, and who of them can take a call, from its own
-- PostgreSQL database. One row for each member; a group without members has one row without an extension.
--
-- Queue: the agent is logged in to this queue, to queues as such (qstatus 1), and enabled.
-- Ring group: there is no log-in; every enabled member rings.
-- Values are compared as text, because releases differ in their types; where one is missing, available is NULL: unknown.
SELECT
    queue_dn.value AS group_id,
    member.value AS extension,
    CAST(queue2dn.is_logged_in AS varchar) IN ('true', '1')
        AND CAST(extension.qstatus AS varchar) = '1'
        AND CAST(extension.enabled AS varchar) IN ('true', '1') AS available
FROM queue
JOIN dn AS queue_dn ON queue_dn.iddn = queue.fkiddn
LEFT JOIN queue2dn ON queue2dn.fkidqueue = queue.fkiddn
LEFT JOIN dn AS member ON member.iddn = queue2dn.fkiddn
LEFT JOIN extension ON extension.fkiddn = queue2dn.fkiddn
UNION ALL
SELECT
    group_dn.value,
    member.value,
    CAST(extension.enabled AS varchar) IN ('true', '1')
FROM ringgroup
JOIN dn AS group_dn ON group_dn.iddn = ringgroup.fkiddn
LEFT JOIN ringgroup2dn ON ringgroup2dn.fkidringgroup = ringgroup.fkiddn
LEFT JOIN dn AS member ON member.iddn = ringgroup2dn.fkiddn
LEFT JOIN extension ON extension.fkiddn = ringgroup2dn.fkiddn
