"""Every bad input ends in one clear message and leaves nothing behind."""

import pytest
from bad_inputs import CASES, ROOT
from getsei.errors import UserError


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_clear_message(case, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError) as caught:
        case.stop(tmp_path)
    message = str(caught.value)
    assert case.says in message
    assert len(message.splitlines()) <= 2, message
    assert "Traceback" not in message
    assert len(list(tmp_path.iterdir())) <= 1, "something was left behind"


def test_corpus_is_large_enough():
    assert len({case.name for case in CASES}) == len(CASES) >= 80
