"""Every operation of the API: its routes and its OpenAPI document are both made of this list. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import BaseModel

from services.console import api_models as models
from shared.contacts import Contact
from shared.runs import Run


@dataclass(frozen=True, slots=True)
class Operation:
    """`answer` is what `status` brings, `problems` are the statuses that no other fact of it implies."""

    name: str
    method: str
    path: str
    summary: str
    answer: type[BaseModel]
    problems: tuple[int, ...] = ()
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    status: int = 200

    @property
    def is_change(self) -> bool:
        return self.method != "GET"

    @property
    def path_names(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)


CONTACT, RUN = "/api/contacts/{contact_id}", "/api/runs/{run_id}"

OPERATIONS = (
    Operation("list_contacts", "GET", "/api/contacts", "Contacts, a page of fifty", models.ContactPage,
              query=models.ContactQuery),
    Operation("show_contact", "GET", CONTACT, "A contact with its conversation", models.ContactWhole, (404,)),
    Operation("edit_contact", "PATCH", CONTACT, "Edit a contact", Contact, (404, 409), body=models.EditRequest),
    Operation("show_board", "GET", "/api/board", "A pipeline's stages", models.Board, (404,), query=models.BoardQuery),
    Operation("list_accounts", "GET", "/api/accounts", "Accounts", models.AccountList),
    Operation("list_pipelines", "GET", "/api/pipelines", "Pipelines", models.PipelineList),
    Operation("list_runs", "GET", "/api/runs", "The newest hundred runs", models.RunList),
    Operation("start_run", "POST", "/api/runs", "Queue a run", Run, (404, 409), body=models.RunRequest, status=201),
    Operation("show_run", "GET", RUN, "A run", Run, (404,)),
    Operation("show_overview", "GET", "/api/overview", "How the whole does", models.OverviewInfo),
)  # fmt: skip
