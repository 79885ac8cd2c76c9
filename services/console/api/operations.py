"""Every operation of the API. Its routes and its OpenAPI document are both made from this list. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import BaseModel

from services.console.api import models, requests
from shared.contract.contacts import Contact
from shared.contract.dead_letters import DeadLetter
from shared.domain.contact_export import MEDIA_TYPES, Format
from shared.domain.runs import Run


@dataclass(frozen=True, slots=True)
class Operation:
    """`response` is the body of a success: a model, a file of that media type, or None. `problems` are error statuses
    that do not follow from the other fields."""

    name: str
    method: str
    path: str
    summary: str
    response: type[BaseModel] | str | None
    problems: tuple[int, ...] = ()
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    status: int = 200
    reads_for_editors: bool = False

    @property
    def is_for_editors(self) -> bool:
        return self.is_change or self.reads_for_editors

    @property
    def is_change(self) -> bool:
        return self.method != "GET"

    @property
    def path_names(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)


CONTACT, RUN = "/api/contacts/{contact_id}", "/api/runs/{run_id}"
ACCOUNT, PIPELINE = "/api/accounts/{account}", "/api/pipelines/{pipeline}"

OPERATIONS = (
    Operation("list_contacts", "GET", "/api/contacts", "List contacts, fifty a page", models.ContactPage,
              query=requests.ContactQuery),
    Operation("export_csv", "GET", "/api/contacts.csv", "Export contacts as CSV", MEDIA_TYPES[Format.CSV],
              query=requests.ExportQuery),
    Operation("export_jsonl", "GET", "/api/contacts.jsonl", "Export contacts as JSON lines",
              MEDIA_TYPES[Format.JSONL], query=requests.ExportQuery),
    Operation("change_contacts", "POST", "/api/contacts", "Edit, reanalyse or erase many contacts",
              models.BulkOutcome, (409,), body=requests.BulkRequest),
    Operation("show_contact", "GET", CONTACT, "Show a contact and its conversation", models.ContactWhole, (404,),
              query=requests.MessagesQuery),
    Operation("edit_contact", "PATCH", CONTACT, "Edit a contact", Contact, (404, 409), body=requests.EditRequest),
    Operation("forget_contact", "DELETE", CONTACT, "Erase all data about a customer", None, (404, 409),
              status=204),
    Operation("analyse_contact", "POST", f"{CONTACT}/analyse", "Request a new analysis", None, (404,), status=202),
    Operation("show_board", "GET", "/api/board", "Show a pipeline's stages and their contacts", models.Board, (404,),
              query=requests.BoardQuery),
    Operation("list_accounts", "GET", "/api/accounts", "List accounts", models.AccountList),
    Operation("add_account", "POST", "/api/accounts", "Add an account after checking its token with the platform",
              models.AccountInfo, (409,), body=requests.AccountRequest, status=201),
    Operation("show_account", "GET", ACCOUNT, "Show an account", models.AccountInfo, (404,)),
    Operation("set_account", "PATCH", ACCOUNT, "Change an account's settings or token", models.AccountInfo,
              (404, 409), body=requests.AccountSettings),
    Operation("remove_account", "DELETE", ACCOUNT, "Remove an account and its token; its contacts stay", None,
              (404, 409), status=204),
    Operation("check_account", "POST", f"{ACCOUNT}/check", "Check an account with the platform", models.AccountInfo,
              (404,)),
    Operation("list_pipelines", "GET", "/api/pipelines", "List pipelines", models.PipelineList),
    Operation("list_templates", "GET", "/api/pipeline-templates", "List pipeline templates", models.PipelineList),
    Operation("add_pipeline", "POST", "/api/pipelines", "Add a pipeline", models.PipelineInfo, (409,),
              body=requests.PipelineRequest, status=201),
    Operation("show_pipeline", "GET", PIPELINE, "Show a pipeline", models.PipelineInfo, (404,)),
    Operation("replace_pipeline", "PUT", PIPELINE, "Replace the stages of a pipeline", models.PipelineInfo, (404, 409),
              body=requests.StagesRequest),
    Operation("list_runs", "GET", "/api/runs", "List the newest hundred runs", models.RunList),
    Operation("start_run", "POST", "/api/runs", "Queue a run of an account", Run, (404, 409),
              body=requests.RunRequest, status=201),
    Operation("show_run", "GET", RUN, "Show a run", Run, (404,)),
    Operation("cancel_run", "POST", f"{RUN}/cancel", "Cancel a run; its worker may take a moment to stop", Run, (404,)),
    Operation("resume_run", "POST", f"{RUN}/resume", "Resume a run that failed or was partial", Run, (404, 409)),
    Operation("list_letters", "GET", "/api/dead-letters", "List dead letters", models.LetterList,
              query=requests.LetterQuery),
    Operation("show_letter", "GET", "/api/dead-letters/{letter_id}", "Show a dead letter with its payload", DeadLetter,
              (404,), reads_for_editors=True),
    Operation("replay_letters", "POST", "/api/dead-letters/replay", "Replay dead letters",
              models.ReplayOutcome, body=requests.ReplayRequest),
    Operation("show_overview", "GET", "/api/overview", "Show the status of the system", models.OverviewInfo),
)  # fmt: skip
