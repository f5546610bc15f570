"""The Bicep files agree with themselves, with the application, and with what must never be in a template.

There is no Bicep compiler here, so these tests stand in for the part of it that finds names which do not exist.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from lark.exceptions import LarkError
from pycep import BicepParser

from shared.config.file import ENVIRONMENT
from shared.log import EVENTS

INFRA = Path(__file__).parents[2] / "infra"
FILES = sorted(path.name for path in INFRA.glob("*.bicep"))
ROLES = {
    "Storage Blob Data Owner": ("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "storage.bicep"),
    "Storage Queue Data Contributor": ("974c5e8b-45b9-4653-ba55-5f855dd0fb88", "storage.bicep"),
    "Storage Table Data Contributor": ("0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3", "storage.bicep"),
    "Monitoring Metrics Publisher": ("3913510d-42f4-4e42-8a64-420c390055eb", "monitoring.bicep"),
    "Key Vault Secrets User": ("4633458b-17de-408a-b874-0445c86b69e6", "vault.bicep"),
}
SILENCE = "CDR: no poll finished in 15 minutes"
KEYWORDS = {"targetScope", "existing", "for", "in", "if", "true", "false", "null", "string", "int", "bool", "object"}
SECRET = re.compile(r"password|secret|connectionstring|instrumentationkey|token|list\w*keys?\b", re.IGNORECASE)


@cache
def _parser() -> BicepParser:
    return BicepParser(cache=False)


@cache
def _text(name: str) -> str:
    return (INFRA / name).read_text(encoding="utf-8")


@cache
def _parsed(name: str) -> dict[str, Any]:
    return _parser().parse(text=_text(name))


def _body(element: dict[str, Any]) -> dict[str, Any]:
    """What is declared, without the loop or condition around it."""
    return element["config"].get("config", element["config"])


def _resources(name: str, kind: str) -> list[dict[str, Any]]:
    return [_body(r) for r in _parsed(name)["resources"].values() if r["type"] == kind and not r["existing"]]


def _the(name: str, kind: str) -> dict[str, Any]:
    (resource,) = _resources(name, kind)
    return resource


def _decorator(element: dict[str, Any], kind: str) -> Any:
    return next((d.get("argument", True) for d in element["decorators"] if d["type"] == kind), None)


def _words(value: Any) -> str:
    """Every name and literal in a parsed expression."""
    if isinstance(value, dict):
        return " ".join(f"{key} {_words(item)}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(_words(item) for item in value)
    return str(value)


def _code(name: str) -> str:
    """The file without comments, decorators and text; what a text interpolates is left."""
    text = re.sub(r"^\s*(//|#|@).*$", "", _text(name), flags=re.MULTILINE)

    def interpolated(match: re.Match[str]) -> str:
        return " ".join(f"({part})" for part in re.findall(r"(?<!\\)\$\{([^}]*)\}", match[0]))

    return re.sub(r"'(?:\\.|\$\{[^}]*\}|[^'\\])*'", interpolated, text)


def _declared(name: str) -> set[str]:
    parsed = _parsed(name)
    return {n for kind in ("parameters", "variables", "resources", "modules") for n in parsed.get(kind, {})}


def _used(name: str) -> set[str]:
    """Names that stand where a value is read: no declaration, no member after a dot, no key, no function."""
    declaration, member, key = r"^(?:param|var|resource|module|output) \w+", r"\.\w+", r"(?:^|\{)\s*\w+:"
    read = re.sub(f"{declaration}|{member}|{key}", "", _code(name), flags=re.MULTILINE)
    return set(re.findall(r"\b[A-Za-z_]\w*\b(?!\()", read)) - KEYWORDS


def _loop_variables(name: str) -> set[str]:
    return {n for names in re.findall(r"for \(?([\w, ]+)\)? in", _code(name)) for n in names.split(", ")}


def _module_calls() -> list[tuple[str, dict[str, Any]]]:
    return list(_parsed("main.bicep")["modules"].items())


def _integration_settings() -> dict[str, Any]:
    union = _body(_parsed("main.bicep")["modules"]["app"])["params"]["integrationSettings"]
    return union["function"]["parameters"]["arg_1"]


def _host_settings() -> dict[str, Any]:
    return _the("app.bicep", "Microsoft.Web/sites/config")["properties"]["function"]["parameters"]["arg_2"]


def _workbook() -> dict[str, Any]:
    return json.loads(_text("workbook.json"))


def _alerts() -> list[dict[str, Any]]:
    return _parsed("monitoring.bicep")["variables"]["alerts"]["value"]


def _queries() -> list[str]:
    shown = [item["content"]["query"] for item in _workbook()["items"] if item["type"] == 3]
    return [alert["query"] for alert in _alerts()] + shown


@pytest.mark.parametrize("name", FILES)
def test_file_parses(name: str) -> None:
    """Each file is Bicep, and holds something."""
    assert _parsed(name)["parameters"]


def test_parser_refuses_what_is_no_bicep() -> None:
    """The test above can fail."""
    with pytest.raises(LarkError):
        _parser().parse(text=_text("app.bicep").replace("properties: {", "properties {", 1))


@pytest.mark.parametrize("name", FILES)
def test_every_name_that_is_used_is_declared(name: str) -> None:
    """A misspelled parameter, variable or resource is found."""
    assert _used(name) - _declared(name) - _loop_variables(name) == set()


@pytest.mark.parametrize("name", FILES)
def test_every_parameter_and_variable_is_used(name: str) -> None:
    """Nothing can be set that changes nothing."""
    parsed = _parsed(name)
    assert {*parsed.get("parameters", {}), *parsed.get("variables", {})} - _used(name) == set()


@pytest.mark.parametrize("name", FILES)
def test_every_parameter_and_output_is_described(name: str) -> None:
    """An operator reads what each value means in the portal and in the file."""
    parsed = _parsed(name)
    elements = {**parsed["parameters"], **parsed.get("outputs", {})}
    assert [n for n, element in elements.items() if len(_decorator(element, "description") or "") < 8] == []


@pytest.mark.parametrize(("name", "call"), _module_calls(), ids=[name for name, _ in _module_calls()])
def test_module_gets_exactly_its_parameters(name: str, call: dict[str, Any]) -> None:
    """A module's file exists, and what main passes is what it declares."""
    assert call["detail"]["path"] in FILES, name
    declared = _parsed(call["detail"]["path"])["parameters"]
    assert set(_body(call)["params"]) == set(declared)


def test_outputs_of_modules_exist() -> None:
    """main reads no output that a module does not have."""
    modules = dict(_module_calls())
    read = re.findall(r"(\w+)!?\.outputs\.(\w+)", _code("main.bicep"))
    assert read
    assert [r for r in read if r[1] not in _parsed(modules[r[0]]["detail"]["path"])["outputs"]] == []


def test_every_module_file_is_used() -> None:
    """No file lies beside main that nothing deploys."""
    assert {call["detail"]["path"] for _, call in _module_calls()} | {"main.bicep"} == set(FILES)


def test_parameters_file_fits() -> None:
    """The parameters file names only parameters of main, all that have no default, and no secret."""
    given = json.loads(_text("main.parameters.json"))["parameters"]
    parameters = _parsed("main.bicep")["parameters"]
    assert set(given) - set(parameters) == set()
    assert {n for n, p in parameters.items() if p["default"] is None} - set(given) == set()
    assert {n for n in given if _decorator(parameters[n], "secure")} == set()


@pytest.mark.parametrize("name", FILES)
def test_outputs_hold_no_secret(name: str) -> None:
    """Outputs are kept in clear text in the deployment's history."""
    parsed = _parsed(name)
    secure = {n for n, p in parsed["parameters"].items() if _decorator(p, "secure")}
    for output, element in parsed.get("outputs", {}).items():
        words = f"{output} {_words(element['value'])}"
        assert SECRET.search(words) is None
        assert secure & set(re.findall(r"\w+", words)) == set()


def test_secrets_come_in_as_secure_parameters() -> None:
    """What may hold a password or token is not kept in clear text either."""
    secure = {(f, n) for f in FILES for n, p in _parsed(f)["parameters"].items() if _decorator(p, "secure")}
    assert secure == {
        ("main.bicep", "cdrDbPassword"),
        ("main.bicep", "extraAppSettings"),
        ("app.bicep", "integrationSettings"),
    }


def test_resource_types_have_one_stable_version() -> None:
    """One API version for each resource type, none of them a preview."""
    seen: dict[str, set[str]] = {}
    for name in FILES:
        for resource in _parsed(name)["resources"].values():
            seen.setdefault(resource["type"], set()).add(resource["api_version"])
    assert [kind for kind, versions in seen.items() if len(versions) > 1] == []
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", version) for versions in seen.values() for version in versions)


@pytest.mark.parametrize("role", ROLES)
def test_role_is_assigned(role: str) -> None:
    """Each role stands in its file, under its id."""
    identifier, name = ROLES[role]
    assert identifier in _text(name)


def test_no_other_role_is_assigned() -> None:
    """The identity can do what it needs and nothing else."""
    ids = {i for name in FILES for i in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", _text(name))}
    assert ids == {identifier for identifier, _ in ROLES.values()}


@pytest.mark.parametrize(
    ("name", "scope"), [("storage.bicep", "account"), ("monitoring.bicep", "component"), ("vault.bicep", "vault")]
)
def test_role_assignment_has_a_name_of_its_own_and_a_narrow_scope(name: str, scope: str) -> None:
    """Named after resource, identity and role, so that a second deployment finds it and a new identity gets another."""
    assignment = _the(name, "Microsoft.Authorization/roleAssignments")
    parts = list(assignment["name"]["function"]["parameters"].values())
    assert assignment["name"]["function"]["type"] == "guid"
    assert [_words(part).split()[-1] for part in parts[:2]] == ["id", "principalId"]
    assert len(parts) == 3
    assert assignment["scope"] == scope
    assert assignment["properties"]["principalType"] == "ServicePrincipal"


def test_app_waits_for_its_roles_and_its_way_to_storage() -> None:
    """The host reads storage and vault as soon as it starts."""
    app = _body(_parsed("main.bicep")["modules"]["app"])
    assert app["dependsOn"] == ["endpoints", "vaultAccess"]
    assert {"storage", "monitoring"} <= set(_words(app["params"]).split())


def test_storage_takes_no_keys_and_no_strangers() -> None:
    """Entra ID only, TLS 1.2, nothing public."""
    properties = _the("storage.bicep", "Microsoft.Storage/storageAccounts")["properties"]
    assert properties["allowSharedKeyAccess"] is False
    assert properties["allowBlobPublicAccess"] is False
    assert properties["supportsHttpsTrafficOnly"] is True
    assert properties["minimumTlsVersion"] == "TLS1_2"
    closed = [properties["publicNetworkAccess"], properties["networkAcls"]["defaultAction"]]
    assert [c["operator"]["operands"]["false_value"] for c in closed] == ["Disabled", "Deny"]


def test_storage_has_what_the_application_uses() -> None:
    """Container, queues and tables, under the names that function_app.py and the ledger use."""
    variables = _parsed("storage.bicep")["variables"]
    container = _the("storage.bicep", "Microsoft.Storage/storageAccounts/blobServices/containers")
    assert container["name"] == "app-package"
    assert container["properties"]["publicAccess"] == "None"
    assert variables["queueNames"]["value"] == ["cdr-calls", "cdr-calls-poison"]
    assert variables["tableNames"]["value"] == ["CdrCalls", "CdrState", "CallGroups"]


def test_private_endpoints_cover_every_service_that_is_used() -> None:
    """Blob, queue and table each have an endpoint and the DNS zone that goes with it."""
    assert _parsed("endpoints.bicep")["variables"]["services"]["value"] == ["blob", "queue", "table"]
    zone = _the("endpoints.bicep", "Microsoft.Network/privateDnsZones")
    assert zone["name"] == "privatelink.${service}.${environment().suffixes.storage}"
    endpoint = _the("endpoints.bicep", "Microsoft.Network/privateEndpoints")
    assert endpoint["properties"]["privateLinkServiceConnections"][0]["properties"]["groupIds"] == ["service"]


def test_app_subnet_is_delegated_to_flex_consumption() -> None:
    """Flex Consumption takes a delegated subnet without an underscore in its name; endpoints are in another one."""
    app, endpoints = _resources("network.bicep", "Microsoft.Network/virtualNetworks/subnets")
    (delegation,) = app["properties"]["delegations"]
    assert delegation["properties"]["serviceName"] == "Microsoft.App/environments"
    assert "_" not in app["name"]
    assert "delegations" not in endpoints["properties"]
    assert endpoints["dependsOn"] == ["appSubnet"]


def test_app_runs_python_on_flex_consumption() -> None:
    """Plan, runtime, identity and one waiting instance for the queue."""
    plan = _the("app.bicep", "Microsoft.Web/serverfarms")
    site = _the("app.bicep", "Microsoft.Web/sites")
    config = site["properties"]["functionAppConfig"]
    assert plan["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert config["runtime"] == {"name": "python", "version": "3.12"}
    assert config["scaleAndConcurrency"]["alwaysReady"] == [{"name": "function:submit_call", "instanceCount": 1}]
    assert config["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"
    assert site["identity"]["type"] == "UserAssigned"
    assert site["properties"]["httpsOnly"] is True
    assert "siteConfig" not in site["properties"]


def test_passwords_for_publishing_are_off() -> None:
    """Publishing is for Entra ID logins."""
    policies = _resources("app.bicep", "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert [(p["name"], p["properties"]["allow"]) for p in policies] == [("ftp", False), ("scm", False)]


def test_host_settings_are_those_of_an_identity() -> None:
    """The host reaches storage and Application Insights without a key, and Flex is not told what it knows."""
    assert set(_host_settings()) == {
        "AzureWebJobsStorage__blobServiceUri",
        "AzureWebJobsStorage__queueServiceUri",
        "AzureWebJobsStorage__tableServiceUri",
        "AzureWebJobsStorage__credential",
        "AzureWebJobsStorage__clientId",
        "AZURE_CLIENT_ID",
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
        "PYTHON_THREADPOOL_THREAD_COUNT",
    }
    assert _host_settings()["AzureWebJobsStorage__credential"] == "managedidentity"
    assert _host_settings()["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"].endswith(";Authorization=AAD")


@pytest.mark.parametrize("service", ["blob", "queue", "table"])
def test_host_setting_points_at_its_service(service: str) -> None:
    """The URI of each service is that service's."""
    uri = _host_settings()[f"AzureWebJobsStorage__{service}ServiceUri"]
    assert _words(uri).split()[-3:] == ["primaryEndpoints", "operand_2", service]


def test_integration_settings_are_read_by_the_application() -> None:
    """Each setting of the template is a variable that the configuration takes."""
    settings = set(_integration_settings())
    assert {"CDR_DB_PASSWORD", "CDR_START_FROM", "API_BASE_URL", "TIMEZONE"} < settings
    assert settings - set(ENVIRONMENT.values()) == set()


def test_password_is_a_vault_reference_when_a_secret_is_named() -> None:
    """Only without a secret's URI does the password itself become a setting."""
    choice = _integration_settings()["CDR_DB_PASSWORD"]["operator"]["operands"]
    assert _words(choice["condition"]).split()[-1] == "cdrDbPasswordSecretUri"
    assert choice["true_value"] == "cdrDbPassword"
    assert choice["false_value"] == "@Microsoft.KeyVault(SecretUri=${cdrDbPasswordSecretUri})"


def test_queries_know_their_events() -> None:
    """Alerts and workbook look for no event that the application does not log."""
    for query in _queries():
        named = re.findall(r'"([a-z]+\.[a-z_]+)"', query)
        assert named, query
        assert set(named) - set(EVENTS) == set()


def test_alerts_cover_the_ways_in_which_calls_get_stuck() -> None:
    """Silence, rejection, poison and refused credentials each have an alert."""
    named = {event for alert in _alerts() for event in re.findall(r'"([a-z]+\.[a-z_]+)"', alert["query"])}
    assert {"poll.finished", "call.rejected", "poison.kept", "api.denied"} <= named


def test_alerts_let_the_rule_count_the_rows() -> None:
    """A query that counts would give one row where nothing happened, and silence would never be noticed."""
    criteria = _the("monitoring.bicep", "Microsoft.Insights/scheduledQueryRules")["properties"]
    assert criteria["criteria"]["allOf"][0]["timeAggregation"] == "Count"
    assert criteria["windowSize"] == "PT15M"
    assert criteria["skipQueryValidation"] is True
    for alert in _alerts():
        assert "summarize" not in alert["query"]
        expected = ("LessThan", 1) if alert["title"] == SILENCE else ("GreaterThan", 0)
        assert (alert["operator"], alert["threshold"]) == expected
    assert sum(alert["operator"] == "LessThan" for alert in _alerts()) == 1


def test_logs_are_taken_from_entra_identities_only() -> None:
    """The connection string alone lets nobody write logs."""
    properties = _the("monitoring.bicep", "Microsoft.Insights/components")["properties"]
    assert properties["DisableLocalAuth"] is True
    assert _words(properties["WorkspaceResourceId"]).split()[-1] == "id"


def test_workbook_is_bound_to_the_component() -> None:
    """The placeholder that monitoring.bicep fills in is in the workbook."""
    workbook = _the("monitoring.bicep", "Microsoft.Insights/workbooks")["properties"]["serializedData"]
    placeholder = workbook["function"]["parameters"]
    assert _workbook()["fallbackResourceIds"] == ["<component id>"]
    assert "<component id>" in _words(placeholder)
