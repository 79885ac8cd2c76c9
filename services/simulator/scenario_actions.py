"""What people do: each act changes the world, and the webhook that tells of it is sent at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from services.simulator.corpus import SimulatedAccount, SimulatedConversation
from services.simulator.errors import refused
from services.simulator.identifiers import new_message_id
from services.simulator.state import SimulatorState
from services.simulator.webhooks import WebhookSender, message_webhook_item, webhook_body, webhook_item
from shared.contract.ids import ConversationKey, Platform

FORGED_SECRET = "not the app's secret"  # noqa: S105
REPEATED_AFTER = timedelta(seconds=1)


class ScenarioAction(BaseModel):
    """`who` is a customer's full name or id; a new name is a new customer. `echo`: the business does it.

    `edit`, `unsend` and `react` need a `message_id`; `resend` repeats what was told of one, else the last webhook.
    """

    model_config = ConfigDict(extra="forbid")
    act: Literal["say", "postback", "edit", "unsend", "react", "resend", "forge"]
    platform: Platform = Platform.MESSENGER
    who: str = ""
    text: str = ""
    attachment: Literal["image", "file", "voice", "video", "sticker", "unsupported"] | None = None
    echo: bool = False
    message_id: str = ""
    emoji: str = "❤"

    @model_validator(mode="after")
    def _is_complete(self) -> ScenarioAction:
        if self.act in ("say", "postback") and not self.who.strip():
            raise ValueError(f"{self.act} needs `who`")
        if self.act == "postback" and not self.text:
            raise ValueError("a button has a title: give `text`")
        return self


@dataclass(frozen=True, slots=True)
class WebhookItem:
    """One item of a webhook, and which message and customer it is about."""

    account: SimulatedAccount
    webhook_item: dict[str, Any]
    message_id: str
    contact_id: str


@dataclass(slots=True)
class ScenarioActions:
    state: SimulatorState
    sender: WebhookSender
    told: list[WebhookItem] = field(default_factory=list)

    async def perform(self, act: ScenarioAction) -> dict[str, Any]:
        """The ids of what it is about and the `status` of the callback's answer. RefusedError when it cannot be."""
        told = _ACTIONS[act.act](self, act)
        again = REPEATED_AFTER if act.act == "resend" else timedelta()
        raw = webhook_body(told.account, told.webhook_item, self.state.clock() + again)
        if act.act == "forge":
            status = await self.sender.send(raw, secret=FORGED_SECRET)
        else:
            self.told.append(told)
            status = await self.sender.send(raw)
        return {"message_id": told.message_id, "contact_id": told.contact_id, "status": status}

    def _say(self, act: ScenarioAction) -> WebhookItem:
        account, conversation = self.state.conversation_with(act.platform, act.who)
        pressed = act.act == "postback"
        message = self.state.say(
            account, conversation, act.text,
            inbound=pressed or not act.echo, attachment=None if pressed else act.attachment, pressed=pressed,
        )  # fmt: skip
        return _told(account, conversation, message_webhook_item(account, conversation, message), message.id)

    def _edit(self, act: ScenarioAction) -> WebhookItem:
        account, conversation, message = self.state.message(act.message_id)
        message.text, message.edits = act.text, message.edits + 1
        edit = {"mid": message.id, "text": act.text, "num_edit": message.edits}
        return self._about(account, conversation, message.id, inbound=message.inbound, message_edit=edit)

    def _unsend(self, act: ScenarioAction) -> WebhookItem:
        account, conversation, message = self.state.message(act.message_id)
        message.deleted = True
        gone = {"mid": message.id, "is_deleted": True}
        return self._about(account, conversation, message.id, inbound=message.inbound, message=gone)

    def _react(self, act: ScenarioAction) -> WebhookItem:
        account, conversation, message = self.state.message(act.message_id)
        message.reaction = "love"
        reaction = {"mid": message.id, "action": "react", "reaction": "love", "emoji": act.emoji}
        return self._about(account, conversation, message.id, inbound=not act.echo, reaction=reaction)

    def _resend(self, act: ScenarioAction) -> WebhookItem:
        """The same fact once more, in another webhook: duplicates of the real one differ in `entry.time`."""
        again = [told for told in self.told if act.message_id in ("", told.message_id)]
        if not again:
            raise refused("missing")
        return again[-1]

    def _forge(self, act: ScenarioAction) -> WebhookItem:
        """Nothing happens in the world: whoever writes this is not Facebook."""
        account = self.state.account(act.platform)
        conversation = self.state.corpus.conversations[account.id][0]
        message_id = new_message_id(self.state.rng, account.platform, account.id, conversation.thread_id)
        said = {"mid": message_id, "text": act.text}
        return self._about(account, conversation, message_id, inbound=True, message=said)

    def _about(
        self,
        account: SimulatedAccount,
        conversation: SimulatedConversation,
        message_id: str,
        *,
        inbound: bool,
        **kind: Any,
    ) -> WebhookItem:
        now = self.state.clock()
        return _told(
            account, conversation, webhook_item(account, conversation, now, inbound=inbound, **kind), message_id
        )


def _told(
    account: SimulatedAccount, conversation: SimulatedConversation, about: dict[str, Any], message_id: str
) -> WebhookItem:
    key = ConversationKey(account.platform, account.id, conversation.customer.id)
    return WebhookItem(account, about, message_id, str(key))


_ACTIONS: dict[str, Callable[[ScenarioActions, ScenarioAction], WebhookItem]] = {
    "say": ScenarioActions._say,
    "postback": ScenarioActions._say,
    "edit": ScenarioActions._edit,
    "unsend": ScenarioActions._unsend,
    "react": ScenarioActions._react,
    "resend": ScenarioActions._resend,
    "forge": ScenarioActions._forge,
}
