"""Storage without a key, as on the platform: the app's identity has tokens for it, and the emulator checks them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import AccountSasPermissions, ResourceTypes, generate_account_sas

from cdr.edges.storage.account import HASTY, SETTING, StorageAccount, StoragePatience
from cdr.edges.storage.groups import TableGroupStore
from cdr.edges.storage.queue import StorageCallQueue
from cdr.edges.storage.table import Table
from cdr.edges.storage.transaction import Delete, Insert, Merge, Put
from cdr.groups.alerts import GroupRecord, GroupState
from local import azurite as azurite_program
from local.azurite import ACCOUNT, ACCOUNT_KEY, Azurite, AzuriteError
from shared.errors import LeaseHeld, StorageUnavailable
from tests.support.factories import make_message
from tests.support.requirements import need
from tests.systems import certificates
from tests.systems import identity as identity_program
from tests.systems.conversation import WITHOUT_END, Part, serving
from tests.systems.identity import Identity

AUDIENCE = "https://storage.azure.com"
NOW = datetime(2026, 11, 23, 8, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> certificates.OwnCertificate:
    return certificates.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def guarded(certificate: certificates.OwnCertificate) -> Iterator[Azurite]:
    """Takes tokens, which it only does over TLS."""
    options = ("--oauth", "basic", "--cert", str(certificate.file), "--key", str(certificate.key))
    try:
        storage = azurite_program.start(options=options)
    except AzuriteError as exc:
        need(str(exc))
        raise
    with storage:
        yield storage


@pytest.fixture
def identity() -> Iterator[Identity]:
    with identity_program.start(AUDIENCE) as running:
        yield running


@pytest.fixture
def settings(
    guarded: Azurite, identity: Identity, certificate: certificates.OwnCertificate, monkeypatch: pytest.MonkeyPatch
) -> Mapping[str, str]:
    """The app settings of an app whose storage account has no keys."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.file))
    for name, value in identity.environment.items():
        monkeypatch.setenv(name, value)
    uris = {"queue": guarded.ports.queue, "table": guarded.ports.table}
    return {
        "AzureWebJobsStorage__clientId": identity_program.CLIENT_ID,
        **{f"AzureWebJobsStorage__{name}ServiceUri": f"https://127.0.0.1:{uris[name]}/{ACCOUNT}" for name in uris},
    }


def entity(row: str) -> dict[str, str]:
    return {"PartitionKey": "own", "RowKey": row}


def test_a_queue_and_a_table_are_used_with_tokens_of_the_identity(
    settings: Mapping[str, str], identity: Identity
) -> None:
    account = StorageAccount(settings)
    queue, store = StorageCallQueue(account, "keyless"), TableGroupStore(account, "keyless")
    account.queue_client("keyless").create_queue()
    queue.send_all([make_message(), make_message()])
    queue.send_later(make_message(), timedelta(hours=1))
    assert queue.depth() == 3
    store.lease("first", NOW, timedelta(minutes=3))
    with pytest.raises(LeaseHeld):
        store.lease("second", NOW, timedelta(minutes=3))
    assert len(Table(account, "keyless").write([Put(entity("a")), Insert(entity("b"))]) or ()) == 2
    store.save("800", GroupRecord(GroupState.OK))
    assert store.load() == {"800": GroupRecord(GroupState.OK)}
    asked = {(given["resource"], given["client_id"], given["api-version"]) for given in identity.asked}
    assert asked == {(AUDIENCE, identity_program.CLIENT_ID, identity_program.API_VERSION)}


@pytest.mark.parametrize("wrong", ["no right", "another audience", "run out"])
def test_without_the_right_token_storage_is_unavailable_and_says_what_to_check(
    settings: Mapping[str, str], identity: Identity, wrong: str
) -> None:
    match wrong:
        case "no right":
            identity.audiences = ()
        case "another audience":
            identity.token_audience = "https://vault.azure.net"
        case "run out":
            identity.life_s = -60
    store = TableGroupStore(StorageAccount(settings), "refused")
    with pytest.raises(StorageUnavailable, match="check the app setting AzureWebJobsStorage and its rights") as caught:
        store.load()
    assert "Bearer" not in str(caught.value)


@pytest.mark.parametrize("play", WITHOUT_END.values(), ids=WITHOUT_END)
def test_an_identity_that_never_answers_ends_the_wait_for_storage_however_often_storage_is_tried(
    monkeypatch: pytest.MonkeyPatch, play: Part
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    account = StorageAccount({f"{SETTING}__accountName": "calls"}, StoragePatience(token=timedelta(seconds=0.1)))
    with serving(play) as endpoint:
        monkeypatch.setenv("IDENTITY_ENDPOINT", endpoint.url)
        for use in (TableGroupStore(account, "calls").load, StorageCallQueue(account, "calls").depth):
            began = time.monotonic()
            with pytest.raises(StorageUnavailable, match="did not give one for storage"):
                use()
            assert time.monotonic() - began < 5


def with_signature(storage: Azurite, *, until: datetime) -> StorageAccount:
    """One whose connection string has a shared access signature in place of a key."""
    allowed = AccountSasPermissions(read=True, write=True, add=True, update=True, delete=True)
    types = ResourceTypes(object=True, container=True)
    signature = generate_account_sas(AzureNamedKeyCredential(ACCOUNT, ACCOUNT_KEY), types, allowed, until)
    endpoint = f"TableEndpoint=http://127.0.0.1:{storage.ports.table}/{ACCOUNT}"
    return StorageAccount({SETTING: f"{endpoint};SharedAccessSignature={signature}"}, HASTY)


def test_a_signature_is_enough_for_writes_alone_and_together(azurite: Azurite) -> None:
    table = Table(with_signature(azurite, until=datetime.now(UTC) + timedelta(hours=1)), "signed")
    assert table.write([Insert(entity("a"))])
    (changed, _) = table.write([Put(entity("a")), Insert(entity("b"))]) or ("", "")
    assert table.write([Merge(entity("a"), changed)])
    assert [list(table.named("own", [row], ["RowKey"])) for row in ("a", "none")] == [["a"], []]
    assert table.write([Delete(entity("a"), changed), Delete(entity("b"), None)]) is None
    assert table.write([Delete(entity("a"), None), Delete(entity("b"), None)])


def test_one_that_has_run_out_is_no_refusal_of_a_write_and_no_sign_of_nothing(
    azurite: Azurite,
) -> None:
    Table(with_signature(azurite, until=datetime.now(UTC) + timedelta(hours=1)), "signed").put(entity("c"))
    table = Table(with_signature(azurite, until=datetime.now(UTC) - timedelta(hours=1)), "signed")
    for writes in ([Insert(entity("c"))], [Put(entity("c")), Insert(entity("d"))]):
        with pytest.raises(StorageUnavailable, match=r"status 403 .*; check the app setting"):
            table.write(writes)
    with pytest.raises(StorageUnavailable, match="status 403"):
        table.named("own", ["c"], ["RowKey"])
