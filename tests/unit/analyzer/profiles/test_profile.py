"""What a customer's profile adds to a contact."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from services.analyzer.profiles.profile import Profile, read_profile, with_profile
from services.cli.main import app
from shared.contract.contacts import Name, NameSource
from tests.support.contacts import contact
from tests.support.making import at

PROFILE, USERNAME = NameSource.PROFILE, NameSource.USERNAME


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (
            {"first_name": "Maria Clara", "last_name": "Santos"},
            Name(first="Maria Clara", last="Santos", source=PROFILE),
        ),
        ({"first_name": "Cher", "last_name": " "}, Name(first="Cher", source=PROFILE)),
        ({"last_name": "Santos"}, Name(first="Santos", source=PROFILE)),
        (
            {"name": "Maria C. Santos", "username": "m.santos"},
            Name(first="Maria", last="C. Santos", username="m.santos", source=PROFILE),
        ),
        ({"name": None, "username": "m.santos"}, Name(first="m.santos", username="m.santos", source=USERNAME)),
        ({"name": "", "first_name": 7, "username": ["x"]}, None),
        ({}, None),
    ],
)
def test_a_name_has_two_parts_or_is_the_full_name_or_the_username(body: dict[str, object], name: Name | None) -> None:
    assert read_profile(body).name == name


def test_malformed_profile_fields_are_ignored() -> None:
    assert read_profile({"profile_pic": 1, "locale": {}, "timezone": True}) == Profile()
    assert read_profile({"timezone": "8"}).timezone is None
    assert read_profile({"timezone": 5.5}).timezone == 5.5


def test_a_profile_makes_a_version_with_its_changes() -> None:
    change = with_profile(contact(), read_profile({"first_name": "M", "last_name": "S", "timezone": 0}), at(200))
    assert change is not None
    assert set(change.changed) == {"name", "timezone"}
    assert (change.contact.version, change.contact.updated_at, change.activity) == (2, at(200), None)


def test_a_profile_without_changes_makes_no_version() -> None:
    told = read_profile({"first_name": "M", "last_name": "S", "profile_pic": "p", "locale": "l", "timezone": 1})
    change = with_profile(contact(), told, at(200))
    assert change is not None
    assert with_profile(change.contact, told, at(300)) is None
    assert with_profile(change.contact, Profile(), at(300)) is None


@pytest.mark.parametrize("source", [NameSource.PARTICIPANTS, NameSource.MESSAGE, NameSource.PERSON])
def test_a_name_of_a_better_source_is_kept(source: NameSource) -> None:
    named = contact().model_copy(update={"name": Name(first="Mary", source=source)})
    assert with_profile(named, Profile(Name(first="M", source=PROFILE)), at(200)) is None


def test_a_name_set_by_a_person_is_kept() -> None:
    kept = contact().model_copy(update={"edited": ("name",)})
    assert with_profile(kept, Profile(Name(first="M", source=PROFILE)), at(200)) is None


def test_a_known_username_is_kept_with_the_name() -> None:
    known = contact().model_copy(update={"name": Name(first="m.s", username="m.s", source=USERNAME)})
    change = with_profile(known, Profile(Name(first="Maria", source=PROFILE)), at(200))
    assert change is not None
    assert change.contact.name == Name(first="Maria", username="m.s", source=PROFILE)


def test_the_analyzer_refuses_a_malformed_encryption_key() -> None:
    done = CliRunner().invoke(
        app, ["analyzer"], env={"LEADSTREAM_ENCRYPTION_KEYS": "secret-but-no-key", "COLUMNS": "200"}
    )
    assert (done.exit_code, "LEADSTREAM_ENCRYPTION_KEYS" in done.output) == (2, True)
    assert "secret-but-no-key" not in done.output
