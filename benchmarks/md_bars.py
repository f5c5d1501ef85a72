"""What a benchmark must reach."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """A limit and what was measured."""

    name: str
    limit: float
    measured: float
    unit: str
    at_least: bool = False

    @property
    def passed(self) -> bool:
        """Whether the limit is kept; what is not a number does not keep it."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def line(self, width: int) -> str:
        """Return one row of the table."""
        limit = f"{'>=' if self.at_least else '<='} {self.limit:g}"
        word = "pass" if self.passed else "MISS"
        return f"{self.name:{width}}  {limit:>12}  {self.measured:10.3g}  {word}  {self.unit}"
