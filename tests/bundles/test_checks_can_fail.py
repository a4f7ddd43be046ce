"""A check that cannot fail is worth nothing: break a copy of a bundle in one way a check."""

import file_mutations
import pytest
import run_mutations

from custom.bundle.verification.verify import CHECKS, verify_bundle

MUTATIONS = (*file_mutations.MUTATIONS, *run_mutations.MUTATIONS)

# Fast checks that are run on every broken copy: they must not complain about what is not theirs.
BYSTANDERS = tuple(
    check.check_id
    for check in CHECKS
    if not check.check_id.startswith(("net.", "run.", "weights."))
    and check.check_id not in ("config.properties", "config.overlays")
)


def test_every_check_has_a_mutation():
    assert {check.check_id for check in CHECKS} == {mutation.check_id for mutation in MUTATIONS}


def test_the_unbroken_copy_passes(copy):
    assert [result for result in verify_bundle(copy, only=BYSTANDERS) if not result.passed] == []


def parameters():
    """One test a mutation; those of the resume check start a process and are slow."""
    for mutation in MUTATIONS:
        marks = [pytest.mark.slow] if mutation.check_id == "run.resume" else []
        yield pytest.param(mutation, id=f"{mutation.check_id}-{mutation.name}", marks=marks)


@pytest.mark.parametrize("mutation", list(parameters()))
def test_exactly_the_check_fails(mutation, copy, demo_dirs):
    mutation.apply(copy)
    results = verify_bundle(
        copy,
        only=(*BYSTANDERS, mutation.check_id),
        demo_dir=demo_dirs(copy.name),
        variants=False,
    )
    complaints = {
        result.check_id: result.message
        for result in results
        if not result.passed and not result.message.startswith("not run: ")
    }
    assert list(complaints) == [mutation.check_id], complaints
    message = complaints[mutation.check_id]
    assert mutation.says in message
    assert "\n" not in message
