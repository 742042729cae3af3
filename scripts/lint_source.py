"""Rules of the house that no off-the-shelf linter knows: `python scripts/lint_source.py [FILE ...]`.

* A digest, signature or MAC is compared by hmac.compare_digest, never by == or !=: one habit, so that no reader
  has to judge which digest is a secret.
* No float near money: none in the modules that hold amounts (seconds, named `..._s`, excepted), and nowhere a float
  by the name of an amount.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_DIGEST = re.compile(r"(^|_)(digest|hexdigest|signature|sig|mac|hmac)$")
_MONEY_WORDS = "amount|amounts|fee|fees|price|total|balance|money|minor|major|refunded|captured|paid"
_MONEY_WORD = re.compile(rf"(^|_)({_MONEY_WORDS})(_|$)")
_MONEY_MODULES = re.compile(
    r"(^|/)(money|ledger|states|reserving|plans|payment|records|outcomes|snapshots|events|reconcile|settlement)\.py$"
    r"|gateways/\w+/(models|protocol|errors|webhook|gateway)\.py$|/stores/|/settlement/|vextrus_payments_sandbox/(world|books)"
)


def main(arguments: list[str]) -> int:
    files = [Path(name) for name in arguments] or sorted(
        path for folder in ("src", "sandbox") for path in (ROOT / folder).rglob("*.py")
    )
    found = [finding for path in files for finding in findings(path)]
    print("\n".join(found) if found else f"lint_source: {len(files)} files hold the house rules")
    return 1 if found else 0


def findings(path: Path) -> Iterator[str]:
    """Each breach as `file:line: what to do instead`."""
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    rules = [*_compared_digests(tree), *_floats_by_money_names(tree)]
    if _MONEY_MODULES.search(path.as_posix()):
        rules += _floats(tree)
    for line, message in sorted(set(rules)):
        yield f"{shown}:{line}: {message}"


def _compared_digests(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare) or not any(
            isinstance(op, ast.Eq | ast.NotEq) for op in node.ops
        ):
            continue
        names = [_name(side) for side in (node.left, *node.comparators)]
        if any(_DIGEST.search(name) for name in names):
            yield node.lineno, "compare digests and signatures with hmac.compare_digest"


def _floats_by_money_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) == "float":
            if any(_MONEY_WORD.search(_name(part)) for argument in node.args for part in ast.walk(argument)):
                yield node.lineno, "an amount never becomes a float: use Money or Decimal"
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            name = node.arg if isinstance(node, ast.arg) else _name(node.target)
            if _MONEY_WORD.search(name) and "float" in ast.unparse(node.annotation):
                yield node.lineno, f"{name} must not be a float: use Money, Decimal or int minor units"


def _floats(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Any float in a module that holds amounts, but for type checks that refuse it and for seconds."""
    allowed = {part for node in ast.walk(tree) for root in _excused(node) for part in ast.walk(root)}
    for node in ast.walk(tree):
        if node in allowed:
            continue
        if isinstance(node, ast.Name) and node.id == "float":
            yield node.lineno, "no float in a module that holds amounts"
        elif isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield node.lineno, "no float literal in a module that holds amounts"


def _excused(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of `node` in which a float is no amount: `isinstance(x, float)`, `type(x) is float`, seconds."""
    match node:
        case ast.Call(func=ast.Name(id="isinstance")):
            yield node
        case ast.Compare(ops=ops) if all(isinstance(op, ast.Is | ast.IsNot) for op in ops):
            yield node
        case ast.keyword(arg=str(name)) | ast.arg(arg=name) if name.endswith("_s") or name in (
            "seconds",
            "timeout",
        ):
            yield node
        case ast.AnnAssign(target=target) if _name(target).lower().endswith("_s"):
            yield node
        case ast.Assign(targets=targets) if all(_name(target).lower().endswith("_s") for target in targets):
            yield node
        case ast.FunctionDef(args=arguments) | ast.AsyncFunctionDef(args=arguments):
            named = [*arguments.posonlyargs, *arguments.args]
            defaults = zip(reversed(named), reversed(arguments.defaults), strict=False)
            keyed = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            yield from (
                value for argument, value in (*defaults, *keyed) if value and argument.arg.endswith("_s")
            )
            if node.name.endswith("_s") and node.returns is not None:
                yield node.returns


def _name(node: ast.AST) -> str:
    """The last word of what an expression names: `a.b.digest()` -> digest; '' for anything else."""
    if isinstance(node, ast.Call):
        return _name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
