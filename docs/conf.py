"""Settings of the documentation site: ``sphinx-build -W --keep-going -b html docs docs/_build/html``.

Nothing is asked of the network. Set ``CBMINER_DOCS_ONLINE=1`` to link the types of numpy, astropy and others to their
own documentation, which fetches their inventories.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import cbminer

project = "cbminer"
author = "cbminer developers"
copyright = "2026, cbminer developers"  # noqa: A001 - Sphinx's name
release = cbminer.__version__
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
    "generated_pages",
    "python_names",
]
exclude_patterns = ["_build", "_ext", "_static", "_templates"]
# Names in single backticks are code, and links where the site knows them.
default_role = "py:obj"

# Notebooks are rendered with the outputs that they were kept with.
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
# Names are described where they are defined.
viewcode_follow_imported_members = False

napoleon_google_docstring = False
# As a list: attributes that are properties too would be described twice, and several may share a line.
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_rtype = False

if os.environ.get("CBMINER_DOCS_ONLINE") == "1":
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "astropy": ("https://docs.astropy.org/en/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
    }

toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "cbminer"
html_static_path = ["_static"]
html_css_files = ["cbminer.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "show_nav_level": 1,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "start": [], "gallery": [], "comparison": [], "limits": [], "cite": []}
