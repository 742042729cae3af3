"""The API reference: one Markdown page per public module, from its `__all__` and the docstrings behind it.

Nothing is imported: griffe reads the sources, and the snapshot of public names says which modules. What a page shows of
a name is what a user may lean on (docs/versioning.md): its signature, its fields with their defaults, its public
methods, also those that come from a base that is not public.
"""

import ast
import logging
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import griffe

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOT = ROOT / "tests" / "packaging" / "public_api.txt"
PACKAGE: Final = "vextrus_payments"
_LINE_MAX: Final = 96
#: Sections of the facade's page, in reading order: heading -> the inner modules whose names stand there.
_FACADE: Final[dict[str, tuple[str, ...]]] = {
    "Taking payments": ("app",),
    "What you ask for": ("payment", "payouts", "money", "mode", "secret"),
    "What you are told": ("outcomes", "reasons", "methods", "engine"),
    "Records": ("records", "capabilities"),
    "Ledger": ("ledger",),
    "Events and deliveries": ("events", "outbox"),
    "Operating": ("reconcile", "resolving", "health", "epoch"),
}
_ERRORS: Final = "errors"


@cache
def pages() -> dict[str, str]:
    """File name -> Markdown of every page, the index first."""
    logging.getLogger("griffe").setLevel(logging.ERROR)
    package = griffe.load(PACKAGE, search_paths=[ROOT / "src"], docstring_parser="google")
    assert isinstance(package, griffe.Module)
    made: dict[str, str] = {}
    rows: list[str] = []
    for name in public_modules():
        module = _part(package, name)
        if name == PACKAGE:
            made["vextrus_payments.md"] = _facade(module)
            made["errors.md"] = _errors(module)
            rows.append(f"| [`{name}`](vextrus_payments.md) | {_first_line(module)} |")
            rows.append("| [its errors](errors.md) | The exception tree, and what each one means for money |")
        else:
            file = f"{name.removeprefix(f'{PACKAGE}.')}.md"
            made[file] = _page(module)
            rows.append(f"| [`{name}`]({file}) | {_first_line(module)} |")
    head = (
        "# API reference\n\nMade from the docstrings. What is public, and how it may change: "
        "[versions](../versioning.md).\n\n| module | |\n|---|---|\n"
    )
    return {"index.md": head + "\n".join(rows) + "\n", **made}


def public_modules() -> list[str]:
    """The modules of the snapshot, in its order."""
    lines = SNAPSHOT.read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(line.partition(":")[0] for line in lines))


def names_of(page: str) -> list[str]:
    """The names a page describes, by its second-level headings."""
    return re.findall(r"(?m)^## `(\w+)` \{", page)


def _part(package: griffe.Module, name: str) -> griffe.Module:
    found = package if name == PACKAGE else package[name.removeprefix(f"{PACKAGE}.")]
    assert isinstance(found, griffe.Module)
    return found


def _facade(module: griffe.Module) -> str:
    public = _public(module)
    lines = [f"# `{module.path}`", "", _markdown(module.docstring), ""]
    placed: set[str] = set()
    for heading, homes in _FACADE.items():
        wanted = [name for home in homes for name in public if _home(public[name]) == home]
        if heading == "Taking payments":
            wanted.sort(key=lambda name: name != "Payments")
        placed.update(wanted)
        lines += [f"**{heading}**: " + ", ".join(f"[`{name}`](#{name.lower()})" for name in wanted), ""]
    rest = [name for name in public if name not in placed and _home(public[name]) != _ERRORS]
    if rest:
        raise SystemExit(f"api.py: no section of the facade's page names the home of {', '.join(rest)}")
    lines += ["[Errors](errors.md) have a page of their own.", ""]
    for heading, homes in _FACADE.items():
        wanted = [name for home in homes for name in public if _home(public[name]) == home]
        if heading == "Taking payments":
            wanted.sort(key=lambda name: name != "Payments")
        for name in wanted:
            lines += _object(name, public[name])
    return "\n".join(lines)


def _errors(facade: griffe.Module) -> str:
    public = {name: found for name, found in _public(facade).items() if _home(found) == _ERRORS}
    home = facade["errors"]
    lines = ["# Errors", "", _markdown(home.docstring), ""]
    for name, found in public.items():
        lines += _object(name, found)
    return "\n".join(lines)


def _page(module: griffe.Module) -> str:
    public = _public(module)
    lines = [f"# `{module.path}`", "", _markdown(module.docstring), "", "| name | |", "|---|---|"]
    lines += [f"| [`{name}`](#{name.lower()}) | {_first_line(found)} |" for name, found in public.items()]
    for name, found in public.items():
        lines += ["", *_object(name, found)]
    return "\n".join(lines)


def _public(module: griffe.Module) -> dict[str, griffe.Object]:
    exports = [str(name) for name in module.exports or []]
    return {name: _resolved(module.members[name]) for name in exports if not name.startswith("__")}


def _resolved(found: griffe.Object | griffe.Alias) -> griffe.Object:
    target = found.final_target if isinstance(found, griffe.Alias) else found
    assert isinstance(target, griffe.Object)
    return target


def _home(found: griffe.Object) -> str:
    return found.canonical_path.split(".")[1]


# --- one name -------------------------------------------------------------------------------------------------------


def _object(name: str, found: griffe.Object) -> list[str]:
    lines = [f"## `{name}` {{ #{name.lower()} }}", ""]
    match found:
        case griffe.Class():
            lines += _class(name, found)
        case griffe.Function():
            lines += [_fence(_signature(name, found)), "", _markdown(found.docstring), ""]
        case _:
            lines += [_fence(_assigned(name, found)), "", _markdown(found.docstring), ""]
    return lines


def _assigned(name: str, found: griffe.Object) -> str:
    value = found.value if isinstance(found, griffe.Attribute | griffe.TypeAlias) else ""
    return f"{name} = {value}"


def _class(name: str, found: griffe.Class) -> list[str]:
    bases = ", ".join(str(base) for base in found.bases)
    opening = f"class {name}({bases})" if bases else f"class {name}"
    init = _own(found, "__init__")
    fields = list(_fields(found))
    if isinstance(init, griffe.Function) and not _is_record(found):
        opening = _signature(f"class {name}", init)
    lines = [_fence(opening), "", _markdown(found.docstring), ""]
    if isinstance(init, griffe.Function) and not _is_record(found) and init.docstring:
        lines += [_markdown(init.docstring), ""]
    if _is_enum(found):
        lines += ["| member | value | |", "|---|---|---|"]
        lines += [f"| `{f.name}` | `{f.value}` | {_cell(f.docstring)} |" for f in fields]
        lines.append("")
    elif fields:
        lines += ["| field | type | default | |", "|---|---|---|---|"]
        lines += [_field_row(field) for field in fields]
        lines.append("")
    for method in _methods(found):
        lines += [f"### `{name}.{method.name}` {{ #{name.lower()}.{method.name} }}", ""]
        if isinstance(method, griffe.Function):
            lines += [_fence(_signature(method.name, method)), ""]
        elif isinstance(method, griffe.Attribute) and method.annotation is not None:
            lines += [_fence(f"{method.name}: {method.annotation}"), ""]
        lines += [_markdown(_told_elsewhere(found, method) or method.docstring), ""]
    return lines


def _told_elsewhere(found: griffe.Class, method: griffe.Object) -> griffe.Docstring | None:
    """The docstring to which a `See TenantPayments.refund.` sends its reader, so that nobody has to go there."""
    said = re.fullmatch(r"See (\w+)\.(\w+)\.", method.docstring.value.strip()) if method.docstring else None
    if said is None:
        return None
    facade = found.package
    assert isinstance(facade, griffe.Module)
    home = _resolved(facade.members[said[1]]) if said[1] in facade.members else None
    target = _own(home, said[2]) if isinstance(home, griffe.Class) else None
    return target.docstring if target is not None else None


def _field_row(field: griffe.Attribute) -> str:
    default, said = _default(field)
    kind, value = (
        f"`{_flat(one)}`".replace("|", "\\|") if one is not None else ""
        for one in (field.annotation, default)
    )
    return f"| `{field.name}` | {kind} | {value} | {_one_line(said)} |"


def _default(field: griffe.Attribute) -> tuple[str | None, str]:
    """What a field is when it is not given, and what is said of it; pydantic's Field() holds both."""
    said = field.docstring.value if field.docstring else ""
    if field.value is None:
        return None, said
    call = ast.parse(str(field.value), mode="eval").body
    if not (
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("Field", "field")
    ):
        return str(field.value), said
    told = {word.arg: word.value for word in call.keywords}
    description = told.get("description")
    if isinstance(description, ast.Constant) and isinstance(description.value, str) and not said:
        said = f"{description.value}."
    default = told.get("default") or told.get("default_factory")
    return (None if default is None else ast.unparse(default)), said


def _flat(expression: object) -> str:
    return " ".join(str(expression).split())


def _own(found: griffe.Class, name: str) -> griffe.Object | None:
    member = found.all_members.get(name)
    return _resolved(member) if member is not None else None


def _is_enum(found: griffe.Class) -> bool:
    return any(str(base).rpartition(".")[2] in ("StrEnum", "Enum", "IntEnum") for base in _ancestry(found))


def _is_record(found: griffe.Class) -> bool:
    """A dataclass or a pydantic model: its fields say what its constructor takes."""
    if "dataclass" in found.labels or any("dataclass" in str(d.value) for d in found.decorators):
        return True
    return any(str(base).rpartition(".")[2] in ("BaseModel", "GatewayConfig") for base in _ancestry(found))


def _ancestry(found: griffe.Class) -> Iterator[object]:
    yield from found.bases
    for base in found.resolved_bases:
        if isinstance(base, griffe.Class):
            yield from _ancestry(base)


def _members(found: griffe.Class) -> Iterable[griffe.Object]:
    """Own members, and those inherited from bases inside this package, in the order of the source."""
    own = list(found.members.values())
    inherited = [m for name, m in found.inherited_members.items() if name not in found.members]
    for member in (*inherited, *own):
        try:
            target = _resolved(member)
        except griffe.AliasResolutionError:
            continue  # a base from outside of the package
        if target.canonical_path.startswith(PACKAGE) and not target.name.startswith("_"):
            yield target


def _fields(found: griffe.Class) -> Iterator[griffe.Attribute]:
    for member in _members(found):
        if not isinstance(member, griffe.Attribute) or "property" in member.labels:
            continue
        if member.name == "model_config":
            continue
        of_the_class = not _is_enum(found) and "instance-attribute" not in member.labels
        if not of_the_class and (_is_enum(found) or _is_record(found) or member.docstring):
            yield member


def _methods(found: griffe.Class) -> Iterator[griffe.Object]:
    for member in _members(found):
        if "property" in member.labels or (isinstance(member, griffe.Function) and member.docstring):
            yield member


# --- text -----------------------------------------------------------------------------------------------------------


def _fence(code: str) -> str:
    return f"```python\n{code}\n```"


def _signature(name: str, function: griffe.Function) -> str:
    opening = "async def " if "async" in function.labels else "def "
    if name.startswith("class "):
        opening = ""
    for label in ("classmethod", "staticmethod"):
        if label in function.labels and opening:
            opening = f"@{label}\n{opening}"
    shown = list(_parameters(function))
    returns = f" -> {function.returns}" if function.returns is not None and opening else ""
    line = f"{opening}{name}({', '.join(shown)}){returns}"
    if len(line) <= _LINE_MAX:
        return line
    inner = "".join(f"    {parameter},\n" for parameter in shown)
    return f"{opening}{name}(\n{inner}){returns}"


def _parameters(function: griffe.Function) -> Iterator[str]:
    starred = False
    for index, parameter in enumerate(function.parameters):
        if index == 0 and parameter.name in ("self", "cls"):
            continue
        kind = parameter.kind
        if kind is griffe.ParameterKind.keyword_only and not starred:
            starred = True
            yield "*"
        star = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(
            kind or griffe.ParameterKind.positional_or_keyword, ""
        )
        starred = starred or star == "*"
        annotation = f": {parameter.annotation}" if parameter.annotation is not None else ""
        if parameter.default is None or star:
            yield f"{star}{parameter.name}{annotation}"
        else:
            yield f"{parameter.name}{annotation}{' = ' if annotation else '='}{parameter.default}"


def _first_line(found: griffe.Object) -> str:
    return _one_line(_text(found.docstring).strip().partition("\n\n")[0])


def _cell(docstring: griffe.Docstring | None) -> str:
    return _one_line(_text(docstring))


def _one_line(text: str) -> str:
    return _escaped(" ".join(text.split())).replace("|", "\\|")


def _text(docstring: griffe.Docstring | None) -> str:
    """A docstring without what only the maintainers can look up: sections of their notes on the wire."""
    text = docstring.value if docstring is not None else ""
    return re.sub(r"\s?\((?:dossier )?§[^)]*\)", "", text).replace("Raises (on creation):", "Raises:")


def _markdown(docstring: griffe.Docstring | None) -> str:
    """A docstring as Markdown: its text as it stands, its sections (Raises, Attributes ...) as lists."""
    if docstring is None:
        return ""
    parts: list[str] = []
    for section in griffe.Docstring(_text(docstring), parent=docstring.parent).parse(
        "google", warnings=False
    ):
        match section:
            case griffe.DocstringSectionText(value=text):
                parts.append(_escaped(_drawings_fenced(text)))
            case griffe.DocstringSectionAdmonition(title=title, value=said):
                parts.append(f"**{title}:** {_escaped(said.description)}")
            case griffe.DocstringSectionExamples(value=examples):
                parts.append("\n\n".join(_escaped(text) for _, text in examples))
            case _:
                heading = (section.title or section.kind.value).capitalize()
                parts.append(f"**{heading}**\n\n{_items(section.value)}")
    return "\n\n".join(parts)


def _drawings_fenced(text: str) -> str:
    """Paragraphs that are drawn with lines, as code: their columns have to stay."""
    paragraphs = text.split("\n\n")
    drawn = (f"```text\n{part}\n```" if re.search(r"(?m)^[├└│]", part) else part for part in paragraphs)
    return "\n\n".join(drawn)


def _items(items: Iterable[griffe.DocstringElement]) -> str:
    lines = []
    for item in items:
        name = getattr(item, "name", "") or str(item.annotation or "").strip("()")
        said = _escaped(" ".join(item.description.split()))
        lines.append(f"- `{name}`: {said}" if name else f"- {said}")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """The text with what would be HTML outside of code made harmless."""
    parts = re.split(r"(```.*?```|`[^`]*`|(?m:^    .*$))", text, flags=re.DOTALL)
    return "".join(part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(parts))
