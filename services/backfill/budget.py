"""Where `shared.budget_store` was."""

from shared.budget_store import SYNCHRONISED_SECONDS, ServerClock, governor_for

__all__ = ["SYNCHRONISED_SECONDS", "ServerClock", "governor_for"]
