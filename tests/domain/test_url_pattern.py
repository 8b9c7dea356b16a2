"""URL patterns: the standard's answers, on whole URLs and on paths; the shortcut gives the package's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urlpattern import URLPattern

from app.domain import url_pattern
from app.domain.clause import MISSING
from app.domain.url_pattern import MAX_CHARACTERS, UrlPattern, compile_url_pattern, path_of
from app.errors import InvalidDefinition

MATCHING = [
    ("/signup/complete", "https://example.com/signup/complete"),
    ("/signup/complete", "http://other.test:8080/signup/complete?plan=pro#top"),
    ("/signup/complete", "https://user:secret@example.com/signup/complete"),
    ("/signup/complete", "myapp://open/signup/complete"),
    ("/signup/complete", "/signup/complete"),
    ("/signup/complete", "/signup/complete?plan=pro#top"),
    ("/signup/complete", "/signup/../signup/./complete"),
    ("/signup/complete", " https://example.com/signup/complete\n"),
    ("/signup/complete", " /signup/complete\n"),
    ("/signup/complete", "https://127.0.0.1/signup/complete"),
    ("/a/../b", "https://example.com/b"),
    ("/caf\u00e9 bar", "https://example.com/caf%C3%A9%20bar"),
    ("/caf%C3%A9", "/caf\u00e9"),
    ("/", "https://example.com"),
    ("/", "https://example.com?utm=1"),
    ("/products/:id/reviews", "https://example.com/products/42/reviews"),
    ("/blog/*", "/blog/"),
    ("/blog/*", "https://example.com/blog/2024/hello"),
    ("/blog/:slug?", "/blog"),
    ("/order/(\\d+)", "/order/12"),
    ("https://*.example.com/checkout/(thanks|done)", "https://shop.example.com/checkout/done?x#y"),
    ("http{s}?://example.com/x", "http://example.com/x"),
    ("https://example.com/s\\?q=*", "https://example.com/s?q=shoes"),
]

NOT_MATCHING = [
    ("/signup/complete", "https://example.com/signup/complete/"),
    ("/signup/complete", "https://example.com/Signup/complete"),
    ("/signup/complete", "https://example.com/signup/complet%65"),
    ("/products/:id/reviews", "/products/4/2/reviews"),
    ("/blog/*", "https://example.com/blog"),
    ("/order/(\\d+)", "/order/twelve"),
    ("https://*.example.com/*", "https://example.com/"),
    ("https://example.com/x", "/x"),
    ("https://example.com/x", "http://example.com/x"),
    ("https://example.com/x", "https://example.com:8443/x"),
]

NO_URLS = [
    "",
    "signup/complete",
    "?a=b",
    "#top",
    "http://[::1",
    "https://",
    "https://a b/",
    "https://example.com:99999/x",
]


@pytest.mark.parametrize(("source", "url"), MATCHING)
def test_a_url_that_fits_the_pattern_matches(source: str, url: str) -> None:
    assert compile_url_pattern(source).matches(url)


@pytest.mark.parametrize(("source", "url"), NOT_MATCHING)
def test_a_url_that_does_not_fit_the_pattern_does_not_match(source: str, url: str) -> None:
    assert not compile_url_pattern(source).matches(url)


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_url_matches_nothing_and_never_raises(url: str) -> None:
    for source in ("/*", "/", "/signup/complete", "https://*/*"):
        assert not compile_url_pattern(source).matches(url)
    assert [clause.holds for clause in compile_url_pattern("/*").explain(url)] == [False]


@given(st.text())
def test_no_text_makes_matching_or_explaining_raise(url: str) -> None:
    for source in ("/signup/*", "https://*.example.com/:page"):
        pattern = compile_url_pattern(source)
        assert pattern.matches(url) == all(clause.holds for clause in pattern.explain(url))


def test_half_a_surrogate_pair_in_a_url_is_read_as_the_replacement_character() -> None:
    assert compile_url_pattern("/a").matches("https://example.com/a?x=\ud800")
    assert compile_url_pattern("/\ufffd").matches("/\udfff")


@pytest.mark.parametrize(
    ("source", "problem", "remedy"),
    [
        ("", "empty", "Leave it out"),
        ("foo", "relative", "Begin with /"),
        ("example.com/foo", "relative", "Begin with /"),
        ("*/foo", "relative", "Begin with /"),
        ("/signup?plan=pro", "not a URL pattern", "no query"),
        ("/a(", "not a URL pattern", "backslash"),
        ("/{a", "not a URL pattern", "backslash"),
        ("/:", "not a URL pattern", "backslash"),
        ("/([)", "not a URL pattern", "backslash"),
        ("http://[::1", "not a URL pattern", "backslash"),
        ("/\ud800", "surrogate", "character"),
        ("/" + "a" * MAX_CHARACTERS, "more than 512", "wildcard"),
    ],
)
def test_a_bad_pattern_is_refused_with_its_problem_and_a_remedy(source: str, problem: str, remedy: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        compile_url_pattern(source)
    assert caught.value.field == "/urlPattern"
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_the_longest_allowed_pattern_is_accepted() -> None:
    source = "/" + "a" * (MAX_CHARACTERS - 1)
    assert compile_url_pattern(source).matches(source)


@pytest.mark.parametrize(
    ("source", "path", "prefix"),
    [
        ("/", "/", None),
        ("/signup/complete", "/signup/complete", None),
        ("/Signup_~.-", "/Signup_~.-", None),
        ("//double", "//double", None),
        ("/blog/*", None, "/blog/"),
        ("/blog*", None, "/blog"),
        ("/*", None, "/"),
        ("/a/../b", None, None),
        ("/a/.", None, None),
        ("/a/.*", None, None),
        ("/a/..*", None, None),
        ("/a b", None, None),
        ("/a%20b", None, None),
        ("/\u00e9", None, None),
        ("/a/:id", None, None),
        ("/a/*/b", None, None),
        ("/a/**", None, None),
        ("https://example.com/a", None, None),
    ],
)
def test_only_a_plain_path_or_prefix_is_literal(source: str, path: str | None, prefix: str | None) -> None:
    pattern = compile_url_pattern(source)
    assert (pattern.literal_path, pattern.literal_prefix) == (path, prefix)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://example.com/a/b?c=/d#e", "/a/b"),
        ("http://localhost:8000/a", "/a"),
        ("https://example.com", "/"),
        ("https://example.com#top", "/"),
        ("/a?b", "/a"),
        ("//a/b", "//a/b"),
        ("https://example.com/a/../b", None),
        ("https://example.com/a/.", None),
        ("https://example.com/%61", None),
        ("https://example.com/a b", None),
        ("https://example.com\\a", None),
        ("https://example.com/a\\b", None),
        ("https://example.com/\u00e9", None),
        ("https://EXAMPLE.com/a", None),
        ("https://127.0.0.1/a", None),
        ("https://1.2.3.999/a", None),
        ("https://example.0x1/a", None),
        ("https://xn--a/a", None),
        ("https://user@example.com/a", None),
        ("https://example.com:99999/a", None),
        ("https://exa mple.com/a", None),
        ("ftp://example.com/a", None),
        ("data:/a", None),
        (" /a", None),
        ("/a\n", None),
        ("a/b", None),
        ("?a", None),
        ("", None),
        ("/" + "a" * 5000, None),
    ],
)
def test_a_path_is_known_without_a_parser_only_where_it_is_certain(url: str, path: str | None) -> None:
    assert path_of(url) == path


# Few characters and segments, many of them traps, so that patterns and urls often meet.
CHARACTERS = "ab/.-_~%2eE:*+?#()\\&=;,@!$' \t\u00e9A1x"
SEGMENTS = st.sampled_from(
    ["", "a", "A", ".", "..", "%2e", "%2E.", "%61", "a b", "a\tb", "\u00e9", "a:b", "a\\b", "(a)", "*"]
)
PATHS = st.one_of(
    st.lists(SEGMENTS, min_size=1, max_size=3).map(lambda segments: "/" + "/".join(segments)),
    st.text(CHARACTERS, max_size=8).map("/".__add__),
)
PLAIN_PATHS = st.sampled_from(["/", "/a", "/a/b"])
HOSTS = st.one_of(
    st.sampled_from(
        [
            "example.com",
            "localhost",
            "a-b.c",
            "127.0.0.1",
            "1.2.3.999",
            "xn--a",
            "a.0x1",
            "[::1]",
            "a..b",
            "A.b",
            "\u00e9.fr",
        ]
    ),
    st.text("ab1-._xn:@[]% ", min_size=1, max_size=8),
)
URLS = st.one_of(
    PATHS,
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["http://", "https://", "http:", "ftp://", "x://"]),
        HOSTS,
        st.sampled_from(["", ":80", ":8080", ":99999", ":"]),
        st.one_of(PLAIN_PATHS, PATHS, st.just("")),
    ),
    st.text(CHARACTERS, max_size=10),
)


def by_the_package(pattern: UrlPattern, url: str) -> bool:
    """The same question without the shortcut."""
    return UrlPattern(pattern.source, None, None, pattern._pattern).matches(url)


@given(source=st.one_of(PLAIN_PATHS, PATHS), url=URLS)
def test_the_shortcut_always_agrees_with_the_package(source: str, url: str) -> None:
    try:
        pattern = compile_url_pattern(source)
    except InvalidDefinition:
        return
    assert pattern.matches(url) == by_the_package(pattern, url)


@given(url=URLS)
def test_a_known_path_is_the_one_that_the_package_finds(url: str) -> None:
    path = path_of(url)
    if path is None:
        return
    anything = URLPattern({})
    found = (
        anything.exec({"pathname": url.partition("#")[0].partition("?")[0]})
        if url.startswith("/")
        else anything.exec(url)
    )
    assert found is not None
    assert found["pathname"]["input"] == path


@given(path=st.text("ab.-_~/", max_size=8).map("/".__add__), host=HOSTS)
def test_a_literal_pattern_finds_its_own_path_and_its_prefix(path: str, host: str) -> None:
    for source in (path, path + "*"):
        pattern = compile_url_pattern(source)
        for url in (path, f"https://{host}{path}", f"https://{host}{path}?x#y", path + "b"):
            assert pattern.matches(url) == by_the_package(pattern, url)


@given(path=st.from_regex(url_pattern._PLAIN_PATH, fullmatch=True), is_prefix=st.booleans())
def test_the_package_accepts_every_literal_pattern_so_that_it_need_not_be_asked_at_first(
    path: str, is_prefix: bool
) -> None:
    pattern = compile_url_pattern(path + "*" * is_prefix)
    assert pattern.literal_path is not None or pattern.literal_prefix is not None
    assert pattern.explain("https://example.com/x")[0].wanted == pattern.source


def test_a_literal_pattern_is_compiled_only_for_a_url_that_is_not_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    compile_one = url_pattern._compile

    def compile_and_note(source: str) -> URLPattern:
        compiled.append(source)
        return compile_one(source)

    monkeypatch.setattr(url_pattern, "_compile", compile_and_note)
    pattern = compile_url_pattern("/a/*")
    assert pattern.matches("https://example.com/a/b")
    assert not compiled
    assert pattern.matches("https://example.com/x/%2e%2e/a/b")
    assert pattern.matches("https://example.com/./a/b")
    assert compiled == ["/a/*"]


def test_explaining_names_each_component_that_the_pattern_restricts() -> None:
    clauses = compile_url_pattern("https://*.example.com/thanks").explain("https://shop.example.com/cart")
    assert [(clause.path, clause.wanted, clause.found, clause.holds) for clause in clauses] == [
        ("url.protocol", "https", "https", True),
        ("url.hostname", "*.example.com", "shop.example.com", True),
        ("url.port", "", MISSING, True),
        ("url.pathname", "/thanks", "/cart", False),
    ]


def test_explaining_a_path_against_a_host_pattern_says_that_there_is_no_host() -> None:
    clauses = compile_url_pattern("https://example.com/cart").explain("/cart")
    assert {clause.path: (clause.found, clause.holds) for clause in clauses} == {
        "url.protocol": (MISSING, False),
        "url.hostname": (MISSING, False),
        "url.port": (MISSING, True),
        "url.pathname": ("/cart", True),
    }
