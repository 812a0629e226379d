"""Shield: rows hidden from every reader, nothing retrained. Exact for the person's own path, and for nothing else.

This is CRAGRU's way to forget (retrieval without the rows), done so that no reader can pass it by.
"""

from collections.abc import Sequence

from db import catalogue, jobs
from db.load import load_log
from db.records import ForgetRequest, Receipt, Selection, Verdict
from db.store import Store


class Shield:
    """Hiding happens in the transaction that accepts a request; what is left to do here is to look whether it holds."""

    layer = "db"
    exact = False

    def __init__(self, store: Store) -> None:
        self._store = store

    def forget(self, requests: Sequence[ForgetRequest]) -> list[Receipt]:
        """One receipt a request; the rows were hidden when it was accepted."""
        return [
            Receipt(r.id, self.layer, "hide", "interactions", exact=False, seconds=0.0, detail=f"{r.rows} rows hidden")
            for r in requests
        ]

    def audit(self, requests: Sequence[ForgetRequest]) -> list[Verdict]:
        """Hidden people must have neither visible rows nor a stored list; everybody else's rows are the control."""
        whole = {r.user for r in requests if r.user and r.selection == Selection()}
        with self._store.reading() as unit:
            log = load_log(unit)
            seen = len(whole.intersection(log.users))
            lists = sum(jobs.stored_list(unit, user) is not None for user in whole)
            visible = catalogue.counts(unit)["interactions"]
        found = len(log) == visible > 0
        return [
            Verdict(
                "shield",
                float(seen + lists),
                0.0,
                control=float(len(log)),
                control_found=found,
                detail=f"{len(whole)} people, {len(log)} rows of others visible",
            )
        ]
