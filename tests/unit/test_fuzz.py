"""Anything may stand in a file: the answer is a UserError or a result, never another exception."""

import os

import fuzzing
import pytest
from hypothesis import HealthCheck, given, settings

EXAMPLES = int(os.environ.get("GETSEI_FUZZ_EXAMPLES", "15"))


@pytest.mark.parametrize("target", fuzzing.TARGETS, ids=lambda target: target.name)
def test_no_other_exception(target, tmp_path, monkeypatch):
    monkeypatch.chdir(fuzzing.ROOT)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.strategy)
    def check(sample):
        target.read(sample, tmp_path)

    check()
