"""What a process remembers of the uses of its secrets."""

from bff.secret_uses import ROUTES, SecretUse, SecretUses, digest, fingerprint


def test_the_last_use_of_each_secret_is_known_and_the_first_is_news() -> None:
    """A secret that is used again is no news: its time is carried on with the next round."""
    hands = iter([1.0, 2.0, 3.0])
    uses = SecretUses(clock=hands.__next__)
    assert not uses.news.is_set()
    uses.note("corp", "client_secrets[0]", digest("one"))
    assert uses.news.is_set()
    uses.news.clear()
    uses.note("corp", "client_secrets[0]", digest("one"))
    assert not uses.news.is_set()
    uses.note_shown("certificate")
    assert list(uses.all()) == [
        SecretUse(owner="corp", position="client_secrets[0]", digest=digest("one"), at=2.0),
        SecretUse(owner=ROUTES, position="client_certificate", digest=digest("certificate"), at=3.0),
    ]


def test_a_digest_tells_nothing_and_does_not_depend_on_a_files_last_line_end() -> None:
    """People compare its first eight digits."""
    assert digest("a secret\n") == digest("a secret") != digest("another")
    assert fingerprint("a secret") == digest("a secret")[:8]
    assert "secret" not in digest("a secret")
