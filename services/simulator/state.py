"""The corpus as it changes while the simulator runs. The Graph API and the webhooks both show it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from services.simulator.corpus import Corpus, SimulatedAccount, SimulatedConversation, SimulatedMessage
from services.simulator.errors import refused
from services.simulator.identifiers import new_message_id, new_thread_id
from services.simulator.nodes import newest_first
from services.simulator.personas import new_persona, split_name
from shared.contract.ids import Platform
from shared.runtime.clock import Clock

FOREIGN_PAGE = SimulatedAccount(
    Platform.MESSENGER, "371000000000009", "371000000000009", "Tindahan ni Aling Nena", "alingnena", "EAAGOTHERPAGE"
)
"""Another business's Page, without conversations: its token is valid, but not for our Pages."""

OUTLET_PAGE = SimulatedAccount(
    Platform.MESSENGER, "371000000000002", "371000000000002", "Casa Aurora Outlet", "casaauroraoutlet", "EAAGOUTLET"
)
"""The shop's second, new Page, without conversations and without an Instagram account."""
USER_ID, USER_NAME, USER_TOKEN = "10200000000000001", "Aurora Villanueva", "EAAGUSEROFTHESHOP"
"""The user with a role on the shop's Pages."""

OwnedConversation = tuple[SimulatedAccount, SimulatedConversation]


@dataclass(slots=True)
class SimulatorState:
    corpus: Corpus
    rng: random.Random
    clock: Clock
    _threads: dict[str, OwnedConversation] = field(default_factory=dict)
    _customers: dict[str, OwnedConversation] = field(default_factory=dict)
    _messages: dict[str, tuple[SimulatedAccount, SimulatedConversation, SimulatedMessage]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for account in self.corpus.accounts:
            for conversation in self.corpus.conversations[account.id]:
                self._index(account, conversation)

    @property
    def page(self) -> SimulatedAccount:
        return self.account(Platform.MESSENGER)

    @property
    def pages(self) -> dict[str, SimulatedAccount]:
        """Pages by their tokens."""
        return {page.token: page for page in (self.page, OUTLET_PAGE, FOREIGN_PAGE)}

    def account(self, platform: Platform) -> SimulatedAccount:
        return next(account for account in self.corpus.accounts if account.platform is platform)

    def conversations(self) -> Iterator[OwnedConversation]:
        return iter(self._threads.values())

    def latest_first(self, page: SimulatedAccount, platform: Platform) -> list[OwnedConversation]:
        """Return the page's conversations with messages, latest activity first."""
        alive = [
            (next(newest_first(found[1])).at, thread_id, found)
            for thread_id, found in self._threads.items()
            if found[0].platform is platform and found[0].page_id == page.page_id and any(newest_first(found[1]))
        ]
        return [found for _, _, found in sorted(alive, key=lambda each: each[:2], reverse=True)]

    def find_conversation(self, thread_id: str, page: SimulatedAccount | None = None) -> OwnedConversation | None:
        """Return None for a conversation of another page."""
        found = self._threads.get(thread_id)
        return found if found and _is_of(page, found[0]) else None

    def find_customer(self, customer_id: str, page: SimulatedAccount) -> OwnedConversation | None:
        found = self._customers.get(customer_id)
        return found if found and _is_of(page, found[0]) else None

    def find_message(
        self, message_id: str, page: SimulatedAccount | None = None
    ) -> tuple[SimulatedAccount, SimulatedConversation, SimulatedMessage] | None:
        """Return None for a deleted message or one of another page."""
        found = self._messages.get(message_id)
        return found if found and not found[2].deleted and _is_of(page, found[0]) else None

    def message(self, message_id: str) -> tuple[SimulatedAccount, SimulatedConversation, SimulatedMessage]:
        """Raise RefusedError when there is no such message."""
        found = self.find_message(message_id)
        if found is None:
            raise refused("missing")
        return found

    def conversation_with(self, platform: Platform, who: str) -> OwnedConversation:
        """Return the conversation of a customer by full name or id; a new name starts one."""
        account = self.account(platform)
        for conversation in self.corpus.conversations[account.id]:
            if who in (conversation.customer.name, conversation.customer.id):
                return account, conversation
        thread_id = new_thread_id(self.rng, platform, account.id)
        conversation = SimulatedConversation(thread_id, new_persona(self.rng, *split_name(who)))
        self.corpus.conversations[account.id].append(conversation)
        self._index(account, conversation)
        return account, conversation

    def say(
        self, account: SimulatedAccount, conversation: SimulatedConversation, text: str, *, inbound: bool,
        attachment: str | None = None, pressed: bool = False,
    ) -> SimulatedMessage:  # fmt: skip
        """Add a message. Each of a conversation has a millisecond of its own, so that times give their order."""
        at, messages = self.clock(), conversation.messages
        if messages:
            at = max(at, messages[-1].at + timedelta(milliseconds=1))
        message_id = new_message_id(self.rng, account.platform, account.id, conversation.thread_id)
        message = SimulatedMessage(message_id, at, inbound, text, attachment, pressed)
        messages.append(message)
        self._messages[message_id] = account, conversation, message
        return message

    def _index(self, account: SimulatedAccount, conversation: SimulatedConversation) -> None:
        found = account, conversation
        self._threads[conversation.thread_id] = self._customers[conversation.customer.id] = found
        for message in conversation.messages:
            self._messages[message.id] = account, conversation, message


def _is_of(page: SimulatedAccount | None, account: SimulatedAccount) -> bool:
    return page is None or account.page_id == page.page_id
