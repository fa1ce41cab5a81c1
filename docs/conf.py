"""How Sphinx builds the documentation: ``make docs``. Neither the build nor a reader's browser fetches anything."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "extensions"))

# The reference imports the package, and Airflow makes its home when it is imported: not in the reader's own.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-docs-")
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__HOSTNAME_CALLABLE"] = "socket.gethostname"

from airflow_incident_provider import __version__  # noqa: E402 - Airflow's home comes first

project = "airflow-incident-provider"
copyright = "the airflow-incident-provider developers"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "diagrams_in_pages",
    "reference_from_code",
    "error_texts",
]

html_theme = "furo"
html_title = "airflow-incident-provider"
html_static_path = ["_static"]
html_css_files = ["site.css"]
# Furo's footer would show an icon that is loaded from elsewhere.
html_theme_options = {"footer_icons": []}
# The dashes of options stay as they are.
smartquotes = False
toc_object_entries = False
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
# Links that leave the documentation for the repository's own files are given as code, never as paths.
myst_url_schemes = ["http", "https"]

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

copybutton_exclude = ".linenos, .gp, .go"

# What others document elsewhere; their inventories would have to be fetched.
nitpick_ignore_regex = [
    (r"py:.*", r"(airflow|docker|pydantic|slack_sdk|collections|datetime|pathlib|typing|enum|argparse)(\..*)?"),
    (r"py:.*", r"[A-Z]\w*|[a-z]\w*|\w+ \|.*|.*\[.*|.*\]"),
]

# External links: their form is checked by tests/docs; a build reaches nothing.
linkcheck_ignore = [r"https?://.*"]
