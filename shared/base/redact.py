"""Take secrets out of text that other programs wrote, before it is kept or sent.

The patterns are our own, after those that GitHub, Microsoft and gitleaks publish. detect-secrets
takes 130 ms to import and quadratic time. 22 of gitleaks' 222 rules don't compile in Python, and
the others need the linear engine of Go.

Every pattern takes linear time, because of one rule, which a test checks: after a part without an
upper bound nothing may be required. So an attempt that fails has looked at a bounded number of
characters, and one that goes further has found a secret.

No pattern takes a quotation mark out, or half an escape: JSON remains JSON, unless a text in it
ends where a value would begin, as in "no token:". For that see `for_row` in base/outgoing.py.
"""

import re
from dataclasses import dataclass
from functools import cache

#: Stands where a secret was.
MARK = "[redacted]"

#: How many more characters than asked for are searched: the longest word that may lie on the edge.
_WORD_MAX = 8192

#: Colour codes, as such and as the escapes of a JSON or Python text.
_COLOUR = re.compile(r"(?:\x9b|(?:\x1b|(?<!\\)\\(?:u001[bB]|x1[bB]|033|e))\[)[0-9;:?]{0,32}[@-~]?")
#: Control characters, and what has no width or turns the direction: they hide text, break the words
#: by which a secret is found, and forge lines. Half a character is among them: nothing can store
#: it. Line feeds and tabs stay.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff9-\ufffb\U000e0000-\U000e0fff]"
    r"|(?<!\\)\\u(?:00[aA][dD]|200[b-fB-F]|206[0-4]|[fF][eE][fF][fF])"
)

# Parts of patterns. A quotation mark may be escaped, once for each JSON that it is within.
_QUOTE = r"\\{0,15}['\"]"
_IS = (
    # `==` at the end of a line is the padding of a value.
    r"\s{0,8}(?:=>|:=|=(?!=)|={2,3}(?!=?\r?\n)|[:\uff1a\uff1d]|%3[aAdD]"
    r"|\\{1,8}u(?:003[aAdD]|[fF]{2}1[aAdD]))\s{0,8}"
)
#: A quotation mark as it is written in HTML, in addresses, in logs, and in JSON by .NET and Go.
_ENTITY = r"(?:\\{1,8}(?:u00|x)2[27]|&(?:quot|apos|#3[49]|#x2[27]);|%22)"
_ESCAPE = r"\\{1,8}(?:u00(?!22|27)[0-9a-fA-F]{2}|/)|\\\\(?![\\'\"]|u002[27]|x2[27])"
_HEADER = rf"(?:{_QUOTE}{_IS}{_QUOTE}|{_IS}(?:{_QUOTE})?)"
_VALUE = r"(?:[^\s'\"\\,;&<>]|" + _ESCAPE + ")"
_IN_URL = r"(?:[^\s'\"\\&<>#]|" + _ESCAPE + ")"
#: A value in quotation marks, up to the one that ends it: within JSON within JSON a mark has n
#: backslashes before it, one of the value's own 2n + 1, and a backslash of the value is 2n + 2.
_QUOTED = (
    r"(?:(?P<double>(?P<n>\\{0,15})\")(?:[^\"\\\r\n]|(?P=n)\\(?:(?P=n)(?:\\|\")|[^\"\\\r\n]))++"
    r"|(?P<single>\\{0,15}')(?:[^'\"\\\r\n]|\\{1,15}+(?!['\"]))++)"
)
#: Of bytes, as Python writes them.
_PREFIX = r"(?:b|r|br|rb|u)?"
#: Such as "InvalidAuthenticationToken: The access token has expired".
_SENTENCE = r"(?!(?<=[: ])[A-Za-z']{1,14},? [a-z])"
#: Values that are no secret: an earlier redaction, an empty one, and a placeholder.
_PLACE = (
    rf"(?!\[redacted\]|{_QUOTE}(?:{_QUOTE}|\[redacted\]|<|\$\{{)|<|\$\{{|\$\(|\{{\{{"
    r"|(?:none|null|true|false|undefined)\b)"
)


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a kind of secret is written.

    Only a text that holds one of `hints` is searched, in lower case, with or without its blanks,
    hyphens and underscores. The first group of a match of `pattern` is kept.
    """

    hints: tuple[str, ...]
    pattern: str
    flags: re.RegexFlag


def _any(hints: str, pattern: str) -> Spelling:
    return Spelling(tuple(hints.split()), pattern, re.IGNORECASE)


def _exact(hints: str, pattern: str) -> Spelling:
    return Spelling(tuple(hints.split()), pattern, re.NOFLAG)


def _named(hints: str, names: str, *, but: str = _SENTENCE) -> Spelling:
    """Return the spelling of a value whose name says that it is secret; a longer name may end so.

    After a name in quotation marks, as of JSON and of `config["token"] = …`, only a text in
    quotation marks is one: JSON has numbers too.
    """
    equals = (
        rf"(?:{_QUOTE}\]?{_IS}{_PREFIX}(?={_QUOTE})|(?:{_ENTITY})?{_IS}{_ENTITY}"
        rf"|{_IS}(?:{_PREFIX}(?={_QUOTE}))?)"
    )
    return _any(hints, rf"((?:{names}){equals}){_PLACE}(?:{_QUOTED}|(?!{_QUOTE}){but}{_VALUE}++)")


#: These are secrets before "key", as "api-key", "API_KEY" or "apiKey".
_KEYS = (
    "api access account primary secondary storage subscription master private encryption signing "
    "shared client host function functions webhook integration instrumentation sas system auth "
    "admin deploy license service routing secret"
)

#: The ends of names whose values are secret.
_SECRET_NAMES = (
    "(?:password|passwd|passphrase|passcode|secret|token|pwd|"
    rf"(?:{_KEYS.replace(' ', '|')})[-_ ]?key)"
)

#: "Password" where it is another word.
_FOREIGN = (
    "contrase\u00f1a|mot de passe|senha|wachtwoord|has\u0142o|l\u00f6senord"
    "|\u043f\u0430\u0440\u043e\u043b\u044c|\u5bc6\u7801|\u5bc6\u78bc"
    "|\u30d1\u30b9\u30ef\u30fc\u30c9|\ube44\ubc00\ubc88\ud638"
)


def _escaped(char: str) -> str:
    return char if char.isascii() else rf"(?:{char}|\\{{1,8}}u{ord(char):04x})"


def _hints_of(words: str) -> str:
    """Return hints for words, also where JSON has the first of their letters as an escape."""
    plain = words.replace(" ", "").replace("|", " ")
    first = (next((c for c in word if not c.isascii()), "") for word in plain.split())
    return " ".join([plain, *(f"u{ord(char):04x}" for char in first if char)])


#: Secrets with a form of their own: each begins a word, and holds nothing but the secret.
#: People name models `ops-forecast-2026` and `global_demand_model`, and rows keep those names. So a
#: beginning that may be a word of theirs is followed by letters and digits without a break, more
#: than a word has.
FORMS: tuple[str, ...] = (
    r"gh[pousr]_(?=[A-Za-z0-9]{16})[A-Za-z0-9_.-]{16,}+",
    r"github_pat_\w{16,}+",
    r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|wt|oas|ffct|soat)-[\w.-]{16,}+",
    r"(?:xox[a-z](?:\.xox[a-z])?-|xapp-\d|xwfp-)[\w-]{8,}+",
    r"[a-z]k_(?:live|test|prod)_(?=[A-Za-z0-9]{0,64}\d)[A-Za-z0-9]{16,}+",
    r"(?:whsec|npm|hf|api_org|gls?[ac]|shp(?:at|ca|pa|ss)|lin_api|ntn|sntry[su]|r8|gsk|sbp|nfp|"
    r"lsv2_(?:pt|sk)|do[opr]_v1|sq[apu]|rubygems|secret|bkua|rpa|tvly(?:-dev)?|pat)[_.-]"
    r"(?=[A-Za-z0-9+/]{24})[\w+/=.-]{24,}+",
    r"(?:dckr_(?:pat|oat)_|figd_|pscale_[a-z]{2,8}_|dp\.(?:pt|st|ct|sa|scim|audit)\.|hv[bsr]\.)"
    r"(?=[\w-]{0,64}\d)[\w+/=.-]{24,}+",
    r"(?:sk|pplx|xai|NRAK|PMAK|pul|key|pypi|AGE-SECRET-KEY)-(?=[A-Za-z0-9]{24})[\w-]{24,}+",
    r"(?:sk-(?:proj|svcacct|admin|None|ant-[a-z]{2,6}\d\d|or-v\d|lf)|tskey-[a-z]{2,8}|HRKU|CCIPAT|"
    r"pypi-AgE)[\w-](?=[\w-]{0,64}\d)[\w-]{20,}+",
    r"dapi[0-9a-f]{32}(?:-\d)?",
    r"SG\.[\w-]{16,64}\.[\w-]{16,}+",
    r"SK[0-9a-f]{32}(?![0-9a-f])",
    r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z2-7]{16}(?![A-Z0-9])",
    r"(?:AIza|ya29\.|GOCSPX-|1//0)[\w-]{20,}+",
    r"(?:ATATT3|ATCTT3|AKCp)[\w=-]{20,}+",
    r"\d{8,10}:AA[\w-]{32,}+",
    # Azure: a client's secret, a token of DevOps.
    r"(?<![~.-])[\w~.]{3}\dQ~[\w~.-]{31,34}",
    r"[A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{20,}+",
    # Keys of Azure: 64 bytes, as storage and Cosmos DB have them, and shorter ones with a sign.
    r"(?<![+/-])[A-Za-z0-9+/]{86}==",
    r"(?<![+/-])[A-Za-z0-9+/_-]{32,46}(?:AzFu|AzSe|AzCa|ACR|ASb|AEh|ARm|ACDb|APIM)[A-Za-z0-9+/_-]{5,8}={0,2}"
    r"(?![A-Za-z0-9+/_=-])",
)

SPELLINGS: tuple[Spelling, ...] = (
    # Keys in PEM, whole or cut off.
    _exact(
        "private",
        r"()-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20}-----"
        r"(?:[\w+/=\s:,.]|-(?!----)|\\{1,15}+(?!['\"]))*+(?:-----END [A-Z0-9 ]{0,60}-----)?+",
    ),
    # JSON web tokens and other JSON in base64, whole or cut off.
    _exact(
        "eyj",
        r"()(?<![A-Za-z0-9])eyJ[\w-]{10,}+(?:\.[\w-]*+(?:\.[\w-]*+(?:\.[\w-]*+(?:\.[\w-]*+)?+)?+)?+)?+",
    ),
    # Headers.
    _any(
        "authorization",
        rf"(authorization{_HEADER}(?:sharedkey|sharedkeylite|oauth|"
        rf"sharedaccesssignature|aws4-hmac-sha256|hmac-sha256|signature|negotiate)\s{{1,8}})"
        r"(?!\[redacted)(?:[^\r\n'\"\\]|" + _ESCAPE + ")++",
    ),
    _any(
        "authorization",
        rf"(authorization{_HEADER}(?:(?:bearer|basic|token|apikey|key|bot|"
        rf"genie-?key)(?:\s|%20|\+){{1,8}})?){_PLACE}(?!{_QUOTE}){_SENTENCE}{_VALUE}++",
    ),
    _any("cookie", rf"(\b(?:set-)?cookie{_QUOTE}?\s{{0,8}}:\s{{0,8}}){_PLACE}{_QUOTED}"),
    _any(
        "cookie",
        rf"(\b(?:set-)?cookie\s{{0,8}}:\s{{0,8}})(?!\[redacted|{_QUOTE})"
        r"(?=[^\r\n'\"\\ ]{1,100}=)(?:[^\r\n'\"\\]|" + _ESCAPE + ")++",
    ),
    _any("bearer", r"(\bbearer\s{1,8})(?=[a-z._~+/-]{0,64}[0-9=])[\w.~+/=-]{16,}+"),
    _any("basic", r"(\bbasic\s{1,8})(?=[a-z+/]{0,64}[0-9=])[\w+/=-]{12,}+"),
    # In addresses.
    _any(
        "://",
        r"(\b(?:slack|discord|tgram|msteams|workflows?|gchat|mmosts?|rockets?|opsgenie|pagerduty|"
        r"jira|pover|wxteams|webex|twilio|sns|mailgun|sendgrid|ifttt|pushbullet|victorops|splunk|"
        rf"zulip|matrixs?|signals?|gotifys?|pagertree|squadcast|goalert)://)(?!\[redacted){_IN_URL}++",
    ),
    _any(
        "://",
        r"(://[^\s:/?#@'\"\\<>\[]{0,128}:)(?!\[redacted\]@)"
        r"(?:[^\s/'\"\\<>]{1,256}(?=@)|(?!\d{1,5}[/?#])[^\s'\"\\<>?#]{1,256}(?=@))",
    ),
    _any("://", r"(://)[^\s:/?#@'\"\\<>.]{20,256}(?=@)"),
    _any(
        "sig",
        r"((?<![a-z])sig(?:=|%3d|\\{1,8}u003d))(?!\[redacted)"
        rf"(?:(?<=[?&;]sig=){_IN_URL}++|{_IN_URL}{{8,}}+)",
    ),
    _any(
        "code key token signature credential auth pass pwd",
        r"((?:[?&;]|%3f|%26|\\{1,8}u0026)(?:code|key|apikey|x-(?:amz|goog)-(?:signature|credential|"
        r"security-token)|signature|auth|password|pass|passwd|pwd|token|access_token)"
        rf"(?:=|%3d|\\{{1,8}}u003d))(?!\[redacted){_IN_URL}{{12,}}+",
    ),
    _any(
        "hook pagerduty ifttt",
        r"(hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/|/hooks/catch/|/webhookb2/|"
        r"outlook\.office(?:365)?\.com/webhook/|/bot/v2/hook/|ifttt\.com/trigger/[^/\s'\"\\]{1,64}/"
        r"(?:json/)?with/key/|events\.(?:eu\.)?pagerduty\.com/(?:integration/|x-ere/)|"
        rf"/hooks/(?=[a-z0-9_-]{{16}})|/webhooks/(?=\d{{6}}))(?!\[redacted){_IN_URL}++",
    ),
    _any("/bot", r"(/bot)\d{6,12}:[\w-]{20,}+"),
    # By their name.
    _named(
        "pass secret identityheader accesssignature",
        "password|passwd|passphrase|passcode|passwort|secret(?:[-_ ]?value)?|identity[-_ ]?header|"
        "shared[-_ ]?access[-_ ]?signature",
    ),
    _named(_KEYS.replace(" ", "key ") + "key", rf"(?:{_KEYS.replace(' ', '|')})[-_ ]?key"),
    _named(_hints_of(_FOREIGN), "".join(map(_escaped, _FOREIGN))),
    _named("token", "token"),
    _named("pwd", "pwd", but="(?!/)"),
    _exact(
        "_key _pass",
        rf"([A-Z0-9]_(?:KEY|PASS){_IS}){_PLACE}(?:{_QUOTED}|(?!{_QUOTE}){_VALUE}{{12,}}+)",
    ),
    # A name in one place and its value in another.
    _any(
        "word> passwd> passphrase> passcode> secret> token> pwd> key>",
        rf"(<[\w.:-]{{0,64}}{_SECRET_NAMES}>)(?!\[redacted|\$[({{]|\{{\{{)[^<>'\"\\\r\n]++",
    ),
    _any(
        "value",
        rf"((?:key|name)(?:{_QUOTE})?{_IS}{_QUOTE}[\w.:-]{{0,64}}{_SECRET_NAMES}{_QUOTE}[^{{}}<>]{{0,64}}?"
        rf"\bvalue(?:{_QUOTE})?{_IS}(?={_QUOTE})){_PLACE}{_QUOTED}",
    ),
    _any(
        "--",
        r"(--(?:[a-z]{1,20}-){0,4}(?:password|passwd|token|secret|account-key|api-key|access-key)"
        rf"\s{{1,8}}(?:{_QUOTE})?)(?!-|\[redacted|{_QUOTE}){_VALUE}++",
    ),
    _any(
        "-u --user",
        r"((?<![^\s'\"])(?:-u|--user)\s{0,8}(?:\\{0,15}['\"])?[^\s:'\"\\]{1,64}:)(?!\[redacted)"
        rf"{_VALUE}++",
    ),
    _any("login", rf"(\blogin\s{{1,8}}[^\s]{{1,64}}\s{{1,8}}password\s{{1,8}}){_PLACE}{_VALUE}++"),
    # By their own form: one pattern, since nearly all words are told apart by where they begin.
    Spelling(
        ("",),
        rf"()(?<![A-Za-z0-9_])(?=[\w+/.:~-]{{13}})(?:{'|'.join(FORMS)})",
        re.NOFLAG,
    ),
)  # fmt: skip


def redact(text: str, *, most: int = 1000) -> str:
    """Return the text without secrets and control characters, at most `most` characters of it.

    Not much more than that is searched, however long the text is. A secret that lies on the edge is
    taken out whole.
    """
    seen = _cut(text, most + _WORD_MAX)
    clean = clean_of_secrets(seen)
    if len(clean) > most or len(seen) < len(text):
        return clean[: most - 1] + "…"
    return clean


def clean_of_secrets(text: str) -> str:
    """Return all of the text, without secrets and control characters."""
    clean = text
    if not (text.isascii() and text.isprintable()) or "\\" in text:
        clean = _INVISIBLE.sub("", _COLOUR.sub("", text))
    words = hinted(clean)
    for spelling in SPELLINGS:
        if any(hint in words for hint in spelling.hints):
            clean = compiled(spelling).sub(_marked, clean)
    return clean


def _marked(match: re.Match[str]) -> str:
    """Return the replacement of a secret: the part before it that is kept, and the mark."""
    quotes = match.groupdict()
    return f"{match[1]}{quotes.get('double') or quotes.get('single') or ''}{MARK}"


def hinted(text: str) -> str:
    """Return the text in which hints are searched for."""
    lowered = text.lower().replace('"key":', "")  # of which our documents are full
    return lowered + lowered.replace(" ", "").replace("-", "").replace("_", "")


@cache
def compiled(spelling: Spelling) -> re.Pattern[str]:
    """Return the pattern; most are never needed, and compiling all of them takes 30 ms."""
    return re.compile(spelling.pattern, spelling.flags)


def _cut(text: str, most: int) -> str:
    """Return the beginning of a long text, without the word that the cut goes through."""
    if len(text) <= most:
        return text
    head = text[:most]
    edge = max(head.rfind(blank, most - _WORD_MAX) for blank in " \n\t")
    return head[: edge if edge > 0 else most - _WORD_MAX]
