"""What reaches the language model for one person. Standard library only."""

from dataclasses import dataclass

from db.records import Item, UserId


@dataclass(frozen=True, slots=True)
class Context:
    """A person's filtered history and the candidates to be judged; nothing else enters a prompt."""

    user: UserId
    history: tuple[Item, ...]
    """The interactions a filter kept, oldest first."""
    candidates: tuple[Item, ...]
    """Best first, as the retrieval ranked them."""
    profile: str = ""
    """A sentence derived from the visible history alone; may be empty."""
