"""A YAML document as plain data, with the place of each value in the text."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from shared.schema.wording import cut, found

#: The path of a value in the document: the keys and indexes that lead to it.
Path = tuple[str | int, ...]

LARGEST_DOCUMENT = 256 * 1024
MOST_VALUES = 50_000
DEEPEST_VALUE = 40

_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in the text. Both count from 1; a column of None means the whole line.

    `file` is the file's name, "" where there is only one.
    """

    line: int
    column: int | None
    file: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that makes the text unreadable as a document."""

    mark: Mark
    message: str
    hint: str = ""


class _YamlLoader(yaml.SafeLoader):
    """Reads scalars as YAML 1.2 does: `on`, `yes` and dates are text, 010 is ten."""


_YamlLoader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in (
    ("bool", r"(?:true|false)", "tf"),
    ("null", r"(?:~|null|)", "~n"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _YamlLoader.add_implicit_resolver(
        _TAG + _name, re.compile(rf"^{_pattern}$"), [*_first, *([""] if _name == "null" else [])]
    )


class _WrittenInt(int):
    """A whole number that messages show as it stands in the file: 010, +5."""

    text: str

    def __new__(cls, text: str) -> "_WrittenInt":
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __str__(self) -> str:
        return self.text


class _WrittenFloat(float):
    """A number that messages show as it stands in the file: 1.10, 1e3."""

    text: str

    def __new__(cls, text: str) -> "_WrittenFloat":
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The data of a document, and its places."""

    value: Any
    keys: Mapping[Path, Mark] = field(repr=False)
    nodes: Mapping[Path, yaml.Node] = field(repr=False)

    def mark(self, path: Path) -> Mark:
        """Return the place of the key at the path, or of the nearest thing above it."""
        while path:
            if path in self.keys:
                return self.keys[path]
            if path in self.nodes:
                return _mark(self.nodes[path].start_mark)
            path = path[:-1]
        return _mark(self.nodes[()].start_mark) if () in self.nodes else Mark(1, 1)

    def value_mark(self, path: Path, offset: int | None = None) -> Mark:
        """Return the place of the value at the path, or of one character in its text."""
        node = self.nodes.get(path)
        if node is None:
            return self.mark(path)
        if offset is not None and isinstance(node, yaml.ScalarNode):
            return self._within(node, offset) or _mark(node.start_mark)
        return _mark(node.start_mark)

    def _within(self, node: yaml.ScalarNode, offset: int) -> Mark | None:
        """Find a character by the number of visible ones before it, which folding keeps."""
        start, end = node.start_mark.index, node.end_mark.index
        whole = str(node.start_mark.buffer)
        if node.style in ("|", ">"):
            start = whole.find("\n", start, end) + 1
        elif node.style in ("'", '"'):
            start, end = start + 1, end - 1
        raw = whole[start:end]
        if "".join(raw.split()) != "".join(node.value.split()):
            return None  # there are escapes in it
        before = len("".join(node.value[:offset].split()))
        visible = [at for at, char in enumerate(raw) if not char.isspace()]
        if not visible:
            return None
        at = start + (visible[before] if before < len(visible) else visible[-1] + 1)
        line_start = whole.rfind("\n", 0, at) + 1
        line = whole.count("\n", 0, at) + 1
        return replace(_mark(node.start_mark), line=line, column=at - line_start + 1)


def read_document(text: str, file: str = "") -> tuple[Document | None, tuple[Fault, ...]]:
    """Read the text as one YAML document; without faults there is a document.

    `file` is in each place, for a document that is one of several.
    """
    document, faults = _read(text, file)
    return document, tuple(replace(it, mark=replace(it.mark, file=file)) for it in faults)


def _read(text: str, file: str) -> tuple[Document | None, tuple[Fault, ...]]:
    if len(text) > LARGEST_DOCUMENT:
        size = f"the file has {len(text)} characters, at most {LARGEST_DOCUMENT} are allowed"
        return None, (Fault(Mark(1, None), size),)
    root = _compose(text, file)
    if isinstance(root, Fault):
        return None, (root,)
    builder = _Builder(text)
    value = builder.build(root, ())
    if builder.faults:
        return None, tuple(builder.faults)
    return Document(value=value, keys=builder.keys, nodes=builder.nodes), ()


def _compose(text: str, file: str) -> yaml.Node | Fault:
    try:
        loader = _YamlLoader(text)
        loader.name = file
        root: yaml.Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        return _syntax_fault(error, text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return Fault(
            Mark(line, None), f"the character {text[error.position]!a} is not allowed in YAML"
        )
    except RecursionError:
        return Fault(Mark(1, None), "the file is nested too deeply")
    # The library does not catch these, for example for an escape that is no character.
    except (ValueError, OverflowError, LookupError, yaml.YAMLError) as error:
        return Fault(Mark(1, None), f"the file is not YAML: {cut(str(error))}")
    return Fault(Mark(1, None), "the file is empty") if root is None else root


class _TooMuch(Exception):
    """The document is larger or deeper than it may be."""


class _Builder:
    """Turns nodes into data, notes their places, and collects their faults."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.keys: dict[Path, Mark] = {}
        self.nodes: dict[Path, yaml.Node] = {}
        self.faults: list[Fault] = []

    def build(self, root: yaml.Node, path: Path) -> Any:
        """Return the data of the node and everything below it."""
        try:
            return self._build(root, path)
        except _TooMuch as error:
            self.faults = [Fault(_mark(root.start_mark), str(error))]
            return None

    def _build(self, node: yaml.Node, path: Path) -> Any:
        # Both limits also stop a value that contains itself, and aliases of aliases of aliases.
        if len(self.nodes) >= MOST_VALUES:
            raise _TooMuch(f"the file has more than {MOST_VALUES} values, aliases written out")
        if len(path) > DEEPEST_VALUE:
            raise _TooMuch(f"the file is nested more than {DEEPEST_VALUE} deep")
        self.nodes[path] = node
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self._build(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        return self._fault(node, *_tag_fault(node.tag))

    def _fault(self, node: yaml.Node, message: str, hint: str = "") -> None:
        self.faults.append(Fault(_mark(node.start_mark), message, hint))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key is None:
                continue
            if key == "<<":
                self._fault(
                    key_node,
                    "`<<` does not merge mappings here",
                    "Write the values out, or mark a whole value with `&` and name it with `*`.",
                )
                continue
            if key in data:
                first = self.keys[(*path, key)].line
                self._fault(
                    key_node,
                    f"`{cut(key)}` is here twice, first on line {first}",
                    "Keep one of them.",
                )
                continue
            self.keys[(*path, key)] = _mark(key_node.start_mark)
            data[key] = self._build(value_node, (*path, key))
        return data

    def _key(self, node: yaml.Node) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            written = isinstance(node, yaml.MappingNode) and len(node.value) == 1
            hint = (
                'Write an expression, within quotes: "${{ … }}".'
                if written
                else "Put quotes around it."
            )
            self._fault(node, "a key has to be text, found a list or a mapping", hint)
            return None
        key = self._scalar(node)
        if isinstance(key, str):
            if "${{" in key:
                self._fault(node, "a key can't hold an expression", "Only values can.")
            return key
        hint = f'Put quotes around it: "{found(key)}".'
        number = _DECIMAL.search(self._text, max(0, node.start_mark.index - 9))
        if number is not None and number.start(2) == node.start_mark.index:
            hint = f"Write a decimal point: {number[1]}.{number[2]}."
        self._fault(node, f"a key has to be text, found {found(key)}", hint)
        return None

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text = node.value
        try:
            text.encode()
            match node.tag.removeprefix(_TAG):
                case "str":
                    return text
                case "null":
                    return None
                case "bool" if text in ("true", "false"):
                    return text == "true"
                case "int":
                    return int(text) if str(int(text)) == text else _WrittenInt(text)
                case "float":
                    return float(text) if str(float(text)) == text else _WrittenFloat(text)
        except ValueError:
            return self._fault(node, f"'{cut(ascii(text)[1:-1])}' can't be read as a value")
        return self._fault(node, *_tag_fault(node.tag))


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1, mark.name)


def _tag_fault(tag: str) -> tuple[str, str]:
    name = tag.replace(_TAG, "!!")
    return (
        f"the YAML tag `{cut(name)}` is not allowed",
        "Put quotes around text that begins with `!`." if not name.startswith("!!") else "",
    )


_SYNTAX_HINTS = (
    (
        "mapping values are not allowed",
        "Put quotes around text that holds `: `, or fix the line above: its column, its `:`.",
    ),
    (r"character '\t'", "Indent with spaces, not with tabs."),
    ("cannot start any token", "Put quotes around text that begins with such a character."),
    ("expected <block end>", "The lines of one list or mapping begin in the same column."),
    ("could not find expected ':'", "A key ends with `:` and a space."),
    ("found another document", "Keep everything in one document: no second `---`."),
    ("undefined alias", "Put quotes around text that begins with `*`."),
    ("end of stream", "A quote or a bracket is not closed."),
)


#: A number with a decimal comma, which ends an item between braces.
_DECIMAL = re.compile(r"(?<![\d.])(\d{1,4}),(\d{1,4})(?![\d.])")
#: An app setting that stands there without quotes.
_BARE_SETTING = re.compile(r"%[A-Za-z][A-Za-z0-9_]{0,100}%")
#: An item of a list that is a key without a value, and a key of any line.
_BARE_ITEM = re.compile(r"(\s*)- ([A-Za-z_][\w-]{0,60}):\s*(?:#.*)?")
_KEY_LINE = re.compile(r"(\s*)[A-Za-z_][\w-]{0,60}:(?:\s|\Z)")
#: A value that is one text in quotes so far.
_QUOTED = re.compile(r"""[:-]\s+(?:'[^']*'|"[^"]*")\s+\Z""")


def _before(mark: Any, text: str) -> str:
    """Return the text before a place in its line."""
    return text[text.rfind("\n", 0, mark.index) + 1 : mark.index]


def _syntax_fault(error: yaml.MarkedYAMLError, text: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    problem = (error.problem or error.context or "it can't be read").replace("\n", " ")
    if "could not find expected ':'" in problem:  # a text continued on the next line
        mark = error.context_mark or mark
    if "found another document" in problem:
        problem = "found another document"
    hint = next((hint for part, hint in _SYNTAX_HINTS if part in problem), "")
    if mark is not None and text[max(mark.index - 1, 0) :].startswith("${"):
        hint = "Put quotes around text that holds `{`."
    # Between braces or brackets, a text without quotes ends before the `{`.
    if mark is not None and text[max(mark.index - 1, 0) :].startswith("${{"):
        hint = 'Put quotes around it: "${{ … }}".'
    if (
        mark is not None
        and "expected <block end>" in problem
        and _QUOTED.search(_before(mark, text))
    ):
        hint = "Put quotes around all of it; those within it are single ones."
    if mark is not None and (setting := _BARE_SETTING.match(text, mark.index)):
        hint = f'Put quotes around it: "{setting[0]}".'
    if mark is not None and (slip := _indentation_fault(text.split("\n"), mark.line)):
        return slip
    place = Mark(1, None) if mark is None else _mark(mark)
    return Fault(place, f"YAML: {problem}", hint)


def _indentation_fault(lines: list[str], at: int) -> Fault | None:
    """Return the fault of values that are not below the item that they belong to, if it is that.

    `at` is the line that can't be read, from 0. The slip is in one of the lines before it, or is
    its own column.
    """
    item = next((n for n in range(at - 1, -1, -1) if _BARE_ITEM.fullmatch(lines[n])), None)
    if item is None or not (named := _BARE_ITEM.fullmatch(lines[item])):
        return None
    dash = len(named[1])
    keys = [_KEY_LINE.match(line) for line in lines[item + 1 : at + 1]]
    first = keys[0] if keys else None
    if first is None or len(first[1]) > dash + 2 or any(key is None for key in keys):
        return None
    if len(first[1]) < dash or (len(first[1]) == dash and at != item + 1):
        return None
    more = dash + 4 - len(first[1])
    message = f"the values of `{named[2]}` are not below it"
    hint = f"Indent them by {_SPACES.get(more, str(more))} spaces more, all in one column."
    return Fault(Mark(item + 2, len(first[1]) + 1), message, hint)


_SPACES = {2: "two", 3: "three", 4: "four"}
