"""The permissions an account needs and the webhook fields its Page must subscribe. Pure.

Sources: developers.facebook.com/docs/messenger-platform/conversations,
.../docs/messenger-platform/webhooks and .../docs/instagram-platform. Instagram's webhook fields are chosen for the
whole app in its dashboard, so it is enough that the Page is subscribed at all.
"""

from __future__ import annotations

from shared.contract.ids import Platform

_OF_PAGES = ("pages_show_list", "pages_messaging", "pages_manage_metadata")
PERMISSIONS = {
    Platform.MESSENGER: _OF_PAGES,
    Platform.INSTAGRAM: (*_OF_PAGES, "instagram_basic", "instagram_manage_messages"),
}
WEBHOOK_FIELDS = (
    "messages",
    "message_echoes",
    "message_edits",
    "message_reactions",
    "messaging_postbacks",
    "messaging_referrals",
)
"""Each becomes a kind of event on `message-events`."""
