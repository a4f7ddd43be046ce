"""Every bundle, and each of its models, passes every check; a new one needs no new test."""

from custom.bundle.verification.verify import run_check


def test_bundle_passes(check, bundle):
    result = run_check(check, bundle)
    assert result.passed, result.message
