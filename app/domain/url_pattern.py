"""URL patterns: where an event must have happened. The WHATWG URL Pattern standard, by the `urlpattern` package.

Lives here: how a definition's `urlPattern` becomes a pattern of the standard, how an event's url is put to it, and a
shortcut for plain URLs that gives the package's own answers. Never: a pattern syntax or a URL parser of ours.
A source that starts with `/` is a pathname pattern (every other component is a wildcard); any other is a whole URL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from urlpattern import URLPattern

from app.domain.clause import MISSING, Clause
from app.errors import InvalidDefinition

if TYPE_CHECKING:
    from urlpattern import URLPatternInit  # in the package's type stubs only

MAX_CHARACTERS: Final = 512

_COMPONENTS: Final = ("protocol", "username", "password", "hostname", "port", "pathname", "search", "hash")
_ANYTHING: Final = URLPattern({})
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_C0_AND_SPACE: Final = "".join(map(chr, range(0x21)))

# What every step of the URL standard leaves alone: no escape, no dot segment, nothing that a pattern takes for syntax.
_PLAIN_SEGMENT: Final = r"/(?!\.{1,2}(?:[/?#]|\Z))[A-Za-z0-9._~!$&',;=@-]*"
_PLAIN_PATH: Final = re.compile(rf"(?:{_PLAIN_SEGMENT})+")
# In a URL, not in a pattern, these stand for themselves too.
_SEGMENT: Final = r"/(?!\.{1,2}(?:[/?#]|\Z))[A-Za-z0-9._~!$&'()*+,;=:@-]*"
# The last label begins with a letter, so that no host is an IPv4 address; no `--`, so that none is punycode.
_LABEL: Final = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_HOST: Final = rf"(?:{_LABEL}\.)*[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
_PORT: Final = r"(?::[0-9]{1,4})?"
_PLAIN_URL: Final = re.compile(rf"(?:https?://{_HOST}{_PORT}(?=[/?#]|\Z))?(?P<path>(?:{_SEGMENT})*)(?=[?#]|\Z)")
_MAX_PLAIN_CHARACTERS: Final = 4096


@dataclass(frozen=True, slots=True)
class UrlPattern:
    """A compiled pattern. `matches` never raises: what is no URL matches nothing."""

    source: str
    literal_path: str | None
    """The one normalised path that matches, on any host, if the pattern is just that: for an index by `path_of`."""
    literal_prefix: str | None
    """What every matching normalised path begins with, and all that begin so match (`/blog/*`: `/blog/`)."""
    _compiled: URLPattern | None = field(repr=False, compare=False)
    """None as long as nothing has asked a literal one for it: to compile ten thousand takes seconds and much memory."""

    @property
    def _pattern(self) -> URLPattern:
        if self._compiled is None:
            # Nothing that anybody could see changes.
            object.__setattr__(self, "_compiled", _compile(self.source))
        return cast("URLPattern", self._compiled)

    def matches(self, url: str) -> bool:
        """Whether an event's url, absolute or only a path (query and fragment allowed), fits the pattern.

        To a url that is only a path, a pattern that asks for a host or a protocol does not fit.
        """
        if self.literal_path is not None or self.literal_prefix is not None:
            path = path_of(url)
            if path is not None:
                return (
                    path == self.literal_path if self.literal_prefix is None else path.startswith(self.literal_prefix)
                )
        return self._pattern.test(_input_of(url))

    def of_path(self) -> UrlPattern | None:
        """The same path on any host; None where that is no pattern of a path."""
        pathname: str = self._pattern.pathname
        return compile_url_pattern(pathname) if pathname.startswith("/") else None

    def explain(self, url: str) -> tuple[Clause, ...]:
        """One clause a component that the pattern restricts; a url that is none has one clause that says so."""
        found = _components_of(url)
        if found is None:
            return (Clause("url", "is a URL", "an absolute URL or a path", url, holds=False),)
        matched = self.matches(url)
        clauses = []
        for name in _COMPONENTS:
            wanted: str = getattr(self._pattern, name)
            if wanted != "*":
                holds = matched or _component_holds(name, wanted, found[name])
                clauses.append(Clause(f"url.{name}", "matches the URL pattern", wanted, found[name] or MISSING, holds))
        if not matched and all(clause.holds for clause in clauses):
            clauses.append(Clause("url", "matches the URL pattern", self.source, url, holds=False))
        return tuple(clauses)


def compile_url_pattern(source: str) -> UrlPattern:
    """The compiled form of a definition's `urlPattern`.

    Raises InvalidDefinition("/urlPattern", ...) for what the standard refuses, for a relative pattern that does not
    start with `/`, and for more than MAX_CHARACTERS.
    """
    if not source:
        raise _invalid("it is empty.", "Leave it out to match every URL.")
    if len(source) > MAX_CHARACTERS:
        raise _invalid(f"it has more than {MAX_CHARACTERS} characters.", "Use a wildcard: /blog/*.")
    if _SURROGATE.search(source):
        raise _invalid("it holds half of a surrogate pair.", "Write the character itself.")
    path, prefix = _literal_path(source), _literal_prefix(source)
    if path is not None or prefix is not None:
        return UrlPattern(source, path, prefix, None)
    try:
        return UrlPattern(source, None, None, _compile(source))
    except ValueError as error:
        raise _invalid(f"it is not a URL pattern: {error}.", _remedy(source, str(error))) from None


def _compile(source: str) -> URLPattern:
    return URLPattern({"pathname": source}) if source.startswith("/") else URLPattern(source)


@lru_cache(maxsize=8)
def path_of(url: str) -> str | None:
    """The normalised path of an event's url, if it is certain without a URL parser; else None: ask the pattern.

    Not None only for a path or an http(s) URL with a plain host, in plain ASCII, without escapes and dot segments.
    Then a pattern with a `literal_path` matches the url exactly if that equals the answer. Remembers a few answers,
    since one event's url is put to many patterns in a row.
    """
    if len(url) > _MAX_PLAIN_CHARACTERS:
        return None
    found = _PLAIN_URL.match(url)
    if found is None:
        return None
    path = found["path"]
    if path:
        return path
    return "/" if found.end("path") and url[0] == "h" else None


def plain_path(url: str) -> str | None:
    """A path that stands for the url in a look-up of literal paths and prefixes; None: ask the patterns.

    Like `path_of`, made for urls that are each looked at once, but it may hold characters that a URL parser escapes:
    no literal has any, so that neither spelling is found.
    """
    if not url.isascii() or not url.isprintable() or " " in url or "%" in url or "\\" in url or "/." in url:
        return None
    start = 0
    if url[:1] != "/":
        start = url.find("/", 8)
        origin = url[:start]
        if start < 0 or (origin not in _PLAIN_ORIGINS and not _is_plain_origin(origin)):
            return path_of(url)
    elif url[:2] == "//":
        return path_of(url)
    end = url.find("?", start)
    fragment = url.find("#", start, end if end >= 0 else len(url))
    if fragment >= 0:
        end = fragment
    return url[start:end] if end >= 0 else url[start:]


_PLAIN_ORIGINS: Final[set[str]] = set()
_MOST_ORIGINS: Final = 10_000


def _is_plain_origin(origin: str) -> bool:
    """Whether `path_of` is certain about urls of this origin; remembers those of which it is."""
    # A slash may stand in the query or the fragment of a url without a path.
    if "?" in origin or "#" in origin or path_of(origin + "/") != "/":
        return False
    if len(_PLAIN_ORIGINS) >= _MOST_ORIGINS:
        _PLAIN_ORIGINS.clear()
    _PLAIN_ORIGINS.add(origin)
    return True


def _literal_path(source: str) -> str | None:
    return source if _PLAIN_PATH.fullmatch(source) else None


def _literal_prefix(source: str) -> str | None:
    return source[:-1] if source.endswith("*") and _PLAIN_PATH.fullmatch(source[:-1]) else None


def _input_of(url: str) -> str | URLPatternInit:
    """What the package is given: the url, or the components of one that is only a path."""
    url = _SURROGATE.sub("\ufffd", url.strip(_C0_AND_SPACE))
    if not url.startswith("/"):
        return url
    rest, _, fragment = url.partition("#")
    path, _, query = rest.partition("?")
    return {"pathname": path, "search": query, "hash": fragment}


def _components_of(url: str) -> dict[str, str] | None:
    found = _ANYTHING.exec(_input_of(url))
    return None if found is None else {name: found[name]["input"] for name in _COMPONENTS}


def _component_holds(name: str, wanted: str, found: str) -> bool:
    try:
        pattern = URLPattern(cast("URLPatternInit", {name: wanted}))
        return pattern.test(cast("URLPatternInit", {name: found}))
    except ValueError:
        return False  # some components parse only beside their protocol


def _invalid(problem: str, remedy: str) -> InvalidDefinition:
    return InvalidDefinition("/urlPattern", problem, remedy)


def _remedy(source: str, error: str) -> str:
    if source.startswith("/") and "?" in source:
        return "A path pattern has no query, and ? is a modifier in it: leave the query out, it may be anything."
    if "relative" in error:
        return "Begin with / for a path on any host, or with a protocol: https://example.com/path."
    return "Put a backslash before a character of the pattern syntax (: * + ? { } ( )) to take it literally."
