"""Shield: rows hidden from every reader, nothing retrained. Exact for the person's own path, and for nothing else.

This is CRAGRU's way to forget (retrieval without the rows), done so that no reader can pass it by.
"""

from collections.abc import Sequence

from db import jobs
from db.load import load_log
from db.records import ForgetRequest, Receipt, Selection, Verdict
from db.requests import reveal
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
        """Hidden people must have neither visible rows nor a stored list.

        Control: with the requests' rows revealed, in a transaction that is rolled back, exactly they are seen again.
        """
        whole = {r.user for r in requests if r.user and r.selection == Selection()}
        with self._store.writing() as unit:
            log = load_log(unit)
            seen = len(whole.intersection(log.users))
            lists = sum(jobs.stored_list(unit, user) is not None for user in whole)
            reveal(unit, [r.id for r in requests])
            shown = load_log(unit)
        control = len(shown) - len(log) + len(shown.users) - len(log.users)
        return [
            Verdict(
                "shield",
                float(seen + lists),
                0.0,
                control=float(control),
                control_found=control == sum(r.rows for r in requests) + len(whole) > 0,
                detail=f"{len(whole)} people, {len(log)} rows of others visible",
            )
        ]
