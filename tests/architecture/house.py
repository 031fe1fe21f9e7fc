"""Measures the structure of the source: imports, cycles, private accesses, sizes and names, read with ``ast``.

``python tests/architecture/house.py`` prints the figures.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: ``"package.module:Name"`` of ours.
_ONES_OWN = ("self", "cls", "os", "sys")  # os._exit and sys._getframe are public, in spite of their names
_CLASS_PATH = re.compile(r"drivetrain(?:\.\w+)+:\w+")


@dataclass(frozen=True)
class Import:
    """One import of a module of the package.

    Attributes:
        source: the module that imports.
        target: the module that is imported.
        is_typing: whether only type checkers see it.
    """

    source: str
    target: str
    is_typing: bool


class House:
    """The modules of a package.

    Args:
        folder: of the package.
        floors: its rooms, highest first, as import-linter lists them.
    """

    def __init__(self, folder: Path, floors: Iterable[Iterable[str]]) -> None:
        self.folder = folder
        self.name = folder.name
        self.floors = [set(floor) for floor in floors]
        self.trees = {self._module(path): (path, ast.parse(path.read_text("utf-8"))) for path in folder.rglob("*.py")}

    def _module(self, path: Path) -> str:
        parts = path.relative_to(self.folder.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def room(self, module: str) -> str:
        """The room of a module: the package or file right below the top."""
        return module.split(".")[1] if "." in module else "__init__"

    def floor(self, module: str) -> int:
        """The height of a module's room; the highest is 0, and a module in no room counts as above all."""
        room = self.room(module)
        return next((height for height, rooms in enumerate(self.floors) if room in rooms), -1)

    @cached_property
    def imports(self) -> list[Import]:
        """Every import of one module by another, including those inside functions."""
        return [found for module, (_, tree) in self.trees.items() for found in self._imports(module, tree, False)]

    def _imports(self, module: str, node: ast.AST, is_typing: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            typing = is_typing or (isinstance(node, ast.If) and child in node.body and "TYPE_CHECKING" in _text(node))
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom) and child.module:
                paths = [f"{child.module}.{alias.name}" for alias in child.names]
                names = [path if path in self.trees else child.module for path in paths]
            else:
                yield from self._imports(module, child, typing)
                continue
            for name in dict.fromkeys(names):
                if name in self.trees:
                    yield Import(module, name, typing)

    def circles(self) -> list[tuple[str, ...]]:
        """Modules that import each other, or themselves, at run time; each cycle sorted."""
        graph: dict[str, set[str]] = defaultdict(set)
        for item in self.imports:
            if not item.is_typing:
                graph[item.source].add(item.target)
        circles = _strongly_connected(graph)
        return sorted(circle for circle in circles if len(circle) > 1 or circle[0] in graph[circle[0]])

    def upward(self) -> list[Import]:
        """Imports of a higher room, or of another room on the same floor; lazy names of the top level do not count."""
        return [
            item
            for item in self.imports
            if self.room(item.source) not in ("__init__", self.room(item.target))
            and self.floor(item.target) <= self.floor(item.source)
        ]

    def reaches(self) -> Counter[str]:
        """Accesses to another object's ``_name``: module -> how many."""
        found: Counter[str] = Counter()
        for module, (_, tree) in self.trees.items():
            for node in ast.walk(tree):
                if (
                    isinstance(node, ast.Attribute)
                    and re.match(r"_(?!_)", node.attr)
                    and not (isinstance(node.value, ast.Name) and node.value.id in _ONES_OWN)
                    and not (isinstance(node.value, ast.Call) and _text(node.value).startswith("super("))
                ):
                    found[module] += 1
        return found

    def long_files(self, limit: int) -> dict[str, int]:
        """Modules with more lines than allowed."""
        sizes = {module: len(path.read_text("utf-8").splitlines()) for module, (path, _) in self.trees.items()}
        return {module: size for module, size in sizes.items() if size > limit}

    def functions(self) -> dict[str, int]:
        """``module:function`` -> its number of lines, without signature, docstring and blank lines."""
        found = {}
        for module, (path, tree) in self.trees.items():
            lines = path.read_text("utf-8").splitlines()
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    body = node.body[1:] if ast.get_docstring(node) else node.body
                    rows = lines[body[0].lineno - 1 : node.end_lineno] if body else []
                    found[f"{module}:{node.name}@{node.lineno}"] = sum(bool(row.strip()) for row in rows)
        return found

    def class_names(self) -> dict[str, list[str]]:
        """Class names that occur in several modules."""
        found = defaultdict(list)
        for module, (_, tree) in self.trees.items():
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(module)
        return {name: modules for name, modules in found.items() if len(modules) > 1}

    def module_names(self) -> dict[str, list[str]]:
        """Module names that occur several times, apart from ``__init__``."""
        found = defaultdict(list)
        for module, (path, _) in self.trees.items():
            if path.stem not in ("__init__", "__main__"):
                found[path.stem].append(module)
        return {name: modules for name, modules in found.items() if len(modules) > 1}

    def class_paths(self) -> set[str]:
        """Every ``"drivetrain.module:Name"`` in a string."""
        texts = [
            node.value
            for _, tree in self.trees.values()
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        return {text for text in texts if _CLASS_PATH.fullmatch(text)}

    def figures(self) -> str:
        """The measures, one per line."""
        arrows = {(self.room(i.source), self.room(i.target)) for i in self.imports} - {
            (room, room) for room in map(self.room, self.trees)
        }
        circles = self.circles()
        rows = {
            "rooms": len({self.room(module) for module in self.trees} - {"__init__"}),
            "floors": len(self.floors),
            "arrows between rooms": len({pair for pair in arrows if "__init__" not in pair}),
            "upward or sideways arrows": len({(self.room(i.source), self.room(i.target)) for i in self.upward()}),
            "circles": f"{len(circles)}, the largest of {max(map(len, circles), default=0)} modules",
            "private reaches": sum(self.reaches().values()),
            "files over 350 lines": len(self.long_files(350)),
            "functions over 40 lines": sum(lines > 40 for lines in self.functions().values()),
        }
        return "\n".join(f"{name}: {value}" for name, value in rows.items())


def ours(root: Path = ROOT) -> House:
    """The package of a checkout, with the floors named by its import-linter contract."""
    with (root / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(row["layers"] for row in contracts if row["type"] == "layers")
    floors = [[name.strip() for name in re.split(r"[|:]", row)] for row in layers]
    return House(root / "src" / "drivetrain", floors)


def _text(node: ast.AST) -> str:
    return ast.unparse(node.test) if isinstance(node, ast.If) else ast.unparse(node)


def _strongly_connected(graph: dict[str, set[str]]) -> Iterator[tuple[str, ...]]:
    """Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[tuple[str, ...]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph.get(node, ()):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            at = stack.index(node)
            found.append(tuple(sorted(stack[at:])))
            del stack[at:]

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        for node in list(graph):
            if node not in index:
                visit(node)
    finally:
        sys.setrecursionlimit(limit)
    yield from found


if __name__ == "__main__":
    print(ours(Path(sys.argv[1]) if sys.argv[1:] else ROOT).figures())
