"""The chapters as slides (sphinx-revealjs), and the script of the interactive figures."""

from pathlib import Path

import bokeh
from docutils import nodes
from sphinx.util.fileutil import copy_asset_file
from sphinx.writers.html5 import HTML5Translator
from sphinx_revealjs.writers import RevealjsSlideTranslator

BOOK = "docs/book/"  # the pages that are slides
BOKEH = ("bokeh.min.js", "bokeh-widgets.min.js")


class Slides(RevealjsSlideTranslator):
    """Slides with code as the site has it, colored by Pygments rather than by a script."""

    visit_literal_block = HTML5Translator.visit_literal_block
    depart_literal_block = HTML5Translator.depart_literal_block


def lead_to_the_site(app):
    """Let links of slides to pages that are no slides lead to the site, the folder next to the slides."""
    builder = app.builder
    if builder.name != "revealjs":
        return
    uri_of_slides = builder.get_relative_uri

    def get_relative_uri(source, target, typ=None):
        if target.startswith(BOOK):
            return uri_of_slides(source, target, typ)
        return f"{'../' * (source.count('/') + 1)}docs/{target}.html"

    builder.get_relative_uri = get_relative_uri


def lead_to_sources(app, doctree, docname):
    """Do the same for the pages of source files."""
    if app.builder.name == "revealjs":
        up = "../" * docname.count("/")
        for node in doctree.findall(nodes.reference):
            if node.get("refuri", "").startswith(f"{up}source/"):
                node["refuri"] = f"{up}../docs/{node['refuri'].removeprefix(up)}"


def copy_bokeh(app, error):
    """Copy the scripts of Bokeh once; interactive.js loads them on pages with an interactive figure."""
    if app.builder.format == "html" and not error:
        target = Path(app.outdir) / "_static" / "bokeh"
        target.mkdir(parents=True, exist_ok=True)
        for name in BOKEH:
            copy_asset_file(Path(bokeh.__file__).parent / "server" / "static" / "js" / name, target)


def setup(app):
    """Register with Sphinx."""
    app.set_translator("revealjs", Slides, override=True)
    app.connect("builder-inited", lead_to_the_site)
    app.connect("doctree-resolved", lead_to_sources)
    app.connect("build-finished", copy_bokeh)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
