"""Configuration of the site: `sphinx-build -W --keep-going -n docs OUT`."""

import os
import sys
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).parent
# The modules that draw the pictures are next to the pages.
sys.path[:0] = [str(HERE), str(HERE.parent / "benchmarks")]

from _site import project_urls

project = "within"
author = "The within authors"
copyright = f"{author}, MIT licence"  # noqa: A001
version = release = installed("within")
# To publish the site somewhere else, change [project.urls] in pyproject.toml.
urls = project_urls()

extensions = [
    "_directives",
    "_reference",
    "_site",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_*"]

# -- pages -------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
myst_heading_slug_func = "_directives.slug"

# -- the reference, from the docstrings --------------------------------------

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# The build does not use the network. The names of other projects become links if their
# inventories are there, as docs/_inventories/python.inv (anyio.inv, trio.inv), or are
# downloaded, with DOCS_ONLINE=1. A reference to a name of ours that does not exist is a
# warning, and warnings are errors.
nitpicky = True
nitpick_ignore_regex = [
    # Annotations use types of other projects, and private types of ours.
    ("py:class", r"(?!within\b).*|within\._.*"),
    (
        "py:(exc|func|meth|mod|attr|data|obj)",
        r"(subprocess|asyncio|trio|anyio|pytest)\..*",
    ),
    ("py:exc", r"(\w+Error|KeyboardInterrupt)"),
]
OTHERS = {
    "python": "https://docs.python.org/3",
    "anyio": "https://anyio.readthedocs.io/en/stable",
    "trio": "https://trio.readthedocs.io/en/stable",
}
intersphinx_mapping = {}
for name, address in OTHERS.items():
    inventory = HERE / "_inventories" / f"{name}.inv"
    if inventory.exists():
        intersphinx_mapping[name] = (address, str(inventory))
    elif os.environ.get("DOCS_ONLINE"):
        intersphinx_mapping[name] = (address, None)
if intersphinx_mapping:
    extensions.append("sphinx.ext.intersphinx")

# -- external links: sphinx-build -b linkcheck docs OUT ---------------------

linkcheck_timeout = 20
linkcheck_retries = 2
# GitHub's scripts create these anchors in the browser.
linkcheck_anchors_ignore_for_url = [r"https://github\.com/.*"]

# -- appearance --------------------------------------------------------------

html_theme = "furo"
html_title = f"within {version}"
html_static_path = ["_static"]
html_css_files = ["pictures.css"]
html_favicon = "_static/icon.svg"
html_baseurl = urls.get("Documentation", "")
html_copy_source = False
html_search_scorer = str(HERE / "_scorer.js")
pygments_style = "tango"
pygments_dark_style = "monokai"
html_theme_options = {}
if repository := urls.get("Repository"):
    link = {"name": "Repository", "url": repository, "html": "Repository", "class": ""}
    html_theme_options["footer_icons"] = [link]
    if "://github.com/" in repository:  # for the links to the source of a page
        html_theme_options |= {
            "source_repository": repository,
            "source_branch": "main",
            "source_directory": "docs/",
        }
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
