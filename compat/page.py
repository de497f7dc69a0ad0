"""Reports as one HTML page: the template engine, set up once for those who have such a report.

Whatever a template is given is escaped; a name that it does not know is an error.
"""

from __future__ import annotations

from typing import Any


def render_page(package: str, **values: Any) -> str:
    """Return the `page.html` of a package, filled with these values."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(values)
