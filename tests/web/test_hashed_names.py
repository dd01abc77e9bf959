"""Which names hold a hash of their content: those of the bundlers, and no word that people write."""

from time import process_time

import pytest

from bff.web.hashed_names import is_hashed


@pytest.mark.requirement("R-370")
@pytest.mark.parametrize(
    "name",
    [
        "assets/index-B4nZq_x9.js",  # Vite
        "assets/index-DcjxTdUk.css",  # Vite, letters only
        "assets/index-B4-Zq_x9.js.map",
        "assets/Inter-Bold-B4nZq0x9.woff2",
        "main-5QWERTY2.js",  # Angular
        "chunk-ABC2DEF3.js",
        "main.3f2a1b9c.js",  # webpack
        "static/js/2.8a7b2c1d.chunk.js",
        "static/css/main.8a7b2c1d.min.css",
        "main.3f2a1b9c8d7e6f504132.bundle.js",
        "app-0123456789abcdef0123.js",
        "_app/immutable/entry/start.js",  # SvelteKit
        "_next/static/build-id/_buildManifest.js",
        "_astro/page.CUJ9EvLb.css",
        "_nuxt/Bkv3nZzM.js",
    ],
)
def test_names_that_bundlers_write_are_hashed(name: str) -> None:
    """The bundlers' patterns are known."""
    assert is_hashed(name)


@pytest.mark.requirement("R-370")
@pytest.mark.parametrize(
    "name",
    [
        *("index.html", "app.js", "sw.js", "service-worker.js", "manifest.webmanifest", "favicon.ico", "robots.txt"),
        *("jquery-3.7.1.min.js", "bootstrap.bundle.min.js", "app-settings.js", "config-production.json"),
        *("android-chrome-512x512.png", "logo-1920x1080.png", "photo-20241127.jpg", "video-1080p60fps.mp4"),
        *("Inter-SemiBold.woff2", "Roboto-ExtraBold.ttf", "Roboto-Regular400.woff2", "iPhone15.png", "McDonald1.png"),
        *("docs-OVERVIEW.md", "LICENSES.txt", "README-SPANISHX.txt", "report-version12.pdf", "polyfills-es2015.js"),
        *(
            "page-3f2a1b9c.html",
            "assets/noextension-3f2a1b9c",
            "_redirects",
            "immutable/app.js",
            "my_next/static/app.js",
        ),
        *("my-very-long-file-name-of-words.css", "user-profile.js", "a.b.c.d.js", "", ".js", "-.js", "Bkv3nZzM.js"),
    ],
)
def test_names_that_people_write_are_not(name: str) -> None:
    """Words, sizes, dates and versions are not taken for hashes; a page never is."""
    assert not is_hashed(name)


def test_a_long_name_is_judged_at_once() -> None:
    """Words have one way to be cut: with several, this name took seconds and longer ones years (CWE-1333)."""
    begun = process_time()
    is_hashed("index-" + "7" * 26 + "B_a.js")
    assert process_time() - begun < 1
