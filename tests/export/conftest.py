import export_fixture
import pytest


@pytest.fixture(scope="session")
def network():
    return export_fixture.network()
