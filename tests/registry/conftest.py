"""The promises of the record hold on SQLite and on PostgreSQL: the tests of the modules named here run on both.

One server and one database for each worker of the tests; the database is empty when a test begins.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry import postgres

ON_BOTH = {
    "record.test_datasets", "record.test_gates_of_runs", "record.test_metric_alerts", "record.test_reports",
    "record.test_stages", "record.test_walk", "test_compare", "test_filters", "test_lists", "test_projection",
    "test_promotion", "test_selectors", "custody.test_copies", "custody.test_guard",
}  # fmt: skip


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a running server, to which a database's name is added."""
    if postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres.server() as address:
        yield address


@pytest.fixture(scope="session")
def shared_database(postgres_server: str) -> str:
    """The address of a registry with its tables, for one test after the other."""
    from registry.database import open_database

    address = postgres.new_database(postgres_server, "shared")
    open_database(address, create=True).close()
    return address


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "file_only: about runs.db as a file; a server has none")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A pool that goes with its engine may lose a connection to the garbage collector, in whichever test that runs."""
    for item in items:
        if item.nodeid.startswith("tests/registry/"):
            item.add_marker(pytest.mark.filterwarnings("ignore:<psycopg.Connection object:ResourceWarning"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    of_file = metafunc.definition.get_closest_marker("file_only")
    if metafunc.module.__name__.removeprefix("tests.registry.") in ON_BOTH and not of_file:
        metafunc.parametrize("record_engine", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def record_engine(request: pytest.FixtureRequest, own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database that this test is about; a server's is set as REGISTRY_DB."""
    engine = getattr(request, "param", "sqlite")
    if engine == "postgresql":
        address = request.getfixturevalue("shared_database")
        postgres.empty(address)
        monkeypatch.setenv("REGISTRY_DB", address)
        monkeypatch.setenv("REGISTRY_ROOT", str(own_folder))
    return str(engine)
