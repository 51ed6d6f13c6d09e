"""Take secrets out of text that other programs wrote, before it is kept or told."""

import re

_MARK = "[redacted]"

#: What secrets look like in container logs and service messages. The first group is kept. None
#: looks for where its word begins: that would take time that grows with the text's square.
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"((?:authorization|proxy-authorization)\s*[:=]\s*['\"]?(?:bearer|basic)\s+)[^\s'\",;]+",
        r"(\bbearer\s+)[a-z0-9._~+/=-]{16,}",
        r"([?&;]sig=)[^&\s'\"]+",
        r"(\b(?:account|sharedaccess|primary|secondary|storage|api|access|subscription)[_-]?key"
        r"['\"]?\s*[:=]\s*['\"]?)[^\s'\",;]+",
        r"((?:password|passwd|secret|token)['\"]?\s*[:=]\s*['\"]?)[^\s'\",;]+",
        r"([a-z0-9+.-]://[^\s:/@]+:)[^\s@/]+(?=@)",
        r"()\beyJ[a-z0-9_-]{8,}\.[a-z0-9_-]{8,}\.[a-z0-9_-]*",
    )
)
#: Half a character, cut off by whoever wrote it, is among them: nothing can store it.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def redact(text: str, *, most: int = 1000) -> str:
    """Return the text without secrets and control characters, at most `most` characters of it.

    The cut comes last: a secret that straddles it is gone before.
    """
    clean = _CONTROL.sub("", text)
    for pattern in _PATTERNS:
        clean = pattern.sub(rf"\g<1>{_MARK}", clean)
    return clean if len(clean) <= most else clean[: most - 1] + "…"
