"""`docs/how-to/client.md`: what it declares for TypeScript is what `make clients` compiles."""

from support.documented import ROOT, marked, page


def test_the_declaration_of_the_served_file_is_the_one_that_is_compiled() -> None:
    """The block in the page is, word for word, the file that the client's own types are checked with."""
    compiled = (ROOT / "clients/javascript/test/served.d.ts").read_text(encoding="utf-8")
    assert marked(page("how-to/client.md"), "bff.d.ts") == compiled
