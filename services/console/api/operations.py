"""Every operation of the API: its routes and its OpenAPI document are both made of this list. Pure."""

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
    """`answer` is what `status` brings: a model, a file of a media type, or nothing. `problems` are the statuses that
    no other fact of it implies."""

    name: str
    method: str
    path: str
    summary: str
    answer: type[BaseModel] | str | None
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
    Operation("list_contacts", "GET", "/api/contacts", "Contacts, a page of fifty", models.ContactPage,
              query=requests.ContactQuery),
    Operation("export_csv", "GET", "/api/contacts.csv", "Contacts as a table", MEDIA_TYPES[Format.CSV],
              query=requests.ExportQuery),
    Operation("export_jsonl", "GET", "/api/contacts.jsonl", "Contacts, one as JSON on each line",
              MEDIA_TYPES[Format.JSONL], query=requests.ExportQuery),
    Operation("change_contacts", "POST", "/api/contacts", "Edit, analyse again or forget many contacts",
              models.BulkOutcome, (409,), body=requests.BulkRequest),
    Operation("show_contact", "GET", CONTACT, "A contact with its conversation", models.ContactWhole, (404,),
              query=requests.MessagesQuery),
    Operation("edit_contact", "PATCH", CONTACT, "Edit a contact", Contact, (404, 409), body=requests.EditRequest),
    Operation("forget_contact", "DELETE", CONTACT, "Erase all that is known of a customer", None, (404, 409),
              status=204),
    Operation("analyse_contact", "POST", f"{CONTACT}/analyse", "Have it analysed anew", None, (404,), status=202),
    Operation("show_board", "GET", "/api/board", "A pipeline's stages and who is in them", models.Board, (404,),
              query=requests.BoardQuery),
    Operation("list_accounts", "GET", "/api/accounts", "Accounts", models.AccountList),
    Operation("add_account", "POST", "/api/accounts", "Add an account, whose token the platform is asked about",
              models.AccountInfo, (409,), body=requests.AccountRequest, status=201),
    Operation("show_account", "GET", ACCOUNT, "An account", models.AccountInfo, (404,)),
    Operation("set_account", "PATCH", ACCOUNT, "Change an account's settings, or its token", models.AccountInfo,
              (404, 409), body=requests.AccountSettings),
    Operation("remove_account", "DELETE", ACCOUNT, "Remove an account and its token; its contacts stay", None,
              (404, 409), status=204),
    Operation("check_account", "POST", f"{ACCOUNT}/check", "Ask the platform how an account is", models.AccountInfo,
              (404,)),
    Operation("list_pipelines", "GET", "/api/pipelines", "Pipelines", models.PipelineList),
    Operation("list_templates", "GET", "/api/pipeline-templates", "What one may begin with", models.PipelineList),
    Operation("add_pipeline", "POST", "/api/pipelines", "Make a pipeline", models.PipelineInfo, (409,),
              body=requests.PipelineRequest, status=201),
    Operation("show_pipeline", "GET", PIPELINE, "A pipeline", models.PipelineInfo, (404,)),
    Operation("replace_pipeline", "PUT", PIPELINE, "Give a pipeline other stages", models.PipelineInfo, (404, 409),
              body=requests.StagesRequest),
    Operation("list_runs", "GET", "/api/runs", "The newest hundred runs", models.RunList),
    Operation("start_run", "POST", "/api/runs", "Queue a run", Run, (404, 409), body=requests.RunRequest, status=201),
    Operation("show_run", "GET", RUN, "A run", Run, (404,)),
    Operation("cancel_run", "POST", f"{RUN}/cancel", "End a run; it may take its process a moment", Run, (404,)),
    Operation("resume_run", "POST", f"{RUN}/resume", "Go on with a run that failed or was partial", Run, (404, 409)),
    Operation("list_letters", "GET", "/api/dead-letters", "What could not be understood", models.LetterList,
              query=requests.LetterQuery),
    Operation("show_letter", "GET", "/api/dead-letters/{letter_id}", "One, with what it holds", DeadLetter, (404,),
              reads_for_editors=True),
    Operation("replay_letters", "POST", "/api/dead-letters/replay", "Try again what could not be understood",
              models.ReplayOutcome, body=requests.ReplayRequest),
    Operation("show_overview", "GET", "/api/overview", "How the whole does", models.OverviewInfo),
)  # fmt: skip
