"""The ODBC drivers that tests reach SQL Server with, made known to unixODBC without touching the machine's settings."""

import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path

FREETDS = "FreeTDS"
MICROSOFT = "ODBC Driver 18 for SQL Server"
DRIVER_NAMES = (FREETDS, MICROSOFT)

_DRIVER_MANAGER = Path("libodbc.so.2")  # unixODBC, which pyodbc itself needs

_HOW_TO_GET = {
    FREETDS: "apt-get install tdsodbc unixodbc",
    MICROSOFT: "pip install mssql-python-odbc; apt-get install unixodbc libltdl7 libkrb5-3 libgssapi-krb5-2",
}


@cache
def available_drivers() -> dict[str, Path]:
    """The shared library of each known driver that loads here, by the name that ODBC knows the driver under."""
    if not _loads(_DRIVER_MANAGER):
        return {}
    found = {name: next(filter(_loads, _libraries(name)), None) for name in DRIVER_NAMES}
    return {name: library for name, library in found.items() if library is not None}


def why_unavailable(driver: str) -> str | None:
    """What to install for a driver that does not load here, or None for one that does."""
    return None if driver in available_drivers() else f"no ODBC driver {driver!r}: {_HOW_TO_GET[driver]}"


def odbc_environment(folder: Path) -> dict[str, str]:
    """Environment variables that show unixODBC and FreeTDS these drivers and nothing of the machine's own settings.

    Set them before pyodbc is imported: unixODBC may read its files only once.
    """
    sections = [f"[{name}]\nDriver={library}\n" for name, library in available_drivers().items()]
    files = {"odbcinst.ini": "\n".join(sections), "odbc.ini": "", "freetds.conf": "[global]\n"}
    for name, content in files.items():
        (folder / name).write_text(content)
    return {
        "ODBCSYSINI": str(folder),
        "ODBCINSTINI": "odbcinst.ini",
        "ODBCINI": str(folder / "odbc.ini"),
        "FREETDSCONF": str(folder / "freetds.conf"),
    }


def _libraries(driver: str) -> list[Path]:
    if driver == FREETDS:
        return sorted(Path("/usr/lib").glob("*-linux-gnu/odbc/libtdsodbc.so"))
    package = importlib.util.find_spec("mssql_python_odbc")
    bundled = Path(package.origin).parent.glob("libs/linux/*/*/lib/libmsodbcsql-*.so*") if package else ()
    return sorted(bundled)


def _loads(library: Path) -> bool:
    """Tried in another process: a library for another machine or distribution must leave no trace in this one."""
    attempt = [sys.executable, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", str(library)]
    return subprocess.run(attempt, check=False, capture_output=True, timeout=30).returncode == 0
