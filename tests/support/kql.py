"""Every query that the project has, by where it stands: rules of alerts, the workbook, documents."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.bicep import INFRA, parsed

PROJECT = Path(__file__).parents[2]
WITH_QUERIES = ("docs/queries.md", "docs/operating.md", "infra/README.md")


def variable(name: str) -> Any:
    return parsed("alerts.bicep")["variables"][name]["value"]


def properties(resource: str) -> dict[str, Any]:
    """Of a resource in infra/alerts.bicep, or of each in a loop."""
    config = parsed("alerts.bicep")["resources"][resource]["config"]
    return config.get("config", config)["properties"]


@cache
def rules() -> list[dict[str, Any]]:
    """The rules of alerts, with whole queries and the names of their dimensions."""

    def whole(query: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda hole: variable(hole[1]), query)

    def columns(dimensions: Any) -> list[str]:
        return [each["name"] for each in variable(dimensions)] if dimensions else []

    found = variable("alerts")
    return [each | {"query": whole(each["query"]), "dimensions": columns(each["dimensions"])} for each in found]


def shown() -> dict[str, str]:
    """The workbook's queries, by the name of their item."""
    items = json.loads((INFRA / "workbook.json").read_text(encoding="utf-8"))["items"]
    return {item["name"]: item["content"]["query"] for item in items if item["type"] == 3}


def cap_rule() -> dict[str, Any]:
    """The alert in infra/log-cap.bicep. It asks for what the workspace says of itself, not for events of ours."""
    return parsed("log-cap.bicep")["resources"]["rule"]["config"]["properties"]


@cache
def queries() -> dict[str, str]:
    found = {f"alert {rule['name']}": rule["query"] for rule in rules()}
    found |= {f"workbook {name}": query for name, query in shown().items()}
    for path in WITH_QUERIES:
        blocks = re.findall(r"```kusto\n(.*?)```", (PROJECT / path).read_text(encoding="utf-8"), re.DOTALL)
        found |= {f"{path} {n}": block for n, block in enumerate(blocks, 1)}
    return found
