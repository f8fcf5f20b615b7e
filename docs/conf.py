"""Build the documentation site: `make docs`, or `sphinx-build -c docs . build/docs`.

The sources are the Markdown files of the repository, read where they are: README.md, CHANGELOG.md, CONTRIBUTING.md and
docs/. So a relative link means the same here and on GitHub. The modules `site_*.py` do
what Sphinx lacks.
"""

import hashlib
import logging
import os
import sys
from importlib.metadata import version as installed
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(DOCS), str(ROOT)]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])  # of chapters
os.environ |= {"COLUMNS": "88", "NO_COLOR": "1"}  # of `--help`
for name in ("pytensor.configparser", "traitlets"):
    logging.getLogger(name).setLevel(logging.WARNING)

from site_reference import resolve_source as linkcode_resolve  # noqa: E402, F401

import dpm  # noqa: E402  (needs the path above)

project = "dpm"
author = "the authors of dpm"
version = release = dpm.__version__
html_title = f"dpm {version}"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.linkcode",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",
    "sphinx_revealjs",
    "site_pages",
    "site_reference",
    "site_slides",
]
root_doc = "docs/index"
include_patterns = ["*.md", "datasets/README.md", "docs/**"]
exclude_patterns = [path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("docs", "datasets")]
suppress_warnings = ["toc.empty_glob"]  # no chapter yet
templates_path = ["_templates"]

# Every reference must have a target. Types of other packages have none, since their documentation is not at hand
# without a network; names without a dot are the words that Google docstrings use for types. The
# second line has type variables, and the layout of the flat parameters, which no user needs.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!dpm\.).*"),
    ("py:class", r"dpm\.(graph\.kernels\.P|cluster\.pool\.Cluster)"),
    ("py:class", r"dpm\.engines\.(engine\.(Item|Result)|parameters\.Layout|loops\..*)"),
    ("py:class", r"dpm\.reports\.graphs\.description\..*"),
]

# Markdown as GitHub reads it: math fences, headings as anchors.
myst_enable_extensions = ["amsmath", "attrs_block", "colon_fence", "dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
smartquotes = False
myst_url_schemes = {"http": None, "https": None, "mailto": None, "source": {"url": "{{path}}#{{fragment}}"}}


def digest_of_code() -> str:
    """Return a hash of what the chapters compute with, so that a change of it runs them again."""
    digest = hashlib.sha256(f"{installed('pytensor')} {installed('numpy')} {installed('matplotlib')}".encode())
    for path in sorted([*(ROOT / "dpm").rglob("*.py"), *(DOCS / "book").glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


# The profile of IPython belongs to the build, so that a user's own does not change what a chapter prints.
profile = ROOT / "build" / "ipython" / "profile_default"
profile.mkdir(parents=True, exist_ok=True)
(profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 'ERROR'\n")
os.environ["IPYTHONDIR"] = str(profile.parent)

# Chapters are run once; an error in a cell ends the build.
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build" / "notebooks" / digest_of_code())
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_output_stderr = "remove"
nb_merge_streams = True
HTML_OUTPUTS = ("text/html", "image/svg+xml", "image/png", "image/gif", "image/jpeg", "text/markdown", "text/plain")
nb_mime_priority_overrides = [("revealjs", mime, place) for place, mime in enumerate(HTML_OUTPUTS, 1)]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
default_role = "code"  # `name` in a docstring

html_theme = "furo"
pygments_style = "a11y-high-contrast-light"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["interactive.js"]
html_additional_pages = {"index": "to_start.html"}
html_copy_source = False
html_show_search_summary = False  # a page that is opened from a disk may not fetch others
html_show_sphinx = html_show_copyright = False
math_eqref_format = "Eq. {number}"

# The slides: `make lecture`.
revealjs_static_path = ["_static"]
revealjs_style_theme = "white"
revealjs_css_files = ["pygments.css", "slides.css"]
revealjs_js_files = ["interactive.js"]
revealjs_script_files = ["slides.js"]
revealjs_use_section_ids = True
revealjs_script_conf = {
    "disableLayout": True,  # slides.js says why
    "center": False,
    "hash": True,
    "slideNumber": "c/t",
    "transition": "none",
}


def setup(app) -> None:
    """Take MathJax with outlines in place of fonts, which Firefox does not load for a page opened from a disk."""
    app.config.mathjax_path = "mathjax/tex-svg.js"  # in place of the path that sphinx-mathjax-offline has set
