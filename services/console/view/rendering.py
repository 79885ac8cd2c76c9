"""Renders pages from templates. All values given to a template are escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from services.console.auth.sessions import Access, Signer
from services.console.view import formats
from shared.runtime.clock import Clock

THEMES = ("light", "dark")
FLASH = "leadstream_flash"


class NavigationItem(NamedTuple):
    """One entry of the navigation."""

    path: str
    label: str
    icon: str


NAVIGATION = (
    NavigationItem("/", "Overview", "overview"),
    NavigationItem("/contacts", "Contacts", "contacts"),
    NavigationItem("/board", "Board", "board"),
    NavigationItem("/integrations", "Integrations", "integrations"),
    NavigationItem("/pipelines", "Pipelines", "pipelines"),
    NavigationItem("/dead-letters", "Dead letters", "letters"),
)


@dataclass(frozen=True, slots=True)
class Renderer:
    signer: Signer
    clock: Clock
    environment: Environment

    def page(
        self, request: web.Request, template: str, access: Access | None, *, status: int = 200, **context: Any
    ) -> web.Response:
        """Render a page. A flash message is shown once: this page deletes its cookie."""
        flash = self._flash(request)
        text = self.environment.get_template(template).render(
            access=access,
            csrf=self.signer.csrf(access) if access else "",
            theme=_theme(request),
            here=request.path,
            here_qs=request.path_qs,
            navigation=NAVIGATION,
            flash=flash,
            now=self.clock(),
            **context,
        )
        response = web.Response(text=text, content_type="text/html", status=status)
        if flash:
            response.del_cookie(FLASH)
        return response

    def failure(self, request: web.Request, status: int, message: str, access: Access | None) -> web.Response:
        """Render an error page. An unknown address is the only error without a message of its own."""
        if message == "404: Not Found":
            message = "There is no page at this address. The link may be old or incomplete."
        title = formats.FAILURE_TITLES.get(status, HTTPStatus(status).phrase)
        return self.page(request, "failure.html", access, status=status, title=title, code=status, message=message)

    def redirect(self, to: str, message: str = "", *, is_problem: bool = False) -> web.HTTPSeeOther:
        """Return a redirect to raise after a change, so that a reload does not repeat it."""
        answer = web.HTTPSeeOther(to)
        if message:
            value = self.signer.signed({"text": message, "problem": is_problem})
            answer.set_cookie(FLASH, value, httponly=True, samesite="Lax", max_age=60)
        return answer

    def _flash(self, request: web.Request) -> Mapping[str, object] | None:
        return self.signer.read(request.cookies.get(FLASH, ""))


def environment(clock: Clock) -> Environment:
    made = Environment(
        loader=PackageLoader("services.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "ago": lambda at: formats.ago(at, clock()),
        **{each.__name__: each for each in _FILTERS},
    }
    made.globals |= {
        "STATUS_WORDS": formats.STATUS_WORDS,
        "BAND_WORDS": formats.BAND_WORDS,
        "MODE_WORDS": formats.MODE_WORDS,
        "REASON_WORDS": formats.REASON_WORDS,
    }
    return made


_FILTERS: tuple[Callable[..., object], ...] = (
    formats.initials, formats.hue, formats.moment, formats.day, formats.iso, formats.duration, formats.number,
    formats.score_band, formats.score_word, formats.sentence, formats.size,
    formats.pair,
    formats.every,
)  # fmt: skip


def _theme(request: web.Request) -> str:
    chosen = request.cookies.get("theme", "")
    return chosen if chosen in THEMES else "auto"
