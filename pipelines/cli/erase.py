"""`lethe erase` and `lethe verify`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.options import ROOT, Json, Root, open_store
from pipelines.cli.output import emit, progress, say, table

if TYPE_CHECKING:
    from db.store import Store
    from pipelines.erase import Erased


def erase(
    *,
    method: Annotated[
        str | None,
        typer.Option("--method", help="auto (default), retrain, downdate, sisa, receraser, grapheraser; scif, ifru."),
    ] = None,
    audit: Annotated[str | None, typer.Option("--audit", help="full: also audits of the models; takes long.")] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="File outside the root for the subjects' certificates.")
    ] = None,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Finish every open forget request: rebuild, audit, purge, rewrite the database, certify.

    The subjects' certificates (with id and salt) go to --certificate, or to standard output; the root keeps a copy
    without both. It can be killed at any moment and run again. Exit status 75: not finished, the requests stay open.

    auto is downdate for ease, the shards' own way for a backbone in shards, else retrain. scif and ifru are
    approximate: the requests end as "reduced" and stay open, their rows hidden, until an exact erase.

    Lineage and residue decide. --audit full trains some fifty models more: oracles that never saw the rows, shadows
    for membership inference, and a pair that shows what two versions give away; the verdicts go into the certificate.

    \b
    Examples:
      lethe erase --certificate certificates.json
      lethe erase --method downdate --audit full
      lethe erase --method ifru --certificate certificates.json
    """
    store = open_store(root)
    if audit not in (None, "full"):
        raise typer.BadParameter(f"--audit {audit} is unknown; the one there is is full, beside what is always audited")
    done, shown = run_erase(store, method=method, full=audit is not None, certificate=certificate)
    emit(plain_erased(done, shown), as_json=as_json, text=lambda: erased(done, shown, certificate))


def run_erase(
    store: "Store", *, method: str | None = None, full: bool = False, certificate: Path | None = None
) -> "tuple[Erased, list[dict[str, Any]]]":
    """Erase, and the certificates to show: with their subjects where no file took them."""
    from pipelines import certificate as certificates
    from pipelines.erase import erase as run
    from pipelines.reduce import METHODS as APPROXIMATE
    from pipelines.ways import EXACT

    if method is not None and method not in (*EXACT, *APPROXIMATE):
        known = ", ".join((*EXACT, *APPROXIMATE))
        raise typer.BadParameter(f"--method {method} is unknown; choose one of {known}")
    if certificate is not None:
        certificates.check_target(certificate, store.root)
    handed: list[dict[str, Any]] = []

    def _hand_over(documents: Sequence[dict[str, Any]]) -> None:
        if certificate is not None and documents:
            certificates.deliver(certificate, documents)
        handed.extend(documents)

    done = run(store, _hand_over, method=method, full=full, progress=progress)
    return done, list(done.certificates) if certificate is not None else handed


def plain_erased(done: "Erased", documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What `--json` shows of an erase."""
    counts = {"requests": done.requests, "reduced": done.reduced, "interactions_deleted": done.interactions}
    return {**counts, "certificates": documents}


def erased(done: "Erased", documents: Sequence[dict[str, Any]], certificate: Path | None = None) -> str:
    """The same in words and tables."""
    if not done.requests and not done.reduced:
        return "nothing to erase: no request is open"
    parts = _counted(done)
    for document in documents:
        subject = document.get("subject")
        head = f"\ncertificate of request {document['request']}, grade {document['grade']}"
        about = (
            f"\nsubject {subject['user']}, salt {subject['salt']} (keep this: the root has forgotten it)"
            if subject
            else ""
        )
        receipts = [(r["layer"], r["action"], r["artifact"], round(r["seconds"], 2)) for r in document["receipts"]]
        audits = [_audit(audit) for audit in document["audits"]]
        parts += [
            head + about,
            table(("layer", "action", "artefact", "seconds"), receipts),
            table(("audit", "value", "limit", "oracle", "control", "passed"), audits),
            "\nlimits:\n" + "\n".join(f"- {limit}" for limit in document["limits"]),
            *_left_to_do(document),
        ]
    if certificate is not None:
        say(f"the subjects' certificates are in {certificate}; hand them over and delete the file")
    return "\n".join(parts)


def _audit(audit: dict[str, Any]) -> tuple[object, ...]:
    figures = (audit.get(name) for name in ("value", "limit", "oracle", "control"))
    told = (f"{figure:.4g}" if isinstance(figure, float) else figure for figure in figures)
    return (audit["audit"], *told, "void" if audit["void"] else audit["passed"])


def _counted(done: "Erased") -> list[str]:
    lines = []
    if done.requests:
        lines.append(f"erased {_requests(len(done.requests))}, {done.interactions} interactions deleted")
    if done.reduced:
        lines.append(f"reduced {_requests(len(done.reduced))}: open, and hidden, until an exact `lethe erase`")
    return lines


def _requests(count: int) -> str:
    return f"{count} request{'s'[: count > 1]}"


def _left_to_do(document: dict[str, Any]) -> list[str]:
    """What only the user can do: files outside the root, and lists that no batch has made again."""
    lines = [f"- beyond reach, written before the request: {path}" for path in document["exports_beyond_reach"]]
    lines += [
        f"- {receipt['artifact']} deleted: {receipt['detail']}"
        for receipt in document["receipts"]
        if receipt["action"] == "delete"
    ]
    return ["\nleft to you:\n" + "\n".join(lines)] if lines else []


def verify(
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="Id of a forget request.")],
    *,
    certificate: Annotated[Path | None, typer.Option(help="The subject's certificate: adds the residue scan.")] = None,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Check an erased request against what is on disk now; exit status 1 on any difference.

    \b
    Examples:
      lethe verify r0123456789abcdef
      lethe verify r0123456789abcdef --certificate certificates.json
    """
    from pipelines import certificate as certificates
    from pipelines.verify import choose
    from pipelines.verify import verify as run

    store = open_store(root)
    subject = choose(certificates.read_file(certificate), request) if certificate else None
    checks = run(store, request, subject)
    rows = [(check.outcome, check.name, check.detail) for check in checks]
    emit(checks, as_json=as_json, text=lambda: table(("", "check", "detail"), rows))
    if any(check.binding and not check.passed for check in checks):
        raise typer.Exit(1)
