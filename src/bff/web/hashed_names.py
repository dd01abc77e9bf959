"""Whether a file's name holds a hash of its content, as bundlers write it: then the content of that name never changes.

A wrong yes would keep an old file in browsers for a year, a wrong no costs one question. So a hash must not look like a word:

    Vite, Rollup       index-B4nZq_x9.js       8 letters, digits, _ and -, after `-` or `.`
    esbuild, Angular   main-5QWERTY2.js        8 capitals and digits
    webpack, Parcel    main.3f2a1b9c.chunk.js  8 or more hexadecimal digits
    SvelteKit, Next    _app/immutable/, _next/static/: folders that the frameworks themselves call immutable
    Nuxt               _nuxt/Bkv3nZzM.js       the whole name, in a folder of the framework
"""

import re

_IMMUTABLE_FOLDERS = ("_app/immutable/", "_next/static/")
_PAGES = (".html", ".htm")  # a page is where everything else is found: it is always asked for again

_HEX = re.compile(r"(?=.*[0-9])(?=.*[a-f])[0-9a-f]{8,64}")
_CAPITALS = re.compile(r"(?=.*[0-9])(?=.*[A-Z])[A-Z0-9]{8}")
_MIXED = re.compile(r"(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9_-]{8,64}")
# SemiBold, iPhone15, README: read by people. The quantifiers give nothing back: words have one way to be cut, and with several a name
# of 40 letters took seconds (CWE-1333).
_WORDS = re.compile(r"[a-z]?(?:[A-Z]?[a-z]{2,}+|[A-Z]{2,}+|[0-9]++)*+")
_LAST_EIGHT = re.compile(r"[-.]([A-Za-z0-9_-]{8})\Z")  # Rollup's hash may hold a `-` of its own
_AFTER_LAST_DASH = re.compile(r"-([A-Za-z0-9_]{8,64})\Z")


def is_hashed(name: str) -> bool:
    """Whether `name`, relative to the app's folder, belongs to one content for ever."""
    folder, _, base = name.rpartition("/")
    if base.endswith(_PAGES) or "." not in base:
        return False
    if any(f"/{known}" in f"/{name}" for known in _IMMUTABLE_FOLDERS):
        return True
    first, *rest = base.split(".")[:-1]
    if any(map(_is_hash, rest)) or any(map(_ends_in_hash, [first, *rest])):
        return True
    return folder.rpartition("/")[2].startswith("_") and _is_hash(first)


def _ends_in_hash(part: str) -> bool:
    found = [pattern.search(part) for pattern in (_AFTER_LAST_DASH, _LAST_EIGHT)]
    return any(match is not None and _is_hash(match[1]) for match in found)


def _is_hash(token: str) -> bool:
    if _HEX.fullmatch(token) or _CAPITALS.fullmatch(token):
        return True
    return bool(_MIXED.fullmatch(token)) and not all(map(_WORDS.fullmatch, re.split("[-_]", token)))
