"""Every folder in ``bundles/`` passes every check; a new bundle needs no new test."""

import pytest

from custom.bundle.verification.verify import CHECKS, run_check


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.check_id)
def test_bundle_passes(check, bundle):
    result = run_check(check, bundle)
    assert result.passed, result.message
