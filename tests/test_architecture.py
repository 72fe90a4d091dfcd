"""The rules of DESIGN.md 8 that a reader of photos.py, its templates and README relies on."""

from __future__ import annotations

import ast
import io
import json
import re
import string
import subprocess
import symtable
import tokenize
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import bottle
import pytest
from drawing import draw

import photos
import renditions

HOME = Path(photos.__file__).resolve().parent
DESIGN = HOME.parent / "shared" / "DESIGN.md"
SOURCE = Path(photos.__file__).read_text(encoding="utf-8")
TREE = ast.parse(SOURCE)
TEMPLATES = sorted((HOME / "templates").glob("*.html"))
TEXTS = (HOME / "templates" / "texts.tsv").read_text(encoding="utf-8").splitlines()
MODULES = ("photos.py", "renditions.py", "bootstrap.py", "build_zipapp.py")
SECTIONS = [
    *("Shared constants", "Errors", "Files", "Configuration", "Permissions", "Workers"),
    *(
        "Folders",
        "Listings",
        "Index",
        "Summaries",
        "Albums",
        "Library",
        "Searches",
        "Finding",
        "Upkeep",
        "Users",
        "Tokens",
        "Shares",
        "HTTP",
        "ZIP",
        "Adding",
        "Pages",
        "Routes",
        "Guard",
        "Web",
        "Server",
        "Tunnel",
        "Checks",
        "Outside",
        "Service",
        "Command line",
    ),
]
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
LAYOUT |= {tokenize.ENDMARKER}
MUTATORS = frozenset(
    "add append clear discard extend insert pop popitem remove reverse setdefault sort update".split()
)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
FUNCTIONS = [
    node
    for node in ast.walk(TREE)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
]


def assigned(node: ast.stmt) -> set[str]:
    """Return the names that a statement of the module assigns."""
    targets = (
        node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    )
    return {
        name.id
        for each in targets
        if each
        for name in ast.walk(each)
        if isinstance(name, ast.Name)
    }


def defined(node: ast.stmt) -> set[str]:
    """Return the names that a statement of the module defines, imports left out."""
    return {node.name} if isinstance(node, DEFINITIONS) else assigned(node)


def global_names(table: symtable.SymbolTable) -> set[str]:
    """Return the names that a scope and those inside take from the module."""
    own = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    return own.union(*map(global_names, table.get_children()))


def annotated_names(node: ast.AST) -> set[str]:
    """Return the names in annotations, which symtable leaves out under `from __future__`."""
    hints = [
        hint
        for each in ast.walk(node)
        for hint in (getattr(each, "annotation", None), getattr(each, "returns", None))
        if hint is not None
    ]
    return {
        name.id for hint in hints for name in ast.walk(hint) if isinstance(name, ast.Name)
    }


def markers() -> dict[str, int]:
    """Return the sections with the lines of their markers."""
    lines = enumerate(SOURCE.splitlines(), 1)
    return {
        match[1]: at
        for at, line in lines
        if (match := re.fullmatch(r"# --- (.+?) -+", line))
    }


def lines_of(section: str) -> range:
    """Return the lines of a section."""
    bounds = [*markers().items(), ("", SOURCE.count("\n") + 1)]
    return next(
        range(at, end) for (name, at), (_, end) in pairwise(bounds) if name == section
    )


def handlers() -> Iterator[tuple[str, ast.ExceptHandler]]:
    """Yield each except clause with the innermost function that holds it."""
    owners = {id(part): node.name for node in FUNCTIONS for part in ast.walk(node)}
    for node in ast.walk(TREE):
        if isinstance(node, ast.ExceptHandler):
            yield owners[id(node)], node


def code_of(template: Path) -> ast.Module:
    """Return the Python that a template becomes."""
    return ast.parse(bottle.SimpleTemplate(template.read_text(encoding="utf-8")).code)


def tables(tree: ast.Module, name: str) -> list[ast.expr]:
    """Return what is assigned to a name of a template, or added to it."""
    assignments = [
        each for each in ast.walk(tree) if isinstance(each, (ast.Assign, ast.AugAssign))
    ]
    return [each.value for each in assignments if name in assigned(each)]


def column(tree: ast.Module, loop: ast.For, name: str) -> list[ast.expr]:
    """Return what a name of a loop over a table of a template becomes, row by row."""
    names = [ast.unparse(each) for each in getattr(loop.target, "elts", [loop.target])]
    if name not in names or not isinstance(loop.iter, ast.Name):
        return []
    rows = [row for table in tables(tree, loop.iter.id) for row in table.elts]
    return [row.elts[names.index(name)] for row in rows]


def keys_of(node: ast.expr, tree: ast.Module) -> set[str]:
    """Return the keys that the argument of a call of `text` may be.

    That is a literal, a choice between two, an entry of a table, or a name in a loop over the rows
    of a table. Anything else fails: nobody could say which texts it takes.
    """
    if isinstance(node, ast.Constant):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return keys_of(node.body, tree) | keys_of(node.orelse, tree)
    if isinstance(node, ast.Subscript):
        dicts = tables(tree, ast.unparse(node.value))
        values = [value for each in dicts for value in each.values]
    else:
        loops = [each for each in ast.walk(tree) if isinstance(each, ast.For)]
        values = [
            value for loop in loops for value in column(tree, loop, ast.unparse(node))
        ]
    assert values, f"which texts is {ast.unparse(node)}?"
    return set().union(*(keys_of(value, tree) for value in values))


def keys_of_calls(tree: ast.Module, function: str) -> set[str]:
    """Return the keys that a template or a module hands to a function of texts."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    arguments = [call.args[0] for call in calls if ast.unparse(call.func) == function]
    return set().union(*(keys_of(argument, tree) for argument in arguments))


def used_texts() -> set[str]:
    """Return the keys of all texts that pages show, those of errors left out."""
    used = keys_of_calls(TREE, "visit.texts.text") | keys_of_calls(TREE, "self.date")
    parts = [node for node in ast.walk(TREE) if isinstance(node, ast.Subscript)]
    own = [part.slice for part in parts if ast.unparse(part.value) == "self.texts"]
    used |= {key.value for key in own if isinstance(key, ast.Constant)}
    for template in map(code_of, TEMPLATES):
        counted = keys_of_calls(template, "counted")
        used |= keys_of_calls(template, "text") | keys_of_calls(template, "date")
        used |= {f"{key}_{form}" for key in counted for form in ("one", "many")}
    return used


def source_of(module: str) -> str:
    return (HOME / module).read_text(encoding="utf-8")


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the lines that docstrings take."""
    documented = (ast.Module, *DEFINITIONS)
    nodes = [node for node in ast.walk(tree) if isinstance(node, documented)]
    texts = [node.body[0] for node in nodes if ast.get_docstring(node)]
    return {line for text in texts for line in range(text.lineno, text.end_lineno + 1)}


@pytest.mark.whole
@pytest.mark.parametrize("module", MODULES)
def test_names_refer_upward_only(module: str) -> None:
    source = source_of(module)
    tree = ast.parse(source)
    scopes = {
        each.get_name(): each
        for each in symtable.symtable(source, module, "exec").get_children()
    }
    places = {
        name: at
        for at, node in reversed(list(enumerate(tree.body)))
        for name in defined(node)
    }
    used = {
        (at, node.name): global_names(scopes[node.name]) | annotated_names(node)
        for at, node in enumerate(tree.body)
        if isinstance(node, DEFINITIONS)
    }
    assert len(used) > 20
    below = [
        f"{user} uses {name}"
        for (at, user), names in used.items()
        for name in sorted(names)
        if places.get(name, -1) > at
    ]
    assert not below


@pytest.mark.parametrize("module", MODULES)
def test_the_sections_are_marked_in_one_style(module: str) -> None:
    lines = source_of(module).splitlines()
    banners = [line for line in lines if re.match(r"\s*#\s*[-=*#~_]{2,}", line)]
    assert len(banners) > 1
    assert [line for line in banners if not re.fullmatch(r"# --- .+? -+", line)] == []
    assert {len(line) for line in banners} == {79}


def test_the_sections_stand_in_order() -> None:
    assert list(markers()) == SECTIONS


def section_lengths(module: str) -> dict[str, int]:
    """Return how many lines each section of a module has."""
    _, *pieces = re.split(r"^# --- (.+?) -+$", source_of(module), flags=re.MULTILINE)
    lengths = (piece.count("\n") for piece in pieces[1::2])
    return dict(zip(pieces[::2], lengths, strict=True))


@pytest.mark.whole
@pytest.mark.parametrize("module", ["photos.py", "renditions.py"])
def test_the_docstring_lists_the_sections_in_their_order(module: str) -> None:
    docstring = ast.get_docstring(ast.parse(source_of(module))) or ""
    _, _, contents = docstring.partition("upward only:")
    listed = contents.strip().partition("\n\n")[0]
    names = [" ".join(name.split()) for name in listed.split("·")]
    sections = section_lengths(module)
    assert [name.lower() for name in names] == [name.lower() for name in sections]


@pytest.mark.parametrize("module", MODULES)
def test_no_section_is_as_long_as_1000_lines_and_no_module_as_13000(module: str) -> None:
    lengths = section_lengths(module)
    assert lengths and max(lengths.values()) < 1000
    assert source_of(module).count("\n") < 13000


@pytest.mark.whole
@pytest.mark.parametrize("module", MODULES)
def test_a_line_carries_no_more_than_a_reader_does(module: str) -> None:
    """The models of STYLE.md carry 6.3 to 8.7 tokens a code line, and 0 to 10 conditional expressions."""
    source = source_of(module)
    tree = ast.parse(source)
    texts = docstring_lines(tree)
    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in LAYOUT and token.start[0] not in texts
    ]
    assert len(tokens) / len({token.start[0] for token in tokens}) <= 8.65
    conditional = [node for node in ast.walk(tree) if isinstance(node, ast.IfExp)]
    assert 1000 * len(conditional) / source.count("\n") <= 10


@pytest.mark.whole
@pytest.mark.parametrize("module", MODULES)
def test_a_statement_has_one_conditional_expression_at_most(module: str) -> None:
    tree = ast.parse(source_of(module))
    simple = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return, ast.Raise)
    statements = [node for node in ast.walk(tree) if isinstance(node, simple)]
    count = {
        ast.unparse(node): sum(isinstance(part, ast.IfExp) for part in ast.walk(node))
        for node in statements
    }
    tables = {
        text for text in count if "dataclasses.replace(" in text or text.count("=") > 4
    }
    assert not [text for text in count if count[text] > 1 and text not in tables]


def test_a_worker_carries_no_web_code_and_no_keys(tmp_path: Path) -> None:
    command = renditions.worker_command(tmp_path)
    script = command.index(renditions.WORKER_SCRIPT)
    command[script] += "; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    picture = draw(tmp_path / "a.jpg")
    request = renditions.encode_request(str(picture), renditions.Purpose.ALL)
    done = subprocess.run(
        command, input=request, capture_output=True, text=True, check=True
    )
    reply = renditions.decode_reply(done.stdout)
    assert reply and reply.key and reply.colour
    imported = set(json.loads(done.stderr.splitlines()[-1]))
    assert {"renditions", "PIL.Image"} <= imported
    assert not imported & {
        "photos",
        "bottle",
        "jwt",
        "waitress",
        "ssl",
        "socket",
        "http",
        "argparse",
        # what takes long to load, or much memory, is loaded for a file that needs it
        "pillow_heif",
        "PIL.AvifImagePlugin",
        "PIL.PdfImagePlugin",
    }


@pytest.mark.parametrize(
    ("module", "section"), [("waitress", "Server"), ("argparse", "Command line")]
)
def test_a_module_is_used_in_its_section_only(module: str, section: str) -> None:
    used = {
        node.lineno
        for node in ast.walk(TREE)
        if isinstance(node, ast.Name) and node.id == module
    }
    assert used
    assert used <= set(lines_of(section))


def test_nothing_above_http_knows_http() -> None:
    used = {
        node.lineno
        for node in ast.walk(TREE)
        if isinstance(node, ast.Name) and node.id == "bottle"
    }
    assert used
    assert min(used) > markers()["HTTP"]


@pytest.mark.parametrize("module", ["bottle", "waitress", "argparse"])
def test_a_module_of_one_section_is_imported_whole(module: str) -> None:
    found = [
        node
        for node in ast.walk(TREE)
        if isinstance(node, (ast.Import, ast.ImportFrom)) and module in ast.unparse(node)
    ]
    assert [ast.unparse(node) for node in found] == [f"import {module}"]


@pytest.mark.whole
@pytest.mark.parametrize("module", MODULES)
def test_no_function_is_longer_than_40_lines(module: str) -> None:
    functions = [
        node
        for node in ast.walk(ast.parse(source_of(module)))
        if isinstance(node, ast.FunctionDef)
    ]
    # By line, since many have one name.
    lengths = {
        (node.name, node.lineno): node.end_lineno - node.lineno + 1 for node in functions
    }
    assert len(lengths) > 20
    assert not {name: length for name, length in lengths.items() if length > 40}


def routes_of_the_design(*, with_new: bool) -> set[tuple[str, str]]:
    """Return methods and paths of the table of addresses."""
    section = DESIGN.read_text(encoding="utf-8").partition("## 6.")[2].partition("## 7.")[0]
    rows = [row for row in section.splitlines() if row.startswith("| ")]
    rows = [row for row in rows if with_new or "**new**" not in row]
    routes = set()
    for row in rows:
        methods: list[str] = []
        has_path = False
        for method, path in re.findall(r"\b(GET|POST|PUT)\b|`([^`]+)`", row.split("|")[1]):
            if method:
                methods = [method] if has_path else [*methods, method]
                has_path = False
            else:
                has_path = True
                path = path.removeprefix("/s/TOKEN")
                routes |= {
                    (each, re.split("ADDRESS|NAME|ID|YYYY|[?]", path)[0])
                    for each in methods
                }
    return routes


@pytest.mark.skipif(not DESIGN.exists(), reason="the design is not beside the project")
def test_the_routes_are_those_of_the_design() -> None:
    routes = {(route.method, route.rule.partition("<")[0]) for route in photos.ROUTES}
    assert routes_of_the_design(with_new=False) <= routes
    assert routes <= routes_of_the_design(with_new=True)


def test_no_function_changes_the_state_of_the_module() -> None:
    names = set().union(
        *(assigned(node) for node in TREE.body if not isinstance(node, DEFINITIONS))
    )
    assert {"ROUTES", "STATIC_TYPES", "SETTINGS"} <= names
    changed = []
    for node in (part for function in FUNCTIONS for part in ast.walk(function)):
        if isinstance(node, ast.Global):
            changed += node.names
        if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(
            node.ctx, ast.Load
        ):
            changed.append(ast.unparse(node.value))
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in MUTATORS
        ):
            changed.append(ast.unparse(node.func.value))
    assert not names & set(changed)


@pytest.mark.whole
@pytest.mark.parametrize("module", MODULES)
def test_no_name_of_a_module_is_given_twice(module: str) -> None:
    tree = ast.parse(source_of(module))
    names = [name for node in tree.body for name in sorted(defined(node))]
    assert [name for name, times in Counter(names).items() if times > 1] == []


def test_nothing_is_cached_for_the_whole_process() -> None:
    decorators = {ast.unparse(each) for node in FUNCTIONS for each in node.decorator_list}
    assert "functools.cached_property" in decorators
    assert not [
        each for each in decorators if re.match(r"(functools\.)?(lru_)?cache\b", each)
    ]


def test_only_the_two_edges_catch_whatever_is_raised() -> None:
    broad = re.compile(r"\b(Base)?Exception\b")
    swallowing = [
        owner
        for owner, handler in handlers()
        if (handler.type is None or broad.search(ast.unparse(handler.type)))
        and not (isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None)
    ]
    assert swallowing == []
    assert not re.findall(
        r"suppress\((?:Base)?Exception\)", SOURCE + source_of("renditions.py")
    )
    assert source_of("renditions.py").count("except Exception") == 1  # in `develop`


def test_every_public_function_and_class_has_a_docstring() -> None:
    public = [
        node
        for node in TREE.body
        if isinstance(node, DEFINITIONS) and not node.name.startswith("_")
    ]
    assert len(public) > 100
    assert not [node.name for node in public if not ast.get_docstring(node)]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_nothing_that_the_csp_forbids(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    scripts = re.findall(
        r"<script\b([^>]*)>(.*?)</script>", text, re.DOTALL | re.IGNORECASE
    )
    assert all(
        " src=" in attributes and not content.strip() for attributes, content in scripts
    )
    assert len(scripts) == text.lower().count("<script")
    forbidden = r"<style|<base|\sstyle\s*=|\son[a-z]+\s*=|javascript:|https?://"
    assert not re.findall(forbidden, text, re.IGNORECASE)


@pytest.mark.whole
def test_every_text_of_a_template_is_in_the_table() -> None:
    used = used_texts()
    assert {"log_in", "empty_album", "photos_one", "camera", "hidden", "no_page"} <= used
    assert used <= {line.split("\t")[0] for line in TEXTS[1:]}


@pytest.mark.whole
def test_every_text_of_the_table_is_used() -> None:
    keys = {line.split("\t")[0] for line in TEXTS[1:]}
    # The texts of errors are named by a status: the next test goes through those.
    assert not {key for key in keys if not key.startswith("error_")} - used_texts()


def test_every_text_of_an_error_is_of_an_answer_that_there_is() -> None:
    errors = (each for each in vars(photos).values() if isinstance(each, type))
    answered = {each.status for each in errors if issubclass(each, photos.PhotosError)} | {
        500
    }
    told = {
        int(key[6:]) for line in TEXTS if (key := line.split("\t")[0]).startswith("error_")
    }
    assert {400, 401, 404, 500} <= told <= answered


def test_the_table_of_texts_is_complete() -> None:
    rows = [line.split("\t") for line in TEXTS]
    assert rows[0][0] == "key"
    assert {len(row) for row in rows} == {len(rows[0])}
    assert all(cell == cell.strip() != "" for row in rows for cell in row)
    assert len({row[0] for row in rows}) == len(rows)


def test_the_languages_are_named_by_tags_and_none_twice() -> None:
    heads = [head.split() for head in TEXTS[0].split("\t")[1:]]
    assert [tags[0] for tags in heads] == [
        "en",
        "zh-Hant",
        "zh-Hans",
        "ms",
        "de",
        "fr",
        "es",
        "ja",
    ]
    tags = [tag for tags in heads for tag in tags]
    assert len({tag.lower() for tag in tags}) == len(tags)
    assert all(
        re.fullmatch(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|\d{3}))?", tag)
        for tag in tags
    )


@pytest.mark.parametrize("row", TEXTS[1:], ids=lambda row: row.split("\t")[0])
def test_a_text_has_the_same_values_in_every_language(row: str) -> None:
    parsed = [string.Formatter().parse(cell) for cell in row.split("\t")[1:]]
    values = [sorted(name for _, name, *_ in parts if name is not None) for parts in parsed]
    assert values == [values[0]] * len(values)
    assert all(name.isidentifier() for name in values[0])


@pytest.mark.parametrize("name", photos.SETTINGS)
def test_the_readme_tells_of_each_setting(name: str) -> None:
    assert f"\n| `{name}` |" in (HOME / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", photos.COMMANDS)
def test_the_readme_tells_of_each_command(name: str) -> None:
    assert re.search(
        rf"`{name}( [^`\n]*)?`", (HOME / "README.md").read_text(encoding="utf-8")
    )


@pytest.mark.skipif(not (HOME / ".git").exists(), reason="this is no checkout")
def test_no_library_and_no_state_folder_is_committed() -> None:
    listed = subprocess.run(
        ["git", "-C", HOME, "ls-files"], check=True, capture_output=True, text=True
    )
    folders = {name.split("/")[0] for name in listed.stdout.splitlines() if "/" in name}
    assert folders == {".ci", "bench", "templates", "tests"}
