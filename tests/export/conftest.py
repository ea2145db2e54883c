"""One network for all tests of the export; what they test leaves its weights alone."""

import export_fixture
import pytest

from tfdistill.export import standalone


@pytest.fixture(scope="session")
def network():
    return export_fixture.network()


@pytest.fixture
def same_process():
    """Stands in for the fresh process where a test is about something else."""

    def run(task, *arguments, threads=None):
        return getattr(standalone, task)(*arguments), "this process"

    return run
