"""What MkDocs is told of this repository: pages from outside docs/, generated pages, and links between all of them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any, Optional

import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PIPELINES = sorted(path.parent.name for path in ROOT.glob("pipelines/*/README.md"))

# Files of the repository that are no pages below docs/, and where the site has them.
PLACES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "NOTICE": "notice.txt",
    "docs/site/site.css": "site.css",
    **{f"pipelines/{name}/README.md": f"pipelines/{name}.md" for name in PIPELINES},
}
_SOURCES = {place: source for source, place in PLACES.items()}

_LINK = re.compile(r"\]\((?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> None:
    """Name the pipelines that there are in the navigation."""
    assert config.nav is not None
    config.nav.append({"Pipelines": [f"pipelines/{name}.md" for name in PIPELINES]})


def on_files(files: Files, *, config: MkDocsConfig) -> None:
    """Add the pages that are not below docs/, and those that nobody has written."""
    for source, place in PLACES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    for place, content in reference.pages().items():
        files.append(File.generated(config, place, content=content))


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Turn links to files of the repository into links to their pages; MkDocs checks them then."""
    here = page.file.src_uri
    folder = posixpath.dirname(_SOURCES.get(here, f"docs/{here}"))

    def moved(link: re.Match[str]) -> str:
        place = _place(posixpath.normpath(posixpath.join(folder, link["path"])))
        if place is None:
            return link[0]
        return f"]({posixpath.relpath(place, posixpath.dirname(here) or '.')}{link['anchor'] or ''})"

    return _LINK.sub(moved, markdown)


def _place(path: str) -> Optional[str]:
    """Where the site has a file or folder of the repository, if it does."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return PLACES.get(path, PLACES.get(f"{path}/README.md"))
