"""Changes of many contacts at once, some of which are refused."""

from __future__ import annotations

from services.console.contacts.service import BusyError, apply_to_each
from shared.contract.failures import UnreachableError
from shared.domain.contact_edits import InvalidEditError
from shared.domain.contact_export import escape_formula
from shared.store.contact_editing import NoContactError
from shared.store.mongo import ConnectionFailure


async def test_refused_contacts_are_reported_and_the_others_changed() -> None:
    done: list[str] = []
    faults: dict[str, Exception] = {
        "gone": NoContactError("gone"),
        "wrong": InvalidEditError("no such stage"),
        "busy": BusyError("a worker has it."),
        "away": ConnectionFailure("x"),
        "unpublished": UnreachableError("x"),
    }

    async def act(contact_id: str) -> None:
        if contact_id in faults:
            raise faults[contact_id]
        done.append(contact_id)

    refused = await apply_to_each(["a", *faults, "b"], act)
    assert done == ["a", "b"]
    assert refused.keys() == faults.keys()
    assert (refused["wrong"], refused["busy"]) == ("no such stage", "a worker has it")


async def test_contacts_without_time_left_are_reported_and_not_changed() -> None:
    async def act(contact_id: str) -> None:
        raise AssertionError(contact_id)

    assert (await apply_to_each(["a", "b"], act, seconds=-1)).keys() == {"a", "b"}


def test_no_cell_starts_with_a_formula_even_after_a_semicolon() -> None:
    assert escape_formula("vip;=cmd()") == "vip;'=cmd()"
    assert escape_formula("hello\n=cmd()") == "hello\n'=cmd()"
    assert escape_formula("a; +1") == "a; '+1"
    assert escape_formula("mail a-b@c.d 1+1=2") == "mail a-b@c.d 1+1=2"
