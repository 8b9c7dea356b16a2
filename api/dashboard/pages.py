"""Rendering: templates of this package, escaped, under a policy that allows nothing foreign and nothing inline."""

from __future__ import annotations

from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, select_autoescape

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_templates = Environment(loader=PackageLoader("api.dashboard"), autoescape=select_autoescape(default=True))


def page(name: str, **values: object) -> Response:
    """The template as an HTML answer."""
    html = _templates.get_template(name).render(**values)
    return HTMLResponse(html, headers={"content-security-policy": POLICY, "cache-control": "no-store"})
