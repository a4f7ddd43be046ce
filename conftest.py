"""Leave out what cannot be run here: the application needs the MONAI Deploy SDK."""

from importlib.util import find_spec

import pytest

SDK = find_spec("holoscan") is not None
collect_ignore = [] if SDK else ["custom/deploy/application.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked ``deploy`` where the SDK is missing; `make test-deploy` has it."""
    for item in items:
        if not SDK and item.get_closest_marker("deploy"):
            item.add_marker(pytest.mark.skip("the MONAI Deploy SDK is not installed"))
