"""The Bicep files agree with themselves, with the application, and with what must never be in a template.

There is no Bicep compiler here, so these tests stand in for the part of it that finds names which do not exist.
"""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest
import yaml
from lark.exceptions import LarkError

from shared.config.phone_system import DEFAULT_PORTS, Engine, ThreeCx
from shared.config.written import ENVIRONMENT
from tests.support.bicep import INFRA, parsed, parser, text

FILES = sorted(path.name for path in INFRA.glob("*.bicep"))
ROLES = {
    ("storage.bicep", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"),  # Storage Blob Data Owner
    ("storage.bicep", "974c5e8b-45b9-4653-ba55-5f855dd0fb88"),  # Storage Queue Data Contributor
    ("storage.bicep", "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"),  # Storage Table Data Contributor
    ("monitoring.bicep", "3913510d-42f4-4e42-8a64-420c390055eb"),  # Monitoring Metrics Publisher
    ("vault.bicep", "4633458b-17de-408a-b874-0445c86b69e6"),  # Key Vault Secrets User
}
KEYWORDS = {"targetScope", "existing", "for", "in", "if", "true", "false", "null", "string", "int", "bool", "object"}
SECRET = re.compile(r"password|secret|connectionstring|instrumentationkey|token|list\w*keys?\b", re.IGNORECASE)
every_file = pytest.mark.parametrize("name", FILES)


def body(element: dict[str, Any]) -> dict[str, Any]:
    """What is declared, without the loop or condition around it."""
    return element["config"].get("config", element["config"])


def resources(name: str, kind: str) -> list[dict[str, Any]]:
    return [body(r) for r in parsed(name)["resources"].values() if r["type"] == kind and not r["existing"]]


def the(name: str, kind: str) -> dict[str, Any]:
    (resource,) = resources(name, kind)
    return resource


def variable(name: str, of: str) -> Any:
    return parsed(name)["variables"][of]["value"]


def decorator(element: dict[str, Any], kind: str) -> Any:
    return next((d.get("argument", True) for d in element["decorators"] if d["type"] == kind), None)


def words(value: Any) -> str:
    """Every name and literal in a parsed expression."""
    if isinstance(value, dict):
        return " ".join(f"{key} {words(item)}" for key, item in value.items())
    return " ".join(map(words, value)) if isinstance(value, list) else str(value)


def last_word(value: Any) -> str:
    return words(value).split()[-1]


def code(name: str) -> str:
    """The file without comments, decorators and text; what a text interpolates is left."""
    plain = re.sub(r"^\s*(//|#|@).*$", "", text(name), flags=re.MULTILINE)

    def interpolated(match: re.Match[str]) -> str:
        return " ".join(f"({part})" for part in re.findall(r"(?<!\\)\$\{([^}]*)\}", match[0]))

    return re.sub(r"'(?:\\.|\$\{[^}]*\}|[^'\\])*'", interpolated, plain)


def used(name: str) -> set[str]:
    """Names that stand where a value is read: no declaration, no member after a dot, no key, no function."""
    declaration, member, key = r"^(?:param|var|resource|module|output) \w+", r"\.\w+", r"(?:^|\{)\s*\w+:"
    read = re.sub(f"{declaration}|{member}|{key}", "", code(name), flags=re.MULTILINE)
    return set(re.findall(r"\b[A-Za-z_]\w*\b(?!\()", read)) - KEYWORDS


def modules() -> dict[str, Any]:
    return parsed("main.bicep")["modules"]


def integration_settings() -> dict[str, Any]:
    """By origin: what every app gets, and what only one with a database does."""
    return body(modules()["app"])["params"]["integrationSettings"]["function"]["parameters"]


def parameters_file(name: str) -> dict[str, Any]:
    return {key: given["value"] for key, given in json.loads(text(name))["parameters"].items()}


def workbook() -> dict[str, Any]:
    return json.loads(text("workbook.json"))


# Names


def test_the_parser_refuses_what_is_no_bicep() -> None:
    with pytest.raises(LarkError):
        parser().parse(text=text("app.bicep").replace("properties: {", "properties {", 1))


@every_file
def test_what_is_used_is_declared_and_what_is_declared_is_used_and_described(name: str) -> None:
    file = parsed(name)
    loops = {n for names in re.findall(r"for \(?([\w, ]+)\)? in", code(name)) for n in names.split(", ")}
    declared = {n for kind in ("parameters", "variables", "resources", "modules") for n in file.get(kind, {})}
    assert used(name) - declared - loops == set()
    assert {*file["parameters"], *file.get("variables", {})} - used(name) == set()
    elements = {**file["parameters"], **file.get("outputs", {})}
    assert [n for n, element in elements.items() if len(decorator(element, "description") or "") < 8] == []


def test_each_module_gets_exactly_its_parameters_and_is_asked_for_outputs_that_it_has() -> None:
    files = {module: call["detail"]["path"] for module, call in modules().items()}
    assert {*files.values(), "main.bicep"} == set(FILES)
    for module, call in modules().items():
        assert set(body(call)["params"]) == set(parsed(files[module])["parameters"]), module
    read = re.findall(r"(\w+)!?\.outputs\.(\w+)", code("main.bicep"))
    assert read
    assert [(m, output) for m, output in read if output not in parsed(files[m])["outputs"]] == []


def test_azd_takes_every_parameter_from_a_variable_of_its_own_so_that_no_value_is_in_a_committed_file() -> None:
    given = parameters_file("main.parameters.json")
    assert set(given) == set(parsed("main.bicep")["parameters"])
    variables = [re.fullmatch(r"\$\{([A-Z_]+)\}", value) for value in given.values()]
    assert len({match[1] for match in variables if match}) == len(given)
    assert (given["environmentName"], given["location"]) == ("${AZURE_ENV_NAME}", "${AZURE_LOCATION}")


def test_the_example_by_hand_has_what_has_no_default_and_no_secret() -> None:
    given = set(parameters_file("example.parameters.json"))
    parameters = parsed("main.bicep")["parameters"]
    assert {n for n, p in parameters.items() if p["default"] is None} <= given <= set(parameters)
    assert [n for n in given if decorator(parameters[n], "secure")] == []


def test_every_source_and_every_engine_that_has_a_server_can_be_deployed() -> None:
    parameters = parsed("main.bicep")["parameters"]
    assert set(decorator(parameters["cdrSource"], "allowed")) == set(
        get_args(ThreeCx.model_fields["source"].annotation)
    )
    assert {*decorator(parameters["cdrDbEngine"], "allowed"), "sqlite"} == set(get_args(Engine))
    ports = {int(port) for port in re.findall(r"\b\d{4}\b", words(parameters["cdrDbPort"]["default"]))}
    assert ports == set(DEFAULT_PORTS.values())


def test_what_names_a_resource_in_a_module_is_known_before_anything_is_deployed() -> None:
    """Else what-if can say nothing of the module."""
    for module, call in modules().items():
        file = parsed(call["detail"]["path"])
        naming = " ".join(words([body(r)["name"], body(r).get("scope", "")]) for r in file["resources"].values())
        late = {n for n, value in body(call)["params"].items() if {"outputs", "properties"} & set(words(value).split())}
        assert late & set(re.findall(r"\w+", naming)) == set(), module


def test_whatever_can_have_tags_has_those_of_the_deployment() -> None:
    for name in FILES:
        for resource in parsed(name)["resources"].values():
            if not resource["existing"] and "location" in body(resource):
                assert {"tags", "allTags"} & set(words(body(resource)["tags"]).split()), (name, resource["type"])
    assert [n for n, call in modules().items() if "allTags" not in words(body(call)["params"])] == ["vaultAccess"]


def test_azd_finds_the_environment_and_the_service_again() -> None:
    azure = yaml.safe_load((INFRA.parent / "azure.yaml").read_text(encoding="utf-8"))
    (service,) = azure["services"]
    assert words(variable("main.bicep", "allTags")).count("azd-env-name") == 1
    assert f"'azd-service-name' {service}" in words(the("app.bicep", "Microsoft.Web/sites")["tags"])
    outputs = parsed("main.bicep")["outputs"]
    assert {f"SERVICE_{service.upper()}_NAME", f"SERVICE_{service.upper()}_URI"} < set(outputs)


def test_resource_types_have_one_stable_version() -> None:
    found = {(r["type"], r["api_version"]) for name in FILES for r in parsed(name)["resources"].values()}
    assert len({kind for kind, _ in found}) == len(found)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", version) for _, version in found)


# Secrets and roles


@every_file
def test_outputs_which_the_history_keeps_in_clear_text_hold_no_secret(name: str) -> None:
    secure = {n for n, p in parsed(name)["parameters"].items() if decorator(p, "secure")}
    for output, element in parsed(name).get("outputs", {}).items():
        found = f"{output} {words(element['value'])}"
        assert SECRET.search(found) is None
        assert secure & set(re.findall(r"\w+", found)) == set()


def test_secrets_come_in_as_secure_parameters() -> None:
    secure = {(f, n) for f in FILES for n, p in parsed(f)["parameters"].items() if decorator(p, "secure")}
    of_main = {("main.bicep", "cdrDbPassword"), ("main.bicep", "extraAppSettings")}
    assert secure == {*of_main, ("app.bicep", "integrationSettings")}


def test_the_identity_has_the_roles_that_it_needs_and_no_other() -> None:
    role = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    assert {(name, found) for name in FILES for found in re.findall(role, text(name))} == ROLES


@pytest.mark.parametrize(
    ("name", "scope"), [("storage.bicep", "account"), ("monitoring.bicep", "component"), ("vault.bicep", "vault")]
)
def test_a_role_assignment_is_named_after_resource_identity_and_role_and_narrow(name: str, scope: str) -> None:
    """So a second deployment finds it."""
    assignment = the(name, "Microsoft.Authorization/roleAssignments")
    parts = list(assignment["name"]["function"]["parameters"].values())
    assert assignment["name"]["function"]["type"] == "guid"
    resource, identity, _ = (words(part) for part in parts)
    assert resource.endswith(f"operand_1 {scope} operand_2 id")
    assert identity.endswith("operand_1 identity operand_2 id")
    assert (assignment["scope"], assignment["properties"]["principalType"]) == (scope, "ServicePrincipal")


# Resources


def test_storage_takes_no_keys_and_no_strangers_and_has_what_the_application_uses() -> None:
    properties = the("storage.bicep", "Microsoft.Storage/storageAccounts")["properties"]
    assert (properties["allowSharedKeyAccess"], properties["allowBlobPublicAccess"]) == (False, False)
    assert (properties["supportsHttpsTrafficOnly"], properties["minimumTlsVersion"]) == (True, "TLS1_2")
    closed = [properties["publicNetworkAccess"], properties["networkAcls"]["defaultAction"]]
    assert [c["operator"]["operands"]["false_value"] for c in closed] == ["Disabled", "Deny"]
    container = the("storage.bicep", "Microsoft.Storage/storageAccounts/blobServices/containers")
    assert (container["name"], container["properties"]["publicAccess"]) == ("app-package", "None")
    assert variable("storage.bicep", "queueNames") == ["cdr-calls", "cdr-calls-poison"]
    assert variable("storage.bicep", "tableNames") == [
        "CdrCalls",
        "CdrCallsIndex",
        "CdrState",
        "CallGroups",
        "PhoneBook",
    ]


def test_private_endpoints_cover_every_service_with_its_dns_zone() -> None:
    assert variable("endpoints.bicep", "services") == ["blob", "queue", "table"]
    zone = the("endpoints.bicep", "Microsoft.Network/privateDnsZones")
    assert zone["name"] == "privatelink.${service}.${environment().suffixes.storage}"
    endpoint = the("endpoints.bicep", "Microsoft.Network/privateEndpoints")
    # The storage account answers simultaneous ones with a conflict.
    assert decorator(parsed("endpoints.bicep")["resources"]["endpoints"], "batchSize") == 1
    assert endpoint["properties"]["privateLinkServiceConnections"][0]["properties"]["groupIds"] == ["service"]


def test_the_app_has_a_delegated_subnet_and_the_endpoints_another() -> None:
    """Flex Consumption takes one without an underscore in its name."""
    app, endpoints = resources("network.bicep", "Microsoft.Network/virtualNetworks/subnets")
    (delegation,) = app["properties"]["delegations"]
    assert delegation["properties"]["serviceName"] == "Microsoft.App/environments"
    assert "_" not in app["name"]
    assert ("delegations" in endpoints["properties"], endpoints["dependsOn"]) == (False, ["appSubnet"])


def test_the_app_runs_python_on_flex_consumption_with_one_instance_waiting_for_the_queue() -> None:
    plan, site = the("app.bicep", "Microsoft.Web/serverfarms"), the("app.bicep", "Microsoft.Web/sites")
    config = site["properties"]["functionAppConfig"]
    assert plan["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert config["runtime"] == {"name": "python", "version": "3.12"}
    assert config["scaleAndConcurrency"]["alwaysReady"] == [{"name": "function:submit_call", "instanceCount": 1}]
    assert config["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"
    assert (site["identity"]["type"], site["properties"]["httpsOnly"]) == ("UserAssigned", True)
    assert "siteConfig" not in site["properties"]
    policies = resources("app.bicep", "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert [(p["name"], p["properties"]["allow"]) for p in policies] == [("ftp", False), ("scm", False)]


def test_the_app_waits_for_its_roles_and_its_way_to_storage() -> None:
    """The host reads storage and vault as soon as it starts."""
    assert body(modules()["app"])["dependsOn"] == ["monitoring", "endpoints", "vaultAccess"]
    assert "storage" in words(body(modules()["app"])["params"]).split()


# Settings


def test_the_host_reaches_storage_and_application_insights_without_a_key() -> None:
    settings = the("app.bicep", "Microsoft.Web/sites/config")["properties"]["function"]["parameters"]["arg_2"]
    uris = {f"AzureWebJobsStorage__{service}ServiceUri": service for service in ("blob", "queue", "table")}
    insights = {"APPLICATIONINSIGHTS_CONNECTION_STRING", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"}
    identity = {"AzureWebJobsStorage__credential", "AzureWebJobsStorage__clientId", "AZURE_CLIENT_ID"}
    assert set(settings) == {*uris, *insights, *identity, "PYTHON_THREADPOOL_THREAD_COUNT"}
    for setting, service in uris.items():
        assert words(settings[setting]).split()[-3:] == ["primaryEndpoints", "operand_2", service]
    assert settings["AzureWebJobsStorage__credential"] == "managedidentity"
    assert settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"].endswith(";Authorization=AAD")


def test_the_application_reads_every_setting_of_the_template() -> None:
    always, of_a_database = set(integration_settings()["arg_1"]), set(variable("main.bicep", "databaseSettings"))
    assert {"CDR_SOURCE", "CDR_START_FROM", "API_BASE_URL", "TIMEZONE"} <= always <= {*ENVIRONMENT.values()}
    assert of_a_database == {name for name in ENVIRONMENT.values() if name.startswith("CDR_DB_")}


def test_an_app_without_a_database_gets_no_setting_of_one() -> None:
    """A lone engine or password would be a mistake in its configuration."""
    choice = integration_settings()["arg_2"]["operator"]["operands"]
    assert (last_word(choice["condition"]), choice["true_value"], choice["false_value"]) == (
        "cdrDbHost",
        {},
        "databaseSettings",
    )


def test_the_password_is_a_vault_reference_when_a_secret_is_named() -> None:
    choice = variable("main.bicep", "databaseSettings")["CDR_DB_PASSWORD"]["operator"]["operands"]
    assert (last_word(choice["condition"]), choice["true_value"]) == ("cdrDbPasswordSecretUri", "cdrDbPassword")
    assert choice["false_value"] == "@Microsoft.KeyVault(SecretUri=${cdrDbPasswordSecretUri})"


# Monitoring


def test_the_day_s_logs_have_a_cap_and_an_alert_that_can_still_see_when_it_is_reached() -> None:
    workspace = the("monitoring.bicep", "Microsoft.OperationalInsights/workspaces")["properties"]
    rule = the("log-cap.bicep", "Microsoft.Insights/scheduledQueryRules")["properties"]
    assert workspace["workspaceCapping"] == {"dailyQuotaGb": "dailyCapGb"}
    assert (rule["scopes"], rule["actions"]["actionGroups"]) == (["workspaceId"], ["actionGroupId"])
    assert rule["criteria"]["allOf"][0]["query"].startswith("_LogOperation")
    assert [words(body(modules()[m])["params"]["dailyCapGb"]) for m in ("monitoring", "logCap")] == [
        "dailyLogCapGb"
    ] * 2


def test_what_holds_the_ledger_survives_a_zone_and_few_instances_are_the_default() -> None:
    defaults = {n: p["default"] for n, p in parsed("main.bicep")["parameters"].items()}
    assert (defaults["storageSku"], defaults["maximumInstanceCount"]) == ("Standard_ZRS", 4)


def test_what_an_instance_submits_at_once_is_what_the_parameter_says_of_it() -> None:
    queues = json.loads((INFRA.parent / "host.json").read_text(encoding="utf-8"))["extensions"]["queues"]
    at_once = queues["batchSize"] + queues["newBatchThreshold"]
    said = decorator(parsed("main.bicep")["parameters"]["maximumInstanceCount"], "description")
    assert re.findall(r"\b\d+ with \d+", said) == [f"{n * at_once} with {n}" for n in (1, 4, 40)]


def test_logs_are_taken_from_entra_identities_only_and_the_workbook_shows_them() -> None:
    properties = the("monitoring.bicep", "Microsoft.Insights/components")["properties"]
    assert (properties["DisableLocalAuth"], last_word(properties["WorkspaceResourceId"])) == (True, "id")
    serialized = the("monitoring.bicep", "Microsoft.Insights/workbooks")["properties"]["serializedData"]
    assert workbook()["fallbackResourceIds"] == ["<component id>"]
    assert "<component id>" in words(serialized["function"]["parameters"])
