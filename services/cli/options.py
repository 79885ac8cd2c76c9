"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from shared.contract.ids import Platform


def _account(text: str) -> str:
    """`platform:account_id`, as every contact's id begins."""
    platform, _, account_id = text.partition(":")
    if platform not in set(Platform) or not account_id or ":" in account_id:
        raise typer.BadParameter(f"{text!r} is not PLATFORM:ID, as in messenger:1234")
    return text


ContactId = Annotated[str, typer.Argument(metavar="CONTACT_ID", help="As `contacts list` shows it.")]
OfAccount = Annotated[
    str | None, typer.Option("--account", parser=_account, metavar="PLATFORM:ID", help="The account meant.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
