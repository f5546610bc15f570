-- Members of call groups as the demo's simulated phone system keeps them.
SELECT GroupNumber AS group_id, Extension AS extension, LoggedIn AS available FROM GroupMember
