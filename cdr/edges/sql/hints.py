"""What each known number of a database engine sends a person to. {database} and {select} are the settings that name the
database and its SELECT."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

LOGIN = "check {database}.username and password, and that the login may open {database}.database"
EXPIRED = "the password of {database}.username has expired or must be changed: set a new one on the server, then here"
BARRED = (
    "the server does not let {database}.username in from here: the login is locked or disabled, or not for this host"
)
FIREWALL = "the server's firewall does not let this address in: allow the app's outgoing addresses there"
DATABASE = "check {database}.database, and that the login may open it"
SCHEMA = "check {select}: the SELECT asks for a table or column that is not there"
RIGHTS = "the login may not read what {select} asks for; grant it SELECT"
WRITES = "check {select}: its SELECT would write, and nothing is ever written here"
SYNTAX = "check {select}: the database does not understand the SELECT"
COMPARED = (
    "check {select}: it yields a column of a type that cannot be compared with a time or a number, such as text; cast "
    "it there, for example EndTime::timestamp AS ended_at"
)
CONVERSION = "check {select}: its SELECT makes a value of a type that it cannot have"
SUBQUERY = "check {select}: a subquery of its SELECT finds several rows for one"
CERTIFICATE = "the server's certificate cannot be verified: check {database}.trust_server_certificate and encrypt"
ENCRYPTION = "check {database}.encrypt: the server offers no encryption, or wants nothing else"
DRIVER = "the ODBC driver for SQL Server cannot be loaded; install Microsoft's ODBC driver or FreeTDS"
PACKAGES = (
    "{database}.engine: the package of its driver is missing, or is for another version of Python: bring the packages "
    "together again and publish them (`python dev.py package`), or install what requirements.lock lists"
)
LIBPQ = (
    "{database}.engine: psycopg finds no libpq, neither its own (psycopg-binary of requirements.lock, which may be for "
    "another version of Python: `python dev.py package`, and publish) nor the system's (`apt-get install libpq5`)"
)
OTHER_LIBRARY = (
    "{database}.engine: a library of this machine is of another version than the package of the driver wants: take the "
    "runtime or the image that the packages are meant for, or update the library"
)
UNIXODBC = (
    "{database}.engine: its driver cannot be loaded; pyodbc needs unixODBC on the machine (libodbc.so.2: `apt-get "
    "install unixodbc`), and an ODBC driver"
)
LIBRARY = "{database}.engine: its driver cannot be loaded; install what requirements.lock lists"
FILE = "check {database}.database: the file cannot be opened as an SQLite database"
LOCKED = "another transaction holds locks on what is read, and the next poll tries again"

MAY_PASS = frozenset({LOCKED})
CONVERSIONS = frozenset({CONVERSION, SUBQUERY})
"""It may be one row alone of which this is true."""


def _of(*groups: tuple[str, Iterable[int]]) -> Mapping[int, str]:
    return {number: hint for hint, numbers in groups for number in numbers}


SQLSERVER_NUMBERS = _of(
    (LOGIN, (18456, 18452, 18450, 4064)),
    (EXPIRED, (18487, 18488)),
    (BARRED, (17892, 18470, 18486)),
    (FIREWALL, (40615, 40914, 47073)),
    (DATABASE, (4060, 911, 916, 946, 40532)),
    (SCHEMA, (207, 208, 4104, 4121)),
    (RIGHTS, (229, 230, 297, 300)),
    (SYNTAX, (102, 105, 156, 170, 195, 209, 319, 1033, 8155, 8156)),
    (CONVERSION, (220, 232, 235, 241, 242, 244, 245, 248, 293, 295, 296, 517, 8114, 8115, 8134, 8152, 8169, 9807)),
    (SUBQUERY, (512,)),
    (LOCKED, (1222,)),
)
# fmt: off
SQLSERVER_PASSING = frozenset({
    64, 233, 596, 601, 605, 615, 701, 802, 823, 824, 845, 904, 921, 922, 926, 927, 942, 945, 952, 976, 978, 983,
    988, 1101, 1105, 1204, 1205, 1221, 1225, 3906, 3948, 3960, 3980, 3989, 4221, 6005, 8628, 8645, 8651, 9001, 9002,
    10053, 10054, 10060, 10928, 10929, 14355, 17142, 17197, 18401, 18451, 18461, 20041, 40143, 40166, 40197, 40501,
    40540, 40544, 40549, 40550, 40551, 40552, 40553, 40613, 40648, 49918, 49919, 49920,
})
# fmt: on
"""What it says with the state of a faulty statement though another time it may do it."""

ODBC_STATES: Mapping[str, str] = {
    "28000": LOGIN,
    "42S02": SCHEMA,
    "42S22": SCHEMA,
    "07002": SYNTAX,
    "07006": CONVERSION,
    "07009": SYNTAX,
    "HY106": CONVERSION,
    "IM002": DRIVER,
    "IM003": DRIVER,
}
MYSQL_NUMBERS = _of(
    (LOGIN, (1045, 1698, 1251, 2059)),
    (EXPIRED, (1820, 1862)),
    (BARRED, (1129, 1130, 3118, 4151)),
    (DATABASE, (1044, 1049)),
    (SCHEMA, (1051, 1054, 1109, 1146, 1356)),
    (RIGHTS, (1142, 1143, 1227, 1370, 1449)),
    (SYNTAX, (1052, 1055, 1056, 1060, 1064, 1066, 1111, 1115, 1140, 1166, 1222, 1235, 1241, 1248, 1267, 1270, 1271)),
    (SUBQUERY, (1242,)),
    (SYNTAX, (1273, 1305, 1318, 1582, 1583, 1584, 1630)),
    (
        CONVERSION,
        (1264, 1265, 1292, 1300, 1365, 1366, 1367, 1411, 1441, 1525, 1690, 1977, 3140, 3141, 3143, 3144, 3156),
    ),
    (CONVERSION, (4038, 3854)),
    (WRITES, (1792,)),
    (ENCRYPTION, (2026, 3159)),
    (LOCKED, (1205,)),
)
POSTGRESQL_STATES: Mapping[str, str] = {
    "28P01": LOGIN,
    "28000": LOGIN,
    "3D000": DATABASE,
    "42P01": SCHEMA,
    "42703": SCHEMA,
    "42501": RIGHTS,
    "25006": WRITES,
    "55P03": LOCKED,
    "0A000": SYNTAX,
    "21000": SUBQUERY,
    "42883": COMPARED,
}
POSTGRESQL_CLASSES: Mapping[str, str] = {"42": SYNTAX, "22": CONVERSION, "28": LOGIN}
POSTGRESQL_WORDS: Mapping[str, str] = {
    "password authentication failed": LOGIN,
    "no pg_hba.conf entry": LOGIN,
    "does not exist": DATABASE,
    "server does not support SSL": ENCRYPTION,
}
SQLITE_WORDS: Mapping[str, str] = {
    "no such table": SCHEMA,
    "no such column": SCHEMA,
    "ambiguous column": SYNTAX,
    "syntax error": SYNTAX,
    "no such function": SYNTAX,
    "wrong number of arguments": SYNTAX,
    "misuse of": SYNTAX,
    "unrecognized token": SYNTAX,
    "incomplete input": SYNTAX,
    "null character": SYNTAX,
    "do not have the same number of result columns": SYNTAX,
    "malformed JSON": CONVERSION,
    "integer overflow": CONVERSION,
    "decode to UTF-8": CONVERSION,
    "unable to open": FILE,
    "not a database": FILE,
    "readonly database": WRITES,
    "is locked": LOCKED,
}
