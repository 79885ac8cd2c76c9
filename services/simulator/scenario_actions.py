"""Actions of customers and businesses: each changes the simulator's state and sends the webhook about it at once."""

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

Json = dict[str, Any]
FORGED_SECRET = "not the app's secret"  # noqa: S105
RESEND_DELAY = timedelta(seconds=1)


class ScenarioAction(BaseModel):
    """The JSON of `/_simulator/act`.

    `who` is a customer's full name or id; a new name is a new customer. With `echo` the business acts. `edit`,
    `unsend` and `react` need a `message_id`. `resend` repeats the webhook of that message, or the last one.
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
    """One item of a webhook, with the ids of its message and contact."""

    account: SimulatedAccount
    content: Json
    message_id: str
    contact_id: str


@dataclass(slots=True)
class ScenarioActions:
    state: SimulatorState
    sender: WebhookSender
    sent: list[WebhookItem] = field(default_factory=list)

    async def perform(self, action: ScenarioAction) -> Json:
        """Perform an action. Returns the ids of its message and contact, and the callback's HTTP `status`.

        RefusedError when the message does not exist.
        """
        item = _ACTIONS[action.act](self, action)
        delay = RESEND_DELAY if action.act == "resend" else timedelta()
        raw = webhook_body(item.account, item.content, self.state.clock() + delay)
        if action.act == "forge":
            status = await self.sender.send(raw, secret=FORGED_SECRET)
        else:
            self.sent.append(item)
            status = await self.sender.send(raw)
        return {"message_id": item.message_id, "contact_id": item.contact_id, "status": status}

    def _say(self, action: ScenarioAction) -> WebhookItem:
        account, conversation = self.state.conversation_with(action.platform, action.who)
        pressed = action.act == "postback"
        message = self.state.say(
            account, conversation, action.text,
            inbound=pressed or not action.echo, attachment=None if pressed else action.attachment, pressed=pressed,
        )  # fmt: skip
        return _item(account, conversation, message_webhook_item(account, conversation, message), message.id)

    def _edit(self, action: ScenarioAction) -> WebhookItem:
        account, conversation, message = self.state.message(action.message_id)
        message.text, message.edits = action.text, message.edits + 1
        edit = {"mid": message.id, "text": action.text, "num_edit": message.edits}
        return self._about(account, conversation, message.id, inbound=message.inbound, message_edit=edit)

    def _unsend(self, action: ScenarioAction) -> WebhookItem:
        account, conversation, message = self.state.message(action.message_id)
        message.deleted = True
        gone = {"mid": message.id, "is_deleted": True}
        return self._about(account, conversation, message.id, inbound=message.inbound, message=gone)

    def _react(self, action: ScenarioAction) -> WebhookItem:
        account, conversation, message = self.state.message(action.message_id)
        message.reaction = "love"
        reaction = {"mid": message.id, "action": "react", "reaction": "love", "emoji": action.emoji}
        return self._about(account, conversation, message.id, inbound=not action.echo, reaction=reaction)

    def _resend(self, action: ScenarioAction) -> WebhookItem:
        """Repeat an item in another webhook. Real duplicates also differ in `entry.time`."""
        repeated = [each for each in self.sent if action.message_id in ("", each.message_id)]
        if not repeated:
            raise refused("missing")
        return repeated[-1]

    def _forge(self, action: ScenarioAction) -> WebhookItem:
        """Make an item that did not happen, to be sent with a wrong signature."""
        account = self.state.account(action.platform)
        conversation = self.state.corpus.conversations[account.id][0]
        message_id = new_message_id(self.state.rng, account.platform, account.id, conversation.thread_id)
        content = {"mid": message_id, "text": action.text}
        return self._about(account, conversation, message_id, inbound=True, message=content)

    def _about(
        self, account: SimulatedAccount, conversation: SimulatedConversation, message_id: str,
        *, inbound: bool, **kind: Any,
    ) -> WebhookItem:  # fmt: skip
        content = webhook_item(account, conversation, self.state.clock(), inbound=inbound, **kind)
        return _item(account, conversation, content, message_id)


def _item(
    account: SimulatedAccount, conversation: SimulatedConversation, content: Json, message_id: str
) -> WebhookItem:
    key = ConversationKey(account.platform, account.id, conversation.customer.id)
    return WebhookItem(account, content, message_id, str(key))


_ACTIONS: dict[str, Callable[[ScenarioActions, ScenarioAction], WebhookItem]] = {
    "say": ScenarioActions._say, "postback": ScenarioActions._say, "edit": ScenarioActions._edit,
    "unsend": ScenarioActions._unsend, "react": ScenarioActions._react, "resend": ScenarioActions._resend,
    "forge": ScenarioActions._forge,
}  # fmt: skip
