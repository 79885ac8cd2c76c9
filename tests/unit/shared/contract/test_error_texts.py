"""Error texts never quote what a customer wrote, as they are logged and shown (promise 8)."""

from __future__ import annotations

import pytest

from shared.contract.contacts import Contact
from shared.contract.events import load_event
from shared.domain.messages import from_document


def test_a_model_error_does_not_quote_its_input() -> None:
    raised = []
    with pytest.raises(ValueError) as error:
        load_event(b'{"kind": "message", "text": {"a": "my secret"}}')
    raised.append(error)
    for read in (Contact.model_validate, from_document):
        with pytest.raises(ValueError) as error:
            read({"_id": "x", "notes": ["my secret"], "mid": {"a": "my secret"}})
        raised.append(error)
    assert not [each for each in raised if "my secret" in str(each.value)]
