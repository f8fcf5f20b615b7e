"""Read pages as GitHub does: links to source files, lists of links as toctrees, inline math; number the equations."""

import re
from html import escape
from pathlib import Path

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<=\]\()([\w./-]+)(?:#L(\d+))?(?=\))")
PAGES = (".md", ".png", ".gif", ".svg")  # pages and images of the site, except in these folders:
CODE = ("dpm", "tests", "benchmarks")
SOLUTIONS = "docs/book/solutions"  # the page, and the folder
TAG = re.compile(r"\\tag\{([^}]+)\}")
SOURCE_PAGE = re.compile(r"(?:\.\./)*(source/.+)\.html")


def read_as_on_github(app, docname, text):
    """Make links to source files lead to their pages, $`x`$ mathematics, and the lists of the start page toctrees."""
    folder = (ROOT / docname).parent

    def link(match):
        path = (folder / match[1]).resolve()
        if not path.exists() or not path.is_relative_to(ROOT):
            return match[0]  # the name of a target, or a mistake, which Sphinx reports
        inside = path.relative_to(ROOT)
        if inside.suffix in PAGES and inside.parts[0] not in CODE:
            return match[0]
        line = f"#L-{match[2]}" if match[2] else ""
        return f"source:{'../' * docname.count('/')}source/{inside}.html{line}"

    parts, end = [], 0
    for fence in [*FENCE.finditer(text[0]), None]:  # fences stay as they are
        prose = text[0][end : fence.start() if fence else None]
        parts += [LINK.sub(link, prose.replace("$`", "$").replace("`$", "$")), fence[0] if fence else ""]
        end = fence.end() if fence else end
    text[0] = "".join(parts)
    if chapter := re.match(r"docs/book/0*(\d+)-", docname):  # the file name has the number
        text[0] = re.sub(r"^# (?:\d+\. )?", f"# {chapter[1]}. ", text[0], count=1, flags=re.MULTILINE)
    if docname == app.config.root_doc:
        text[0] += list_pages(text[0])
    elif docname == SOLUTIONS:
        text[0] += list_solutions()


def list_pages(text):
    """Return a hidden toctree for each section of the start page, with the pages that it links to."""
    toctrees = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        pages = "\n".join(f"{name} <{page}>" for name, page in re.findall(r"\[([^]]+)\]\(([^):#]+\.md)", section))
        toctrees.append(f"\n```{{toctree}}\n:hidden:\n:caption: {section.partition(chr(10))[0]}\n\n{pages}\n```\n")
    return "".join(toctrees)


def list_solutions():
    """Return a section for each chapter with its file of solutions."""
    sections = []
    for path in sorted((ROOT / SOLUTIONS).glob("chapter_*.py")):
        (chapter,) = (ROOT / SOLUTIONS).parent.glob(f"{path.stem[-2:]}-*.md")
        (title,) = re.findall(r"^# (?:\d+\. )?(.+)$", chapter.read_text(), re.MULTILINE)[:1]
        code = f"```{{literalinclude}} solutions/{path.name}\n:language: python\n```"
        sections.append(f"\n## {int(path.stem[-2:])}. {title}\n\n{code}\n")
    return "".join(sections)


def number_equations(app, doctree):
    """Give an equation with a label the number of its \\tag{}, the paper's, or one within its chapter, such as 3.1."""
    docname, domain = app.env.docname, app.env.domains["math"]
    chapter, own = re.sub(r"\D.*", "", Path(docname).name).lstrip("0"), 0
    for node in doctree.findall(nodes.math_block):
        if label := node.get("label"):
            tag = TAG.search(node.astext())
            own += tag is None
            number = tag[1] if tag else f"{chapter}.{own}"
            node["number"] = number
            node.children = [nodes.Text(TAG.sub("", node.astext()).strip())]
            domain.equations[label] = (docname, number)


def note_sources(app, doctree):
    """Remember which source files a page links to."""
    found = [SOURCE_PAGE.match(node.get("refuri", "")) for node in doctree.findall(nodes.reference)]
    app.env.metadata[app.env.docname]["sources"] = " ".join({match[1] for match in found if match})


def write_source_pages(app):
    """Yield a page for each source file or folder that a page links to."""
    linked = {name for data in app.env.metadata.values() for name in data.get("sources", "").split()}
    for name in sorted(linked) if app.builder.name == "html" else ():
        path = ROOT / name.removeprefix("source/")
        if path.is_dir():
            body = f"<ul>{''.join(f'<li>{escape(inner.name)}</li>' for inner in sorted(path.glob('*.*')))}</ul>"
        else:
            lexer = get_lexer_for_filename(path.name) if path.suffix != ".cff" else get_lexer_for_filename("x.yaml")
            body = highlight(path.read_text(), lexer, HtmlFormatter(linespans="L", linenos="inline"))
        title = escape(str(path.relative_to(ROOT)))
        yield name, {"title": title, "body": f"<h1>{title}</h1>{body}"}, "page.html"


def setup(app):
    """Register with Sphinx."""
    app.connect("source-read", read_as_on_github)
    app.connect("env-get-outdated", lambda *_: [SOLUTIONS])  # there may be new files
    app.connect("doctree-read", number_equations)
    app.connect("doctree-read", note_sources)
    app.connect("html-collect-pages", write_source_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
