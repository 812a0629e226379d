"""The one interface through which every layer forgets."""

from collections.abc import Sequence
from typing import Protocol

from db.records import ForgetRequest, Receipt, Verdict


class Unlearner(Protocol):
    """Makes one layer forget the rows of requests, and audits that it did.

    Requests are handled together: one retraining or one rank-k update serves all of them. Both calls can be repeated
    after a kill and then change nothing.
    """

    layer: str
    """The package it acts on: db, recsys, retrieval or llm."""
    exact: bool
    """Whether the outcome has the distribution of a model that never saw the rows."""

    def forget(self, requests: Sequence[ForgetRequest]) -> list[Receipt]:
        """Remove what descends from the requests' rows; one receipt for each request and artefact."""
        ...

    def audit(self, requests: Sequence[ForgetRequest]) -> list[Verdict]:
        """Look for what should be gone. A verdict whose positive control was not found is void."""
        ...
