"""The tests of what is mended of moto ask its server."""

from tests.local.conftest import _over_http  # noqa: F401 - a fixture
