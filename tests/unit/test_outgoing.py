"""Text of outside is harmless where it goes."""

import ast
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.aml.jobs import tags_of
from shared.adapters.storage.limits import plain_values
from shared.base.documents import JsonForm
from shared.base.outgoing import for_log, for_message, for_row, for_tag, for_terminal
from shared.base.ports import Row
from shared.events.model import Workspace
from shared.retraining.targets import Submission

ROOT = Path(__file__).parent.parent.parent
CLEANERS = {"redact", "for_log", "for_row", "for_message", "for_terminal", "for_tag"}
SECRET = "AccountKey=s3cr3tValue/abc+def=="
STUDIO = (
    "https://ml.azure.com/endpoints/realtime/churn/detail?wsid=/subscriptions/"
    "5ec4e7aa-0000-4000-8000-0123456789ab/resourceGroups/rg-ml/workspaces/churn_ws"
)

#: As the services write them, with what each of them looks for.
COMMANDS = [
    ("@everyone", r"@everyone"),
    ("@here", r"@here"),
    ("x@everyone", r"@everyone"),
    ("(@channel)", r"@channel"),
    ("@all", r"@all"),
    ("@ann.lee", r"@\w"),
    ("<@123456789012345678>", r"<@"),
    ("<@!123>", r"<@"),
    ("<@&123>", r"<@&"),
    ("<!channel>", r"<!"),
    ("<!subteam^S1|x>", r"<!"),
    ("<#C123>", r"<#"),
    ("<users/all>", r"<users/"),
    ("@**all**", r"@\*"),
    ("@*backend*", r"@\*"),
    ("<at>Ann</at>", r"</?at>"),
    ("<https://evil.example|click>", r"<https"),
    ("[click](https://evil.example)", r"\]\("),
    ("![x](https://evil.example/pixel.png)", r"\]\("),
    ("[click][1]\n[1]: https://evil.example", r"\]\[|\]:"),
    ("[click|https://evil.example]", r"\|https:"),
    ("[click|//evil.example]", r"\|//"),
    ("[x|^secrets.zip]", r"\|\^"),
    ("[~ann]", r"\[~"),
    ("[~accountid:5ec4e7]", r"\[~"),
    ("!https://evil.example/pixel.png!", r"!https"),
    ("<a href='https://evil.example'>", r"<a "),
    ("<img src=x>", r"<img"),
    ("<script>", r"<script"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "looked_for"), COMMANDS)
def test_a_message_holds_nothing_that_a_service_would_act_on(text: str, looked_for: str) -> None:
    assert re.search(looked_for, text)
    told = for_message(f"model churn {text}, version 2", most=1000)
    assert not re.search(looked_for, told)
    assert told.replace("\u200b", "") == f"model churn {text}, version 2"


@pytest.mark.parametrize(
    "text",
    [
        STUDIO,
        "mail ml-team@example.com",
        "churn_v2: 90 % → 100 %, p < 0.05, a -> b",
        'signalbox rollouts approve 0a1b2c3d --why "reason"',
        "metrics[0] | gate error_rate: 5.2%",
    ],
)
def test_a_message_keeps_addresses_and_words_as_they_are(text: str) -> None:
    assert for_message(text, most=1000) == text


@given(st.text())
def test_no_text_makes_two_lines_of_a_log(text: str) -> None:
    assert len(for_log(f"x {text}").splitlines()) == 1


@pytest.mark.parametrize("to", [for_log, for_row, for_terminal, for_tag])
def test_no_secret_and_no_control_character_leaves(to) -> None:
    told = to(f"a\x1b[2Jb\x00c {SECRET}")
    assert told == "abc AccountKey=[redacted]"


def test_no_secret_and_no_control_character_leaves_in_a_message() -> None:
    assert for_message(f"a\x1b[2Jb {SECRET}", most=100) == "ab AccountKey=[redacted]"


@given(st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.lists(inner)))
def test_a_document_in_a_row_remains_one(value) -> None:
    json.loads(for_row(json.dumps(value)))


def test_a_text_of_a_row_is_kept_whole() -> None:
    assert for_row("x" * 60_000) == "x" * 60_000


@given(st.text())
def test_a_terminal_gets_nothing_that_steers_it(text: str) -> None:
    assert for_terminal(text).isprintable()


def test_a_tag_is_short_and_on_one_line() -> None:
    assert len(for_tag("a\n" * 1000)) <= 250


@pytest.mark.parametrize("folder", ["shared", "handlers", "commands"])
def test_no_text_is_cut_before_its_secrets_are_taken_out(folder: str) -> None:
    """Half of a secret may not look like one; `redact` cuts by itself."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in CLEANERS:
                cut = [part for part in ast.walk(node.args[0]) if isinstance(part, ast.Slice)]
                assert not cut, f"{path.name}:{node.lineno}"


@pytest.mark.parametrize(
    "path",
    [
        "adapters/storage/tables",
        "adapters/storage/queues",
        "adapters/storage/blobs",
        "adapters/channels",
        "twins/storage",
    ],
)
def test_every_adapter_that_keeps_or_sends_a_text_cleans_it(path: str) -> None:
    """Each function's contract says its work; this finds a function that is new, or split."""
    kept = {"plain_values", "plain_message", "plain_body", "for_message"}
    tree = ast.parse((ROOT / f"shared/{path}.py").read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert called & kept


def test_what_is_started_in_azure_gets_tags_without_secrets() -> None:
    submission = Submission(
        id="r1",
        reference="l1:r1",
        workspace=Workspace(subscription="s", resource_group="g", name="w"),
        since=datetime(2026, 3, 2, 9, 0, tzinfo=UTC),
        is_first=True,
        inputs={},
        tags={"signalbox_monitor": f"a\nb {SECRET}", "signalbox_event": "x" * 300},
        drift={},
    )
    tags = tags_of(submission)
    assert tags["signalbox_monitor"] == "a b AccountKey=[redacted]"
    assert len(tags["signalbox_event"]) == 250


#: Where a text that ends so is followed by a quotation mark, that is the end of the text.
BEFORE_A_VALUE = [
    *("the token:", "no password=", "token%3d", "X_KEY=", "\u5bc6\u7801:", "accesskey= "),
    *("password&quot;:&quot;", "password%22:%22", "say \"token\": ", "Cookie: ", "Authorization:"),
    *("login --token ", "-u ann:", "b'password': b", "?code=", "name='pwd' value="),
]  # fmt: skip


@pytest.mark.parametrize("is_ascii", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("text", BEFORE_A_VALUE)
def test_json_with_a_text_that_ends_before_a_value_remains_json(
    text: str, depth: int, is_ascii: bool
) -> None:
    document: Any = {"a": text, "b": ["x", text, f"{SECRET} {text}"], text: 1, "token": SECRET}
    for _ in range(depth):
        document = {"c": json.dumps(document, ensure_ascii=is_ascii), "d": text}
    kept = for_row(json.dumps(document, ensure_ascii=is_ascii))
    assert "s3cr3tValue" not in kept
    assert for_row(kept) == kept
    for _ in range(depth):
        read = json.loads(kept)
        assert read["d"] == text
        kept = read["c"]
    read = json.loads(kept)
    assert read == {
        "a": text,
        "b": ["x", text, f"AccountKey=[redacted] {text}"],
        text: 1,
        "token": "[redacted]",
    }


def test_a_long_document_is_the_same_when_its_parts_are_read() -> None:
    errors = [{"error": f"{number} has no token:", "x": "y"} for number in range(2000)]
    form = JsonForm(list[dict[str, str]], lambda _: {})
    parts = form.write(errors)
    assert len(parts) > 1
    row = Row(partition="p", key="k", values=plain_values(parts), etag="")
    assert form.read(row) == errors
    length = sum(len(str(part)) for part in parts.values())
    assert length <= len(json.dumps(errors, separators=(",", ":")))
