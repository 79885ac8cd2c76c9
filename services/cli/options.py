"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from shared.contract.ids import Platform


def _account(text: str) -> str:
    """Return `platform:account_id`, the beginning of every contact's id."""
    platform, _, account_id = text.partition(":")
    if platform not in set(Platform) or not account_id or ":" in account_id:
        raise typer.BadParameter(f"{text!r} is not PLATFORM:ID, as in messenger:1234")
    return text


ContactId = Annotated[str, typer.Argument(metavar="CONTACT_ID", help="The id, as shown by `contacts list`.")]
OfAccount = Annotated[
    str | None, typer.Option("--account", parser=_account, metavar="PLATFORM:ID", help="Only this account.")
]
ForAccount = Annotated[str, typer.Option("--account", parser=_account, metavar="PLATFORM:ID", help="The account.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
