"""What a person at the terminal is told."""

from __future__ import annotations

from pathlib import Path

from devstack.steps import Step, StepError, report


def test_a_step_tells_its_seconds_and_what_it_did() -> None:
    done = Step("Solr", notes=["started on 5001", "two cores"])

    assert done.line(12.34) == "   12.3 s  Solr: started on 5001, two cores"


def test_a_failed_step_says_which_why_where_and_what_to_do() -> None:
    failure = StepError("no answer", log=Path("/x/solr.log"), advice="free the port")

    text = report(Step("Solr"), 3.0, failure)

    assert [part in text for part in ("Solr: FAILED", "no answer", "/x/solr.log", "free the port")] == [
        True
    ] * 4


def test_a_failed_step_without_advice_still_says_what_to_do() -> None:
    assert "run the same command again" in report(Step("Solr"), 3.0, StepError("no answer"))
