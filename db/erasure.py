"""What happens to each stored thing when a person is erased. Every column and artefact kind names one of these."""

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """The fate of a stored value once the request it belongs to is erased."""

    IMPERSONAL = "impersonal"
    """Says nothing about any one person; kept."""
    DELETED = "deleted"
    """The row that holds it is deleted, and the file is rewritten without it."""
    CLEARED = "cleared"
    """The row stays as evidence, this value becomes null."""
    COMMITMENT = "commitment"
    """Only a salted hash stays; the salt leaves with the subject's certificate."""
    PSEUDONYM = "pseudonym"
    """A keyed hash stays, disclosed in the certificate, so that a re-ingest cannot bring the rows back."""
    REBUILT = "rebuilt"
    """Rebuilt, or downdated exactly, into a new generation from the rows that stay; the old generation is destroyed."""
    REWRITTEN = "rewritten"
    """Refused to readers at once, then computed again from the new generation, or destroyed."""
    DISCLOSED = "disclosed"
    """Beyond the store's reach, or evidence that must stay; named in the certificate."""


@dataclass(frozen=True, slots=True)
class ArtifactKind:
    """A kind of file the product writes, with the fate of a person in it."""

    name: str
    rule: Rule
    descends: str
    """In words: from which rows, and why the rule is enough."""


KINDS = {
    kind.name: kind
    for kind in (
        ArtifactKind("backbone", Rule.REBUILT, "item weights fitted on every visible interaction"),
        ArtifactKind("shard", Rule.REBUILT, "sub-models of one shard; kept where the rule puts none of the rows"),
        ArtifactKind("popularity", Rule.REBUILT, "counts over every visible interaction"),
        ArtifactKind("hit-rate", Rule.REBUILT, "hit rates measured on validation rows of many people"),
        ArtifactKind("attention", Rule.REBUILT, "attention weights trained on histories of many people"),
        ArtifactKind("settings", Rule.REBUILT, "fusion weight, quota and epochs chosen on validation rows"),
        ArtifactKind("text-index", Rule.IMPERSONAL, "embeddings of item texts; no interaction enters"),
        ArtifactKind(
            "adapter", Rule.DELETED, "trained on item texts alone; one that a person asked for goes with them"
        ),
        ArtifactKind("tokens", Rule.REBUILT, "the backbone with other ids; learned again on the new backbone"),
        ArtifactKind("recommendations", Rule.REWRITTEN, "lists of many people, each from their own history"),
        ArtifactKind("evaluation", Rule.REWRITTEN, "figures per person over the stored split"),
        ArtifactKind("report", Rule.REWRITTEN, "figures over many people"),
        ArtifactKind("reject-file", Rule.DELETED, "input lines that failed validation; destroyed at any erase"),
    )
}
