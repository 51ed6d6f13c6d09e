"""What leaves the app: text of outside is made harmless by one function for each destination.

The edges call them, and nothing else has to: the factory of log records, the adapters of tables,
queues, blobs and channels, and the command line. So it is of no account where a text came from.
"""

import re

from shared.base.redact import clean_of_secrets, redact

_LOG_MAX = 4_000
_TAG_MAX = 250

#: Follows what would be read as a command to the service, and is not seen.
_BREAK = "\u200b"
#: Mentions of people, of groups, of everybody, and the anchors, tags and links with a text of their
#: own of Discord, Google Chat, Jira, Markdown, Mattermost, Slack, Teams, Telegram and HTML.
_COMMANDS = re.compile(
    r"(?<![\w.+-])@(?=[\w&!])"
    r"|@(?=everyone|here|channel|all\b|room|team)"
    r"|<(?=[\w@!#&/])"
    r"|\](?=[(\[:])"
    r"|\|(?=[a-z]{2,10}:|//|\^)"
    r"|\[(?=~)"
    r"|!(?=[a-z]{2,10}:)",
    re.IGNORECASE,
)


def for_log(text: str) -> str:
    """Return a text on one line, so that it can't be taken for lines of the log."""
    return " ".join(redact(text, most=_LOG_MAX).split())


def for_row(text: str) -> str:
    """Return all of a text without secrets and control characters; JSON remains JSON.

    So it is kept in tables, queues and blobs, and with a model in AML. A text that was kept comes
    out as it is.
    """
    return clean_of_secrets(text)


def for_message(text: str, *, most: int) -> str:
    """Return a text in which no service that shows it finds anything but plain text.

    Addresses remain, and lead where they say. How the plain text is written in HTML or Markdown is
    the channel's to say.
    """
    return _COMMANDS.sub(rf"\g<0>{_BREAK}", redact(text, most=most))


def for_terminal(text: str) -> str:
    """Return a text on one line, without secrets and whatever could steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in clean_of_secrets(text))


def for_tag(text: str) -> str:
    """Return a text as the value of a tag of a resource in Azure: one line, at most 250 long."""
    return " ".join(redact(text, most=_TAG_MAX).split())
