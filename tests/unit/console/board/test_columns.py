"""The columns of a board."""

from __future__ import annotations

from services.console.board.columns import MAX_CARDS, columns_of
from shared.domain.pipelines import template
from tests.unit.console.rows import contact, contact_index

SALES = template("Sales")


def test_a_board_has_every_stage_and_its_best_first() -> None:
    assert SALES is not None
    made = contact_index(contact("1", "A", 20, stage="New Lead"), contact("2", "B", 30, stage="New Lead"), contact("3"))
    columns = columns_of(made, SALES)
    assert [column.name for column in columns] == [stage.name for stage in SALES.stages]
    first = columns[0]
    assert ([row.name for row in first.rows], first.count, first.points, first.mean) == (["B", "A"], 2, 50, 25)


def test_a_column_shows_its_best_and_counts_all() -> None:
    assert SALES is not None
    made = contact_index(*(contact(str(i), score=50, stage="New Lead") for i in range(MAX_CARDS + 5)))
    column = columns_of(made, SALES)[0]
    assert (len(column.rows), column.count) == (MAX_CARDS, MAX_CARDS + 5)


def test_a_removed_stage_with_contacts_stays_on_the_board() -> None:
    assert SALES is not None
    columns = columns_of(contact_index(contact("1", score=50, stage="Old")), SALES)
    assert (columns[-1].name, columns[-1].count) == ("Old", 1)
