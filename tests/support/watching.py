"""What is told of upstreams, kept for a test to look at."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Watching:
    """Everything in order: `(origin, reason)` for one that is left out, `(origin, None)` for one that is back."""

    upstreams: list[str] = field(default_factory=list)
    told: list[tuple[str, str | None]] = field(default_factory=list)
    unusable: list[tuple[str, str]] = field(default_factory=list)

    def known(self, origin: str, *, is_out: bool) -> None:
        """There is this upstream."""
        self.upstreams.append(origin)

    def gone(self, origin: str) -> None:
        """It is named no more."""
        self.upstreams.remove(origin)

    def left_out(self, origin: str, *, reason: str) -> None:
        """It failed."""
        self.told.append((origin, reason))

    def back(self, origin: str) -> None:
        """It answers again."""
        self.told.append((origin, None))

    def file_unusable(self, file: str, reason: str) -> None:
        """A client certificate or a CA file cannot be used."""
        self.unusable.append((file, reason))
