"""The corpus as it changes: what people do while the simulator runs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from services.simulator.corpus import Account, Conversation, Corpus, Message, new_message_id, new_thread_id
from services.simulator.errors import NAMED
from services.simulator.nodes import visible
from services.simulator.people import Person, person
from shared.clock import Clock
from shared.ids import Platform


@dataclass(slots=True)
class World:
    corpus: Corpus
    rng: random.Random
    clock: Clock

    def account(self, platform: str) -> Account:
        """KeyError when there is no account of that platform."""
        found = [account for account in self.corpus.accounts if account.platform == platform.lower()]
        if not found:
            raise KeyError(platform)
        return found[0]

    def conversations(self, account: Account) -> list[Conversation]:
        """Latest activity first, as the edge lists them."""
        alive = [each for each in self.corpus.conversations[account.id] if visible(each)]
        return sorted(alive, key=lambda each: (visible(each)[0].at, each.thread_id), reverse=True)

    def everything(self) -> Iterator[tuple[Account, Conversation]]:
        for account in self.corpus.accounts:
            for conversation in self.corpus.conversations[account.id]:
                yield account, conversation

    def find_conversation(self, thread_id: str) -> tuple[Account, Conversation] | None:
        return next((pair for pair in self.everything() if pair[1].thread_id == thread_id), None)

    def find_message(self, message_id: str) -> tuple[Account, Conversation, Message] | None:
        found = ((account, c, m) for account, c in self.everything() for m in c.messages if m.id == message_id)
        return next(found, None)

    def find_customer(self, customer_id: str) -> tuple[Account, Conversation] | None:
        return next((pair for pair in self.everything() if pair[1].customer.id == customer_id), None)

    def conversation_with(self, platform: Platform, name: str) -> tuple[Account, Conversation]:
        """Of the customer with that full name or id; a name that is new begins a conversation."""
        account = self.account(platform)
        for conversation in self.corpus.conversations[account.id]:
            if name in (conversation.customer.name, conversation.customer.id):
                return account, conversation
        first, _, last = name.partition(" ")
        conversation = Conversation(new_thread_id(self.rng, account), self._person(first, last))
        self.corpus.conversations[account.id].append(conversation)
        return account, conversation

    def say(self, account: Account, conversation: Conversation, text: str, *, inbound: bool, **how: object) -> Message:
        """`how` are `attachment` and `pressed` of the message."""
        message_id = new_message_id(self.rng, account, conversation)
        message = Message(message_id, self.clock(), inbound, text, **how)  # type: ignore[arg-type]
        conversation.messages.append(message)
        return message

    def message(self, message_id: str) -> tuple[Account, Conversation, Message]:
        """RefusedError when there is none."""
        found = self.find_message(message_id)
        if found is None:
            raise NAMED["missing"]
        return found

    def _person(self, first: str, last: str) -> Person:
        return person(self.rng, first, last)
