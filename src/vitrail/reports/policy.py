"""A page that runs nothing and looks like nothing but itself: its Content-Security-Policy names its one script and its
one style by their hashes. So what slipped into the page as markup would still be dead.

Such a policy knows no `style` attributes. Templates and charts may write them; here they become classes.
"""

from __future__ import annotations

import base64
import hashlib
import re

#: Where the policy goes.
PLACE = "{content-security-policy}"
_BLOCK = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)
_TAG = re.compile(r'<[a-zA-Z][^<>]*? style="[^"]*"[^<>]*>')
_STYLE, _CLASS = re.compile(r' style="([^"]*)"'), re.compile(r' class="([^"]*)"')


def locked(page: str) -> str:
    """`page`, a whole document with a style, a script and a `PLACE` in its head, under a policy that allows those two.

    Raises:
        AssertionError: it has more than one style or script, or one of them none.
    """
    head, style, middle, script, end = _parts(page)
    classes: dict[str, str] = {}
    head, middle, end = (_without_attributes(text, classes) for text in (head, middle, end))
    # `:not(#_)` weighs as much as an id: these rules win, as attributes do
    style += "".join(f".{name}:not(#_){{{rules}}}\n" for rules, name in classes.items())
    policy = (
        f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return f"{head.replace(PLACE, policy)}<style>{style}</style>{middle}<script>{script}</script>{end}"


def _parts(page: str) -> tuple[str, str, str, str, str]:
    blocks = list(_BLOCK.finditer(page))
    assert [block[1] for block in blocks] == ["style", "script"], "a page has one style, and after it one script"
    style, script = blocks
    return page[: style.start()], style[2], page[style.end() : script.start()], script[2], page[script.end() :]


def _without_attributes(text: str, classes: dict[str, str]) -> str:
    """`text` with a class in place of every `style` attribute; `classes` maps rules to names, and gets the new ones."""

    def with_class(found: re.Match[str]) -> str:
        tag = found[0]
        rules = _STYLE.search(tag)
        assert rules is not None
        name = classes.setdefault(rules[1], f"s{len(classes)}")
        bare = tag[: rules.start()] + tag[rules.end() :]
        if own := _CLASS.search(bare):
            return f'{bare[: own.end() - 1]} {name}"{bare[own.end() :]}'
        return re.sub(r"^<[\w:-]+", rf'\g<0> class="{name}"', bare, count=1)

    return _TAG.sub(with_class, text)


def deferred(html: str) -> str:
    """A piece of a page whose `style` attributes are called `data-style`: its page's script sets them.

    >>> deferred('<i style="--w:0.5"></i> style="of the text"')
    '<i data-style="--w:0.5"></i> style="of the text"'
    """
    return _TAG.sub(lambda tag: _STYLE.sub(r' data-style="\1"', tag[0], count=1), html)


def _source(text: str) -> str:
    """How a policy names a block by its content."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
