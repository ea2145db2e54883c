"""One exported model and one server for all tests of serving."""

import grpc
import pytest
import serving_fixture
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tfdistill.serving import serve


@pytest.fixture(scope="session")
def servable():
    return serving_fixture.servable()


@pytest.fixture(scope="session")
def base(servable, tmp_path_factory):
    """Base path of the model; the newest version is 12."""
    base = tmp_path_factory.mktemp("fine")
    for version in ("3", "12"):
        servable.save(base / version)
    return base


@pytest.fixture(scope="session")
def server(base):
    with serve({"fine": base}) as running:
        yield running


@pytest.fixture(scope="session")
def channel(server):
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.address, options) as channel:
        yield channel


@pytest.fixture(scope="session")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)
