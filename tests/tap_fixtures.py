"""A TAP service on this machine and a way to ask it, for test modules that name this one under pytest_plugins."""

import pytest
from tap_server import TapServer
from vizier_tables import make_settings

from cbminer.survey.vizier import Vizier


@pytest.fixture
def server():
    running = TapServer()
    yield running
    running.close()


@pytest.fixture
def settings(server):
    return make_settings(server)


@pytest.fixture
def vizier(settings, tmp_path):
    with Vizier(tmp_path / "vizier", settings=settings) as opened:
        yield opened
